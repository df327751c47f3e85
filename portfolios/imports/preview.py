"""What an import would do, before anything is stored."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

from portfolios.calculations import positions_from_lots
from portfolios.imports.check import CASH_TOLERANCE, DailyCheck, check_daily
from portfolios.imports.replay import (
    DayState,
    ReplayedBook,
    drop_false_repeats,
    holding_price,
    open_holdings,
    replay_trades,
)
from portfolios.imports.types import (
    BreakKind,
    CashAdjustment,
    Holding,
    ImportBreak,
    ImportedPosition,
    ImportPreview,
    ImportProblem,
    ImportReading,
    ProblemCode,
    Severity,
)

ZERO = Decimal(0)


def build_preview(
    reading: ImportReading,
    opening_cash: Decimal,
    *,
    adjustments: Sequence[CashAdjustment] = (),
    cash_tolerance: Decimal = CASH_TOLERANCE,
    as_of: dt.date | None = None,
) -> ImportPreview:
    """Replay the trades on ``opening_cash`` and compare with the daily rows.

    ``as_of`` dates the positions of a portfolio file without dates; it is needed only when such a file
    comes without a trade log (with one, its positions are compared to the final ones instead). Raises
    ValueError when the cash or an adjustment is no finite number.
    """
    if not all(amount.is_finite() for amount in (opening_cash, *(item.amount for item in adjustments))):
        raise ValueError("Opening cash and adjustments must be finite numbers.")
    repeats = drop_false_repeats(reading.trades)
    trades = tuple(trade for trade in repeats.trades if trade.price is not None)
    opening = reading.holdings if not trades and as_of else ()
    lots = open_holdings(opening, as_of=as_of) if as_of else ()
    book = replay_trades(trades, opening_cash=opening_cash, opening_lots=lots, adjustments=adjustments)
    start = DayState(dt.date.min, opening_cash, {lot.symbol: lot.quantity for lot in lots})
    has_book = bool(trades or lots)
    check = _check(book, start, reading, cash_tolerance, has_book=has_book)
    return ImportPreview(
        trades=trades,
        opening_holdings=tuple(opening),
        dropped_repeats=repeats.dropped,
        breaks=(*check.breaks, *(_check_holdings(book, reading.holdings) if trades else ())),
        days_checked=check.days_checked,
        opening_cash=opening_cash,
        final_cash=book.cash,
        logged_cash=_last_logged_cash(reading),
        realised_pnl=book.realised_pnl,
        final_positions=_final_positions(book),
        equity_by_day=check.equity_by_day,
        problems=(
            *reading.problems,
            *repeats.problems,
            *book.problems,
            *_set_problems(reading, has_book, as_of),
        ),
        file_hash=reading.file_hash,
        adjustments=tuple(adjustments),
    )


def _check(
    book: ReplayedBook, start: DayState, reading: ImportReading, tolerance: Decimal, *, has_book: bool
) -> DailyCheck:
    """Without a single trade or holding every day would differ; then the logged equity is all there is."""
    check = check_daily(
        book,
        opening=start,
        positions=reading.positions,
        totals=reading.totals,
        cash_tolerance=tolerance,
    )
    return check if has_book else DailyCheck((), 0, check.equity_by_day)


def _check_holdings(book: ReplayedBook, holdings: Sequence[Holding]) -> tuple[ImportBreak, ...]:
    """A portfolio file without dates beside a trade log should show what the log leads to."""
    if not holdings:
        return ()
    theirs: dict[str, Decimal] = {}
    for holding in holdings:
        theirs[holding.symbol] = theirs.get(holding.symbol, ZERO) + holding.quantity
    last = book.days[-1]
    return tuple(
        ImportBreak(
            last.on, BreakKind.POSITION, symbol, last.quantities.get(symbol, ZERO), theirs.get(symbol, ZERO)
        )
        for symbol in sorted({*theirs, *last.quantities})
        if last.quantities.get(symbol, ZERO) != theirs.get(symbol, ZERO)
    )


def _last_logged_cash(reading: ImportReading) -> Decimal | None:
    return next((total.cash for total in reversed(reading.totals) if total.cash is not None), None)


def _final_positions(book: ReplayedBook) -> tuple[ImportedPosition, ...]:
    return tuple(
        ImportedPosition(position.symbol, position.quantity, position.average_price, position.cost)
        for position in positions_from_lots(book.lots).values()
    )


def _set_problems(reading: ImportReading, has_book: bool, as_of: dt.date | None) -> tuple[ImportProblem, ...]:
    problems: list[ImportProblem] = []
    if reading.holdings and not reading.trades and as_of is None:
        message = (
            "The portfolio file carries no dates. Say as of which day it holds, and its positions become "
            "the opening positions."
        )
        problems.append(ImportProblem(ProblemCode.HOLDINGS_NOT_DATED, Severity.WARNING, message))
    unpriced = [holding for holding in reading.holdings if holding_price(holding) is None]
    problems += [
        ImportProblem(
            ProblemCode.NO_PRICE,
            Severity.WARNING,
            f"The file does not say what {holding.symbol} cost. It opens at zero, so all its value is gain.",
            holding.file,
            holding.line,
        )
        for holding in unpriced
        if not reading.trades
    ]
    if not has_book and (reading.positions or reading.totals):
        message = (
            "There is no trade log among the files: the history of equity can be shown, but no trade can "
            "be booked and nothing can be checked."
        )
        problems.append(ImportProblem(ProblemCode.NOTHING_TO_CHECK, Severity.WARNING, message))
    return tuple(problems)
