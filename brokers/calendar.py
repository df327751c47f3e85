"""The US equity trading calendar, computed by rule. Pure: the caller passes the time.

Holidays, observed days and early closes follow NYSE Rule 7.2 and the exchange's published calendars;
Juneteenth is a holiday since 2022. Closures that no rule foresees (mourning, disasters) are listed by date.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from brokers.enums import Session

NEW_YORK = ZoneInfo("America/New_York")
PRE_OPEN = time(4, 0)
CORE_OPEN = time(9, 30)
CORE_CLOSE = time(16, 0)
EARLY_CLOSE = time(13, 0)
POST_CLOSE = time(20, 0)
EARLY_POST_CLOSE = time(17, 0)

SPECIAL_CLOSURES = frozenset(
    {
        date(2018, 12, 5),  # mourning for George H. W. Bush
        date(2025, 1, 9),  # mourning for Jimmy Carter
    }
)
_ONE_DAY = timedelta(days=1)


def is_trading_day(day: date) -> bool:
    """Say whether the exchanges open on `day`."""
    return day.weekday() < 5 and day not in holidays(day.year) and day not in SPECIAL_CLOSURES


def is_early_close(day: date) -> bool:
    """Say whether `day` is a trading day whose core session ends at 13:00 New York time."""
    if not is_trading_day(day):
        return False
    thanksgiving = _nth_weekday(day.year, 11, 3, 4)
    # The eve of Independence Day is short only when the holiday itself falls on a weekday.
    independence_eve = day == date(day.year, 7, 3) and day.weekday() < 4
    return day == thanksgiving + _ONE_DAY or independence_eve or day == date(day.year, 12, 24)


@lru_cache(maxsize=64)
def holidays(year: int) -> frozenset[date]:
    """Return the full-day holidays of `year`. A New Year's Day on a Saturday is not made up for."""
    days = {
        _nth_weekday(year, 1, 0, 3),
        _nth_weekday(year, 2, 0, 3),
        _easter_sunday(year) - timedelta(days=2),
        _last_weekday(year, 5, 0),
        _observed(date(year, 7, 4)),
        _nth_weekday(year, 9, 0, 1),
        _nth_weekday(year, 11, 3, 4),
        _observed(date(year, 12, 25)),
    }
    new_year = date(year, 1, 1)
    if new_year.weekday() != 5:
        days.add(_observed(new_year))
    if year >= 2022:
        days.add(_observed(date(year, 6, 19)))
    return frozenset(days)


def core_hours(day: date) -> tuple[datetime, datetime]:
    """Return open and close of the core session of a trading day, in UTC. Raises ValueError otherwise."""
    if not is_trading_day(day):
        raise ValueError(f"{day} is not a trading day")
    close = EARLY_CLOSE if is_early_close(day) else CORE_CLOSE
    return _in_utc(day, CORE_OPEN), _in_utc(day, close)


def session_at(now: datetime) -> Session:
    """Return the session that `now` (aware) falls into.

    Overnight trading belongs to the trading day it leads to, so none runs into a weekend or a holiday. On
    an early-close day the evening session ends at 17:00.
    """
    local = now.astimezone(NEW_YORK)
    day, clock = local.date(), local.time()
    if clock >= POST_CLOSE:
        return Session.OVERNIGHT if is_trading_day(day + _ONE_DAY) else Session.CLOSED
    if not is_trading_day(day):
        return Session.CLOSED
    if clock < PRE_OPEN:
        return Session.OVERNIGHT
    if clock < CORE_OPEN:
        return Session.PRE
    if clock < (EARLY_CLOSE if is_early_close(day) else CORE_CLOSE):
        return Session.CORE
    if clock < (EARLY_POST_CLOSE if is_early_close(day) else POST_CLOSE):
        return Session.POST
    return Session.CLOSED


def trade_date(now: datetime) -> date:
    """Return the trading day that activity at `now` counts for; it rolls at 20:00 New York time."""
    local = now.astimezone(NEW_YORK)
    day = local.date() + _ONE_DAY if local.time() >= POST_CLOSE else local.date()
    return day if is_trading_day(day) else next_trading_day(day)


def trade_date_start(now: datetime) -> datetime:
    """Return the moment at which the trade date of `now` began."""
    eve = previous_trading_day(trade_date(now))
    return datetime.combine(eve, POST_CLOSE, tzinfo=NEW_YORK).astimezone(UTC)


def next_trading_day(day: date) -> date:
    """Return the first trading day after `day`."""
    day += _ONE_DAY
    while not is_trading_day(day):
        day += _ONE_DAY
    return day


def previous_trading_day(day: date) -> date:
    """Return the last trading day before `day`."""
    day -= _ONE_DAY
    while not is_trading_day(day):
        day -= _ONE_DAY
    return day


def next_open(now: datetime) -> datetime:
    """Return the first core open after `now`, in UTC."""
    day = now.astimezone(NEW_YORK).date()
    if is_trading_day(day) and core_hours(day)[0] > now:
        return core_hours(day)[0]
    return core_hours(next_trading_day(day))[0]


def next_close(now: datetime) -> datetime:
    """Return the first core close after `now`, in UTC."""
    day = now.astimezone(NEW_YORK).date()
    if is_trading_day(day) and core_hours(day)[1] > now:
        return core_hours(day)[1]
    return core_hours(next_trading_day(day))[1]


def _in_utc(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, NEW_YORK).astimezone(UTC)


def _nth_weekday(year: int, month: int, weekday: int, nth: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))


def _last_weekday(year: int, month: int, weekday: int) -> date:
    last = date(year, month + 1, 1) - _ONE_DAY
    return last - timedelta(days=(last.weekday() - weekday) % 7)


def _observed(holiday: date) -> date:
    """A Saturday holiday is kept on Friday, a Sunday holiday on Monday."""
    return holiday + timedelta(days={5: -1, 6: 1}.get(holiday.weekday(), 0))


def _easter_sunday(year: int) -> date:
    """Gregorian Easter by Gauss's method with the century corrections of Meeus."""
    golden, century = year % 19, year // 100
    epact = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    weekday = (32 + 2 * (century % 4) + 2 * (year % 100 // 4) - epact - year % 100 % 4) % 7
    shift = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * shift + 114, 31)
    return date(year, month, day + 1)
