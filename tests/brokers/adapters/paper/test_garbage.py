"""Prices that make no sense: a practice order waits or is refused, and never fills at one of them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest

from brokers.enums import OrderType, Side
from brokers.exceptions import BrokerError
from brokers.models import LatestQuote
from tests.brokers.scripted import make_quote

pytestmark = pytest.mark.django_db

GARBAGE = {
    "no price at all": {"bid": None, "ask": None, "last": None},
    "null sizes": {"size": None},
    "zero": {"bid": "0", "ask": "0", "last": "0"},
    "below zero": {"bid": "-5", "ask": "-4", "last": "-4.5"},
    "no number": {"bid": "NaN", "ask": "NaN", "last": "NaN"},
    "without end": {"bid": "Infinity", "ask": "Infinity", "last": "Infinity"},
    "sizes below zero": {"size": "-100"},
    "a size that is no number": {"size": "NaN"},
    "a bid above the ask": {"bid": "110", "ask": "90"},
    "years old": {"as_of": datetime(2019, 1, 2, 15, tzinfo=UTC)},
    "from the future": {"as_of": datetime.now(UTC) + timedelta(days=400)},
}


def quote_garbage(script, name):
    script.quotes["ACME"] = make_quote("ACME", **GARBAGE[name])
    LatestQuote.objects.all().delete()


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("kind", [OrderType.MARKET, OrderType.STOP])
def test_a_new_order_never_fills_at_a_price_that_makes_no_sense(desk, script, kind, name):
    quote_garbage(script, name)
    cash = desk.book.cash

    try:
        order = desk.place(kind=kind, stop_price=D("101") if kind == OrderType.STOP else None)
    except BrokerError:
        order = None

    assert order is None or desk.look(order).cum_qty == 0
    assert (desk.book.cash, desk.position()) == (cash, 0)


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("side", Side)
def test_a_resting_order_waits_and_those_of_other_symbols_go_on(desk, script, side, name):
    desk.set_quote("ZETA", bid="19.98", ask="20.02")
    desk.buy()
    limit = D("90") if side == Side.BUY else D("120")
    resting = desk.place(side=side, kind=OrderType.LIMIT, limit_price=limit)
    other = desk.place(symbol="ZETA", kind=OrderType.LIMIT, limit_price=D("10"))
    cash = desk.book.cash
    quote_garbage(script, name)
    script.quotes["ZETA"] = make_quote("ZETA", "8.98", "9.02", as_of=datetime.now(UTC) + timedelta(seconds=9))

    desk.tick()

    assert (desk.look(resting).status, desk.look(resting).cum_qty) == ("open", 0)
    assert desk.look(other).status == "filled", "a price that makes no sense stops nothing else"
    assert desk.book.cash == cash - D("90.20")
    desk.broker.get_account_info()
    desk.broker.get_positions()
