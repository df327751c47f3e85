"""The replayed book against the daily files, day by day. Reports, heals nothing."""

import bisect
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from portfolios.imports.quirks import looks_cut_to_whole_shares, looks_logged_early
from portfolios.imports.replay import DayState, ReplayedBook
from portfolios.imports.types import BreakKind, DailyPosition, DailyTotal, DayEquity, ImportBreak

ZERO = Decimal(0)
CASH_TOLERANCE = Decimal("0.005")


@dataclass(frozen=True, slots=True)
class DailyCheck:
    """``days_checked`` counts every day of the daily files."""

    breaks: tuple[ImportBreak, ...]
    days_checked: int
    equity_by_day: tuple[DayEquity, ...]


@dataclass(frozen=True, slots=True)
class _LoggedDay:
    positions: tuple[DailyPosition, ...]
    totals: tuple[DailyTotal, ...]

    @property
    def cash(self) -> Decimal | None:
        return next((total.cash for total in self.totals if total.cash is not None), None)

    @property
    def equity(self) -> Decimal | None:
        return next((total.equity for total in self.totals if total.equity is not None), None)

    @property
    def lists_positions(self) -> bool:
        return bool(self.positions) or any(total.lists_positions for total in self.totals)

    def held(self) -> dict[str, Decimal]:
        """Quantities at the end of the day: rows the day's stop sold are not held any more."""
        return {row.symbol: row.quantity for row in self.positions if not row.is_sold and row.quantity}

    def prices(self) -> dict[str, Decimal]:
        return {row.symbol: row.price for row in self.positions if row.price is not None}


@dataclass(frozen=True, slots=True)
class _CashStreak:
    """A cash difference that stays the same from day to day: one cause, not a new one every day."""

    since: dt.date
    difference: Decimal


def check_daily(
    book: ReplayedBook,
    *,
    opening: DayState,
    positions: Sequence[DailyPosition],
    totals: Sequence[DailyTotal],
    cash_tolerance: Decimal = CASH_TOLERANCE,
) -> DailyCheck:
    """Compare cash and quantities at the end of each logged day, trades of that day included.

    ``opening`` is the state before the first trade. Cash may be ``cash_tolerance`` apart; quantities must
    agree exactly. A day without a cash figure has its cash unchecked.
    """
    logged = _group_by_day(positions, totals)
    states = [opening, *book.days]
    dates = [state.on for state in book.days]
    breaks: list[ImportBreak] = []
    equity: list[DayEquity] = []
    streak: _CashStreak | None = None
    for on, day in logged.items():
        state = states[bisect.bisect_right(dates, on)]
        before = states[bisect.bisect_left(dates, on)]
        if day.cash is not None:
            streak = _follow_difference(streak, on, state.cash - day.cash, cash_tolerance)
            breaks.extend(_describe_cash(on, state.cash, day.cash, streak))
        if day.lists_positions:
            breaks.extend(_check_positions(on, state, before, day))
        equity.append(DayEquity(on, state.cash, _value(state, day), day.equity))
    return DailyCheck(tuple(breaks), len(logged), tuple(equity))


def _group_by_day(
    positions: Sequence[DailyPosition], totals: Sequence[DailyTotal]
) -> dict[dt.date, _LoggedDay]:
    rows_by_day: dict[dt.date, list[DailyPosition]] = {}
    totals_by_day: dict[dt.date, list[DailyTotal]] = {}
    for row in positions:
        rows_by_day.setdefault(row.on, []).append(row)
    for total in totals:
        totals_by_day.setdefault(total.on, []).append(total)
    days = sorted({*rows_by_day, *totals_by_day})
    return {
        day: _LoggedDay(tuple(rows_by_day.get(day, ())), tuple(totals_by_day.get(day, ()))) for day in days
    }


def _follow_difference(
    streak: _CashStreak | None, on: dt.date, difference: Decimal, tolerance: Decimal
) -> _CashStreak | None:
    """None when cash agrees; the running streak while the difference stays the same; else a new one."""
    if abs(difference) <= tolerance:
        return None
    if streak is not None and abs(difference - streak.difference) <= tolerance:
        return streak
    return _CashStreak(on, difference)


def _describe_cash(
    on: dt.date, ours: Decimal, theirs: Decimal, streak: _CashStreak | None
) -> list[ImportBreak]:
    if streak is None:
        return []
    explanation = "" if streak.since == on else f"The difference is the same as on {streak.since}."
    return [ImportBreak(on, BreakKind.CASH, "", ours, theirs, explanation)]


def _check_positions(on: dt.date, state: DayState, before: DayState, day: _LoggedDay) -> list[ImportBreak]:
    held = day.held()
    found: list[ImportBreak] = []
    for symbol in sorted({*held, *state.quantities}):
        ours, theirs = state.quantities.get(symbol, ZERO), held.get(symbol, ZERO)
        if ours == theirs:
            continue
        explanation = _explain_position(before.quantities, symbol, ours, theirs)
        found.append(ImportBreak(on, BreakKind.POSITION, symbol, ours, theirs, explanation))
    return found


def _explain_position(before: dict[str, Decimal], symbol: str, ours: Decimal, theirs: Decimal) -> str:
    if looks_logged_early(before, symbol, ours, theirs):
        return "The daily file still shows the quantity before this day's trades."
    if looks_cut_to_whole_shares(ours, theirs):
        return "The daily file may have cut the fraction of a share off."
    return ""


def _value(state: DayState, day: _LoggedDay) -> Decimal | None:
    """Cash and shares at the day's logged prices; None when one held symbol has no price."""
    prices = day.prices()
    if any(symbol not in prices for symbol in state.quantities):
        return None
    return state.cash + sum(
        (quantity * prices[symbol] for symbol, quantity in state.quantities.items()), ZERO
    )
