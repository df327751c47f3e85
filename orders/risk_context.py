"""Builds the gate's input from the database, under the account's lock.

Before that, and without locks, `orders.market_facts` reads the market and `prepare_account` the balances.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import structlog

from brokers.calendar import trade_date, trade_date_start
from brokers.enums import Environment, OrderType, Side
from brokers.exceptions import BrokerError
from brokers.models import BrokerAccount
from brokers.registry import manager
from brokers.services.accounts import sync_account
from brokers.types import OrderRequest
from orders.enums import UNFINISHED, OrderOrigin, OrderStatus
from orders.market_facts import MarketFacts, quote_facts
from orders.models import Order
from orders.open_orders import counted_by_broker, facts_of_open, group_of
from orders.reservations import remaining_reservation
from orders.statements import BOUGHT_SINCE, DISCLOSURES, OPEN_OR_RECENT, OPENED_SINCE, POSITIONS
from orders.unconfirmed import facts_of_unconfirmed
from orders.wire import request_of
from portfolios.services.opening import open_linked_account
from risk.facts import (
    AccountFacts,
    ApprovalFacts,
    CapabilityFacts,
    CountFacts,
    CredentialFacts,
    DisclosureFacts,
    ExistingOrderFacts,
    OrderFacts,
    PositionFacts,
    Purpose,
    RecentIntentFacts,
    ReplacementFacts,
    UserFacts,
)
from risk.selectors import halts_covering
from risk.services.limits import effective_limits
from risk.types import LimitSet, RiskContext
from tradeplatform.common.exceptions import ConflictError
from tradeplatform.models import Disclosure, User

logger = structlog.get_logger(__name__)

BALANCES_MAX_AGE = timedelta(seconds=30)
RECENT = timedelta(seconds=60)
ZERO = Decimal(0)
NO_ORDER = UUID(int=0)


class _Holding(NamedTuple):
    """A position as the gate sees it."""

    symbol: str
    quantity: Decimal
    avg_price: Decimal
    market_price: Decimal | None


def prepare_account(account: BrokerAccount, *, now: datetime) -> BrokerAccount:
    """Return the account with its book open and balances recent enough to decide on.

    Reads the broker if they are not; never inside a transaction. Balances that cannot be read stay old,
    and the gate refuses what adds risk. Raises ConflictError while the opening balances are unknown:
    without them nobody can say what is held.
    """
    if open_linked_account(account.pk) is None:
        raise ConflictError(
            "The opening balances of this account could not be read from the broker yet. Nothing was sent. "
            "Try again in a minute.",
            code="book_not_open",
        )
    if account.synced_at is None or now - account.synced_at > BALANCES_MAX_AGE:
        try:
            sync_account(account.pk, purpose="balances for an order")
        except BrokerError as error:
            logger.warning("balances_not_read", account=str(account.pk), error=type(error).__name__)
        account.refresh_from_db()
    return account


def build_context(
    *,
    account: BrokerAccount,
    user: User,
    request: OrderRequest,
    market: MarketFacts,
    purpose: Purpose,
    now: datetime,
    origin: str,
    client_order_id: str = "",
    order_hash: str = "",
    expires_at: datetime | None = None,
    confirmed: frozenset[str] = frozenset(),
    replaces: Order | None = None,
    sending: Order | None = None,
    approval: ApprovalFacts | None = None,
) -> RiskContext:
    """Return everything the rules may look at. `account` is locked by the caller unless it is a preview.

    `replaces` is the open order that a replace would change, `sending` the stored order about to be sent;
    neither is counted against itself. `expires_at` is the stored one of a row about to be sent; what is
    asked for now gets its time from the limits, and a preview has none. `approval` is its owner's approval,
    if it was held back for one.
    """
    own = replaces or sending
    others, recent = _read_orders(account, user, now, own)
    positions = [_Holding(*row) for row in POSITIONS.all(account=account.pk)]
    connection = account.connection
    limits = effective_limits(user=user, account=account, symbol=request.symbol, now=now)
    return RiskContext(
        now=now,
        trade_date=trade_date(now),
        purpose=purpose,
        user=_user_facts(user, account),
        account=_account_facts(account, positions),
        credential=CredentialFacts(status=connection.status, reason=connection.status_reason),
        capabilities=CapabilityFacts.from_capabilities(manager.capabilities_of(account)),
        order=OrderFacts(
            request=request,
            client_order_id=client_order_id,
            order_hash=order_hash,
            origin=origin,
            expires_at=expires_at or _expiry_of_new(request, purpose, limits, now),
            confirmed=confirmed,
        ),
        limits=limits,
        counts=CountFacts(
            opening_orders_today=opening_orders_today(account, now, own),
            orders_last_minute=len(recent),
            live_opening_orders=_live_opening_orders(account, own, most=limits.count("pilot_orders")),
        ),
        instrument=market.instrument,
        instrument_problem=market.instrument_problem,
        quote=quote_facts(market),
        quote_configured=market.quote_configured,
        session=market.session,
        position=_position_facts(positions, request.symbol),
        open_orders=tuple(facts_of_open(others, account)),
        unconfirmed_orders=facts_of_unconfirmed(others, sending),
        recent_intents=tuple(_recent_facts(order) for order in recent if order.account_id == account.pk),
        halts=halts_covering(user_id=user.pk, account_id=account.pk, broker=account.broker),
        existing_order=(
            ExistingOrderFacts(id=str(sending.pk), order_hash=sending.order_hash) if sending else None
        ),
        replacement=_replacement_facts(replaces, account) if replaces else None,
        approval=approval,
    )


def _read_orders(
    account: BrokerAccount, user: User, now: datetime, own: Order | None
) -> tuple[list[Order], list[Order]]:
    """Return the account's unfinished orders and the user's recent ones, both without `own`. One query."""
    found = OPEN_OR_RECENT.all(account=account.pk, user=user.pk, since=now - RECENT)
    rows = {order.pk: order for order in found}
    _attach_parents(rows)
    orders = [order for order in rows.values() if own is None or order.pk != own.pk]
    unfinished = [order for order in orders if order.account_id == account.pk and order.status in UNFINISHED]
    not_asked_here = (OrderOrigin.LEG, OrderOrigin.EXTERNAL)
    recent = [
        order
        for order in orders
        if order.user_id == user.pk
        and order.created_at > now - RECENT
        and order.origin not in not_asked_here
        and order.status != OrderStatus.DENIED
    ]
    return unfinished, recent


def _attach_parents(orders: dict[UUID, Order]) -> None:
    """Give exits their parents: mostly orders that are read already, so most often no query at all."""
    wanted = {order.parent_id for order in orders.values() if order.parent_id is not None}
    missing = [parent_id for parent_id in wanted if parent_id not in orders]
    parents = orders | (Order.objects.in_bulk(missing) if missing else {})
    for order in orders.values():
        if order.parent_id is not None:
            order.parent = parents[order.parent_id]


def _user_facts(user: User, account: BrokerAccount) -> UserFacts:
    current: dict[str, Disclosure] = {}
    accepted: dict[str, int] = {}
    for disclosure in DISCLOSURES.all(user=user.pk):
        if disclosure.required_for != "none":
            current.setdefault(disclosure.kind, disclosure)
        if disclosure.is_accepted:
            accepted.setdefault(disclosure.kind, disclosure.version)
    return UserFacts(
        id=user.pk,
        is_owner=account.user_id == user.pk,
        is_active=user.is_active,
        role=user.role,
        disclosures=tuple(
            DisclosureFacts(
                kind=row.kind,
                title=row.title,
                version=row.version,
                required_for=row.required_for,
                accepted_version=accepted.get(row.kind),
            )
            for row in current.values()
        ),
    )


def _account_facts(account: BrokerAccount, positions: list[_Holding]) -> AccountFacts:
    exposure = sum((abs(row.quantity) * (row.market_price or row.avg_price) for row in positions), ZERO)
    return AccountFacts(
        id=account.pk,
        broker=account.broker,
        label=account.label,
        environment=Environment(account.environment),
        currency=account.currency,
        is_active=account.is_active,
        restriction=account.restriction,
        cash=account.cash,
        equity=account.equity,
        buying_power=account.buying_power,
        synced_at=account.synced_at,
        start_equity=account.last_equity or account.equity,
        gross_exposure=exposure,
        shorting_enabled=account.shorting_enabled,
        unsynced_spend=_unsynced_spend(account),
    )


def _unsynced_spend(account: BrokerAccount) -> Decimal:
    """Sum what buys cost that were booked after the broker's balances were read."""
    if account.synced_at is None:
        return ZERO
    fills = BOUGHT_SINCE.all(account=account.pk, since=account.synced_at)
    return sum((quantity * price for quantity, price in fills), ZERO)


def _expiry_of_new(
    request: OrderRequest, purpose: Purpose, limits: LimitSet, now: datetime
) -> datetime | None:
    """Return until when it may be sent: a late market order is not what was decided."""
    if purpose in (Purpose.PREVIEW, Purpose.SEND):
        return None
    is_market = request.order_type is OrderType.MARKET
    return now + limits.seconds("market_order_ttl" if is_market else "limit_order_ttl")


def opening_orders_today(account: BrokerAccount, now: datetime, own: Order | None) -> int:
    since = trade_date_start(now)
    return OPENED_SINCE.first(account=account.pk, since=since, own=own.pk if own else NO_ORDER) or 0


def _live_opening_orders(account: BrokerAccount, own: Order | None, *, most: int) -> int:
    """Count opening orders that the broker has ever taken from a live account, no further than `most`."""
    if account.environment != Environment.LIVE:
        return 0
    taken = (
        Order.objects.filter(account=account, is_exit=False, accepted_at__isnull=False)
        .exclude(origin__in=[OrderOrigin.LEG, OrderOrigin.EXTERNAL])
        .order_by()
    )
    if own is not None:
        taken = taken.exclude(pk=own.pk)
    return taken[:most].count()


def _position_facts(positions: list[_Holding], symbol: str) -> PositionFacts:
    row = next((row for row in positions if row.symbol == symbol), None)
    if row is None:
        return PositionFacts(quantity=ZERO)
    return PositionFacts(quantity=row.quantity, market_price=row.market_price)


def _recent_facts(order: Order) -> RecentIntentFacts:
    return RecentIntentFacts(
        id=str(order.pk),
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=Side(order.side),
        order_type=OrderType(order.order_type),
        quantity=order.quantity,
        notional=order.notional,
        created_at=order.created_at,
    )


def _replacement_facts(order: Order, account: BrokerAccount) -> ReplacementFacts:
    return ReplacementFacts(
        order_id=str(order.pk),
        client_order_id=order.client_order_id,
        request=request_of(order),
        cum_qty=order.cum_qty,
        reserved_cash=remaining_reservation(order).cash,
        counted_by_broker=counted_by_broker(order, account),
        group=group_of(order),
    )
