"""D: market hours and the age of the price."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from brokers.enums import OrderType, Session, TimeInForce
from brokers.types import OrderRequest
from risk.types import Outcome, RiskContext
from tests.risk.contexts import (
    NEXT_CLOSE,
    NEXT_OPEN,
    NOW,
    D,
    context,
    held,
    limit_request,
    limits,
    message,
    outcome,
    request,
    run,
    sell,
    with_quote,
    with_session,
)

EXIT = {"order": sell("10"), "position": held("10")}


def closed(order: OrderRequest, session: Session = Session.CLOSED, **changes: object) -> RiskContext:
    return with_session(context(order=order, **changes), session)


# --- D01 -------------------------------------------------------------------------------------------------


def test_an_open_market_takes_everything() -> None:
    assert outcome("D01", context()) is Outcome.PASSED
    assert outcome("D01", context(order=limit_request())) is Outcome.PASSED


@pytest.mark.parametrize("session", [Session.CLOSED, Session.PRE, Session.POST, Session.OVERNIGHT])
def test_a_market_order_for_a_closed_market_is_refused_with_the_next_open(session: Session) -> None:
    assert message("D01", closed(request(), session)) == (
        "The market is closed; it opens Tue 24 Nov 09:30 ET. A market order would fill at whatever the first "
        "price is. Use a limit order, which can wait for the open."
    )


def test_a_market_order_that_closes_a_position_may_wait_if_confirmed() -> None:
    ctx = with_session(context(**EXIT), Session.CLOSED)
    assert outcome("D01", ctx) is Outcome.SOFT
    assert "fill at whatever the first price is" in message("D01", ctx)


@pytest.mark.parametrize(
    "order",
    [
        limit_request(),
        limit_request(time_in_force=TimeInForce.GTC),
        request(order_type=OrderType.STOP, stop_price=D("105")),
        request(time_in_force=TimeInForce.CLS),
    ],
)
def test_an_order_that_can_wait_is_asked_about(order: OrderRequest) -> None:
    assert outcome("D01", closed(order)) is Outcome.SOFT
    assert "will wait until the open" in message("D01", closed(order))


@pytest.mark.parametrize("tif", [TimeInForce.IOC, TimeInForce.FOK])
def test_an_order_that_must_fill_at_once_cannot_wait(tif: TimeInForce) -> None:
    assert outcome("D01", closed(limit_request(time_in_force=tif))) is Outcome.HARD
    exit_now = with_session(context(order=sell("10", time_in_force=tif), position=held("10")), Session.CLOSED)
    assert outcome("D01", exit_now) is Outcome.HARD


@pytest.mark.parametrize(
    ("session", "overnight", "expected"),
    [
        (Session.PRE, None, Outcome.PASSED),
        (Session.POST, None, Outcome.PASSED),
        (Session.OVERNIGHT, True, Outcome.PASSED),
        (Session.OVERNIGHT, False, Outcome.SOFT),
        (Session.OVERNIGHT, None, Outcome.SOFT),
        (Session.CLOSED, True, Outcome.SOFT),
    ],
)
def test_extended_hours(session: Session, overnight: bool | None, expected: Outcome) -> None:
    ctx = closed(limit_request(extended_hours=True), session)
    assert ctx.instrument is not None
    ctx = replace(ctx, instrument=replace(ctx.instrument, overnight_tradable=overnight))
    assert outcome("D01", ctx) is expected


@pytest.mark.parametrize(
    ("before_close", "expected"),
    [
        (timedelta(minutes=15, seconds=31), Outcome.PASSED),
        (timedelta(minutes=15, seconds=30), Outcome.PASSED),
        (timedelta(minutes=15, seconds=29), Outcome.HARD),
    ],
)
def test_the_closing_auction_has_a_cut_off(before_close: timedelta, expected: Outcome) -> None:
    ctx = replace(context(order=request(time_in_force=TimeInForce.CLS)), now=NEXT_CLOSE - before_close)
    assert outcome("D01", ctx) is expected


@pytest.mark.parametrize(
    ("session", "now", "expected"),
    [
        (Session.CLOSED, NOW, Outcome.PASSED),
        (Session.PRE, NEXT_OPEN - timedelta(minutes=2), Outcome.PASSED),
        (Session.PRE, NEXT_OPEN - timedelta(seconds=119), Outcome.HARD),
        (Session.CORE, NOW, Outcome.HARD),
    ],
)
def test_the_opening_auction_is_for_before_the_open(
    session: Session, now: datetime, expected: Outcome
) -> None:
    ctx = replace(closed(request(time_in_force=TimeInForce.OPG), session), now=now)
    assert outcome("D01", ctx) is expected


def test_an_unknown_session_stops_openings_and_lets_exits_through() -> None:
    assert outcome("D01", replace(context(), session=None)) is Outcome.HARD
    assert outcome("D01", replace(context(**EXIT), session=None)) is Outcome.NOT_CHECKED


def test_an_account_that_is_always_open_is_never_closed() -> None:
    ctx = closed(request())
    always = replace(ctx, capabilities=replace(ctx.capabilities, always_open=True))
    assert outcome("D01", always) is Outcome.PASSED


def test_a_missing_opening_time_is_worded_around() -> None:
    ctx = with_session(context(order=limit_request()), Session.CLOSED, next_open=None)
    assert "it opens at the next session" in message("D01", ctx)


# --- D05 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("session", "age", "expected"),
    [
        (Session.CORE, 5, Outcome.PASSED),
        (Session.CORE, 6, Outcome.HARD),
        (Session.PRE, 30, Outcome.PASSED),
        (Session.PRE, 31, Outcome.HARD),
        (Session.POST, 31, Outcome.HARD),
        (Session.OVERNIGHT, 60, Outcome.PASSED),
        (Session.OVERNIGHT, 61, Outcome.HARD),
    ],
)
def test_how_old_a_quote_may_be_depends_on_the_session(session: Session, age: int, expected: Outcome) -> None:
    ctx = with_session(context(order=limit_request(extended_hours=True)), session)
    assert outcome("D05", with_quote(ctx, as_of=NOW - timedelta(seconds=age))) is expected


def test_the_limit_on_age_can_be_set() -> None:
    ctx = with_quote(context(limits=limits(quote_max_age_core="2")), as_of=NOW - timedelta(seconds=3))
    assert message("D05", ctx) == (
        "There is no fresh price for XYZ: the newest quote is 3 s old, at most 2 s is accepted. "
        "Try again soon."
    )
    (finding,) = run("D05", ctx).findings
    assert (finding.value, finding.limit) == ("3", "2")


def test_a_quote_from_the_future_is_not_trusted() -> None:
    assert "ahead of our clock" in message("D05", with_quote(context(), as_of=NOW + timedelta(seconds=6)))
    assert outcome("D05", with_quote(context(), as_of=NOW + timedelta(seconds=5))) is Outcome.PASSED


@pytest.mark.parametrize("side", ["bid", "ask"])
@pytest.mark.parametrize("value", [None, D("0"), D("NaN")])
def test_both_sides_of_the_market_are_needed(side: str, value: object) -> None:
    assert outcome("D05", with_quote(context(), **{side: value})) is Outcome.HARD


def test_without_a_quote_openings_stop_and_exits_go_on() -> None:
    assert outcome("D05", replace(context(), quote=None)) is Outcome.HARD
    assert outcome("D05", replace(context(**EXIT), quote=None)) is Outcome.NOT_APPLICABLE


def test_an_install_without_a_feed_says_so_and_does_not_refuse() -> None:
    result = run("D05", replace(context(), quote=None, quote_configured=False))
    assert result.outcome is Outcome.NOT_CHECKED
    assert result.detail == "This account has no price feed."


def test_an_order_that_waits_for_the_open_needs_no_fresh_quote() -> None:
    waiting = with_session(context(order=limit_request()), Session.CLOSED)
    stale = with_quote(waiting, as_of=NOW - timedelta(hours=20))
    assert outcome("D05", stale) is Outcome.NOT_APPLICABLE


def test_an_unknown_session_is_judged_like_an_open_market() -> None:
    ctx = replace(with_quote(context(), as_of=NOW - timedelta(seconds=6)), session=None)
    assert outcome("D05", ctx) is Outcome.HARD
