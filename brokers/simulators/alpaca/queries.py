"""Reading of query parameters that several calls share."""

import re
from datetime import UTC, date, datetime

from brokers.simulators.alpaca.errors import invalid

_FRACTION = re.compile(r"(\.\d{6})\d+")


def parse_time(value: str | None, name: str) -> datetime | None:
    """An RFC 3339 time or a date as an aware datetime (UTC when no zone is given); None when absent."""
    if not value:
        return None
    text = _FRACTION.sub(r"\1", value.replace(" ", "+"))
    if re.fullmatch(r"\d+", text):
        return datetime.fromtimestamp(int(text), tz=UTC)
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"invalid {name}") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def parse_date(value: str | None, name: str) -> date | None:
    """A date, also out of a full timestamp; None when absent."""
    parsed = parse_time(value, name)
    return parsed.date() if parsed else None


def parse_limit(value: str | None, *, default: int, most: int) -> int:
    """A row limit between 1 and ``most``."""
    if not value:
        return default
    if not value.isdigit() or not 1 <= int(value) <= most:
        raise invalid(f"limit must be between 1 and {most}")
    return int(value)


def parse_symbols(value: str | None) -> list[str]:
    """Comma-separated tickers, upper case, in order, without repeats. Raises 422 when there is none."""
    names = [name.strip().upper() for name in (value or "").split(",") if name.strip()]
    if not names:
        raise invalid("symbols is required")
    return list(dict.fromkeys(names))
