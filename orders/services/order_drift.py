"""Compares our open orders with the broker's list, after every fact in it has been applied."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from brokers.enums import BrokerOrderStatus
from brokers.models import BrokerAccount
from brokers.types import BrokerOrder
from orders.enums import OPEN
from orders.models import Order
from orders.timer_statements import OPEN_AT_BROKER, RECENTLY_CLOSED
from portfolios.order_drift import Found, OrderTerms, compare_order, overfilled
from portfolios.services.order_breaks import record_order_differences
from tradeplatform.common.clock import utc_now

RECENT = timedelta(days=1)
_OPEN_THERE = frozenset(
    {
        BrokerOrderStatus.PENDING_NEW,
        BrokerOrderStatus.HELD,
        BrokerOrderStatus.OPEN,
        BrokerOrderStatus.PARTIALLY_FILLED,
        BrokerOrderStatus.PENDING_CANCEL,
        BrokerOrderStatus.PENDING_REPLACE,
    }
)
# Id, id at the broker, quantity and filled quantity of a closed order.
Closed = tuple[UUID, str, Decimal | None, Decimal]
_UNCLEAR = frozenset({BrokerOrderStatus.UNKNOWN, BrokerOrderStatus.REPLACED})


def record_order_drift(
    account: BrokerAccount, *, listed: Sequence[BrokerOrder], asked: Mapping[UUID, BrokerOrder | None]
) -> None:
    """Record what differs as breaks. `asked`: orders that were not in the list, None if not known there."""
    theirs = {snapshot.broker_order_id: snapshot for snapshot in _with_legs(listed)}
    compared: list[tuple[Order, BrokerOrder | None]] = []
    for order in OPEN_AT_BROKER.all(account=account.pk):
        snapshot = theirs.get(order.broker_order_id)
        if snapshot is None and order.pk not in asked:
            continue
        snapshot = snapshot or asked[order.pk]
        if snapshot is None or snapshot.status not in _UNCLEAR:
            compared.append((order, snapshot))
    # As bare numbers: an account may have closed thousands of orders in a day.
    closed = RECENTLY_CLOSED.all(account=account.pk, since=utc_now() - RECENT)
    compared += [(order, theirs[order.broker_order_id]) for order in _closed_but_listed(closed, theirs)]
    legs = _open_legs([order for order, _ in compared])
    found: list[Found] = []
    for order, snapshot in compared:
        terms = None if snapshot is None else _their_terms(order, snapshot)
        found += compare_order(_our_terms(order, legs.get(order.pk, frozenset())), terms)
    told = {order.pk for order, _ in compared}
    for order in _overfilled(closed):
        if order.pk not in told:
            found += overfilled(_our_terms(order, frozenset()))
    record_order_differences(account_id=account.pk, found=found, now=utc_now())


def _closed_but_listed(closed: Sequence[Closed], theirs: Mapping[str, BrokerOrder]) -> list[Order]:
    """Return closed orders of ours that the broker lists as open."""
    open_there = {key for key, snapshot in theirs.items() if snapshot.status in _OPEN_THERE}
    return _orders([pk for pk, broker_order_id, _, _ in closed if broker_order_id in open_there])


def _overfilled(closed: Sequence[Closed]) -> list[Order]:
    """Return closed orders that filled beyond their quantity: almost none ever is."""
    return _orders([pk for pk, _, quantity, filled in closed if quantity is not None and filled > quantity])


def _orders(ids: Sequence[UUID]) -> list[Order]:
    return list(Order.objects.filter(pk__in=ids)) if ids else []


def _open_legs(orders: Sequence[Order]) -> dict[UUID, frozenset[str]]:
    """Return the broker's ids of the open exits of these orders, in one query."""
    if not orders:
        return {}
    rows = Order.objects.filter(parent__in=[order.pk for order in orders], status__in=sorted(OPEN))
    legs: dict[UUID, frozenset[str]] = {}
    for parent_id, broker_order_id in (
        rows.exclude(broker_order_id="").order_by().values_list("parent_id", "broker_order_id")
    ):
        if parent_id is not None:
            legs[parent_id] = legs.get(parent_id, frozenset()) | {broker_order_id}
    return legs


def _with_legs(listed: Sequence[BrokerOrder]) -> list[BrokerOrder]:
    return [*listed, *(leg for snapshot in listed for leg in snapshot.legs)]


def _our_terms(order: Order, leg_ids: frozenset[str]) -> OrderTerms:
    return OrderTerms(
        subject=str(order.pk),
        symbol=order.symbol,
        is_open=not order.is_closed,
        quantity=order.quantity,
        limit_price=order.limit_price,
        stop_price=order.stop_price,
        cum_qty=order.cum_qty,
        leg_ids=leg_ids,
    )


def _their_terms(order: Order, snapshot: BrokerOrder) -> OrderTerms:
    return OrderTerms(
        subject=str(order.pk),
        symbol=snapshot.symbol,
        is_open=snapshot.status in _OPEN_THERE,
        quantity=snapshot.quantity,
        limit_price=snapshot.limit_price,
        stop_price=snapshot.stop_price,
        cum_qty=snapshot.cum_qty,
        leg_ids=frozenset(leg.broker_order_id for leg in snapshot.legs),
    )
