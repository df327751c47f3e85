"""The session the simulated market is in, and the trading days around it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from brokers.calendar import (
    EARLY_POST_CLOSE,
    NEW_YORK,
    POST_CLOSE,
    PRE_OPEN,
    core_hours,
    is_early_close,
    is_trading_day,
)
from brokers.matching_terms import Session

MODES = ("open", "calendar", "closed", "pre", "post", "overnight")


@dataclass(frozen=True, slots=True)
class TradingDay:
    """Hours of one trading date, as aware New York times; the evening session ends at ``post_close``."""

    day: date
    open: datetime
    close: datetime
    post_close: datetime


def trading_day(day: date) -> TradingDay | None:
    """Hours of ``day``, or None when the exchange is closed."""
    if not is_trading_day(day):
        return None
    start, end = core_hours(day)
    post_close = EARLY_POST_CLOSE if is_early_close(day) else POST_CLOSE
    evening = datetime.combine(day, post_close, NEW_YORK)
    return TradingDay(day, start.astimezone(NEW_YORK), end.astimezone(NEW_YORK), evening)


def trading_days(start: date, end: date) -> list[TradingDay]:
    """All trading days from ``start`` to ``end``, both included."""
    span = (end - start).days
    days = (trading_day(start + timedelta(days=index)) for index in range(span + 1))
    return [day for day in days if day is not None]


def _first_close_after(now: datetime) -> TradingDay:
    start = now.astimezone(NEW_YORK).date()
    return next(day for day in trading_days(start, start + timedelta(days=10)) if day.close > now)


def previous_close(now: datetime) -> datetime:
    """The latest regular close at or before ``now``, in UTC."""
    end = now.astimezone(NEW_YORK).date()
    days = trading_days(end - timedelta(days=10), end)
    return next(day.close for day in reversed(days) if day.close <= now).astimezone(UTC)


def _next_day(day: date) -> TradingDay:
    return trading_days(day + timedelta(days=1), day + timedelta(days=11))[0]


class SessionModel:
    """Which session the market is in: always open by default, or fixed, or the real calendar."""

    def __init__(self, mode: str = "open") -> None:
        self.mode = mode

    def set_mode(self, mode: str) -> None:
        """Choose a session. Raises ValueError for an unknown name."""
        if mode not in MODES:
            raise ValueError(f"unknown session mode {mode!r}; choose one of {', '.join(MODES)}")
        self.mode = mode

    def session(self, now: datetime) -> Session:
        """The session at ``now``."""
        if self.mode == "calendar":
            return self._calendar_session(now.astimezone(NEW_YORK))
        return Session.CORE if self.mode == "open" else Session(self.mode)

    def _calendar_session(self, local: datetime) -> Session:
        day = trading_day(local.date())
        clock = local.time()
        if day is None or clock < PRE_OPEN or local >= day.post_close:
            return self._night_session(local)
        if local < day.open:
            return Session.PRE
        return Session.CORE if local < day.close else Session.POST

    def _night_session(self, local: datetime) -> Session:
        """Overnight trading runs from 20:00 to 04:00 before a trading day."""
        following = local.date() if local.time() < PRE_OPEN else local.date() + timedelta(days=1)
        night = local.time() >= POST_CLOSE or local.time() < PRE_OPEN
        return Session.OVERNIGHT if night and trading_day(following) else Session.CLOSED

    def next_times(self, now: datetime) -> tuple[datetime, datetime]:
        """Next open and next close after ``now``, as New York times."""
        current = _first_close_after(now)
        if self.session(now) == Session.CORE:
            return _next_day(current.day).open, current.close
        if current.open > now:
            return current.open, current.close
        following = _next_day(current.day)
        return following.open, following.close
