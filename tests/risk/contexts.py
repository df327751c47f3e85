"""An ordinary order in an ordinary account, from which each test changes one thing."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from brokers.enums import Environment, MarginRegime, OrderClass, OrderType, Session, Side, TimeInForce
from brokers.types import ClientOrderIdFormat, OrderRequest, OrderRule
from risk.facts import (
    AccountFacts,
    CapabilityFacts,
    CountFacts,
    CredentialFacts,
    DisclosureFacts,
    InstrumentFacts,
    OpenOrderFacts,
    OrderFacts,
    PositionFacts,
    Purpose,
    QuoteFacts,
    SessionFacts,
    UserFacts,
)
from risk.limit_catalogue import default_limits
from risk.rules import ALL_RULES
from risk.types import CheckResult, LimitSet, LimitValue, Outcome, RiskContext

D = Decimal
NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)  # Monday, 10:00 in New York
NEXT_OPEN = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)
NEXT_CLOSE = datetime(2026, 11, 23, 21, 0, tzinfo=UTC)
ACCOUNT_ID = UUID("00000000-0000-4000-8000-000000000001")

DAY_GTC = frozenset({TimeInForce.DAY, TimeInForce.GTC})
DAY = frozenset({TimeInForce.DAY})
ORDER_RULES = (
    OrderRule(
        order_type=OrderType.MARKET,
        times_in_force=frozenset(TimeInForce),
        fractional_times_in_force=DAY,
        order_classes=frozenset({OrderClass.SIMPLE, OrderClass.BRACKET, OrderClass.OTO}),
    ),
    OrderRule(
        order_type=OrderType.LIMIT,
        times_in_force=frozenset(TimeInForce),
        fractional_times_in_force=DAY,
        extended_hours_times_in_force=DAY_GTC,
        order_classes=frozenset(OrderClass),
    ),
    OrderRule(order_type=OrderType.STOP, times_in_force=DAY_GTC),
    OrderRule(order_type=OrderType.STOP_LIMIT, times_in_force=DAY_GTC),
    OrderRule(order_type=OrderType.TRAILING_STOP, times_in_force=DAY_GTC),
)


def request(**changes: Any) -> OrderRequest:
    """Buy 10 XYZ at the market, unless changed. The market is 99.90 to 100.00."""
    fields: dict[str, Any] = {
        "symbol": "XYZ",
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "time_in_force": TimeInForce.DAY,
        "quantity": D("10"),
    }
    return OrderRequest(**{**fields, **changes})


def limit_request(price: str = "99.50", **changes: Any) -> OrderRequest:
    return request(**{"order_type": OrderType.LIMIT, "limit_price": D(price), **changes})


def limits(**values: str) -> LimitSet:
    """The defaults with some values changed, as if an admin had set version 1 of them."""
    assert values.keys() <= {entry.name for entry in default_limits().entries}
    return LimitSet(
        tuple(
            LimitValue(name=entry.name, value=values[entry.name], version=1)
            if entry.name in values
            else entry
            for entry in default_limits().entries
        )
    )


def disclosure(**changes: Any) -> DisclosureFacts:
    fields: dict[str, Any] = {
        "kind": "risk",
        "title": "Risk of trading",
        "version": 2,
        "required_for": "trading",
        "accepted_version": 2,
    }
    return DisclosureFacts(**{**fields, **changes})


def open_order(**changes: Any) -> OpenOrderFacts:
    fields: dict[str, Any] = {
        "id": "o-1",
        "client_order_id": "other-1",
        "symbol": "XYZ",
        "side": Side.BUY,
        "status": "accepted",
        "leaves_qty": D("10"),
        "price": D("100"),
        "reserved_cash": D("1000"),
        "counted_by_broker": True,
    }
    return OpenOrderFacts(**{**fields, **changes})


def held(quantity: str, market_price: str | None = "99.95") -> PositionFacts:
    return PositionFacts(quantity=D(quantity), market_price=D(market_price) if market_price else None)


BASE = RiskContext(
    now=NOW,
    trade_date=date(2026, 11, 23),
    purpose=Purpose.PLACE,
    user=UserFacts(id=7, is_owner=True, is_active=True, role="user", disclosures=(disclosure(),)),
    account=AccountFacts(
        id=ACCOUNT_ID,
        broker="sim",
        label="Main account",
        environment=Environment.PAPER,
        currency="USD",
        is_active=True,
        restriction="",
        cash=D("10000"),
        equity=D("20000"),
        buying_power=D("10000"),
        synced_at=NOW - timedelta(seconds=2),
        start_equity=D("20000"),
        gross_exposure=D("10000"),
        shorting_enabled=True,
    ),
    credential=CredentialFacts(status="active"),
    capabilities=CapabilityFacts(
        broker="sim",
        display_name="Sim Broker",
        order_rules=ORDER_RULES,
        fractional=True,
        notional=True,
        notional_minimum=D("1"),
        quantity_decimals=9,
        short_selling=True,
        client_order_id_format=ClientOrderIdFormat(max_length=48),
        margin_regime=MarginRegime.INTRADAY,
        is_paper=True,
        always_open=False,
    ),
    order=OrderFacts(
        request=request(),
        client_order_id="tp-0001",
        order_hash="a" * 64,
        origin="page",
        expires_at=NOW + timedelta(seconds=60),
    ),
    limits=LimitSet(()),
    counts=CountFacts(opening_orders_today=0, orders_last_minute=0),
    instrument=InstrumentFacts(
        symbol="XYZ",
        tradable=True,
        fractionable=True,
        shortable=True,
        otc=False,
        checked_at=NOW - timedelta(hours=1),
    ),
    quote=QuoteFacts(
        bid=D("99.90"),
        ask=D("100.00"),
        last=D("99.95"),
        previous_close=D("98.00"),
        as_of=NOW - timedelta(seconds=1),
        source="sim",
    ),
    quote_configured=True,
    session=SessionFacts(
        session=Session.CORE, is_open=True, next_open=NEXT_OPEN, next_close=NEXT_CLOSE, source="sim"
    ),
    position=PositionFacts(quantity=D("0")),
)


def context(*, order: OrderRequest | None = None, **changes: Any) -> RiskContext:
    """The base context with another order request, or with any of its fields replaced."""
    base = (
        replace(BASE, limits=default_limits(), **changes)
        if "limits" not in changes
        else replace(BASE, **changes)
    )
    return replace(base, order=replace(base.order, request=order)) if order else base


def with_account(ctx: RiskContext, **changes: Any) -> RiskContext:
    return replace(ctx, account=replace(ctx.account, **changes))


def with_order(ctx: RiskContext, **changes: Any) -> RiskContext:
    return replace(ctx, order=replace(ctx.order, **changes))


def with_quote(ctx: RiskContext, **changes: Any) -> RiskContext:
    assert ctx.quote is not None
    return replace(ctx, quote=replace(ctx.quote, **changes))


def with_session(ctx: RiskContext, session: Session, **changes: Any) -> RiskContext:
    assert ctx.session is not None
    is_open = session is Session.CORE
    return replace(ctx, session=replace(ctx.session, **{"session": session, "is_open": is_open, **changes}))


def sell(quantity: str = "10", **changes: Any) -> OrderRequest:
    return request(side=Side.SELL, quantity=D(quantity), **changes)


RULES = {rule.code: rule for rule in ALL_RULES}


def run(code: str, ctx: RiskContext) -> CheckResult:
    """Run one rule by its code."""
    return RULES[code].run(ctx)


def outcome(code: str, ctx: RiskContext) -> Outcome:
    return run(code, ctx).outcome


def message(code: str, ctx: RiskContext) -> str:
    """Return the sentence of the rule's only finding."""
    (finding,) = run(code, ctx).findings
    assert finding.code == code
    return finding.message
