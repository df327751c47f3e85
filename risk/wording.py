"""How numbers and times are written in findings."""

from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo

from brokers.types import format_decimal

NEW_YORK = ZoneInfo("America/New_York")
LARGEST_EXPONENT = 15
SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£"}


def plain(number: Decimal | int | None) -> str:
    """Write a number without exponent, with at most nine decimals and no trailing zeros."""
    if number is None:
        return ""
    value = Decimal(number)
    if not value.is_finite() or value.adjusted() >= LARGEST_EXPONENT:
        return as_typed(value)
    text = format_decimal(round(value, 9)) or "0"
    return "0" if text == "-0" else text


def _cents(amount: Decimal, currency: str, rounding: str) -> str:
    sign = "-" if amount < 0 else ""
    prefix = SYMBOLS.get(currency, f"{currency} ")
    return f"{sign}{prefix}{abs(amount.quantize(Decimal('0.01'), rounding=rounding)):,}"


def need(amount: Decimal, currency: str) -> str:
    """Write an amount that is too large, rounded up, so that it never looks equal to its limit."""
    return _cents(amount, currency, ROUND_CEILING)


def room(amount: Decimal, currency: str) -> str:
    """Write an amount that is available, rounded down."""
    return _cents(amount, currency, ROUND_FLOOR)


def percent(share: Decimal, *, up: bool = False) -> str:
    """Write 0.2 as "20%"; `up` rounds the second decimal up."""
    rounding = ROUND_CEILING if up else ROUND_HALF_EVEN
    return f"{plain((share * 100).quantize(Decimal('0.01'), rounding=rounding))}%"


def moment(at: datetime) -> str:
    """Write a time as the exchange's clock shows it."""
    local = at.astimezone(NEW_YORK)
    return f"{local:%a} {local.day} {local:%b %H:%M} ET"


def seconds(span: timedelta) -> str:
    """Write a span as whole seconds, rounded up, or as minutes or hours when it is long."""
    total = -(-span // timedelta(seconds=1))
    if total < 120:
        return f"{total} s"
    return f"{total // 60} min" if total < 7200 else f"{total // 3600} h"


def seconds_text(total: int) -> str:
    """Write a number of seconds in the largest unit that divides it."""
    for size, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if total and total % size == 0:
            count = total // size
            return f"{count} {name}" if count == 1 else f"{count} {name}s"
    return f"{total} s"


def exact_seconds(span: timedelta) -> str:
    """Write a span in seconds with all its digits."""
    return plain(Decimal(span // timedelta(microseconds=1)).scaleb(-6))


def decimals(number: Decimal) -> int:
    """Return how many decimals a finite number needs, trailing zeros aside; exact for any exponent."""
    _sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError("not a finite number")
    zeros = next((place for place, digit in enumerate(reversed(digits)) if digit), len(digits))
    return max(0, -exponent - zeros) if any(digits) else 0


def shorten(text: str) -> str:
    """Cut a text that a person or a program gave us to what fits into a sentence."""
    return text if len(text) <= 30 else f"{text[:27]}..."


def as_typed(number: Decimal) -> str:
    """Write any number that a person may have typed, NaN and absurd lengths included."""
    return shorten(str(number))
