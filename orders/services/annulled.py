"""Ends an order that the broker has filled or closed, though not all of its fills are there any more.

A fill that was annulled before anybody here heard of it is in no list. Counting fills, we would wait for it
for ever: the order would keep its cash and its shares, so that even an exit could not be sold, and a cancel
of it would never end. Two things prove that nothing more is coming: the broker's own total counts no more
than we do, or, where its total still counts the annulled fill, its position equals ours after a while.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import structlog
from django.db import transaction

from brokers.enums import BrokerOrderStatus, ExecType
from brokers.models import BrokerAccount
from brokers.types import BrokerOrder, ExecutionReport
from orders.journal import publish_order, record_fact
from orders.locks import lock_account, lock_order
from orders.models import Execution, Order
from orders.services.ingest import apply_report_locked
from orders.statements import BY_BROKER_ID
from portfolios.models import Position
from tradeplatform.common.clock import utc_now

logger = structlog.get_logger(__name__)

# A list of fills may lag behind the order's own state for about this long.
FILLS_MAY_FOLLOW = timedelta(seconds=60)
_OVER = frozenset(
    {
        BrokerOrderStatus.FILLED,
        BrokerOrderStatus.CANCELED,
        BrokerOrderStatus.EXPIRED,
        BrokerOrderStatus.REJECTED,
    }
)
ACTOR = "system:dispatcher"
MISSING = "fills_missing"


def find_unfilled(account: BrokerAccount, snapshot: BrokerOrder) -> Order | None:
    """Return our order if it waits for fills although it is over at the broker."""
    if snapshot.status not in _OVER:
        return None
    order = BY_BROKER_ID.first(account=account.pk, broker_order_id=snapshot.broker_order_id)
    return None if order is None or order.is_closed else order


def end_if_all_told(order_id: UUID, snapshot: BrokerOrder) -> bool:
    """End the order if the broker's total counts no more than we do; else note since when fills are missing.

    All that the broker lists must be booked before. True when there is nothing left to ask.
    """
    with transaction.atomic():
        order = _lock(order_id)
        if not _waits_on(order, snapshot):
            return True
        now = utc_now()
        if snapshot.cum_qty <= _counted(order, snapshot):
            _end(order, snapshot, now)
            return True
        since = _missing_since(order, snapshot)
        if since is None:
            _note_missing(order, snapshot, now)
        return since is None or now - since < FILLS_MAY_FOLLOW


def end_if_position_agrees(order_id: UUID, snapshot: BrokerOrder, *, held: Decimal) -> bool:
    """End the order if the broker holds what we hold, so that the missing fills moved no shares.

    `held` was read after the fills, which were missing for long enough.
    """
    with transaction.atomic():
        order = _lock(order_id)
        if not _waits_on(order, snapshot) or held != _ours(order):
            return False
        _end(order, snapshot, utc_now())
        return True


def _lock(order_id: UUID) -> Order:
    account_id = Order.objects.values_list("account_id", flat=True).get(pk=order_id)
    account = lock_account(account_id)
    order = lock_order(order_id)
    order.account = account
    return order


def _waits_on(order: Order, snapshot: BrokerOrder) -> bool:
    return not order.is_closed and order.broker_order_id == snapshot.broker_order_id


def _counted(order: Order, snapshot: BrokerOrder) -> Decimal:
    """Return what the broker's total is to be held against.

    After a replace some brokers count what filled before, others start at zero: then the new order's quantity
    is not ours.
    """
    if snapshot.quantity == order.quantity:
        return order.cum_qty
    fills = Execution.objects.filter(
        order=order, broker_order_id=snapshot.broker_order_id, busted_at=None, corrected_at=None
    )
    return sum(fills.values_list("last_qty", flat=True), Decimal(0))


def _missing_since(order: Order, snapshot: BrokerOrder) -> datetime | None:
    noted = order.journal.filter(kind=MISSING, data__broker_order_id=snapshot.broker_order_id)
    return noted.values_list("at", flat=True).first()


def _note_missing(order: Order, snapshot: BrokerOrder, now: datetime) -> None:
    data = {
        "broker_order_id": snapshot.broker_order_id,
        "theirs": str(snapshot.cum_qty),
        "ours": str(order.cum_qty),
    }
    record_fact(order, MISSING, actor=ACTOR, at=now, data=data)
    publish_order(order)


def _ours(order: Order) -> Decimal:
    rows = Position.objects.filter(portfolio__account=order.account_id, symbol=order.symbol)
    return rows.values_list("quantity", flat=True).first() or Decimal(0)


def _end(order: Order, snapshot: BrokerOrder, now: datetime) -> None:
    """Close it: a filled one as an order closes whose fill is annulled after it was filled.

    Without the broker's total, which may go on counting what is in no list.
    """
    logger.warning("closed_order_lacks_fills", order=str(order.pk), broker_order_id=snapshot.broker_order_id)
    is_expired = snapshot.status is BrokerOrderStatus.EXPIRED
    report = ExecutionReport(
        exec_type=ExecType.EXPIRED if is_expired else ExecType.CANCELED,
        broker_order_id=snapshot.broker_order_id,
        client_order_id=snapshot.client_order_id,
        transact_time=snapshot.updated_at,
        text="The broker lists fewer fills than it counted: the others were annulled.",
    )
    apply_report_locked(order.account, report, received_at=now, known=order)
