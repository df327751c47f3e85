"""Sealing and opening of a connection's credentials. Each opening is written to the access log.

A process that sends or streams may keep opened credentials in memory for at most 30 seconds, keyed by the
sealed value, so that a re-link takes effect at once. Openings that hit this memory are not counted: the log
counts decryptions.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F

from brokers.enums import ConnectionStatus, LinkKind
from brokers.exceptions import AuthorizationExpired, Unavailable
from brokers.models import BrokerConnection, CredentialAccess
from brokers.types import Credentials
from tradeplatform.common.clock import monotonic, utc_now
from tradeplatform.common.crypto import Sealed, decrypt_field
from tradeplatform.common.database import note_unwritable
from tradeplatform.common.prepared import PreparedUpdate, slot

MAX_KEEP_SECONDS = 30.0


@dataclass(slots=True)
class _Process:
    name: str = "web"
    keep_seconds: float = 0.0


_process = _Process()
_kept: dict[tuple[UUID, str, Sealed], tuple[float, Credentials]] = {}
_kept_lock = threading.Lock()


def declare_process(name: str, *, keep_seconds: float = 0) -> None:
    """Name this process in the access log and say how long it may keep opened credentials in memory.

    Raises ValueError for more than 30 seconds.
    """
    if not 0 <= keep_seconds <= MAX_KEEP_SECONDS:
        raise ValueError(f"Credentials may be kept for at most {MAX_KEEP_SECONDS:.0f} seconds.")
    _process.name, _process.keep_seconds = name, keep_seconds
    with _kept_lock:
        _kept.clear()


def dump_credentials(values: Mapping[str, str]) -> str:
    """Write credentials as the text that the encrypted field stores."""
    return json.dumps(dict(values), sort_keys=True, separators=(",", ":"))


def open_credentials(
    connection: BrokerConnection, *, purpose: str, note_access: Callable[[UUID], None] | None = None
) -> Credentials:
    """Return the decrypted credentials of an active connection and log the access.

    `note_access` keeps the log where the database cannot be written; it gets the connection's id and the
    row is made later, by `log_access`. Raises AuthorizationExpired when the link is not active or has none,
    EncryptionError when the stored value cannot be read, and Unavailable when the access cannot be logged.
    """
    if connection.status != ConnectionStatus.ACTIVE:
        raise AuthorizationExpired("This broker has to be linked again.")
    if connection.kind == LinkKind.BUILT_IN:
        return Credentials(LinkKind.BUILT_IN)
    if not connection.credentials:
        raise AuthorizationExpired("This broker has to be linked again: it has no stored credentials.")
    key = (connection.pk, purpose, connection.credentials)
    kept = _recall(key)
    if kept is not None:
        return kept
    text = decrypt_field(connection, "credentials", purpose=purpose)
    if note_access is not None:
        note_access(connection.pk)
    else:
        _log_or_refuse(connection.pk, purpose)
    opened = Credentials(LinkKind(connection.kind), json.loads(text))
    _remember(key, opened)
    return opened


def _log_or_refuse(connection_id: UUID, purpose: str) -> None:
    """Log an access; without a log there is none. Raises Unavailable while the log cannot be written."""
    try:
        log_access(connection_id, purpose=purpose)
    except DatabaseError as error:
        if not note_unwritable(error):
            raise
        raise Unavailable("The access log cannot be written, so the broker is not asked.") from error


def log_access(connection_id: UUID, *, purpose: str) -> None:
    """Count one decryption in the row of this connection, purpose, process and hour."""
    now = utc_now()
    row = {
        "connection_id": connection_id,
        "purpose": purpose[:60],
        "process": _process.name[:40],
        "hour": now.replace(minute=0, second=0, microsecond=0),
    }
    if _count_again(row):
        return
    try:
        with transaction.atomic():
            CredentialAccess.objects.create(**row, first_at=now, at=now)
    except IntegrityError:
        _count_again(row)


_COUNT_AGAIN = PreparedUpdate(
    lambda: CredentialAccess.objects.filter(
        connection_id=slot(CredentialAccess, "connection"),
        **{name: slot(CredentialAccess, name) for name in ("purpose", "process", "hour")},
    ),
    count=F("count") + 1,
    at=slot(CredentialAccess, "at"),
)


def _count_again(row: Mapping[str, object]) -> int:
    return _COUNT_AGAIN.run(connection=row["connection_id"], at=utc_now(), **row)


def _recall(key: tuple[UUID, str, Sealed]) -> Credentials | None:
    with _kept_lock:
        until, opened = _kept.get(key, (0.0, None))
        return opened if until > monotonic() else None


def _remember(key: tuple[UUID, str, Sealed], opened: Credentials) -> None:
    if not _process.keep_seconds:
        return
    now = monotonic()
    with _kept_lock:
        for old in [item for item, (until, _) in _kept.items() if until <= now]:
            del _kept[old]
        _kept[key] = (now + _process.keep_seconds, opened)
