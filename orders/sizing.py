"""Turns a size in dollars or percent of equity into what goes on the order: shares or an amount. Pure.

Rounded down always, so that the order never costs more than was asked for.
"""

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum

CENT = Decimal("0.01")


class SizeMode(StrEnum):
    SHARES = "shares"
    DOLLARS = "dollars"
    PERCENT = "percent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Exactly one of `quantity` and `notional` is set."""

    quantity: Decimal | None = None
    notional: Decimal | None = None


class SizeUnknown(ValueError):
    """The size cannot be computed; the message says why, for the person who typed it."""


def compute_size(
    *, mode: SizeMode, value: Decimal, equity: Decimal, price: Decimal | None, takes_amounts: bool
) -> Size:
    """Return the size of an order in the form that the broker takes.

    `value` is shares, account currency or percent (5 means 5 %), `price` what one share is expected to
    cost, `takes_amounts` whether this very order may be given by amount. Raises SizeUnknown.
    """
    if mode is SizeMode.SHARES:
        return Size(quantity=value)
    if mode is SizeMode.PERCENT and equity <= 0:
        raise SizeUnknown("The equity of this account is not known. Give a number of shares.")
    amount = value if mode is SizeMode.DOLLARS else equity * value / 100
    if takes_amounts:
        return Size(notional=amount if mode is SizeMode.DOLLARS else amount.quantize(CENT, ROUND_DOWN))
    if price is None or price <= 0:
        raise SizeUnknown("There is no price to turn this into shares with. Give a number of shares.")
    shares = (amount / price).quantize(Decimal(1), ROUND_DOWN)
    if shares < 1:
        raise SizeUnknown(
            "This is less than the price of one share, and this kind of order takes whole shares. "
            "Raise the size, or use a market order good for the day."
        )
    return Size(quantity=shares)
