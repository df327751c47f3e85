"""The book the trade rows lead to, and the rows that are no trades."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from brokers.enums import Side
from portfolios.imports.quirks import trade_moment
from portfolios.imports.types import (
    CashAdjustment,
    DroppedRepeat,
    Holding,
    ImportProblem,
    ProblemCode,
    Severity,
    TradeRow,
)
from portfolios.lots import Fill, LotLedger, LotSource, OpenLot

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class DayState:
    """The book at the end of one day: cash, and shares of every symbol held or short."""

    on: dt.date
    cash: Decimal
    quantities: dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class ReplayedBook:
    """``days``: one state for each day something happened, oldest first."""

    days: tuple[DayState, ...]
    cash: Decimal
    lots: tuple[OpenLot, ...]
    realised_pnl: Decimal
    problems: tuple[ImportProblem, ...]


@dataclass(frozen=True, slots=True)
class RepeatReport:
    """Trades to book, the false repeats, and a warning for each repeat that nothing disproves."""

    trades: tuple[TradeRow, ...]
    dropped: tuple[DroppedRepeat, ...]
    problems: tuple[ImportProblem, ...]


def drop_false_repeats(trades: Sequence[TradeRow]) -> RepeatReport:
    """Leave out sales that a file repeats cell by cell, where together they sell more than was held.

    A tracker run twice writes the same sale twice. For each symbol the trades are replayed; where holdings
    fall below zero, just as many of the latest repeats before that point go as are needed to cover it. If
    they cannot cover it, none goes: then a purchase is missing, not a repeat in. Repeats of purchases are
    never dropped, only named.
    """
    first_lines = _find_repeats(trades)
    by_symbol: dict[str, list[TradeRow]] = {}
    for trade in trades:
        by_symbol.setdefault(trade.symbol, []).append(trade)
    dropped_keys: set[str] = set()
    for rows in by_symbol.values():
        dropped_keys |= _find_overselling_repeats(rows, first_lines)
    dropped = [
        DroppedRepeat(
            trade, first_lines[trade.source_key], _describe_drop(trade, first_lines[trade.source_key])
        )
        for trade in trades
        if trade.source_key in dropped_keys
    ]
    kept = tuple(trade for trade in trades if trade.source_key not in dropped_keys)
    return RepeatReport(kept, tuple(dropped), _name_kept_repeats(kept, first_lines))


def to_fill(trade: TradeRow) -> Fill:
    """The fill a trade row is booked as; raises ValueError for a row without a price."""
    if trade.price is None:
        raise ValueError("A trade without a price cannot be booked.")
    return Fill(
        exec_id=trade.source_key,
        symbol=trade.symbol,
        side=trade.side,
        quantity=trade.quantity,
        price=trade.price,
        commission=ZERO,
        occurred_at=trade_moment(trade.on, trade.sequence),
    )


def replay_trades(
    trades: Sequence[TradeRow],
    *,
    opening_cash: Decimal,
    opening_lots: Iterable[OpenLot] = (),
    adjustments: Sequence[CashAdjustment] = (),
) -> ReplayedBook:
    """Book the trades in order on the opening cash; adjustments count before the trades of their day.

    Rows without a price are skipped. A sale of more than is held opens a short position, as the file says,
    and is reported.
    """
    ledger = LotLedger(opening_lots)
    quantities: dict[str, Decimal] = {}
    for lot in ledger.lots:
        quantities[lot.symbol] = quantities.get(lot.symbol, ZERO) + lot.quantity
    cash, realised = opening_cash, ZERO
    days: list[DayState] = []
    problems: list[ImportProblem] = []
    booked = [trade for trade in trades if trade.price is not None]
    events: list[CashAdjustment | TradeRow] = [*adjustments, *booked]
    events.sort(key=lambda event: event.on)
    for place, event in enumerate(events):
        if isinstance(event, CashAdjustment):
            cash += event.amount
        else:
            held = quantities.get(event.symbol, ZERO)
            if event.side == Side.SELL and event.quantity > held:
                problems.append(_describe_oversold(event, held))
            result = ledger.book(to_fill(event))
            quantities[event.symbol] = held + event.signed_quantity
            cash += result.cash_delta
            realised += result.realised_pnl
        if place + 1 == len(events) or events[place + 1].on != event.on:
            held_now = {symbol: quantity for symbol, quantity in quantities.items() if quantity}
            days.append(DayState(event.on, cash, held_now))
    return ReplayedBook(tuple(days), cash, ledger.lots, realised, tuple(problems))


def open_holdings(holdings: Iterable[Holding], *, as_of: dt.date) -> tuple[OpenLot, ...]:
    """Opening lots of a portfolio file without dates, at ``holding_price``; those without one at zero."""
    return tuple(
        OpenLot(
            id=holding.source_key,
            symbol=holding.symbol,
            opened_at=trade_moment(as_of, 0),
            quantity=holding.quantity,
            price=holding_price(holding) or ZERO,
            source=LotSource.OPENING_BALANCE,
        )
        for holding in holdings
    )


def holding_price(holding: Holding) -> Decimal | None:
    """What a share of the holding cost; None when the file does not say."""
    if holding.buy_price is not None:
        return holding.buy_price
    if holding.cost_basis is None or holding.cost_basis.total is None:
        return None
    return holding.cost_basis.total / holding.quantity


def _find_repeats(trades: Sequence[TradeRow]) -> dict[str, int]:
    """Source key of every repeat, with the line of the first row it equals cell by cell in the same file."""
    first: dict[tuple[str, tuple[str, ...]], int] = {}
    repeats: dict[str, int] = {}
    for trade in trades:
        identity = (trade.file, trade.content)
        if identity in first:
            repeats[trade.source_key] = first[identity]
        else:
            first[identity] = trade.line
    return repeats


def _find_overselling_repeats(rows: Sequence[TradeRow], repeats: dict[str, int]) -> set[str]:
    dropped: set[str] = set()
    candidates: list[TradeRow] = []
    held = floor = ZERO
    for trade in rows:
        held += trade.signed_quantity
        if trade.side == Side.SELL and trade.source_key in repeats:
            candidates.append(trade)
        if held >= floor:
            continue
        if sum((candidate.quantity for candidate in candidates), ZERO) < floor - held:
            floor = held
            continue
        while held < floor:
            latest = candidates.pop()
            dropped.add(latest.source_key)
            held += latest.quantity
    return dropped


def _describe_drop(trade: TradeRow, first_line: int) -> str:
    price = _plain(trade.price) if trade.price is not None else "an unknown price"
    return (
        f"Line {trade.line}: sale of {_plain(trade.quantity)} {trade.symbol} at {price} on {trade.on} "
        f"repeats line {first_line} cell by cell, and with both the log sells more than was held. Left out."
    )


def _name_kept_repeats(trades: Sequence[TradeRow], repeats: dict[str, int]) -> tuple[ImportProblem, ...]:
    return tuple(
        ImportProblem(
            ProblemCode.POSSIBLE_REPEAT,
            Severity.WARNING,
            f"The row repeats line {repeats[trade.source_key]} cell by cell. It is kept, as both can be "
            "real; if it is not, remove it from the file.",
            trade.file,
            trade.line,
        )
        for trade in trades
        if trade.source_key in repeats
    )


def _describe_oversold(trade: TradeRow, held: Decimal) -> ImportProblem:
    message = (
        f"Sells {_plain(trade.quantity)} {trade.symbol} while the log has {_plain(held)} held by then. "
        "A purchase before the log began may be missing; the book goes short here."
    )
    return ImportProblem(ProblemCode.OVERSOLD, Severity.WARNING, message, trade.file, trade.line)


def _plain(value: Decimal) -> str:
    return format(value.normalize(), "f")
