"""The journal of an order and the live update that goes with each entry."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from orders.enums import OrderStatus
from orders.models import Order, OrderEvent
from orders.state_machine import Trigger, advance
from tradeplatform.common.events import publish_event
from tradeplatform.common.prepared import append_row

# What `move_order` may change, for callers that changed nothing else.
MOVED_FIELDS = ("status", "submitted_at", "accepted_at", "closed_at", "needs_person_at")
# What a report of the broker may change besides.
FACT_FIELDS = (*MOVED_FIELDS, "cum_qty", "avg_px", "reject_reason")


def record_fact(
    order: Order, kind: str, *, actor: str, at: datetime, data: Mapping[str, Any] | None = None
) -> None:
    """Append a fact that changes no status."""
    append_row(OrderEvent(order=order, kind=kind, actor=actor, at=at, data=dict(data or {})))


def move_order(
    order: Order,
    trigger: Trigger,
    *,
    actor: str,
    at: datetime,
    data: Mapping[str, Any] | None = None,
    status: OrderStatus | None = None,
) -> None:
    """Move `order` by the table, set the times that belong to the new status, and append to the journal.

    Changes the instance only; the caller saves it in the same transaction. Raises IllegalTransition.
    `status` is given when the state machine has computed it already.
    """
    before = order.status
    after = status or advance(OrderStatus(order.status), trigger, cum_qty=order.cum_qty)
    order.status = after
    if after is OrderStatus.SUBMITTING and order.submitted_at is None:
        order.submitted_at = at
    if before in _NOT_YET_ACCEPTED and after in _ACCEPTED_OR_LATER and order.accepted_at is None:
        order.accepted_at = at
    if order.is_closed:
        order.closed_at = order.closed_at or at
        order.needs_person_at = None
    elif order.closed_at is not None:
        order.closed_at = None
    append_row(
        OrderEvent(
            order=order,
            kind=str(trigger),
            from_status=before,
            to_status=after,
            actor=actor,
            at=at,
            data=dict(data or {}),
        )
    )


def publish_order(order: Order) -> None:
    """Tell the user's pages and API clients; call it last in the transaction."""
    publish_event(
        user_id=order.user_id,
        kind="order",
        payload={
            "id": str(order.id),
            "status": order.status,
            "symbol": order.symbol,
            "account": str(order.account_id),
        },
    )


_NOT_YET_ACCEPTED = frozenset({OrderStatus.SUBMITTING, OrderStatus.UNCONFIRMED, OrderStatus.QUEUED})
_ACCEPTED_OR_LATER = frozenset(
    {
        OrderStatus.ACCEPTED,
        OrderStatus.PARTIALLY_FILLED,
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.EXPIRED,
    }
)
