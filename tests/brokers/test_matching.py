"""Matching of one order against one quote: tables of exact outcomes, and properties over random orders."""

import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.matching import apply_actions, expire_order, match_order, may_trade
from brokers.matching_terms import (
    UNLIMITED,
    Cancel,
    Expire,
    Fill,
    Liquidity,
    OrderType,
    Quote,
    RestingOrder,
    Session,
    TimeInForce,
    TrailMove,
    Trigger,
    quantity_for_notional,
    round_to_tick,
    tick_size,
)

D = Decimal
NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)


def quote(bid="99.98", ask="100.02", bid_size="500", ask_size="500", last="100", **extra):
    return Quote("ABEO", D(bid), D(ask), D(bid_size), D(ask_size), D(last), NOW, **extra)


def order(order_type="market", side="buy", quantity="100", **extra):
    for name in ("limit_price", "stop_price", "trail_amount", "trail_percent", "high_water_mark", "collar"):
        if name in extra:
            extra[name] = D(extra[name])
    extra["cum_qty"] = D(extra.get("cum_qty", 0))
    return RestingOrder("o1", "ABEO", side, order_type, D(quantity), **extra)


def fill(quantity, price):
    return Fill("o1", D(quantity), D(price))


@pytest.mark.parametrize(
    ("resting", "expected"),
    [
        (order(), [fill(100, "100.02")]),
        (order(side="sell"), [fill(100, "99.98")]),
        (order(quantity="800"), [fill(500, "100.02")]),
        (order(quantity="800", cum_qty="750"), [fill(50, "100.02")]),
        (order("limit", limit_price="101"), [fill(100, "100.02")]),
        (order("limit", limit_price="100.02"), [fill(100, "100.02")]),
        (order("limit", limit_price="100.01"), []),
        (order("limit", side="sell", limit_price="99.00"), [fill(100, "99.98")]),
        (order("limit", side="sell", limit_price="99.99"), []),
        (order("stop", stop_price="100.01"), []),
        (order("stop", stop_price="100"), [Trigger("o1", D(100)), fill(100, "100.02")]),
        (order("stop", side="sell", stop_price="99.99"), []),
        (order("stop", side="sell", stop_price="100"), [Trigger("o1", D(100)), fill(100, "99.98")]),
        (order("stop", stop_price="99", collar="100"), [Trigger("o1", D(100))]),
        (order("stop", stop_price="99", collar="100.02"), [Trigger("o1", D(100)), fill(100, "100.02")]),
        (order("stop_limit", stop_price="99", limit_price="99.5"), [Trigger("o1", D(100))]),
        (order("stop_limit", stop_price="99", limit_price="99.5", triggered=True), []),
        (
            order("stop_limit", stop_price="99", limit_price="100.5"),
            [Trigger("o1", D(100)), fill(100, "100.02")],
        ),
        (order(time_in_force="ioc", quantity="800"), [fill(500, "100.02"), Cancel("o1", D(300), "ioc")]),
        (order("limit", limit_price="99", time_in_force="ioc"), [Cancel("o1", D(100), "ioc")]),
        (order(time_in_force="fok", quantity="500"), [fill(500, "100.02")]),
        (order(time_in_force="fok", quantity="501"), [Cancel("o1", D(501), "fok")]),
        (order(quantity="100", cum_qty="100"), []),
    ],
)
def test_core_session_outcomes_are_exact(resting, expected):
    assert match_order(resting, quote(), Session.CORE) == expected


@pytest.mark.parametrize(
    ("resting", "last", "expected"),
    [
        (order("trailing_stop", side="sell", trail_amount="2"), "100", [TrailMove("o1", D(100), D("98.00"))]),
        (
            order("trailing_stop", side="sell", trail_amount="2", high_water_mark="100", stop_price="98"),
            "103",
            [TrailMove("o1", D(103), D("101.00"))],
        ),
        (
            order("trailing_stop", side="sell", trail_amount="2", high_water_mark="103", stop_price="101"),
            "102",
            [],
        ),
        (
            order("trailing_stop", side="sell", trail_amount="2", high_water_mark="103", stop_price="101"),
            "101",
            [Trigger("o1", D(101)), fill(100, "99.98")],
        ),
        (order("trailing_stop", trail_percent="1"), "100", [TrailMove("o1", D(100), D("101.00"))]),
        (
            order("trailing_stop", trail_percent="1", high_water_mark="100", stop_price="101"),
            "98.5",
            [TrailMove("o1", D("98.5"), D("99.49"))],
        ),
        (
            order("trailing_stop", trail_percent="1", high_water_mark="98.5", stop_price="99.49"),
            "99.5",
            [Trigger("o1", D("99.5")), fill(100, "100.02")],
        ),
    ],
)
def test_trailing_stop_follows_the_best_price_and_never_moves_back(resting, last, expected):
    assert match_order(resting, quote(last=last), Session.CORE) == expected


@pytest.mark.parametrize(
    ("resting", "allowed"),
    [
        (order(), {Session.OPENING_CROSS, Session.CORE, Session.CLOSING_CROSS}),
        (order("limit", limit_price="1"), {Session.OPENING_CROSS, Session.CORE, Session.CLOSING_CROSS}),
        (order("limit", limit_price="1", extended_hours=True), set(Session) - {Session.CLOSED}),
        (order(time_in_force="opg"), {Session.OPENING_CROSS}),
        (order(time_in_force="cls"), {Session.CLOSING_CROSS}),
    ],
)
def test_each_order_trades_only_in_its_sessions(resting, allowed):
    assert {session for session in Session if may_trade(resting, session)} == allowed


def test_immediate_order_outside_its_session_is_cancelled_and_others_wait():
    assert match_order(order(time_in_force="ioc"), quote(), Session.CLOSED) == [Cancel("o1", D(100), "ioc")]
    assert match_order(order(), quote(), Session.CLOSED) == []
    assert match_order(order("stop", stop_price="99"), quote(), Session.PRE) == []


def test_halted_symbol_does_not_trade_or_trigger():
    assert match_order(order(), quote(halted=True), Session.CORE) == []
    assert match_order(order("stop", stop_price="99"), quote(halted=True), Session.CORE) == []
    assert match_order(order(time_in_force="fok"), quote(halted=True), Session.CORE) == [
        Cancel("o1", D(100), "fok")
    ]


def test_cross_orders_lose_what_the_cross_did_not_fill():
    for force, session in (("opg", Session.OPENING_CROSS), ("cls", Session.CLOSING_CROSS)):
        assert match_order(order(time_in_force=force, quantity="600"), quote(), session) == [
            fill(500, "100.02"),
            Cancel("o1", D(100), force),
        ]
        assert match_order(order("limit", limit_price="50", time_in_force=force), quote(), session) == [
            Cancel("o1", D(100), force)
        ]


def test_empty_side_gives_no_fill_even_with_unlimited_liquidity():
    assert match_order(order(), quote(ask_size="0"), Session.CORE, liquidity=UNLIMITED) == []
    assert match_order(order(), quote(ask="0"), Session.CORE, liquidity=UNLIMITED) == []


def test_unlimited_liquidity_fills_beyond_the_displayed_size():
    assert match_order(order(quantity="9000"), quote(), Session.CORE, liquidity=UNLIMITED) == [
        fill(9000, "100.02")
    ]


def test_fill_cap_and_whole_shares():
    capped = Liquidity(max_fill=D("33.7"))
    assert match_order(order(), quote(), Session.CORE, liquidity=capped) == [fill(33, "100.02")]
    fractional = order(quantity="50.5")
    assert match_order(fractional, quote(), Session.CORE, liquidity=capped) == [fill("33.7", "100.02")]


def test_price_improvement_stays_inside_the_spread():
    lucky = Liquidity(improvement_probability=1.0)
    rng = random.Random(1)
    assert match_order(order(), quote(), Session.CORE, liquidity=lucky, rng=rng) == [fill(100, "100.01")]
    sell = match_order(order(side="sell"), quote(), Session.CORE, liquidity=lucky, rng=rng)
    assert sell == [fill(100, "99.99")]
    tight = quote(bid="100.01", ask="100.02")
    assert match_order(order(), tight, Session.CORE, liquidity=lucky, rng=rng) == [fill(100, "100.02")]


def test_same_seed_gives_the_same_partial_fills():
    liquidity = Liquidity(partial_probability=1.0)
    first = match_order(order(), quote(), Session.CORE, liquidity=liquidity, rng=random.Random(5))
    again = match_order(order(), quote(), Session.CORE, liquidity=liquidity, rng=random.Random(5))
    assert first == again
    assert 0 < first[0].quantity < 100


def test_consumed_quote_shows_what_is_left():
    left = quote().consumed("buy", D(120))
    assert (left.ask_size, left.bid_size) == (D(380), D(500))
    assert quote().consumed("sell", D(900)).bid_size == 0


@pytest.mark.parametrize(
    ("resting", "ended", "expires"),
    [
        (order(), Session.CORE, True),
        (order(), Session.PRE, False),
        (order(time_in_force="cls"), Session.CORE, True),
        (order(time_in_force="gtc"), Session.CORE, False),
        (order(time_in_force="gtc"), Session.POST, False),
        (order("limit", limit_price="1", extended_hours=True), Session.CORE, False),
        (order("limit", limit_price="1", extended_hours=True), Session.POST, True),
    ],
)
def test_orders_expire_with_their_session(resting, ended, expires):
    assert expire_order(resting, ended) == ([Expire("o1", D(100))] if expires else [])


@pytest.mark.parametrize(
    "bad",
    [
        {"order_type": "limit"},
        {"order_type": "stop"},
        {"order_type": "stop_limit", "limit_price": "1"},
        {"order_type": "trailing_stop"},
        {"order_type": "trailing_stop", "trail_amount": "1", "trail_percent": "1"},
        {"quantity": "0"},
        {"cum_qty": "101"},
    ],
)
def test_impossible_orders_are_refused(bad):
    with pytest.raises(ValueError):
        order(**bad)


def test_quote_of_another_symbol_is_refused():
    other = Quote("AAPL", D(1), D(2), D(1), D(1), D(1), NOW)
    with pytest.raises(ValueError, match="different symbols"):
        match_order(order(), other, Session.CORE)


def test_ticks_follow_the_one_dollar_rule():
    assert tick_size(D("1.00")) == D("0.01")
    assert tick_size(D("0.9999")) == D("0.0001")
    assert round_to_tick(D("0.123456")) == D("0.1235")
    assert quantity_for_notional(D(100), D(3)) == D("33.333333333")


prices = st.decimals(min_value="0.5", max_value="500", places=2)
sizes = st.integers(min_value=0, max_value=2000).map(Decimal)


@st.composite
def quotes(draw):
    bid = draw(prices)
    ask = bid + draw(st.decimals(min_value="0.01", max_value="5", places=2))
    last = draw(st.sampled_from([bid, ask, (bid + ask) / 2]))
    return Quote("ABEO", bid, ask, draw(sizes), draw(sizes), last, NOW, draw(st.booleans()))


@st.composite
def orders(draw):
    kind = draw(st.sampled_from(list(OrderType)))
    quantity = draw(st.one_of(st.integers(1, 3000).map(Decimal), st.decimals("0.01", "3000", places=3)))
    extra = {}
    if kind in ("limit", "stop_limit"):
        extra["limit_price"] = draw(prices)
    if kind in ("stop", "stop_limit"):
        extra["stop_price"] = draw(prices)
    if kind == "trailing_stop":
        name = draw(st.sampled_from(["trail_amount", "trail_percent"]))
        extra[name] = draw(st.decimals("0.1", "20", places=1))
    return RestingOrder(
        "o1",
        "ABEO",
        draw(st.sampled_from(["buy", "sell"])),
        kind,
        quantity,
        time_in_force=draw(st.sampled_from(list(TimeInForce))),
        extended_hours=draw(st.booleans()),
        **extra,
    )


liquidities = st.builds(
    Liquidity,
    respect_size=st.booleans(),
    partial_probability=st.sampled_from([0.0, 0.5, 1.0]),
    improvement_probability=st.sampled_from([0.0, 1.0]),
)


@given(orders(), st.lists(quotes(), max_size=6), st.sampled_from(list(Session)), liquidities, st.integers())
def test_fills_never_exceed_the_order_nor_break_a_limit_nor_overtake_the_display(
    resting, stream, session, liquidity, seed
):
    rng = random.Random(seed)
    for current in stream:
        actions = match_order(resting, current, session, liquidity=liquidity, rng=rng)
        fills = [action for action in actions if isinstance(action, Fill)]
        assert len(fills) <= 1
        for done in fills:
            assert 0 < done.quantity <= resting.leaves_qty
            assert current.bid <= done.price <= current.ask
            assert may_trade(resting, session)
            assert not current.halted
            if liquidity.respect_size:
                assert done.quantity <= current.opposite_size(resting.side)
            if resting.order_type in ("limit", "stop_limit"):
                better = done.price <= resting.limit_price
                assert better if resting.side == "buy" else done.price >= resting.limit_price
            if resting.time_in_force == "fok":
                assert done.quantity == resting.quantity
        before = resting
        resting = apply_actions(resting, actions)
        assert before.cum_qty <= resting.cum_qty <= resting.quantity
        if any(isinstance(action, Cancel) for action in actions):
            assert resting.time_in_force in ("ioc", "fok", "opg", "cls")
            return


@given(st.sampled_from(["buy", "sell"]), st.lists(prices, min_size=1, max_size=30))
def test_trailing_mark_is_the_best_price_seen_before_the_trigger(side, path):
    resting = order("trailing_stop", side=side, trail_percent="5")
    seen = []
    for last in path:
        seen.append(last)
        here = Quote("ABEO", last, last + D("0.01"), D(0), D(0), last, NOW)
        resting = apply_actions(resting, match_order(resting, here, Session.CORE))
        assert resting.high_water_mark == (max(seen) if side == "sell" else min(seen))
        if resting.triggered:
            return
