"""Which orders of an account keep the gate from opening more, because nobody knows whether they arrived."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from orders.enums import OrderStatus, OutboxKind, OutboxStatus
from orders.models import Order, OutboxMessage
from risk.facts import UnconfirmedOrderFacts


def facts_of_unconfirmed(orders: Sequence[Order], sending: Order | None) -> tuple[UnconfirmedOrderFacts, ...]:
    """Return the doubts among `orders` that stand against a decision; `sending` is what is about to leave.

    An order that is being sent again is in doubt all the while: what is decided meanwhile would leave even if
    the repeat gets no answer either. A repeat waits for the doubts before its own only: two that waited for
    each other would wait until their intents end.
    """
    again = _being_sent_again(orders)
    return tuple(
        UnconfirmedOrderFacts(
            id=str(order.pk),
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            since=order.submitted_at,
        )
        for order in orders
        if (order.status == OrderStatus.UNCONFIRMED or order.pk in again) and not _is_later(order, sending)
    )


def _being_sent_again(orders: Iterable[Order]) -> frozenset[UUID]:
    """Return the orders on their way of which an earlier copy may be at the broker."""
    leaving = [order.pk for order in orders if order.status == OrderStatus.SUBMITTING]
    if not leaving:
        return frozenset()
    rows = OutboxMessage.objects.filter(
        order__in=leaving,
        kind=OutboxKind.SUBMIT,
        status=OutboxStatus.CLAIMED,
        unknown_since__isnull=False,
    )
    return frozenset(rows.order_by().values_list("order_id", flat=True))


def _is_later(order: Order, sending: Order | None) -> bool:
    if sending is None or sending.status != OrderStatus.UNCONFIRMED:
        return False
    if order.submitted_at is None or sending.submitted_at is None:
        return False
    return order.submitted_at > sending.submitted_at
