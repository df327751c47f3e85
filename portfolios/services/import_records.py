"""What an import batch remembers: the preview as JSON, complete enough to book from and to show again."""

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from brokers.enums import Side
from brokers.types import format_decimal
from portfolios.imports.quirks import trade_moment
from portfolios.imports.replay import holding_price
from portfolios.imports.types import (
    CashAdjustment,
    Holding,
    ImportPreview,
    ImportProblem,
    ImportReading,
    Severity,
    TradeRow,
)
from portfolios.lots import ZERO

Record = dict[str, Any]


def write_preview(
    reading: ImportReading, preview: ImportPreview, *, known_keys: frozenset[str], as_of: dt.date | None
) -> Record:
    """Turn a preview into JSON. Only rows of these files are kept; `is_new` marks what is not booked yet."""
    own_keys = {trade.source_key for trade in reading.trades}
    trades = [trade for trade in preview.trades if trade.source_key in own_keys]
    holdings = [_write_holding(row, as_of) for row in preview.opening_holdings if as_of]
    flows = [_write_flow(row) for row in preview.adjustments]
    record: Record = {
        "files": [
            {"name": file.name, "kind": file.kind.value, "rows": file.rows_read} for file in reading.files
        ],
        "trades": [_write_trade(row) for row in trades],
        "holdings": holdings,
        "flows": flows,
        "dropped_repeats": [
            {
                "file": row.trade.file,
                "line": row.trade.line,
                "repeats_line": row.repeats_line,
                "message": row.message,
                "is_booked": row.trade.source_key in known_keys,
            }
            for row in preview.dropped_repeats
        ],
        "breaks": [
            {
                "on": row.on.isoformat(),
                "kind": row.kind.value,
                "symbol": row.symbol,
                "ours": format_decimal(row.ours),
                "theirs": format_decimal(row.theirs),
                "explanation": row.explanation,
            }
            for row in preview.breaks
        ],
        "problems": [*write_problems(preview.problems), *_name_booked_repeats(preview, known_keys)],
        "equity": [
            {
                "on": row.on.isoformat(),
                "cash": format_decimal(row.cash),
                "ours": format_decimal(row.ours),
                "logged": format_decimal(row.logged),
            }
            for row in preview.equity_by_day
        ],
        "positions": [
            {
                "symbol": row.symbol,
                "quantity": format_decimal(row.quantity),
                "average_price": format_decimal(row.average_price),
            }
            for row in preview.final_positions
        ],
        "prices": _last_prices(reading, as_of),
    }
    for row in (*record["trades"], *holdings, *flows):
        row["is_new"] = row["source_key"] not in known_keys
    record["summary"] = _summarise(reading, preview, record)
    return record


def write_problems(problems: Iterable[ImportProblem]) -> list[Record]:
    return [
        {
            "code": row.code.value,
            "severity": row.severity.value,
            "message": row.message,
            "file": row.file,
            "line": row.line,
        }
        for row in problems
    ]


def read_trade(record: Mapping[str, Any]) -> TradeRow:
    """Restore a trade row as far as booking and the search for repeats need it."""
    return TradeRow(
        source_key=record["source_key"],
        file=record["file"],
        line=record["line"],
        on=dt.date.fromisoformat(record["on"]),
        sequence=record["sequence"],
        symbol=record["symbol"],
        side=Side(record["side"]),
        quantity=Decimal(record["quantity"]),
        price=Decimal(record["price"]),
        cost_basis=None,
        pnl=None,
        stop_loss=None,
        reason=record["reason"],
        content=tuple(record["content"]),
    )


def read_flow(record: Mapping[str, Any]) -> CashAdjustment:
    return CashAdjustment(dt.date.fromisoformat(record["on"]), Decimal(record["amount"]), str(record["note"]))


def _write_trade(row: TradeRow) -> Record:
    return {
        "source_key": row.source_key,
        "file": row.file,
        "line": row.line,
        "on": row.on.isoformat(),
        "sequence": row.sequence,
        "symbol": row.symbol,
        "side": row.side.value,
        "quantity": format_decimal(row.quantity),
        "price": format_decimal(row.price),
        "reason": row.reason,
        "content": list(row.content),
    }


def _write_holding(row: Holding, as_of: dt.date) -> Record:
    return {
        "source_key": row.source_key,
        "on": as_of.isoformat(),
        "symbol": row.symbol,
        "quantity": format_decimal(row.quantity),
        "price": format_decimal(holding_price(row) or ZERO),
    }


def _write_flow(row: CashAdjustment) -> Record:
    amount = format_decimal(row.amount)
    return {
        "source_key": f"flow:{row.on}:{amount}:{row.note[:60]}",
        "on": row.on.isoformat(),
        "amount": amount,
        "note": row.note,
    }


def _name_booked_repeats(preview: ImportPreview, known_keys: frozenset[str]) -> list[Record]:
    """Rows that an earlier import booked and that now turn out to be repeats: said, not unbooked."""
    return [
        {
            "code": "repeat_already_booked",
            "severity": Severity.WARNING.value,
            "message": f"{row.message} An earlier import has booked it: it stays in the book until that "
            "import is undone.",
            "file": row.trade.file,
            "line": row.trade.line,
        }
        for row in preview.dropped_repeats
        if row.trade.source_key in known_keys
    ]


def _last_prices(reading: ImportReading, as_of: dt.date | None) -> Record:
    """The newest logged price of each symbol, so that what is still held has a value."""
    prices: Record = {
        row.symbol: {"price": format_decimal(row.price), "at": trade_moment(as_of, 0).isoformat()}
        for row in reading.holdings
        if as_of and row.price is not None
    }
    for row in reading.positions:
        if row.price is not None:
            prices[row.symbol] = {
                "price": format_decimal(row.price),
                "at": trade_moment(row.on, 0).isoformat(),
            }
    return prices


def _summarise(reading: ImportReading, preview: ImportPreview, record: Record) -> Record:
    changes = (*record["trades"], *record["holdings"], *record["flows"])
    return {
        "trades_read": len(reading.trades),
        "trades_to_book": len(record["trades"]),
        "rows_new": sum(row["is_new"] for row in changes),
        "rows_known": sum(not row["is_new"] for row in changes),
        "repeats_dropped": len(preview.dropped_repeats),
        "days_checked": preview.days_checked,
        "cash_break_days": preview.cash_break_days,
        "position_break_days": preview.position_break_days,
        "opening_cash": format_decimal(preview.opening_cash),
        "final_cash": format_decimal(preview.final_cash),
        "logged_cash": format_decimal(preview.logged_cash),
        "realised_pnl": format_decimal(preview.realised_pnl),
    }
