"""E: order size, buying power, position size. Equity is 20,000 and buying power 10,000."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.enums import OrderType, Side
from risk.engine import evaluate
from risk.facts import Purpose, ReplacementFacts
from risk.types import Outcome, RiskContext, Verdict
from tests.risk.contexts import (
    NOW,
    context,
    held,
    limit_request,
    limits,
    message,
    open_order,
    outcome,
    request,
    run,
    sell,
    with_account,
    with_order,
    with_quote,
)

D = Decimal
BIG_EXIT = {"order": sell("1000"), "position": held("1000")}


def limit_100(quantity: str, **changes: Any) -> RiskContext:
    return context(order=limit_request("100", quantity=D(quantity)), **changes)


# --- E01 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("20", Outcome.PASSED),  # 10 %
        ("20.000000001", Outcome.SOFT),
        ("50", Outcome.SOFT),  # 25 %
        ("50.000000001", Outcome.HARD),
    ],
)
def test_order_size_against_equity(quantity: str, expected: Outcome) -> None:
    assert outcome("E01", limit_100(quantity)) is expected


def test_the_refusal_names_both_numbers_and_the_largest_that_fits() -> None:
    assert message("E01", limit_100("51")) == (
        "This order is worth $5,100.00, 25.5% of your equity; at most 25% is allowed. The largest quantity "
        "that fits is 50."
    )
    assert message("E01", context(order=request(quantity=None, notional=D("5000.01")))) == (
        "This order is worth $5,000.01, 25.01% of your equity; at most 25% is allowed. The largest amount "
        "that fits is $5,000.00."
    )


@pytest.mark.parametrize(("quantity", "expected"), [("2500", Outcome.PASSED), ("2501", Outcome.HARD)])
def test_the_platform_cap_holds_whatever_the_equity(quantity: str, expected: Outcome) -> None:
    assert outcome("E01", with_account(limit_100(quantity), start_equity=D("100000000"))) is expected


def test_size_is_measured_against_equity_at_the_start_of_the_trade_date() -> None:
    ctx = with_account(limit_100("21"), start_equity=D("20000"), equity=D("99999"))
    assert outcome("E01", ctx) is Outcome.SOFT
    assert outcome("E01", with_account(ctx, start_equity=None)) is Outcome.PASSED
    assert outcome("E01", with_account(ctx, start_equity=D("0"))) is Outcome.PASSED


@pytest.mark.parametrize("code", ["E01", "E04", "E11"])
def test_an_exit_of_any_size_is_exempt(code: str) -> None:
    poor = with_account(context(**BIG_EXIT), buying_power=D("0"), equity=D("0"), start_equity=None)
    assert outcome(code, poor) is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(("side", "holding"), [(Side.SELL, "100"), (Side.BUY, "-100")])
@pytest.mark.parametrize(
    ("quantity", "closed_by_others", "expected"),
    [
        ("100", None, Outcome.NOT_APPLICABLE),
        ("100.000000001", None, Outcome.HARD),
        ("60", "40", Outcome.NOT_APPLICABLE),
        ("60.000000001", "40", Outcome.HARD),
    ],
)
def test_a_sale_or_a_buying_back_is_exempt_as_far_as_it_only_reduces(
    side: Side, holding: str, quantity: str, closed_by_others: str | None, expected: Outcome
) -> None:
    """Up to what is held on the other side of zero, less what open orders close already; E01 holds beyond."""
    others = (open_order(side=side, leaves_qty=D(closed_by_others)),) if closed_by_others else ()
    order = limit_request("100", side=side, quantity=D(quantity))
    ctx = context(
        order=order, position=held(holding), open_orders=others, limits=limits(max_order_value="1000")
    )
    assert outcome("E01", ctx) is expected


def test_buying_back_passes_the_whole_gate_only_as_far_as_it_is_exempt() -> None:
    """So whatever is sent for a short symbol is an exit: what goes beyond is refused as such."""
    short = context(position=held("-100"), limits=limits(max_order_value="1000"))
    back = with_order(short, request=limit_request("100", quantity=D("100")))
    assert evaluate(back).verdict is Verdict.ALLOW
    beyond = with_order(short, request=limit_request("100", quantity=D("101")))
    assert {"E01", "F04"} <= {found.code for found in evaluate(beyond).findings}
    others = (open_order(side=Side.BUY, leaves_qty=D("40")),)
    twice = evaluate(replace(back, open_orders=others))
    assert {"E01", "F06"} <= {found.code for found in twice.findings}


@pytest.mark.parametrize("code", ["E01", "E11"])
def test_without_equity_nothing_can_be_sized(code: str) -> None:
    assert outcome(code, with_account(context(), equity=D("0"), start_equity=None)) is Outcome.HARD


@pytest.mark.parametrize("code", ["E01", "E04", "E11"])
def test_without_a_price_a_market_order_is_refused_where_a_feed_exists(code: str) -> None:
    blind = replace(context(), quote=None)
    assert "There is no price for XYZ" in message(code, blind)
    assert outcome(code, replace(blind, quote_configured=False)) is Outcome.NOT_CHECKED


@pytest.mark.parametrize("code", ["E01", "E04", "E11"])
@pytest.mark.parametrize("quantity", ["NaN", "Infinity", "-1", "0", "1E+999999"])
def test_malformed_sizes_are_left_to_the_form_check(code: str, quantity: str) -> None:
    assert outcome(code, context(order=request(quantity=D(quantity)))) is Outcome.NOT_CHECKED


# --- E04 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quantity", "expected"), [("100", Outcome.PASSED), ("100.000000001", Outcome.HARD)])
def test_a_limit_order_may_use_all_of_the_buying_power(quantity: str, expected: Outcome) -> None:
    assert outcome("E04", limit_100(quantity)) is expected


def test_a_market_order_is_valued_at_the_ask_with_a_cushion() -> None:
    assert run("E04", context()).value == "1020"
    assert outcome("E04", context(order=request(quantity=D("98")))) is Outcome.PASSED
    assert message("E04", context(order=request(quantity=D("99")))) == (
        "This order needs $10,098.00 (with 2% for price moves); $10,000.00 is free after your open orders. "
        "The largest quantity that fits is 98."
    )


def test_an_order_by_amount_needs_its_amount() -> None:
    for amount, expected in (("10000", Outcome.PASSED), ("10000.01", Outcome.HARD)):
        assert outcome("E04", context(order=request(quantity=None, notional=D(amount)))) is expected


@pytest.mark.parametrize(
    ("order_fields", "needs"),
    [
        ({"order_type": OrderType.STOP, "stop_price": D("110")}, "1122"),
        ({"order_type": OrderType.TRAILING_STOP, "trail_amount": D("5")}, "1071"),
        ({"order_type": OrderType.TRAILING_STOP, "trail_percent": D("10")}, "1122"),
        ({"order_type": OrderType.STOP_LIMIT, "stop_price": D("110"), "limit_price": D("111")}, "1110"),
    ],
)
def test_a_stop_is_valued_at_its_trigger(order_fields: dict[str, Any], needs: str) -> None:
    assert run("E04", context(order=request(**order_fields))).value == needs


def test_a_short_is_valued_three_percent_over_the_ask() -> None:
    on = context(order=sell("10"), limits=limits(allow_short="on"))
    assert run("E04", on).value == "1030"
    high = context(
        order=request(side=Side.SELL, order_type=OrderType.LIMIT, limit_price=D("120")),
        limits=limits(allow_short="on"),
    )
    assert run("E04", high).value == "1200"


def test_only_reservations_that_the_broker_has_not_counted_are_taken_off() -> None:
    known = open_order(id="o-1", reserved_cash=D("5000"), counted_by_broker=True)
    new = open_order(id="o-2", client_order_id="other-2", symbol="ABC", reserved_cash=D("500"))
    new = replace(new, counted_by_broker=False)
    ctx = limit_100("95", open_orders=(known, new))
    assert run("E04", ctx).limit == "9500"
    assert outcome("E04", ctx) is Outcome.PASSED
    assert outcome("E04", limit_100("96", open_orders=(known, new))) is Outcome.HARD


def test_fills_since_the_balances_were_read_are_taken_off() -> None:
    assert run("E04", with_account(context(), unsynced_spend=D("9000"))).limit == "1000"


def test_an_order_about_to_be_sent_is_not_counted_against_itself() -> None:
    own = open_order(client_order_id="tp-0001", counted_by_broker=False, reserved_cash=D("10000"))
    assert run("E04", context(purpose=Purpose.SEND, open_orders=(own,))).limit == "10000"


def test_a_replace_gets_its_own_reservation_back() -> None:
    original = ReplacementFacts(
        order_id="o-1",
        client_order_id="tp-0000",
        request=limit_request("100"),
        cum_qty=D("4"),
        reserved_cash=D("600"),
        counted_by_broker=True,
    )
    own = open_order(id="o-1", client_order_id="tp-0000")
    ctx = limit_100("110", purpose=Purpose.REPLACE, replacement=original, open_orders=(own,))
    result = run("E04", ctx)
    assert (result.value, result.limit) == ("10600", "10600")
    assert result.outcome is Outcome.PASSED


@pytest.mark.parametrize(("age", "expected"), [(60, Outcome.PASSED), (61, Outcome.HARD)])
def test_old_balances_count_as_missing(age: int, expected: Outcome) -> None:
    assert outcome("E04", with_account(context(), synced_at=NOW - timedelta(seconds=age))) is expected


def test_balances_never_read_stop_openings() -> None:
    assert "has not told us the balances" in message("E04", with_account(context(), synced_at=None))


# --- E11 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("30", Outcome.PASSED),  # 15 %
        ("30.000000001", Outcome.SOFT),
        ("40", Outcome.SOFT),  # 20 %
        ("40.000000001", Outcome.HARD),
    ],
)
def test_position_size_soft_at_15_and_hard_at_20_percent(quantity: str, expected: Outcome) -> None:
    assert outcome("E11", limit_100(quantity)) is expected


def test_what_is_held_and_what_is_on_order_count() -> None:
    # 10 held at the middle of 99.95 are 999.50, 10 on order at 100 are 1,000; 20 % are 4,000.
    ctx = {"position": held("10"), "open_orders": (open_order(),)}
    assert outcome("E11", limit_100("20", **ctx)) is Outcome.SOFT
    assert message("E11", limit_100("21", **ctx)) == (
        "With this order and your open orders, XYZ would be 20.5% of your equity; at most 20% is allowed. "
        "The largest quantity that fits is 20."
    )


def test_orders_that_cannot_add_to_the_position_do_not_count() -> None:
    others = (
        open_order(id="o-1", symbol="ABC", leaves_qty=D("1000")),
        open_order(id="o-2", side=Side.SELL, leaves_qty=D("1000")),
        open_order(id="o-3", waits_for_parent=True, leaves_qty=D("1000")),
    )
    assert run("E11", limit_100("10", open_orders=others)).value == "0.05"


def test_an_order_by_amount_on_its_way_counts() -> None:
    by_amount = open_order(leaves_qty=None, price=None, leaves_notional=D("3000"))
    assert run("E11", limit_100("10", open_orders=(by_amount,))).value == "0.2"


def test_an_order_on_its_way_without_any_price_stops_openings() -> None:
    blind = limit_100("1", open_orders=(open_order(price=None),))
    assert outcome("E11", replace(blind, quote=None)) is Outcome.HARD


def test_a_holding_that_was_never_read_stops_openings() -> None:
    assert "not known how much XYZ you hold" in message("E11", context(position=None))


def test_a_holding_without_a_price_stops_openings() -> None:
    ctx = replace(limit_100("1", position=held("10", None)), quote=None)
    assert outcome("E11", ctx) is Outcome.HARD


def test_the_largest_that_fits_is_zero_when_the_limit_is_used_up() -> None:
    text = message("E11", limit_100("1", position=held("50")))
    assert text.endswith("The largest quantity that fits is 0.")


def test_a_tighter_hard_limit_below_the_soft_one_still_refuses() -> None:
    tight = limits(max_position_size="0.05")
    assert outcome("E11", limit_100("10", limits=tight)) is Outcome.PASSED
    assert outcome("E11", limit_100("10.1", limits=tight)) is Outcome.HARD


def test_a_one_sided_quote_falls_back_to_the_last_price() -> None:
    assert run("E01", with_quote(context(), ask=None)).value == "0.049975"  # 10 at 99.95 of 20,000
