"""C05 and C06: what goes with what, and stops on the right side."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.enums import OrderClass, OrderType, Session, Side, TimeInForce
from brokers.types import OrderRequest, StopLoss, TakeProfit
from risk.facts import Purpose
from risk.types import Outcome
from tests.risk.contexts import (
    NOW,
    ORDER_RULES,
    context,
    held,
    limit_request,
    message,
    outcome,
    request,
    run,
    sell,
    with_quote,
    with_session,
)

D = Decimal


def stop_order(side: Side, price: str, **changes: Any) -> OrderRequest:
    return request(side=side, order_type=OrderType.STOP, stop_price=D(price), **changes)


def bracket(profit: str | None = "110", stop: str | None = "90", **changes: Any) -> OrderRequest:
    fields: dict[str, Any] = {
        "order_class": OrderClass.BRACKET,
        "take_profit": TakeProfit(limit_price=D(profit)) if profit else None,
        "stop_loss": StopLoss(stop_price=D(stop)) if stop else None,
    }
    return limit_request("100", **{**fields, **changes})


# --- C05 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "field", "words"),
    [
        (
            stop_order(Side.BUY, "105", time_in_force=TimeInForce.IOC),
            "time_in_force",
            "Stop orders cannot be",
        ),
        (request(extended_hours=True), "extended_hours", "cannot trade in extended hours"),
        (
            limit_request(extended_hours=True, time_in_force=TimeInForce.IOC),
            "extended_hours",
            "cannot trade in extended hours",
        ),
        (
            limit_request(quantity=D("0.5"), time_in_force=TimeInForce.GTC),
            "time_in_force",
            "fractions of shares only",
        ),
        (
            request(quantity=None, notional=D("50"), time_in_force=TimeInForce.GTC),
            "time_in_force",
            "fractions of shares only",
        ),
        (
            stop_order(Side.BUY, "105", order_class=OrderClass.BRACKET),
            "order_class",
            "has no Bracket with a stop order",
        ),
        (bracket(time_in_force=TimeInForce.IOC), "time_in_force", "Day or Good till canceled"),
        (bracket(extended_hours=True), "extended_hours", "do not trade in extended hours"),
        (bracket(quantity=D("1.5")), "quantity", "in whole shares"),
        (limit_request(quantity=D("0.5"), extended_hours=True), "quantity", "only in extended hours"),
    ],
)
def test_combinations_that_the_broker_does_not_take(order: OrderRequest, field: str, words: str) -> None:
    (finding,) = run("C05", context(order=order)).findings
    assert finding.field == field
    assert words in finding.message


@pytest.mark.parametrize(
    "order",
    [
        request(),
        request(quantity=None, notional=D("50")),
        request(quantity=D("0.5")),
        limit_request(extended_hours=True),
        limit_request(extended_hours=True, time_in_force=TimeInForce.GTC),
        limit_request(time_in_force=TimeInForce.FOK),
        stop_order(Side.BUY, "105", time_in_force=TimeInForce.GTC),
        bracket(),
        bracket(time_in_force=TimeInForce.GTC),
    ],
)
def test_combinations_that_the_broker_takes(order: OrderRequest) -> None:
    assert outcome("C05", context(order=order)) is Outcome.PASSED


def test_a_type_that_the_broker_lacks_is_refused() -> None:
    ctx = context(order=stop_order(Side.BUY, "105"))
    without = replace(ctx, capabilities=replace(ctx.capabilities, order_rules=ORDER_RULES[:2]))
    assert message("C05", without) == "Sim Broker has no stop orders."


def test_an_oco_is_a_limit_order() -> None:
    rules = tuple(replace(rule, order_classes=frozenset(OrderClass)) for rule in ORDER_RULES)
    ctx = context(order=replace(bracket(), order_class=OrderClass.OCO, order_type=OrderType.MARKET))
    ctx = replace(ctx, capabilities=replace(ctx.capabilities, order_rules=rules))
    assert "limit orders" in message("C05", ctx)


# --- C06: completeness -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "fields"),
    [
        (request(quantity=None), ["quantity"]),
        (request(notional=D("50")), ["quantity"]),
        (request(order_type=OrderType.LIMIT), ["limit_price"]),
        (request(limit_price=D("99")), ["limit_price"]),
        (request(order_type=OrderType.STOP), ["stop_price"]),
        (request(stop_price=D("99")), ["stop_price"]),
        (request(order_type=OrderType.STOP_LIMIT), ["limit_price", "stop_price"]),
        (request(trail_amount=D("1")), ["trail_amount"]),
        (request(order_type=OrderType.TRAILING_STOP), ["trail_amount"]),
        (
            request(order_type=OrderType.TRAILING_STOP, trail_amount=D("1"), trail_percent=D("1")),
            ["trail_amount"],
        ),
        (request(order_type=OrderType.TRAILING_STOP, trail_amount=D("0")), ["trail_amount"]),
        (request(order_type=OrderType.TRAILING_STOP, trail_amount=D("NaN")), ["trail_amount"]),
        (request(order_type=OrderType.TRAILING_STOP, trail_percent=D("0.09")), ["trail_percent"]),
        (request(order_type=OrderType.TRAILING_STOP, trail_percent=D("100")), ["trail_percent"]),
        (request(take_profit=TakeProfit(limit_price=D("110"))), ["order_class"]),
        (bracket(stop=None), ["order_class"]),
        (bracket(profit=None), ["order_class"]),
        (bracket(order_class=OrderClass.OTO), ["order_class"]),
        (bracket(profit=None, stop=None, order_class=OrderClass.OTO), ["order_class"]),
        (bracket(side=Side.SELL, order_class=OrderClass.OCO), ["limit_price"]),
    ],
)
def test_missing_and_superfluous_fields(order: OrderRequest, fields: list[str]) -> None:
    result = run("C06", context(order=order))
    assert result.outcome is Outcome.HARD
    assert [finding.field for finding in result.findings] == fields


@pytest.mark.parametrize(
    "order",
    [
        request(order_type=OrderType.TRAILING_STOP, trail_percent=D("0.1")),
        request(order_type=OrderType.TRAILING_STOP, trail_percent=D("99.99")),
        request(order_type=OrderType.TRAILING_STOP, trail_amount=D("0.01")),
        bracket(),
        bracket(stop=None, order_class=OrderClass.OTO),
        bracket(side=Side.SELL, order_class=OrderClass.OCO, limit_price=None),
        bracket(side=Side.SELL, order_class=OrderClass.OCO, limit_price=D("110")),
    ],
)
def test_complete_orders_pass(order: OrderRequest) -> None:
    assert outcome("C06", context(order=order, position=held("10"))) is Outcome.PASSED


# --- C06: sides (the market is 99.90 to 100.00) ----------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "price", "expected"),
    [
        (Side.BUY, "100.01", Outcome.PASSED),
        (Side.BUY, "100.00", Outcome.HARD),
        (Side.BUY, "99.99", Outcome.HARD),
        (Side.SELL, "99.89", Outcome.PASSED),
        (Side.SELL, "99.90", Outcome.HARD),
        (Side.SELL, "99.91", Outcome.HARD),
    ],
)
def test_a_stop_is_on_the_far_side_of_the_market(side: Side, price: str, expected: Outcome) -> None:
    assert outcome("C06", context(order=stop_order(side, price), position=held("10"))) is expected


def test_the_message_names_both_prices() -> None:
    assert message("C06", context(order=stop_order(Side.SELL, "105"), position=held("10"))) == (
        "Stop 105 must be below the price 99.9."
    )


def test_an_old_or_missing_quote_says_nothing_about_the_side() -> None:
    wrong = context(order=stop_order(Side.SELL, "105"), position=held("10"))
    assert outcome("C06", with_quote(wrong, as_of=NOW - timedelta(seconds=10))) is Outcome.HARD
    assert outcome("C06", with_quote(wrong, as_of=NOW - timedelta(seconds=11))) is Outcome.PASSED
    assert outcome("C06", replace(wrong, quote=None)) is Outcome.PASSED


def test_the_last_price_of_a_closed_market_still_counts() -> None:
    wrong = context(order=stop_order(Side.SELL, "105"), position=held("10"))
    closed = with_session(with_quote(wrong, as_of=NOW - timedelta(hours=10)), Session.CLOSED)
    assert outcome("C06", closed) is Outcome.HARD


def test_a_protective_stop_is_not_held_back_when_the_market_has_passed_it() -> None:
    passed_by = context(order=stop_order(Side.SELL, "105"), position=held("10"), purpose=Purpose.SEND)
    assert outcome("C06", passed_by) is Outcome.PASSED
    opening = context(order=stop_order(Side.BUY, "95"), purpose=Purpose.SEND)
    assert outcome("C06", opening) is Outcome.HARD


@pytest.mark.parametrize(
    ("order", "field"),
    [
        (bracket(profit="100"), "take_profit_limit_price"),
        (bracket(profit="99"), "take_profit_limit_price"),
        (bracket(stop="100"), "stop_loss_stop_price"),
        (bracket(stop="101"), "stop_loss_stop_price"),
        (bracket(side=Side.SELL, profit="90", stop="95"), "stop_loss_stop_price"),
        (
            bracket(stop_loss=StopLoss(stop_price=D("90"), limit_price=D("90.01"))),
            "stop_loss_limit_price",
        ),
    ],
)
def test_exits_of_a_bracket_on_the_wrong_side(order: OrderRequest, field: str) -> None:
    assert [finding.field for finding in run("C06", context(order=order)).findings] == [field]


def test_exits_of_a_short_entry_are_mirrored() -> None:
    assert outcome("C06", context(order=bracket(side=Side.SELL, profit="90", stop="110"))) is Outcome.PASSED


def test_a_stop_loss_limit_may_equal_its_stop() -> None:
    equal = bracket(stop_loss=StopLoss(stop_price=D("90"), limit_price=D("90")))
    assert outcome("C06", context(order=equal)) is Outcome.PASSED


def test_an_oco_that_closes_a_long_needs_profit_above_and_stop_below_the_market() -> None:
    fields = {"side": Side.SELL, "order_class": OrderClass.OCO, "limit_price": None}
    for profit, stop, expected in (
        ("110", "90", Outcome.PASSED),
        ("99.90", "90", Outcome.HARD),
        ("110", "99.90", Outcome.HARD),
    ):
        assert outcome("C06", context(order=bracket(profit, stop, **fields), position=held("10"))) is expected


def test_a_price_that_is_not_a_number_never_raises() -> None:
    for order in (
        stop_order(Side.SELL, "NaN"),
        bracket(profit="NaN"),
        bracket(stop="sNaN"),
        limit_request("NaN"),
        sell("NaN"),
    ):
        assert outcome("C06", context(order=order)) is Outcome.PASSED  # C03 and C04 refuse it
