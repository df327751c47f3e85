"""What an order would do: the gate's verdict and figures before and after. Nothing is stored or sent."""

from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from brokers.models import BrokerAccount
from brokers.selectors import get_account_for
from brokers.services.market_data import note_interest
from brokers.types import OrderRequest, ReplaceRequest
from orders.exceptions import OrderClosed
from orders.market_facts import MarketFacts, read_market
from orders.risk_context import build_context, prepare_account
from orders.selectors import get_order_for
from orders.wire import request_of
from risk.engine import evaluate
from risk.exposure import order_cost, order_value, unit_price
from risk.facts import Purpose
from risk.types import RiskContext, RiskDecision
from tradeplatform.common.clock import utc_now
from tradeplatform.models import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """`estimated_amount` is price times quantity (or the notional), None when there is no price.

    `reserved_cash` is what would be held back for the order while it is open; zero for a reduction.
    """

    account: BrokerAccount
    request: OrderRequest
    decision: RiskDecision
    market: MarketFacts
    estimated_price: Decimal | None
    estimated_amount: Decimal | None
    reserved_cash: Decimal | None


def preview_order(
    *, user: User, account_id: UUID, request: OrderRequest, confirm: frozenset[str] = frozenset(), origin: str
) -> Preview:
    """Run the gate over `request` as it stands now. Raises NotFoundError for an account not the user's."""
    account = get_account_for(user, account_id)
    now = utc_now()
    note_interest(account, [request.symbol], now=now)
    account = prepare_account(account, now=now)
    market = read_market(account, request.symbol, now=now)
    context = build_context(
        account=account,
        user=user,
        request=request,
        market=market,
        purpose=Purpose.PREVIEW,
        now=utc_now(),
        origin=origin,
        confirmed=confirm,
    )
    return _preview(account, context, market)


def preview_replace(
    *, user: User, order_id: UUID, changes: ReplaceRequest, confirm: frozenset[str] = frozenset()
) -> Preview:
    """Run the gate over an open order as it would become."""
    order = get_order_for(user, order_id)
    if order.is_closed:
        raise OrderClosed(order.status)
    account = order.account
    request = change_request(request_of(order), changes)
    market = read_market(account, order.symbol, now=utc_now())
    context = build_context(
        account=account,
        user=user,
        request=request,
        market=market,
        purpose=Purpose.PREVIEW,
        now=utc_now(),
        origin=order.origin,
        confirmed=confirm,
        replaces=order,
    )
    return _preview(account, context, market)


def change_request(request: OrderRequest, changes: ReplaceRequest) -> OrderRequest:
    """Return the whole order as it would become."""
    values = {
        name: value
        for name in ("quantity", "limit_price", "stop_price", "time_in_force")
        if (value := getattr(changes, name)) is not None
    }
    if changes.trail is not None:
        values["trail_amount" if request.trail_amount is not None else "trail_percent"] = changes.trail
    return replace(request, **values)


def _preview(account: BrokerAccount, context: RiskContext, market: MarketFacts) -> Preview:
    return Preview(
        account=account,
        request=context.order.request,
        decision=evaluate(context),
        market=market,
        estimated_price=unit_price(context),
        estimated_amount=order_value(context),
        reserved_cash=order_cost(context),
    )
