"""The inbox of raw broker messages: stored first, exactly once, and applied by whoever understands them.

What makes no sense is stored as well, with the reason, so that a person can see it: a flagged row with a
`problem`. It is never applied.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any
from uuid import UUID

import structlog
from django.db import DatabaseError, transaction

from brokers.exceptions import BrokerError
from brokers.models import BrokerEvent
from brokers.types import BrokerExecution, StreamEvent, format_decimal
from tradeplatform.common.clock import utc_now
from tradeplatform.common.prepared import insert_row

logger = structlog.get_logger(__name__)

_KEY_LENGTH = 160
_KIND_LENGTH = 40
_PROBLEM_LENGTH = 300
# Deeper than any message of a broker; what lies below is kept as the beginning of its text.
_DEPTH = 12
_DEEP_LENGTH = 1000


def record_event(*, account_id: UUID, event: StreamEvent, source: str) -> int | None:
    """Store one raw message and return the new row's id; None if it is there already.

    `source` says how it came: "stream", "poll", "ack" or "reply".
    """
    return _store(
        account_id=account_id,
        dedupe_key=event.dedupe_key,
        kind=event.kind,
        source=source,
        payload=event.payload,
        received_at=event.received_at,
    )


def record_events(*, account_id: UUID, events: Sequence[StreamEvent], source: str) -> list[int]:
    """Store several messages of one account in one transaction; return the ids of the new ones."""
    with transaction.atomic():
        ids = [record_event(account_id=account_id, event=event, source=source) for event in events]
    return [row_id for row_id in ids if row_id is not None]


def keep_bad_reply(*, account_id: UUID, call: str, error: BrokerError, is_write: bool) -> None:
    """Keep an answer that could not be used, as it came, with what is wrong with it.

    A write's answer is kept each time; of a read's, the first of its kind in an hour, because reads are
    repeated and a broker may be down for long. Failing to keep it changes nothing for the caller.
    """
    if error.reply is None:
        return
    now = utc_now()
    when = now.isoformat() if is_write else now.strftime("%Y-%m-%dT%H")
    mark = hashlib.sha256(f"{when}:{error.code}:{error.message}".encode()).hexdigest()[:32]
    try:
        _store(
            account_id=account_id,
            dedupe_key=f"reply:{call}:{mark}",
            kind=call,
            source="reply",
            payload={**error.reply, "request_id": error.request_id},
            received_at=now,
            problem=error.message,
        )
    except DatabaseError as failure:
        logger.error("bad_reply_not_kept", account=str(account_id), call=call, error=type(failure).__name__)


def keep_doubtful_fill(*, account_id: UUID, execution: BrokerExecution, reason: str) -> None:
    """Keep a listed fill that the broker's own record of the order does not bear out."""
    what = f"{format_decimal(execution.last_qty)}@{format_decimal(execution.last_px)}"
    _store(
        account_id=account_id,
        dedupe_key=f"doubt:{execution.exec_id[:80]}:{what}"[:_KEY_LENGTH],
        kind="fill",
        source="poll",
        payload=execution.raw or {"exec_id": execution.exec_id, "fill": what},
        received_at=utc_now(),
        problem=reason,
    )


def mark_applied(event_id: int, *, at: datetime, problem: str = "") -> bool:
    """Note that a message has been dealt with; False if it was before."""
    changed = BrokerEvent.objects.filter(pk=event_id, applied_at=None).update(
        applied_at=at, problem=problem[:_PROBLEM_LENGTH]
    )
    return bool(changed)


def _store(
    *,
    account_id: UUID,
    dedupe_key: str,
    kind: str,
    source: str,
    payload: Mapping[str, Any],
    received_at: datetime,
    problem: str = "",
) -> int | None:
    """Insert a row unless it is there. One with a problem counts as dealt with: nobody applies it."""
    if len(dedupe_key) > _KEY_LENGTH:
        raise ValueError("The dedupe key of a broker message is too long.")
    dedupe_key = storable(dedupe_key)
    row = BrokerEvent(
        account_id=account_id,
        dedupe_key=dedupe_key,
        kind=storable(kind[:_KIND_LENGTH]),
        source=source,
        payload=storable(dict(payload)),
        received_at=received_at,
        applied_at=received_at if problem else None,
        problem=storable(problem[:_PROBLEM_LENGTH]),
    )
    with transaction.atomic(savepoint=False):
        return row.pk if insert_row(row, if_new=True) else None


def storable(value: Any, depth: int = 0) -> Any:
    """Return a JSON value that every database takes: one that does not would keep all after it waiting.

    PostgreSQL refuses zero characters, halves of surrogate pairs, and numbers that are none.
    """
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, Mapping) and depth < _DEPTH:
        return {storable(str(key)): storable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple) and depth < _DEPTH:
        return [storable(item, depth + 1) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)[:_DEEP_LENGTH]
