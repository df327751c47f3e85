"""Contexts of every kind, sensible and not, for property tests."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import strategies as st

from brokers.enums import Environment, OrderClass, OrderType, Session, Side, TimeInForce
from brokers.types import OrderRequest, StopLoss, TakeProfit
from risk.facts import (
    ApprovalFacts,
    CountFacts,
    CredentialFacts,
    HaltFacts,
    InstrumentProblem,
    Purpose,
    QuoteFacts,
)
from risk.types import RiskContext
from tests.risk.contexts import BASE, NOW, context, disclosure, held, open_order, with_account, with_session

D = Decimal
strange = st.sampled_from(
    [D("NaN"), D("Infinity"), D("-1"), D("0"), D("1E+999999"), D("1E-999999"), D("0.123456789012")]
)
quantities = st.one_of(st.integers(1, 400).map(D), st.decimals("0.001", "60", places=3), strange)
prices = st.one_of(st.decimals("80", "120", places=2), strange)
maybe_price = st.one_of(st.none(), prices)
ages = st.sampled_from([timedelta(0), timedelta(seconds=5), timedelta(seconds=6), timedelta(hours=2)])


@st.composite
def requests(draw: st.DrawFn) -> OrderRequest:
    """Draw an order; types and prices need not go together."""
    order_type = draw(st.sampled_from(OrderType))
    by_amount = draw(st.sampled_from([False, False, False, True]))
    profit, stop = draw(maybe_price), draw(maybe_price)
    has_limit = order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
    has_stop = order_type in (OrderType.STOP, OrderType.STOP_LIMIT)
    return OrderRequest(
        symbol="XYZ",
        side=draw(st.sampled_from(Side)),
        order_type=order_type,
        time_in_force=draw(st.sampled_from([TimeInForce.DAY, *TimeInForce])),
        quantity=None if by_amount else draw(quantities),
        notional=draw(quantities) if by_amount else None,
        limit_price=draw(prices) if has_limit else draw(st.sampled_from([None, None, D("99")])),
        stop_price=draw(prices) if has_stop else None,
        trail_percent=draw(quantities) if order_type is OrderType.TRAILING_STOP else None,
        extended_hours=draw(st.booleans()),
        order_class=draw(st.sampled_from([OrderClass.SIMPLE, OrderClass.SIMPLE, *OrderClass])),
        take_profit=TakeProfit(limit_price=profit) if profit is not None else None,
        stop_loss=StopLoss(stop_price=stop) if stop is not None else None,
    )


@st.composite
def simple_requests(draw: st.DrawFn) -> OrderRequest:
    """Draw an order that is well formed, so that the deeper checks decide."""
    side = draw(st.sampled_from(Side))
    limit = draw(st.one_of(st.none(), st.decimals("90", "110", places=2)))
    return OrderRequest(
        symbol="XYZ",
        side=side,
        order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        quantity=draw(st.integers(1, 60).map(D)),
        limit_price=limit,
    )


@st.composite
def contexts(draw: st.DrawFn) -> RiskContext:
    order = draw(st.one_of(simple_requests(), requests()))
    ctx = context(order=order, purpose=draw(st.sampled_from(Purpose)))
    ctx = replace(
        ctx,
        position=draw(
            st.sampled_from([held("0"), held("0"), held("30"), held("-30"), held("5", None), None])
        ),
        counts=CountFacts(
            opening_orders_today=draw(st.sampled_from([0, 9, 10])),
            orders_last_minute=draw(st.sampled_from([0, 0, 29, 30])),
            live_opening_orders=draw(st.sampled_from([0, 19, 20])),
        ),
        credential=CredentialFacts(
            status=draw(st.sampled_from(["active", "active", "active", "needs_relink"]))
        ),
        halts=draw(st.sampled_from([(), (), _halts()])),
        open_orders=draw(st.sampled_from([(), (open_order(),), (open_order(side=Side.SELL),)])),
        quote_configured=draw(st.booleans()),
        quote=draw(quotes()),
        approval=draw(approvals()),
        order=replace(
            ctx.order, confirmed=frozenset(draw(st.sets(st.sampled_from(["D01", "E01", "E11", "G02"]))))
        ),
        user=replace(
            ctx.user, disclosures=(disclosure(accepted_version=draw(st.sampled_from([2, 2, 1, None]))),)
        ),
    )
    if draw(st.sampled_from([False, False, False, True])):
        ctx = replace(ctx, instrument=None, instrument_problem=draw(st.sampled_from(InstrumentProblem)))
    ctx = with_account(
        ctx,
        buying_power=draw(st.sampled_from([D("0"), D("1000"), D("10000")])),
        synced_at=draw(st.sampled_from([None, NOW, NOW, NOW - timedelta(seconds=61)])),
        start_equity=draw(st.sampled_from([None, D("0"), D("20000")])),
        environment=draw(st.sampled_from([Environment.PAPER, Environment.PAPER, Environment.LIVE])),
    )
    return with_session(ctx, draw(st.sampled_from([Session.CORE, Session.CORE, *Session])))


@st.composite
def quotes(draw: st.DrawFn) -> QuoteFacts | None:
    base = BASE.quote
    assert base is not None
    if draw(st.sampled_from([False, False, False, True])):
        return None
    ask = draw(st.sampled_from([base.ask, base.ask, None, D("NaN"), D("0")]))
    return replace(base, as_of=NOW - draw(ages), ask=ask)


@st.composite
def approvals(draw: st.DrawFn) -> ApprovalFacts | None:
    if draw(st.booleans()):
        return None
    return ApprovalFacts(
        id="a-1",
        order_hash=draw(st.sampled_from(["a" * 64, "a" * 64, "b" * 64, ""])),
        given_by="owner@example.com",
        requested_at=NOW,
        expires_at=NOW + draw(st.sampled_from([timedelta(0), timedelta(minutes=5)])),
        reference_price=draw(st.sampled_from([D("100"), D("90"), D("0"), None])),
    )


def _halts() -> tuple[HaltFacts, ...]:
    return (
        HaltFacts(
            scope="user",
            scope_key="7",
            kind="halted",
            started_by="ann@example.com",
            started_at=NOW,
            reason="r",
        ),
    )
