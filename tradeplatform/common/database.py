"""Connections of threads that live long, and telling a database that cannot be written from other errors.

Nothing is sent without a commit, so while it cannot be written no order leaves, exits included. The site
remembers it and says so.
"""

import math
import threading

import structlog
from django.db import DatabaseError, close_old_connections, connection, connections

from tradeplatform.common.clock import monotonic

logger = structlog.get_logger(__name__)

REMEMBER_SECONDS = 60.0
LOOK_EVERY_SECONDS = 5.0
# Disk full, read-only transaction, cannot connect now, connection failure: classes and codes of PostgreSQL.
_CODES = ("53100", "25006", "57P03", "08")
_WORDS = ("readonly database", "read-only", "disk is full", "disk i/o error", "unable to open database")

_noted: list[float] = []


class _Looked(threading.local):
    at = -math.inf


_looked = _Looked()


def renew_connections() -> None:
    """Between two pieces of work, close what this thread has open that is too old or broken.

    Django does so around every request, and asks the server each time whether the connection stands, which
    takes as long as a short statement. Here it is asked again after a few seconds, or after an error.
    """
    kept = connections.all(initialized_only=True)
    is_fresh = 0 <= monotonic() - _looked.at < LOOK_EVERY_SECONDS
    if is_fresh and all(one.settings_dict["CONN_MAX_AGE"] and not one.errors_occurred for one in kept):
        return
    _looked.at = monotonic()
    close_old_connections()


def is_unwritable(error: BaseException | None) -> bool:
    """Say whether an error means that the database takes no writes, whoever asks."""
    if not isinstance(error, DatabaseError):
        return False
    code = str(getattr(error.__cause__, "sqlstate", None) or "")
    text = str(error).lower()
    return code.startswith(_CODES) or any(words in text for words in _WORDS)


def note_unwritable(error: BaseException | None) -> bool:
    """Remember for the pages of this process that the database refused a write; False for other errors."""
    if not is_unwritable(error):
        return False
    _noted[:] = [monotonic()]
    logger.error("database_unwritable", vendor=connection.vendor)
    return True


def was_unwritable() -> bool:
    """Say whether the database refused a write within the last minute, as far as this process knows."""
    return bool(_noted) and 0 <= monotonic() - _noted[0] < REMEMBER_SECONDS


def forget_unwritable() -> None:
    """A write went through."""
    _noted.clear()
