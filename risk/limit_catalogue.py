"""Every limit that can be set: its unit, its default and which direction is tighter."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from risk.types import LimitSet, LimitValue

LARGEST_MONEY = Decimal(1_000_000_000)


class LimitUnit(StrEnum):
    """SHARE 0.2 means 20 %; SWITCH is "on" or "off"."""

    SHARE = "share"
    MONEY = "money"
    COUNT = "count"
    SECONDS = "seconds"
    SWITCH = "switch"


class Tighter(StrEnum):
    """The direction that restricts more."""

    LOWER = "lower"
    HIGHER = "higher"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSpec:
    """One limit that can be set. `largest` bounds what an admin can type, not what is sensible."""

    name: str
    title: str
    unit: LimitUnit
    default: str
    tighter: Tighter
    help: str
    largest: Decimal = Decimal(1)

    def parse(self, text: str) -> str:
        """Return `text` in its canonical form; raises ValueError with a sentence for a person."""
        text = text.strip().lower()
        if self.unit is LimitUnit.SWITCH:
            if text not in ("on", "off"):
                raise ValueError(f"{self.title} is either on or off.")
            return text
        number = self._parse_number(text)
        if not 0 <= number <= self.largest:
            raise ValueError(f"{self.title} must be between 0 and {self.largest}.")
        if self.unit in (LimitUnit.COUNT, LimitUnit.SECONDS) and number != int(number):
            raise ValueError(f"{self.title} must be a whole number.")
        plain = format(number, "f")
        return (plain.rstrip("0").rstrip(".") if "." in plain else plain) or "0"

    def _parse_number(self, text: str) -> Decimal:
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise ValueError(f"{self.title} must be a number.") from None
        if not number.is_finite():
            raise ValueError(f"{self.title} must be a number.")
        exponent = number.as_tuple().exponent
        if len(text) > 30 or not isinstance(exponent, int) or not -6 <= exponent <= 12:
            raise ValueError(f"{self.title} may have at most six decimals.")
        return number

    def strictness(self, value: str) -> Decimal:
        """Return a number that grows as `value` gets tighter, so that values can be compared."""
        if self.unit is LimitUnit.SWITCH:
            return Decimal(1 if value == "off" else 0)
        number = Decimal(value)
        return -number if self.tighter is Tighter.LOWER else number

    def is_looser(self, value: str, other: str) -> bool:
        """Say whether `value` allows more than `other`."""
        return self.strictness(value) < self.strictness(other)


def _share(
    name: str, title: str, default: str, help_text: str, tighter: Tighter = Tighter.LOWER
) -> LimitSpec:
    return LimitSpec(
        name=name,
        title=title,
        unit=LimitUnit.SHARE,
        default=default,
        tighter=tighter,
        help=help_text,
        largest=Decimal(10),
    )


def _money(name: str, title: str, default: str, help_text: str) -> LimitSpec:
    return LimitSpec(
        name=name,
        title=title,
        unit=LimitUnit.MONEY,
        default=default,
        tighter=Tighter.LOWER,
        help=help_text,
        largest=LARGEST_MONEY,
    )


def _count(
    name: str, title: str, default: str, help_text: str, tighter: Tighter = Tighter.LOWER
) -> LimitSpec:
    return LimitSpec(
        name=name,
        title=title,
        unit=LimitUnit.COUNT,
        default=default,
        tighter=tighter,
        help=help_text,
        largest=Decimal(100_000),
    )


def _seconds(
    name: str, title: str, default: str, help_text: str, tighter: Tighter = Tighter.LOWER
) -> LimitSpec:
    return LimitSpec(
        name=name,
        title=title,
        unit=LimitUnit.SECONDS,
        default=default,
        tighter=tighter,
        help=help_text,
        largest=Decimal(604_800),
    )


def _switch(name: str, title: str, default: str, help_text: str) -> LimitSpec:
    return LimitSpec(
        name=name, title=title, unit=LimitUnit.SWITCH, default=default, tighter=Tighter.LOWER, help=help_text
    )


CATALOGUE: tuple[LimitSpec, ...] = (
    _share(
        "max_position_size",
        "Largest position",
        "0.2",
        "Share of equity that one symbol may reach, open orders included. Above it an order is refused.",
    ),
    _share(
        "max_position_size_soft",
        "Position worth a question",
        "0.15",
        "Share of equity in one symbol from which the order must be confirmed.",
    ),
    _share(
        "max_order_size",
        "Largest order",
        "0.25",
        "Share of equity at the start of the trade date that one opening order may cost.",
    ),
    _share(
        "max_order_size_soft",
        "Order worth a question",
        "0.1",
        "Share of equity at the start of the trade date from which an opening order must be confirmed.",
    ),
    _money(
        "max_order_value",
        "Largest order value",
        "250000",
        "Amount that one opening order may cost, whatever the equity.",
    ),
    _share(
        "buying_power_cushion",
        "Buying power cushion",
        "0.02",
        "Added to the cost of orders whose price is not fixed (market, stop, trailing stop).",
        Tighter.HIGHER,
    ),
    _count(
        "max_daily_trades",
        "Opening orders per trade date",
        "10",
        "How many orders that open or add to a position an account may place on one trade date.",
    ),
    _count("orders_per_minute", "Orders per minute", "30", "How many orders a user may place in 60 seconds."),
    _seconds(
        "duplicate_window",
        "Repeat window",
        "10",
        "An equal order within this time must be confirmed.",
        Tighter.HIGHER,
    ),
    _seconds("quote_max_age_core", "Oldest quote, regular session", "5", "Older quotes count as missing."),
    _seconds(
        "quote_max_age_extended", "Oldest quote, extended hours", "30", "Older quotes count as missing."
    ),
    _seconds("quote_max_age_overnight", "Oldest quote, overnight", "60", "Older quotes count as missing."),
    _seconds("balance_max_age", "Oldest balances", "60", "Older balances count as missing."),
    _seconds("instrument_max_age", "Oldest instrument data", "86400", "Older data count as missing."),
    _seconds("market_order_ttl", "Time to send a market order", "60", "After it an unsent order is dropped."),
    _seconds(
        "limit_order_ttl", "Time to send any other order", "86400", "After it an unsent order is dropped."
    ),
    _count(
        "pilot_orders",
        "Pilot phase of a live account",
        "20",
        "So many first live opening orders are small and wait for the user's approval, each of them.",
        Tighter.HIGHER,
    ),
    _money(
        "pilot_order_value",
        "Largest order in the pilot phase",
        "50",
        "Amount that one opening order may be worth during the pilot phase of a live account.",
    ),
    _money(
        "approval_order_value",
        "Order value that needs approval",
        format(LARGEST_MONEY, "f"),
        "An opening order worth more waits for the user's approval. The largest value switches this off.",
    ),
    _seconds(
        "approval_ttl_market",
        "Time to approve a market order",
        "300",
        "Also for stop and trailing stop orders. After it the order is withdrawn.",
    ),
    _seconds(
        "approval_ttl_limit",
        "Time to approve a limit order",
        "3600",
        "Also for stop-limit orders. After it the order is withdrawn.",
    ),
    _share(
        "approval_price_drift",
        "Price move until approval",
        "0.005",
        "Share by which the price may have moved since the approval was asked for. Beyond it the user has to "
        "look again.",
    ),
    _switch("allow_short", "Short selling", "off", "Whether positions below zero may be opened."),
    _switch(
        "allow_otc", "OTC securities", "off", "Whether securities traded over the counter may be opened."
    ),
)

BY_NAME: dict[str, LimitSpec] = {spec.name: spec for spec in CATALOGUE}


def default_limits() -> LimitSet:
    """Return the limits of an install where nobody has changed anything."""
    return LimitSet(tuple(LimitValue(name=spec.name, value=spec.default) for spec in CATALOGUE))
