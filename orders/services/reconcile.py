"""Compares what we believe with what the broker says, and applies what it says as ordinary facts.

A read that fails proves nothing. An order that is missing from a list is asked for by its id before
anything is concluded. Nothing here ever trades.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import structlog

from brokers.adapters.base import BrokerInterface
from brokers.enums import BrokerOrderStatus, ExecType
from brokers.exceptions import AuthorizationExpired, BrokerError, NotFound, Unsupported
from brokers.models import AccountStream, BrokerAccount
from brokers.registry import manager
from brokers.services.connections import mark_needs_relink
from brokers.services.inbox import keep_doubtful_fill
from brokers.types import BrokerExecution, BrokerOrder, ExecutionReport
from orders.enums import OrderStatus
from orders.models import Execution, Order
from orders.selectors import in_flight_of
from orders.services.annulled import end_if_all_told, end_if_position_agrees, find_unfilled
from orders.services.cancel import repeat_lost_cancel
from orders.services.ingest import (
    Implausible,
    NotApplicable,
    apply_pending_events,
    apply_report,
    note_doubt,
)
from orders.services.look_alikes import is_known
from orders.services.order_drift import record_order_drift
from orders.services.replaced import open_replace_message
from orders.services.snapshot import report_of
from orders.state_machine import IllegalTransition
from orders.statements import FILLS_OF_BROKER_ORDER, OLDEST_WAITING
from orders.timer_statements import ACTIVE_ACCOUNT, UNDER_WAY
from portfolios.services.sync import sync_book
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import InvalidRequest

logger = structlog.get_logger(__name__)

OVERLAP = timedelta(minutes=5)
LONGEST_GAP = timedelta(days=7)
LONGEST_CHAIN = 10
_STILL_OPEN = frozenset({BrokerOrderStatus.OPEN, BrokerOrderStatus.PARTIALLY_FILLED, BrokerOrderStatus.HELD})
# Ours when the broker's status says nothing more; what is changing there or here is always looked at.
_SAME = {
    BrokerOrderStatus.OPEN: OrderStatus.ACCEPTED,
    BrokerOrderStatus.PARTIALLY_FILLED: OrderStatus.PARTIALLY_FILLED,
    BrokerOrderStatus.FILLED: OrderStatus.FILLED,
    BrokerOrderStatus.CANCELED: OrderStatus.CANCELED,
    BrokerOrderStatus.EXPIRED: OrderStatus.EXPIRED,
}


def backfill_account(account_id: UUID) -> bool:
    """Read what happened while nobody listened: orders and fills since the last time all was told.

    Stands in for a stream that is down as well. False when the broker could not be read.
    """
    account = _active(account_id)
    if account is None:
        return True
    covered = AccountStream.objects.filter(account=account).values_list("covered_until", flat=True).first()
    since = (covered or account.created_at) - OVERLAP
    return _read_facts(account, since=max(since, utc_now() - LONGEST_GAP), open_only=False)


def read_history(account_id: UUID, *, since: datetime) -> None:
    """Read orders and fills from `since` on, however long ago that is."""
    account = _active(account_id)
    if account is not None:
        _read_facts(account, since=since, open_only=False)


def reconcile_account(account_id: UUID, *, with_book: bool = True) -> None:
    """Compare open orders and fills with the broker's, and `with_book` positions and cash as well."""
    account = _active(account_id)
    if account is None:
        return
    # A message that waits may be about an order that is closed by now: only the whole list can explain it.
    oldest = OLDEST_WAITING.first(account=account.pk)
    since = utc_now() - timedelta(hours=1)
    if oldest is not None:
        since = max(min(since, oldest - OVERLAP), utc_now() - LONGEST_GAP)
    if _read_facts(account, since=since, open_only=oldest is None) and with_book:
        compare_book(account_id)


def compare_book(account_id: UUID) -> None:
    """Compare positions and cash, allowing for what is under way."""
    apply_pending_events(account_id)
    under_way = UNDER_WAY.all(account=account_id)
    sync_book(account_id=account_id, in_flight=in_flight_of(under_way))


def check_in_flight(order_id: UUID) -> None:
    """Ask for one order that has been changing for too long."""
    order = Order.objects.select_related("account", "account__connection").get(pk=order_id)
    if order.is_closed:
        return
    try:
        reader = manager.get_reader(order.account, purpose="check order in flight")
        current = _read_current(reader, order)
        _apply_snapshot(order.account, reader, current)
        if current.status in _STILL_OPEN and current.broker_order_id == order.broker_order_id:
            repeat_lost_cancel(order.pk)
    except AuthorizationExpired as error:
        mark_needs_relink(connection_id=order.account.connection_id, reason=error.message)
    except BrokerError as error:
        logger.info("in_flight_not_read", order=str(order_id), error=type(error).__name__)


def _read_current(reader: BrokerInterface, order: Order) -> BrokerOrder:
    """Return the newest form of the order: the replacement's, when one is being made."""
    message = open_replace_message(order)
    if message is not None:
        try:
            return reader.find_order(message.client_order_id)
        except NotFound:
            logger.info("replacement_not_found", order=str(order.pk))
    if order.broker_order_id:
        return reader.get_order_status(order.broker_order_id)
    return reader.find_order(order.client_order_id)


def _active(account_id: UUID) -> BrokerAccount | None:
    return ACTIVE_ACCOUNT.first(id=account_id)


def _read_facts(account: BrokerAccount, *, since: datetime, open_only: bool) -> bool:
    """Read orders and fills and apply them; False when the broker could not be read."""
    try:
        reader = manager.get_reader(account, purpose="reconcile orders")
        listed = list(reader.list_orders(since=None if open_only else since, open_only=open_only))
        for snapshot in _only_news(account, listed):
            _apply_snapshot(account, reader, snapshot)
        asked = _ask_for_missing(account, reader, listed)
        _apply_executions(account, reader, since)
    except AuthorizationExpired as error:
        mark_needs_relink(connection_id=account.connection_id, reason=error.message)
        return False
    except Unsupported:
        return True
    except BrokerError as error:
        logger.info("account_not_read", account=str(account.pk), error=type(error).__name__)
        return False
    record_order_drift(account, listed=listed, asked=asked)
    return True


def _only_news(account: BrokerAccount, listed: Sequence[BrokerOrder]) -> list[BrokerOrder]:
    """Leave out the snapshots that say what we know already: most of a list, most of the time."""
    if not listed:
        return []
    ids = [snapshot.broker_order_id for snapshot in listed]
    rows = Order.objects.filter(account=account, broker_order_id__in=ids).order_by()
    known = {key: facts for key, *facts in rows.values_list("broker_order_id", "status", "cum_qty")}
    return [
        snapshot
        for snapshot in listed
        if snapshot.legs
        or known.get(snapshot.broker_order_id) != [_SAME.get(snapshot.status), snapshot.cum_qty]
    ]


def _ask_for_missing(
    account: BrokerAccount, reader: BrokerInterface, listed: Iterable[BrokerOrder]
) -> dict[UUID, BrokerOrder | None]:
    """Ask for each order that is not in the list; None for one that the broker does not know."""
    asked: dict[UUID, BrokerOrder | None] = {}
    seen = {snapshot.broker_order_id for snapshot in listed}
    seen |= {leg.broker_order_id for snapshot in listed for leg in snapshot.legs}
    for order in UNDER_WAY.all(account=account.pk):
        if not order.broker_order_id or order.broker_order_id in seen:
            continue
        try:
            asked[order.pk] = _apply_with_replacements(account, reader, order.broker_order_id)
        except NotFound:
            logger.error("open_order_unknown_at_broker", order=str(order.pk))
            asked[order.pk] = None
    return asked


def _apply_with_replacements(
    account: BrokerAccount, reader: BrokerInterface, broker_order_id: str
) -> BrokerOrder:
    """Read an order, and the ones that took its place at the broker's own app; return the last of them."""
    snapshot = reader.get_order_status(broker_order_id)
    for _ in range(LONGEST_CHAIN):
        _apply_snapshot(account, reader, snapshot)
        if snapshot.status is not BrokerOrderStatus.REPLACED or not snapshot.replaced_by:
            break
        snapshot = reader.get_order_status(snapshot.replaced_by)
    return snapshot


def _apply_snapshot(account: BrokerAccount, reader: BrokerInterface, snapshot: BrokerOrder) -> None:
    for one in (snapshot, *snapshot.legs):
        if one.cum_qty > 0:
            _fetch_fills_if_missing(account, reader, one)
        _apply(account, report_of(one))
        _end_if_annulled(account, reader, one)


def _end_if_annulled(account: BrokerAccount, reader: BrokerInterface, snapshot: BrokerOrder) -> None:
    """End an order that is over there and open here, once it is clear that no fill is to come."""
    order = find_unfilled(account, snapshot)
    if order is None:
        return
    # Those of the ids that it had before a replace, too.
    _apply_executions(account, reader, order.created_at - OVERLAP)
    if end_if_all_told(order.pk, snapshot):
        return
    held = {position.symbol: position.quantity for position in reader.get_positions()}
    end_if_position_agrees(order.pk, snapshot, held=held.get(order.symbol, Decimal(0)))


def _fetch_fills_if_missing(account: BrokerAccount, reader: BrokerInterface, snapshot: BrokerOrder) -> None:
    """Read the fills of an order that the broker says has filled further than we know."""
    booked = FILLS_OF_BROKER_ORDER.all(account=account.pk, broker_order_id=snapshot.broker_order_id)
    if sum(booked, Decimal(0)) >= snapshot.cum_qty:
        return
    since = (snapshot.submitted_at or utc_now()) - OVERLAP
    if not is_known(account, snapshot.broker_order_id):
        _apply(account, report_of(snapshot))
    _apply_executions(account, reader, since, only=snapshot.broker_order_id)


def _apply_executions(
    account: BrokerAccount, reader: BrokerInterface, since: datetime, *, only: str = ""
) -> None:
    listed = [row for row in reader.list_executions(since=since) if only in ("", row.broker_order_id)]
    if not listed:
        return
    booked = set(
        Execution.objects.filter(account=account, exec_id__in=[row.exec_id for row in listed]).values_list(
            "exec_id", "last_qty", "last_px"
        )
    )
    for execution in listed:
        if (execution.exec_id, execution.last_qty, execution.last_px) in booked:
            continue
        if not is_known(account, execution.broker_order_id):
            _adopt_by_id(account, reader, execution.broker_order_id)
        _apply_fill(account, reader, execution)


def _apply_fill(account: BrokerAccount, reader: BrokerInterface, execution: BrokerExecution) -> None:
    """Apply a listed fill. One that is hard to believe counts if the order says so, else it is kept."""
    try:
        _apply(account, trade_report(execution))
    except Implausible as doubt:
        agreed_at = _ask_the_order(account, reader, execution)
        if agreed_at is None:
            note_doubt(doubt)
            keep_doubtful_fill(account_id=account.pk, execution=execution, reason=str(doubt))
        else:
            report = replace(trade_report(execution), transact_time=agreed_at)
            _apply(account, report, confirmed=True)


def _ask_the_order(
    account: BrokerAccount, reader: BrokerInterface, execution: BrokerExecution
) -> datetime | None:
    """Read the order itself: if its total holds this fill beside those booked, return when that was so."""
    try:
        snapshot = reader.get_order_status(execution.broker_order_id)
    except NotFound:
        return None
    booked = Execution.objects.filter(
        account=account, broker_order_id=execution.broker_order_id, busted_at=None, corrected_at=None
    ).values_list("last_qty", flat=True)
    agrees = sum(booked, execution.last_qty) <= snapshot.cum_qty
    return (snapshot.updated_at or utc_now()) if agrees else None


def _adopt_by_id(account: BrokerAccount, reader: BrokerInterface, broker_order_id: str) -> None:
    try:
        _apply(account, report_of(reader.get_order_status(broker_order_id)))
    except NotFound:
        logger.error("fill_of_unknown_order", account=str(account.pk), broker_order_id=broker_order_id)


def trade_report(execution: BrokerExecution) -> ExecutionReport:
    """Return a fill from the broker's list as the report that a stream would have sent."""
    return ExecutionReport(
        exec_type=ExecType.TRADE,
        broker_order_id=execution.broker_order_id,
        client_order_id="",
        transact_time=execution.transact_time,
        exec_id=execution.exec_id,
        last_qty=execution.last_qty,
        last_px=execution.last_px,
        cum_qty=execution.cum_qty,
        commission=execution.commission,
    )


def _apply(account: BrokerAccount, report: ExecutionReport, *, confirmed: bool = False) -> None:
    try:
        apply_report(account.pk, report, confirmed=confirmed)
    except Implausible:
        raise
    except (NotApplicable, IllegalTransition, InvalidRequest) as error:
        logger.warning("reconciled_fact_not_applied", account=str(account.pk), reason=str(error))
