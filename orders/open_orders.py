"""An account's open orders as the gate counts them: shares, money, and what the broker counts already."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from brokers.enums import Side
from brokers.models import BrokerAccount
from orders.enums import LOCAL, LegRole, OrderOrigin, OrderStatus, OutboxKind, OutboxStatus
from orders.models import Order, OutboxMessage
from orders.reservations import remaining_reservation
from risk.facts import OpenOrderFacts

ZERO = Decimal(0)
CHANGING = frozenset({OrderStatus.PENDING_REPLACE, OrderStatus.PENDING_CANCEL})


def counted_by_broker(order: Order, account: BrokerAccount) -> bool:
    """Tell whether the balances that we have were read after the broker had accepted the order."""
    if order.status in LOCAL or order.accepted_at is None or account.synced_at is None:
        return False
    return order.accepted_at < account.synced_at


def _open_order_facts(order: Order, account: BrokerAccount) -> OpenOrderFacts:
    held = remaining_reservation(order)
    leaves = order.leaves_qty
    waits = order.origin == OrderOrigin.LEG and order.parent is not None and not order.parent.is_closed
    return OpenOrderFacts(
        id=str(order.pk),
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=Side(order.side),
        status=order.status,
        leaves_qty=leaves,
        price=order.limit_price or order.stop_price,
        reserved_cash=held.cash,
        counted_by_broker=counted_by_broker(order, account),
        leaves_notional=_leaves_notional(order) if leaves is None else None,
        waits_for_parent=waits,
        group=group_of(order),
    )


def facts_of_open(orders: Sequence[Order], account: BrokerAccount) -> Iterator[OpenOrderFacts]:
    """Yield each open order as it stands or as a change under way would make it, whichever is larger."""
    changing = [order.pk for order in orders if order.status in CHANGING]
    changes: dict[UUID, dict[str, str]] = {}
    if changing:
        asked = OutboxMessage.objects.filter(order_id__in=changing, kind=OutboxKind.REPLACE)
        changes = dict(
            asked.exclude(status=OutboxStatus.DROPPED).order_by("id").values_list("order", "changes")
        )
    for order in orders:
        facts = _open_order_facts(order, account)
        yield _larger_terms(order, facts, changes[order.pk]) if order.pk in changes else facts


def _larger_terms(order: Order, facts: OpenOrderFacts, changes: dict[str, str]) -> OpenOrderFacts:
    if facts.leaves_qty is None:
        return facts
    quantity = Decimal(changes["quantity"]) - order.cum_qty if "quantity" in changes else facts.leaves_qty
    leaves = max(facts.leaves_qty, quantity)
    asked = [Decimal(changes[name]) for name in ("limit_price", "stop_price") if name in changes]
    price = max([*asked, *([facts.price] if facts.price is not None else [])], default=None)
    cash = facts.reserved_cash
    if cash and price is not None:
        cash = max(cash, leaves * price)
    return replace(facts, leaves_qty=leaves, price=price, reserved_cash=cash, counted_by_broker=False)


def _leaves_notional(order: Order) -> Decimal:
    return max((order.notional or ZERO) - order.cum_qty * (order.avg_px or ZERO), ZERO)


def group_of(order: Order) -> str:
    """Name the exits of one order alike: only one of them can fill."""
    if order.leg_role != LegRole.NONE and order.parent_id:
        return str(order.parent_id)
    return str(order.pk) if order.order_class == "oco" else ""
