"""What counts as a reduction, and what an order holds back."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from brokers.enums import OrderClass, OrderType, Side
from brokers.types import OrderRequest
from risk.exposure import order_cost, reduces_position, reserved_quantity
from tests.risk.contexts import context, held, limit_request, open_order, request, sell

D = Decimal
SELL_ORDER: dict[str, Any] = {"side": Side.SELL, "leaves_qty": D("6")}


@pytest.mark.parametrize(
    ("order", "holding", "expected"),
    [
        (sell("10"), "10", True),
        (sell("10.000000001"), "10", False),
        (sell("1"), "0", False),
        (sell("1"), "-5", False),
        (request(quantity=D("5")), "-5", True),
        (request(quantity=D("6")), "-5", False),
        (request(quantity=D("1")), "5", False),
        (sell("NaN"), "10", False),
        (sell("-1"), "10", False),
        (request(side=Side.SELL, quantity=None, notional=D("999")), "10", True),
        (request(side=Side.SELL, quantity=None, notional=D("1000")), "10", False),
        (sell("10", order_class=OrderClass.BRACKET), "10", False),
        (sell("10", order_class=OrderClass.OTO), "10", False),
        (sell("10", order_type=OrderType.STOP, stop_price=D("90")), "10", True),
    ],
)
def test_what_is_a_reduction(order: OrderRequest, holding: str, expected: bool) -> None:
    assert reduces_position(context(order=order, position=held(holding))) is expected


def test_open_orders_that_close_already_are_taken_off() -> None:
    orders = (open_order(**SELL_ORDER),)
    assert reduces_position(context(order=sell("4"), position=held("10"), open_orders=orders))
    assert not reduces_position(context(order=sell("5"), position=held("10"), open_orders=orders))


def test_nothing_is_a_reduction_of_an_unknown_holding() -> None:
    assert not reduces_position(context(order=sell("1"), position=None))


def test_a_sale_by_amount_without_a_price_is_no_proven_reduction() -> None:
    order = request(side=Side.SELL, quantity=None, notional=D("50"))
    ctx = replace(context(order=order, position=held("10", None)), quote=None)
    assert not reduces_position(ctx)


def test_what_is_held_back() -> None:
    assert order_cost(context(order=limit_request("99.50"))) == D("995")
    assert order_cost(context()) == D("1020")
    assert order_cost(context(order=request(quantity=None, notional=D("50")))) == D("50")
    assert order_cost(context(order=sell("4"), position=held("10"))) == D("0")
    assert order_cost(replace(context(), quote=None)) is None
    assert reserved_quantity(context(order=sell("4"), position=held("10"))) == D("4")
    assert reserved_quantity(context()) == D("0")
