"""Readers of single JSON values: strict where a wrong value costs money, tolerant everywhere else."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django.db import models

NEW_YORK = ZoneInfo("America/New_York")

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)
_ID_TIME = re.compile(r"\d{17}", re.ASCII)
_MIDNIGHT = "0" * 9
_LARGEST = Decimal(10) ** 18
_FINEST = -18
_LONGEST_ID = 128
# As long as our columns. An option has up to 21 characters (OCC symbology): an account that holds one must
# stay readable.
_LONGEST_SYMBOL = 32

Word = TypeVar("Word", bound=models.TextChoices)


class UnreadableAnswer(Exception):  # noqa: N818 - named for what it says, like the broker failures
    """An answer that cannot be trusted: a number, id or time that must be right is missing or malformed."""


def require_mapping(value: Any, what: str) -> Mapping[str, Any]:
    """Return `value` when it is a JSON object."""
    if not isinstance(value, Mapping):
        raise UnreadableAnswer(f"{what} is not an object")
    return value


def require_list(value: Any, what: str) -> list[Any]:
    """Return `value` when it is a JSON array. A missing list is never an empty one."""
    if not isinstance(value, list):
        raise UnreadableAnswer(f"{what} is not a list")
    return value


def read_decimal(row: Mapping[str, Any], key: str) -> Decimal | None:
    """Return a number that came as JSON string or number; None when absent, null or empty."""
    value = row.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise UnreadableAnswer(f"{key} is not a number")
    # str() of a float is its shortest exact spelling: the digits that were on the wire.
    text = str(value).strip()
    if not _NUMBER.fullmatch(text):
        raise UnreadableAnswer(f"{key} is not a number")
    number = Decimal(text)
    exponent = number.as_tuple().exponent
    if abs(number) >= _LARGEST or not isinstance(exponent, int) or exponent < _FINEST:
        raise UnreadableAnswer(f"{key} is out of range")
    return number


def require_decimal(row: Mapping[str, Any], key: str) -> Decimal:
    """Return a number that must be there."""
    number = read_decimal(row, key)
    if number is None:
        raise UnreadableAnswer(f"{key} is missing")
    return number


def read_amount(row: Mapping[str, Any], key: str) -> Decimal | None:
    """Return a price or quantity that can never be below zero."""
    number = read_decimal(row, key)
    if number is not None and number < 0:
        raise UnreadableAnswer(f"{key} is negative")
    return number


def require_amount(row: Mapping[str, Any], key: str) -> Decimal:
    """Return a quantity that must be there; zero is one."""
    number = read_amount(row, key)
    if number is None:
        raise UnreadableAnswer(f"{key} is missing")
    return number


def require_positive(row: Mapping[str, Any], key: str) -> Decimal:
    """Return a price or quantity that must be there and above zero."""
    number = require_decimal(row, key)
    if number <= 0:
        raise UnreadableAnswer(f"{key} is not above zero")
    return number


def read_text(row: Mapping[str, Any], key: str) -> str:
    """Return a text; "" when absent, null or of another kind."""
    value = row.get(key)
    return value if isinstance(value, str) else ""


def read_name(row: Mapping[str, Any], key: str, *, longest: int = _LONGEST_ID) -> str:
    """Return an id; "" when absent, null or of another kind. One that no database could hold is refused."""
    text = read_text(row, key)
    if len(text) > longest or "\x00" in text:
        raise UnreadableAnswer(f"{key} is too long or not a text")
    return text


def require_name(row: Mapping[str, Any], key: str, *, longest: int = _LONGEST_ID) -> str:
    """Return an id that must be there."""
    text = read_name(row, key, longest=longest)
    if not text:
        raise UnreadableAnswer(f"{key} is missing")
    return text


def read_symbol(row: Mapping[str, Any]) -> str:
    """Return the symbol; "" when there is none."""
    return read_name(row, "symbol", longest=_LONGEST_SYMBOL)


def require_symbol(row: Mapping[str, Any]) -> str:
    """Return the symbol, which must be there."""
    return require_name(row, "symbol", longest=_LONGEST_SYMBOL)


def read_flag(row: Mapping[str, Any], key: str) -> bool:
    """Return a flag; anything but true counts as not set."""
    value = row.get(key)
    return value is True or (isinstance(value, str) and value.lower() == "true")


def read_word(row: Mapping[str, Any], key: str, words: type[Word]) -> Word | None:
    """Return a member of an enum whose values equal the wire words; None for one that is new to us."""
    try:
        return words(read_text(row, key))
    except ValueError:
        return None


def read_time(row: Mapping[str, Any], key: str) -> datetime | None:
    """Return an RFC 3339 time in UTC, cut to microseconds; None when absent, malformed or without a zone."""
    value = row.get(key)
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def require_time(row: Mapping[str, Any], key: str) -> datetime:
    """Return a time that must be there."""
    moment = read_time(row, key)
    if moment is None:
        raise UnreadableAnswer(f"{key} is not a time")
    return moment


def read_day_start(row: Mapping[str, Any], key: str) -> datetime | None:
    """Return midnight in New York of a calendar day, in UTC."""
    try:
        day = date.fromisoformat(read_text(row, key))
    except ValueError:
        return None
    return datetime.combine(day, time(), tzinfo=NEW_YORK).astimezone(UTC)


def read_id_time(row: Mapping[str, Any], key: str) -> datetime | None:
    """Return the time with which an activity's id begins; None when it tells no more than a day.

    Seventeen digits in New York time, to the millisecond: Alpaca, "Account Activities", sample trade activity
    (read 2026-11-28).
    """
    digits, _, _ = read_text(row, key).partition("::")
    if not _ID_TIME.fullmatch(digits) or digits.endswith(_MIDNIGHT):
        return None
    try:
        return datetime.strptime(f"{digits}000", "%Y%m%d%H%M%S%f").replace(tzinfo=NEW_YORK).astimezone(UTC)
    except ValueError:
        return None


def write_time(moment: datetime) -> str:
    """Write a time as RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
