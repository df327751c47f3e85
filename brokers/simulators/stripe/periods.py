"""Billing periods: months and years that keep their day, and shares of a period."""

import calendar
from datetime import UTC, datetime, timedelta

from brokers.simulators.stripe.state import Thing


def period_end(start: int, price: Thing, anchor: int) -> int:
    """The end of the period that begins at ``start``, in the price's rhythm counted from ``anchor``."""
    recurring = price["recurring"]
    count, interval = recurring["interval_count"], recurring["interval"]
    begin, origin = _date(start), _date(anchor)
    if interval in ("day", "week"):
        return int((begin + timedelta(days=count * (7 if interval == "week" else 1))).timestamp())
    months = count * (12 if interval == "year" else 1)
    steps = (begin.year - origin.year) * 12 + begin.month - origin.month + months
    return int(add_months(origin, steps).timestamp())


def add_months(moment: datetime, months: int) -> datetime:
    """The same day ``months`` later, or the last of the month where that day does not exist."""
    index = moment.year * 12 + moment.month - 1 + months
    year, month = divmod(index, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def unused(amount: int, period: tuple[int, int], now: int) -> int:
    """The part of ``amount`` that belongs to the rest of the period, rounded to whole cents."""
    length = period[1] - period[0]
    left = min(max(period[1] - now, 0), length)
    return (amount * left * 2 + length) // (length * 2)


def _date(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
