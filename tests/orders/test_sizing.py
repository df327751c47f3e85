"""From dollars and percent to what goes on the order."""

from decimal import Decimal

import pytest

from orders.sizing import Size, SizeMode, SizeUnknown, compute_size

D = Decimal


def size(
    mode: SizeMode, value: str, *, price: str | None = "30", equity: str = "1000", amounts: bool = False
):
    return compute_size(
        mode=mode,
        value=D(value),
        equity=D(equity),
        price=None if price is None else D(price),
        takes_amounts=amounts,
    )


def test_shares_stay_as_they_are():
    assert size(SizeMode.SHARES, "1.5", price=None) == Size(quantity=D("1.5"))


def test_dollars_become_an_amount_where_the_broker_takes_one():
    assert size(SizeMode.DOLLARS, "100", amounts=True) == Size(notional=D("100"))


def test_dollars_become_whole_shares_rounded_down_elsewhere():
    assert size(SizeMode.DOLLARS, "100") == Size(quantity=D("3"))


def test_exactly_enough_for_a_share_buys_it():
    assert size(SizeMode.DOLLARS, "30") == Size(quantity=D("1"))


def test_percent_is_taken_of_equity_and_rounded_down_to_the_cent():
    assert size(SizeMode.PERCENT, "5", equity="1000.99", amounts=True) == Size(notional=D("50.04"))


def test_percent_becomes_whole_shares_elsewhere():
    assert size(SizeMode.PERCENT, "10", equity="1000") == Size(quantity=D("3"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"mode": SizeMode.DOLLARS, "value": "29.99"}, "less than the price of one share"),
        ({"mode": SizeMode.DOLLARS, "value": "100", "price": None}, "no price"),
        ({"mode": SizeMode.DOLLARS, "value": "100", "price": "0"}, "no price"),
        ({"mode": SizeMode.PERCENT, "value": "5", "equity": "0"}, "equity of this account is not known"),
    ],
)
def test_a_size_that_cannot_be_computed_says_why(values, words):
    with pytest.raises(SizeUnknown, match=words):
        size(values.pop("mode"), values.pop("value"), **values)
