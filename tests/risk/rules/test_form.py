"""C: symbol, quantity, price steps, expiry, order id."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.enums import OrderClass, OrderType, Side
from brokers.types import OrderRequest, StopLoss, TakeProfit
from risk.facts import InstrumentProblem, Purpose, ReplacementFacts
from risk.types import Outcome, RiskContext
from tests.risk.contexts import (
    NOW,
    context,
    held,
    limit_request,
    limits,
    message,
    outcome,
    request,
    run,
    sell,
    with_order,
)

D = Decimal
EXIT = {"order": sell("10"), "position": held("10")}


def with_instrument(ctx: RiskContext, **changes: Any) -> RiskContext:
    assert ctx.instrument is not None
    return replace(ctx, instrument=replace(ctx.instrument, **changes))


def with_capabilities(ctx: RiskContext, **changes: Any) -> RiskContext:
    return replace(ctx, capabilities=replace(ctx.capabilities, **changes))


# --- C01 -------------------------------------------------------------------------------------------------


def test_an_unknown_symbol_is_refused_for_everybody() -> None:
    ctx = context(instrument=None, instrument_problem=InstrumentProblem.UNKNOWN, **EXIT)
    assert message("C01", ctx) == "Sim Broker knows no security XYZ. Check the symbol."


def test_a_symbol_that_could_not_be_looked_up_stops_openings_only() -> None:
    unavailable = {"instrument": None, "instrument_problem": InstrumentProblem.UNAVAILABLE}
    assert outcome("C01", context(**unavailable)) is Outcome.HARD
    assert outcome("C01", context(**unavailable, **EXIT)) is Outcome.NOT_CHECKED


def test_an_untradable_symbol_is_refused() -> None:
    assert message("C01", with_instrument(context(), tradable=False)) == "XYZ cannot be traded at Sim Broker."


def test_instrument_data_are_good_for_exactly_a_day() -> None:
    at = with_instrument(context(), checked_at=NOW - timedelta(hours=24))
    over = with_instrument(context(), checked_at=NOW - timedelta(hours=24, seconds=1))
    assert outcome("C01", at) is Outcome.PASSED
    assert outcome("C01", over) is Outcome.HARD
    stale_exit = with_instrument(context(**EXIT), checked_at=NOW - timedelta(days=3))
    assert outcome("C01", stale_exit) is Outcome.NOT_CHECKED


def test_otc_is_off_by_default_can_be_switched_on_and_never_blocks_a_sale() -> None:
    assert outcome("C01", with_instrument(context(), otc=True)) is Outcome.HARD
    assert outcome("C01", with_instrument(context(limits=limits(allow_otc="on")), otc=True)) is Outcome.PASSED
    assert outcome("C01", with_instrument(context(**EXIT), otc=True)) is Outcome.PASSED


# --- C03 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "words"),
    [
        ("0", "must be above zero"),
        ("-1", "must be above zero"),
        ("-0", "must be above zero"),
        ("NaN", "must be a number"),
        ("sNaN", "must be a number"),
        ("Infinity", "must be a number"),
        ("-Infinity", "must be a number"),
        ("1000000001", "at most 1,000,000,000 shares"),
        ("1E+999999", "at most 1,000,000,000 shares"),
        ("1.000000000001", "at most 9 decimals"),
        ("1E-999999", "at most 9 decimals"),
    ],
)
def test_bad_quantities_are_refused_with_the_reason(quantity: str, words: str) -> None:
    text = message("C03", context(order=request(quantity=D(quantity))))
    assert words in text
    assert len(text) < 120


@pytest.mark.parametrize("quantity", ["1", "1000000000", "0.000000001", "1.5", "10.000000000000"])
def test_good_quantities_pass(quantity: str) -> None:
    assert outcome("C03", context(order=request(quantity=D(quantity)))) is Outcome.PASSED


def test_fractions_need_a_broker_and_a_symbol_that_take_them() -> None:
    half = context(order=request(quantity=D("0.5")))
    assert "takes whole shares only" in message("C03", with_capabilities(half, fractional=False))
    assert "whole shares only" in message("C03", with_instrument(half, fractionable=False))
    assert "use whole shares" in message("C03", replace(half, instrument=None))
    assert outcome("C03", with_instrument(context(), fractionable=False)) is Outcome.PASSED


def test_a_short_sale_is_in_whole_shares() -> None:
    assert "short sales" in message("C03", context(order=sell("0.5")))
    assert outcome("C03", context(order=sell("0.5"), position=held("2"))) is Outcome.PASSED


@pytest.mark.parametrize(
    ("notional", "words"),
    [
        ("0.99", "at least $1.00"),
        ("0", "above zero"),
        ("-5", "above zero"),
        ("NaN", "must be a number"),
        ("10.001", "two decimals"),
        ("1E+13", "absurdly large"),
    ],
)
def test_bad_amounts_are_refused_with_the_reason(notional: str, words: str) -> None:
    assert words in message("C03", context(order=request(quantity=None, notional=D(notional))))


def test_an_amount_at_the_smallest_passes_where_the_broker_takes_amounts() -> None:
    smallest = context(order=request(quantity=None, notional=D("1.00")))
    assert outcome("C03", smallest) is Outcome.PASSED
    assert "in shares only" in message("C03", with_capabilities(smallest, notional=False))


def test_a_replace_asks_for_more_than_has_filled() -> None:
    original = ReplacementFacts(
        order_id="o-1",
        client_order_id="tp-0000",
        request=request(),
        cum_qty=D("4"),
        reserved_cash=D("600"),
        counted_by_broker=True,
    )
    for quantity, expected in (("4", Outcome.HARD), ("5", Outcome.PASSED)):
        ctx = context(order=request(quantity=D(quantity)), purpose=Purpose.REPLACE, replacement=original)
        assert outcome("C03", ctx) is expected


# --- C04 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", ["1.00", "10.01", "0.9999", "0.0001", "10000000", "99.500"])
def test_prices_on_the_grid_pass(price: str) -> None:
    assert outcome("C04", context(order=limit_request(price))) is Outcome.PASSED


@pytest.mark.parametrize(
    ("price", "words"),
    [
        ("10.005", "steps of 0.01, because it is at or above $1"),
        ("1.0001", "steps of 0.01"),
        ("0.99999", "steps of 0.0001, because it is below $1"),
        ("0", "above zero"),
        ("-1", "above zero"),
        ("NaN", "above zero"),
        ("Infinity", "above zero"),
        ("10000000.01", "beyond 10,000,000"),
    ],
)
def test_prices_off_the_grid_are_refused(price: str, words: str) -> None:
    assert words in message("C04", context(order=limit_request(price)))


def test_every_price_of_a_bracket_is_judged() -> None:
    order = limit_request(
        "99.501",
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=D("110.001")),
        stop_loss=StopLoss(stop_price=D("90.001"), limit_price=D("89.001")),
    )
    assert [finding.field for finding in run("C04", context(order=order)).findings] == [
        "limit_price",
        "take_profit_limit_price",
        "stop_loss_stop_price",
        "stop_loss_limit_price",
    ]


def test_a_stop_price_is_judged() -> None:
    order: OrderRequest = request(order_type=OrderType.STOP, side=Side.BUY, stop_price=D("101.005"))
    assert "Stop price 101.005" in message("C04", context(order=order))


# --- C07, C08 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (timedelta(microseconds=1), Outcome.PASSED),
        (timedelta(0), Outcome.HARD),
        (timedelta(seconds=-1), Outcome.HARD),
    ],
)
def test_a_request_lives_until_its_expiry(left: timedelta, expected: Outcome) -> None:
    assert outcome("C07", with_order(context(), expires_at=NOW + left)) is expected


def test_an_expiry_is_needed_but_not_for_a_preview() -> None:
    assert outcome("C07", with_order(context(), expires_at=None)) is Outcome.HARD
    preview = with_order(context(purpose=Purpose.PREVIEW), expires_at=None)
    assert outcome("C07", preview) is Outcome.NOT_APPLICABLE


def test_an_exit_expires_like_any_other_request() -> None:
    assert outcome("C07", with_order(context(**EXIT), expires_at=NOW)) is Outcome.HARD


@pytest.mark.parametrize(
    ("client_order_id", "expected"),
    [
        ("a" * 48, Outcome.PASSED),
        ("a" * 49, Outcome.HARD),
        ("tp-1_A", Outcome.PASSED),
        ("tp 1", Outcome.HARD),
        ("tp.1", Outcome.HARD),
        ("tp-1\n", Outcome.HARD),
        ("é", Outcome.HARD),
        ("", Outcome.HARD),
    ],
)
def test_the_order_id_fits_the_broker(client_order_id: str, expected: Outcome) -> None:
    assert outcome("C08", with_order(context(), client_order_id=client_order_id)) is expected


def test_a_preview_has_no_order_id() -> None:
    preview = with_order(context(purpose=Purpose.PREVIEW), client_order_id="")
    assert outcome("C08", preview) is Outcome.NOT_APPLICABLE
