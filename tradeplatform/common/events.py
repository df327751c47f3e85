"""Live updates: rows that a user's pages and API clients read in order and can resume from.

Sequence numbers are given under the lock of the user's `EventCursor` row, so they follow commit order:
a reader that has seen number n will never find a smaller one appear later.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.db import connection, transaction

from tradeplatform.common.prepared import append_row, run_sql
from tradeplatform.models import EventCursor, UserEvent

Wake = Callable[[], object]

_CURSORS, _EVENTS = EventCursor._meta.db_table, UserEvent._meta.db_table
_RAISE_CURSOR = (
    f'INSERT INTO "{_CURSORS}" (user_id, last_sequence) VALUES (%s, 1) '  # noqa: S608
    f'ON CONFLICT (user_id) DO UPDATE SET last_sequence = "{_CURSORS}".last_sequence + 1 '
    "RETURNING last_sequence"
)
# The same and the event's row in one statement, which need not be waited for.
_RAISE_CURSOR_AND_INSERT = (
    f"WITH raised AS ({_RAISE_CURSOR}) "  # noqa: S608
    f'INSERT INTO "{_EVENTS}" (user_id, sequence, kind, payload, created_at) '
    "SELECT %s, last_sequence, %s, %s, %s FROM raised"
)

_listeners: dict[int, set[Wake]] = defaultdict(set)
_listeners_lock = threading.Lock()


def publish_event(*, user_id: int, kind: str, payload: Mapping[str, Any]) -> None:
    """Append one event for a user in the current transaction, under the next sequence number.

    Call it last in a transaction: the user's cursor row stays locked until the commit. Listeners of this
    process are woken after the commit; other processes find the row when they look.
    """
    event = UserEvent(user_id=user_id, kind=kind, payload=dict(payload))
    # The caller's transaction is the unit: a failure in here must undo what the event tells of as well.
    with transaction.atomic(savepoint=False):
        _append(event)
    transaction.on_commit(partial(wake_listeners, user_id))


def _append(event: UserEvent) -> None:
    """Raise the user's cursor by one, which also locks it, and insert the event."""
    if connection.vendor == "postgresql":
        stored = connection.ops.adapt_json_value(event.payload, None)
        values = [event.user_id, event.user_id, event.kind, stored, event.created_at]
        run_sql(_RAISE_CURSOR_AND_INSERT, values)
    else:
        event.sequence = run_sql(_RAISE_CURSOR, [event.user_id]).fetchone()[0]
        append_row(event)


def add_listener(user_id: int, wake: Wake) -> Callable[[], None]:
    """Call `wake` (from any thread) when this process commits an event of the user; returns the remover."""
    with _listeners_lock:
        _listeners[user_id].add(wake)

    def remove() -> None:
        with _listeners_lock:
            _listeners[user_id].discard(wake)
            if not _listeners[user_id]:
                del _listeners[user_id]

    return remove


def wake_listeners(user_id: int) -> None:
    """Tell this process's listeners that there may be something new for the user."""
    with _listeners_lock:
        waiting = list(_listeners.get(user_id, ()))
    for wake in waiting:
        wake()
