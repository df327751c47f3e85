"""F: short sales, crossing zero, shares held by other orders."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from brokers.enums import OrderClass, OrderType, Side
from brokers.types import StopLoss, TakeProfit
from risk.facts import Purpose, ReplacementFacts
from risk.types import Outcome, RiskContext
from tests.risk.contexts import (
    context,
    held,
    limits,
    message,
    open_order,
    outcome,
    request,
    sell,
    with_account,
)

D = Decimal


def selling(quantity: str, holding: str, **changes: Any) -> RiskContext:
    return context(order=sell(quantity), position=held(holding), **changes)


# --- F01 -------------------------------------------------------------------------------------------------


def test_selling_what_is_not_held_is_refused_by_default() -> None:
    assert message("F01", selling("1", "0")) == (
        "You hold no XYZ, so this order would sell short: short selling is off for this account."
    )
    assert "You are short 5 XYZ" in message("F01", selling("1", "-5"))


def test_a_short_sale_needs_the_limit_the_broker_the_account_and_the_loan() -> None:
    on = selling("1", "0", limits=limits(allow_short="on"))
    assert outcome("F01", on) is Outcome.PASSED
    no_broker = replace(on, capabilities=replace(on.capabilities, short_selling=False))
    assert "offers no short selling" in message("F01", no_broker)
    assert "does not allow this account" in message("F01", with_account(on, shorting_enabled=False))
    assert "does not allow this account" in message("F01", with_account(on, shorting_enabled=None))
    assert on.instrument is not None
    not_lent = replace(on, instrument=replace(on.instrument, shortable=False))
    assert message("F01", not_lent).endswith("Sim Broker does not lend XYZ.")


def test_a_sale_of_what_is_held_and_a_purchase_are_no_short_sales() -> None:
    assert outcome("F01", selling("1", "1")) is Outcome.NOT_APPLICABLE
    assert outcome("F01", context()) is Outcome.NOT_APPLICABLE


# --- F04 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("9.999999999", Outcome.PASSED), ("10", Outcome.PASSED), ("10.000000001", Outcome.HARD)],
)
def test_no_more_can_be_sold_than_is_held(quantity: str, expected: Outcome) -> None:
    assert outcome("F04", selling(quantity, "10")) is expected


def test_the_refusal_says_what_is_held_and_what_was_asked() -> None:
    assert message("F04", selling("15", "10")) == (
        "You hold 10 XYZ, this order sells 15. Close at most 10; then open the other side with an order of "
        "its own."
    )


def test_a_short_position_is_not_bought_past_zero() -> None:
    buy = context(order=request(quantity=D("6")), position=held("-5"))
    assert message("F04", buy).startswith("You are short 5 XYZ, this order buys 6.")
    assert outcome("F04", context(order=request(quantity=D("5")), position=held("-5"))) is Outcome.PASSED


def test_a_holding_that_was_never_read_refuses_the_order() -> None:
    assert "not known how much XYZ" in message("F04", context(order=sell("1"), position=None))


def test_a_sale_by_amount_is_measured_in_shares_at_the_bid() -> None:
    def by_amount(amount: str) -> RiskContext:
        order = request(side=Side.SELL, quantity=None, notional=D(amount))
        return context(order=order, position=held("10"))

    assert outcome("F04", by_amount("999.00")) is Outcome.PASSED
    assert outcome("F04", by_amount("999.01")) is Outcome.HARD


def test_an_oco_without_a_position_has_nothing_to_close() -> None:
    order = request(
        side=Side.SELL,
        order_type=OrderType.LIMIT,
        order_class=OrderClass.OCO,
        take_profit=TakeProfit(limit_price=D("110")),
        stop_loss=StopLoss(stop_price=D("90")),
    )
    assert "closes a position, and you hold no XYZ" in message("F04", context(order=order))
    assert outcome("F04", context(order=order, position=held("10"))) is Outcome.PASSED


# --- F06 -------------------------------------------------------------------------------------------------

EXIT_ORDER = {"side": Side.SELL, "leaves_qty": D("6"), "reserved_cash": D("0")}


@pytest.mark.parametrize(("quantity", "expected"), [("4", Outcome.PASSED), ("4.000000001", Outcome.HARD)])
def test_shares_on_order_cannot_be_sold_again(quantity: str, expected: Outcome) -> None:
    assert outcome("F06", selling(quantity, "10", open_orders=(open_order(**EXIT_ORDER),))) is expected


def test_the_refusal_names_the_order_that_holds_the_shares() -> None:
    assert message("F06", selling("5", "10", open_orders=(open_order(**EXIT_ORDER),))) == (
        "6 of your 10 XYZ are held by order o-1; this order asks for 5. Cancel that order first, or close at "
        "most 4."
    )


def test_the_two_exits_of_one_bracket_hold_the_shares_once() -> None:
    legs = tuple(open_order(**{**EXIT_ORDER, "id": name, "group": "g"}) for name in ("tp", "sl"))
    assert outcome("F06", selling("4", "10", open_orders=legs)) is Outcome.PASSED
    assert outcome("F06", selling("5", "10", open_orders=legs)) is Outcome.HARD


@pytest.mark.parametrize(
    "changes",
    [{"symbol": "ABC"}, {"side": Side.BUY}, {"waits_for_parent": True}, {"client_order_id": "tp-0001"}],
)
def test_other_orders_hold_nothing(changes: dict[str, Any]) -> None:
    orders = (open_order(**{**EXIT_ORDER, **changes}),)
    assert outcome("F06", selling("10", "10", open_orders=orders)) is Outcome.PASSED


def test_a_sale_by_amount_of_unknown_size_holds_everything() -> None:
    unknown = open_order(**{**EXIT_ORDER, "leaves_qty": None, "price": None, "leaves_notional": None})
    assert outcome("F06", selling("1", "10", open_orders=(unknown,))) is Outcome.HARD


def test_replacing_one_exit_is_not_held_up_by_its_sibling() -> None:
    legs = tuple(
        open_order(**{**EXIT_ORDER, "id": name, "client_order_id": f"c-{name}", "group": "g"})
        for name in ("tp", "sl")
    )
    original = ReplacementFacts(
        order_id="tp",
        client_order_id="c-tp",
        request=sell("6"),
        cum_qty=D("0"),
        reserved_cash=D("0"),
        counted_by_broker=True,
        group="g",
    )
    for orders in (legs, legs[1:]):
        ctx = selling("6", "6", purpose=Purpose.REPLACE, replacement=original, open_orders=orders)
        assert outcome("F06", ctx) is Outcome.PASSED
