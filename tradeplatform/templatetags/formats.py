"""Filters that write amounts, quantities, percentages and times the same way on every page.

`{% load formats %}` gives:

    {{ amount|money:"USD" }}            $1,234.56     -$3.10 as −$3.10; None as —
    {{ amount|signed_money:"USD" }}     +$12.00  −$3.10  $0.00
    {{ price|price:"USD" }}             $192.41  $0.0123: two to six places
    {{ quantity|quantity }}             1,250  0.5
    {{ ratio|percent }}                 12.35%        the value is a fraction: 0.1235
    {{ ratio|signed_percent }}          +7.97%
    {{ amount|tone }}                   gain, loss or flat: a class name to colour a signed number
    {{ when|local_time }}               <time> in the active zone, named; also "date", "time", "seconds"
    {{ when|age }}                      <time> with 12 s, 4 min, 3 h, 2 d

Amounts are Decimal or int, never float, and never without a currency. None means "not known": an em dash.
"""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

MINUS = "\u2212"
SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "CAD": "CA$", "AUD": "A$"}
MINOR_UNITS = {"JPY": 0}
UNKNOWN = mark_safe('<span class="muted" title="not known">—</span>')

Amount = Decimal | int | None


def _as_decimal(value: Amount) -> Decimal:
    """Refuse everything that is not exact: floats, booleans, text, NaN and infinities."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise TypeError(f"expected a Decimal, got {type(value).__name__}")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(f"expected a finite number, got {number}")
    return number


def _sign(number: Decimal, *, plus: bool) -> str:
    if number < 0:
        return MINUS
    return "+" if plus and number > 0 else ""


def _rounded(number: Decimal, places: int) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)


def _with_currency(magnitude: str, currency: str) -> str:
    if not currency:
        raise ValueError("an amount of money needs its currency")
    symbol = SYMBOLS.get(currency)
    return f"{symbol}{magnitude}" if symbol else f"{currency}\u00a0{magnitude}"


def format_money(value: Decimal | int, currency: str, *, plus: bool = False) -> str:
    """Format an amount with its currency, at the currency's usual number of places."""
    number = _rounded(_as_decimal(value), MINOR_UNITS.get(currency, 2))
    return _sign(number, plus=plus) + _with_currency(f"{abs(number):,f}", currency)


def format_price(value: Decimal | int, currency: str) -> str:
    """Format a price per unit: at least two places, up to six where the price has them."""
    number = _as_decimal(value)
    trimmed = _rounded(number, 6).normalize()
    exponent = trimmed.as_tuple().exponent
    places = max(2, -exponent if isinstance(exponent, int) else 2)
    return _sign(number, plus=False) + _with_currency(f"{abs(_rounded(number, places)):,f}", currency)


def format_quantity(value: Decimal | int) -> str:
    """Format a number of units with grouping and without trailing zeros."""
    number = _as_decimal(value)
    text = f"{abs(number):,f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return _sign(number, plus=False) + text


def format_percent(value: Decimal | int, *, plus: bool = False, places: int = 2) -> str:
    """Format a fraction (0.1235) as a percentage (12.35%)."""
    number = _rounded(_as_decimal(value) * 100, places)
    return f"{_sign(number, plus=plus)}{abs(number):,f}%"


@register.filter
def money(value: Amount, currency: str) -> str | SafeString:
    return UNKNOWN if value is None else format_money(value, currency)


@register.filter
def signed_money(value: Amount, currency: str) -> str | SafeString:
    return UNKNOWN if value is None else format_money(value, currency, plus=True)


@register.filter
def price(value: Amount, currency: str) -> str | SafeString:
    return UNKNOWN if value is None else format_price(value, currency)


@register.filter
def quantity(value: Amount) -> str | SafeString:
    return UNKNOWN if value is None else format_quantity(value)


@register.filter
def percent(value: Amount, places: int = 2) -> str | SafeString:
    return UNKNOWN if value is None else format_percent(value, places=places)


@register.filter
def signed_percent(value: Amount, places: int = 2) -> str | SafeString:
    return UNKNOWN if value is None else format_percent(value, plus=True, places=places)


@register.filter
def tone(value: Amount) -> str:
    """The class that colours a signed number; the sign itself says the same to everyone else."""
    if value is None or _as_decimal(value) == 0:
        return "flat"
    return "gain" if value > 0 else "loss"


TIME_FORMATS = {
    "minutes": "%-d %b %Y, %H:%M %Z",
    "seconds": "%-d %b %Y, %H:%M:%S %Z",
    "date": "%-d %b %Y",
    "time": "%H:%M:%S %Z",
}


def _machine_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@register.filter
def local_time(moment: datetime | None, style: str = "minutes") -> SafeString:
    """A moment in the active time zone with the zone's name, and in UTC for machines."""
    if moment is None:
        return UNKNOWN
    if timezone.is_naive(moment):
        raise ValueError("a time without a zone cannot be shown")
    text = timezone.localtime(moment).strftime(TIME_FORMATS[style])
    return format_html('<time datetime="{}">{}</time>', _machine_time(moment), text)


def format_duration(span: timedelta) -> str:
    """A length of time in its largest whole unit: 12 s, 4 min, 3 h, 2 d."""
    seconds = max(0, int(span.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


@register.filter
def age(moment: datetime | timedelta | None) -> str | SafeString:
    """How long ago a moment was, or how long a span is."""
    if moment is None:
        return UNKNOWN
    if isinstance(moment, timedelta):
        return format_duration(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        _machine_time(moment),
        timezone.localtime(moment).strftime(TIME_FORMATS["seconds"]),
        format_duration(timezone.now() - moment),
    )
