"""Single cells: numbers, dates, tickers.

A cell that cannot be trusted raises CellError; nothing is guessed.
"""

import datetime as dt
import functools
import re
from decimal import Decimal

PRICE_PLACES, SMALL_PRICE_PLACES, EXACT_PLACES = 4, 6, 6
QUANTITY_PLACES = 9
MONEY_PLACES = 4
LARGEST = Decimal(10) ** 12
FIRST_YEAR, LAST_YEAR = 1980, 2100
NOTHING = frozenset({"", "-", "--", "n/a", "na", "none", "null", "no data"})
NOT_NUMBERS = frozenset({"nan", "inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})
_NUMBER = re.compile(r"(?:\d+|\d{1,3}(?:,\d{3})+)?(?:\.\d*)?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_TICKER = re.compile(r"[A-Z0-9]{1,10}(?:[.\-/][A-Z0-9]{1,5})?", re.ASCII)
_TIME_TAIL = re.compile(r"[T ]\d{1,2}:\d{2}.*$")
_DATE_FORMS = ("%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y", "%m/%d/%y", "%m-%d-%Y", "%b %d, %Y", "%B %d, %Y")


class CellError(ValueError):
    """What is wrong with one cell, in words for the person importing."""


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would run the cell. A plain signed number is none."""
    return text[:1] in {"=", "@"} or (text[:1] in {"+", "-"} and bool(re.search(r"[A-Za-z|(!]", text[1:2])))


def read_number(text: str, name: str, *, signed: bool = False, comma_groups: bool = True) -> Decimal | None:
    """Decimal of a cell, exactly as written; None when it is empty or says that there is no data.

    Understands ``$``, thousands separators, a leading sign and parentheses for a negative. ``comma_groups``
    False: the file separates cells by semicolons, so a comma may be a decimal point and is refused.
    """
    plain = text.strip()
    if plain.casefold() in NOTHING:
        return None
    if plain.casefold() in NOT_NUMBERS:
        raise CellError(f"{name} is “{plain}”, which is no amount.")
    if is_formula(plain):
        raise CellError(f"{name} holds a spreadsheet formula, not a number: “{plain[:40]}”.")
    if "," in plain and not comma_groups:
        raise CellError(f"{name} is “{plain[:40]}”: a comma could mean a decimal point here. Use a point.")
    negative, digits = _take_sign(plain)
    if not re.search(r"\d", digits) or len(digits) > 40 or not _NUMBER.fullmatch(digits):
        raise CellError(f"{name} is not a number: “{plain[:40]}”.")
    value = Decimal(digits.replace(",", ""))
    if value >= LARGEST:
        raise CellError(f"{name} is too large to be right: “{plain[:40]}”.")
    if negative and value and not signed:
        raise CellError(f"{name} is negative: “{plain[:40]}”.")
    return -value if negative else value


def _take_sign(text: str) -> tuple[bool, str]:
    negative = text.startswith("(") and text.endswith(")")
    rest = text[1:-1] if negative else text
    rest = rest.strip().removeprefix("$").strip()
    if not negative and rest[:1] in {"-", "+"}:
        negative = rest[0] == "-"
        rest = rest[1:].strip().removeprefix("$").strip()
    return negative, rest


def quantise_price(value: Decimal) -> Decimal:
    """Without binary noise: six decimals stay as written, longer tails are rounded to four (six under 1)."""
    if _places(value) <= EXACT_PLACES:
        return value
    return _round(value, PRICE_PLACES if value >= 1 else SMALL_PRICE_PLACES)


def quantise_quantity(value: Decimal) -> Decimal:
    """Shares to nine decimals, the finest fraction brokers book."""
    return value if _places(value) <= QUANTITY_PLACES else _round(value, QUANTITY_PLACES)


def quantise_money(value: Decimal) -> Decimal:
    """Amounts: up to six decimals stay as written, binary noise is rounded to four."""
    return value if _places(value) <= EXACT_PLACES else _round(value, MONEY_PLACES)


@functools.lru_cache(maxsize=4096)
def read_date(text: str, name: str = "Date") -> dt.date:
    """A date in ISO or a US form (month first); a time of day after it is ignored. Empty cells raise too."""
    plain = _TIME_TAIL.sub("", text.strip())
    if not plain:
        raise CellError(f"{name} is empty.")
    for form in _DATE_FORMS:
        try:
            found = dt.datetime.strptime(plain, form).date()  # noqa: DTZ007 - a calendar day has no zone
        except ValueError:
            continue
        if FIRST_YEAR <= found.year <= LAST_YEAR:
            return found
        break
    raise CellError(f"{name} is not a date we read (2025-07-31 or 7/31/2025): “{plain[:40]}”.")


def read_ticker(text: str, name: str = "Ticker") -> str:
    """Ticker in capitals, without a leading ``$``. Formulas and words that cannot be one raise."""
    plain = text.strip()
    if not plain:
        raise CellError(f"{name} is empty.")
    if is_formula(plain):
        raise CellError(f"{name} holds a spreadsheet formula, not a symbol: “{plain[:40]}”.")
    symbol = plain.removeprefix("$").upper()
    if not _TICKER.fullmatch(symbol):
        raise CellError(f"{name} is not a symbol: “{plain[:40]}”.")
    return symbol


def require_positive(value: Decimal | None, name: str) -> Decimal:
    if value is None:
        raise CellError(f"{name} is empty.")
    if value == 0:
        raise CellError(f"{name} is zero.")
    return value


def _places(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _round(value: Decimal, places: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-places))
