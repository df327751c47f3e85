"""Tells a dispatcher that an outbox row is ready. Only a hint: the row is the truth, and it is polled.

A dispatcher in this process hears at once. One in another process hears through PostgreSQL's NOTIFY, sent
inside the transaction so that it arrives exactly at the commit, or else through the task queue.
"""

from functools import partial
from typing import Protocol
from uuid import UUID

from django.db import connection, transaction

from orders.models import OutboxMessage
from tradeplatform.common.prepared import run_sql
from tradeplatform.common.tasks import enqueue_on_commit

CHANNEL = "orders_outbox"


class Bell(Protocol):
    """Whoever hears that an account has something to send. Must return at once and never raise."""

    def put(self, account_id: UUID) -> None: ...


_local: Bell | None = None


def open_local_bell(bell: Bell) -> None:
    """Ring this bell, and no other, for rows that this process writes."""
    global _local
    _local = bell


def close_local_bell() -> None:
    global _local
    _local = None


def ring(message: OutboxMessage) -> None:
    """Ring for a row that the current transaction writes."""
    if _local is not None:
        transaction.on_commit(partial(_local.put, message.account_id))
    elif connection.vendor == "postgresql":
        run_sql("SELECT pg_notify(%s, %s)", [CHANNEL, str(message.account_id)])
    else:
        from orders.tasks import ring_outbox

        enqueue_on_commit(ring_outbox, message.pk)
