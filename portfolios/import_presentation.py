"""An import's stored preview as the import pages show it: numbers as Decimals, days as dates."""

import datetime as dt
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from brokers.enums import Side
from portfolios.causes import cause_of
from portfolios.imports.types import BreakKind, FileKind, ProblemCode, Severity
from portfolios.models import ImportBatch

FILE_KINDS = {
    FileKind.TRADE_LOG: "Trade log",
    FileKind.ORDER_LOG: "Order log",
    FileKind.ORDER_JOURNAL: "Order journal",
    FileKind.DAILY_UPDATES: "Daily positions and totals",
    FileKind.POSITION_HISTORY: "Position history",
    FileKind.EQUITY_HISTORY: "Equity history",
    FileKind.HOLDINGS: "Holdings",
    FileKind.UNREADABLE: "Not recognised",
}
SEVERITY_WORDS = {
    Severity.ERROR: ("Left out", "bad", "error"),
    Severity.WARNING: ("Check", "warn", "warning"),
    Severity.NOTICE: ("For information", "info", "info"),
}
CENT = Decimal("0.01")
_SEVERITY_ORDER = [Severity.ERROR, Severity.WARNING, Severity.NOTICE]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLine:
    name: str
    kind: str
    rows: int
    is_recognised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeLine:
    """One trade of the files; `is_new` is False when the book held it before."""

    on: dt.date
    file: str
    line: int
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    amount: Decimal
    reason: str
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemLine:
    severity: str
    tone: str
    icon: str
    message: str
    file: str
    line: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakLine:
    on: dt.date
    symbol: str
    ours: Decimal
    theirs: Decimal
    difference: Decimal
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakGroup:
    """Days that differ in the same way, and so most likely from one cause. `label` names their table."""

    label: str

    is_cash: bool
    symbol: str
    explanation: str
    difference: Decimal | None
    first: dt.date
    last: dt.date
    lines: tuple[BreakLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionLine:
    symbol: str
    quantity: Decimal
    average_price: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatLine:
    """A row left out; `is_booked` when an earlier import booked it before it proved to be a repeat."""

    file: str
    line: int
    repeats_line: int
    message: str
    is_booked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportView:
    """Everything the page of one import shows. Cash amounts are in the book's currency."""

    files: tuple[FileLine, ...]
    trades: tuple[TradeLine, ...]
    repeats: tuple[RepeatLine, ...]
    problems: tuple[ProblemLine, ...]
    break_groups: tuple[BreakGroup, ...]
    positions: tuple[PositionLine, ...]
    equity: Mapping[str, Any]
    trades_read: int
    rows_new: int
    rows_known: int
    days_checked: int
    cash_break_days: int
    position_break_days: int
    opening_cash: Decimal
    final_cash: Decimal
    logged_cash: Decimal | None
    realised_pnl: Decimal


def import_view(batch: ImportBatch, *, currency: str = "USD") -> ImportView:
    """Read a stored preview. Rows keep the order of booking; problems come worst first."""
    preview, summary = batch.preview, batch.preview["summary"]
    return ImportView(
        files=tuple(_file(row) for row in preview["files"]),
        trades=tuple(_trade(row) for row in preview["trades"]),
        repeats=tuple(_repeat(row) for row in preview["dropped_repeats"]),
        problems=problem_lines(
            # The dropped repeats are told on their own, with the line that each repeats.
            [row for row in preview["problems"] if row["code"] != ProblemCode.POSSIBLE_REPEAT]
        ),
        break_groups=group_breaks(preview["breaks"]),
        positions=tuple(_position(row) for row in preview["positions"]),
        equity=_equity_series(preview["equity"], currency),
        trades_read=summary["trades_read"],
        rows_new=summary["rows_new"],
        rows_known=summary["rows_known"],
        days_checked=summary["days_checked"],
        cash_break_days=summary["cash_break_days"],
        position_break_days=summary["position_break_days"],
        opening_cash=Decimal(summary["opening_cash"]),
        final_cash=Decimal(summary["final_cash"]),
        logged_cash=_decimal(summary["logged_cash"]),
        realised_pnl=Decimal(summary["realised_pnl"]),
    )


def problem_lines(records: Sequence[Mapping[str, Any]]) -> tuple[ProblemLine, ...]:
    """Turn stored problems into lines, worst first and then by file and line."""
    ordered = sorted(
        records,
        key=lambda row: (_SEVERITY_ORDER.index(Severity(row["severity"])), row["file"], row["line"] or 0),
    )
    return tuple(_problem(row) for row in ordered)


def group_breaks(records: Sequence[Mapping[str, Any]]) -> tuple[BreakGroup, ...]:
    """Put days together that share a cause: cash off by the same cents, or one symbol and explanation."""
    groups: dict[tuple[bool, Hashable], list[BreakLine]] = {}
    for record in records:
        line = _break(record)
        cause = cause_of(
            kind=record["kind"],
            symbol=line.symbol,
            difference=line.difference,
            explanation=line.explanation,
        )
        groups.setdefault((record["kind"] == BreakKind.CASH, cause), []).append(line)
    found = [_group(is_cash, lines) for (is_cash, _), lines in groups.items()]
    return tuple(sorted(found, key=lambda group: (not group.is_cash, group.first, group.symbol)))


def _group(is_cash: bool, lines: Sequence[BreakLine]) -> BreakGroup:
    differences = {_in_cents(line.difference) if is_cash else line.difference for line in lines}
    return BreakGroup(
        label=f"{lines[0].symbol or 'Cash'}, days that differ from {min(line.on for line in lines)}",
        is_cash=is_cash,
        symbol=lines[0].symbol,
        explanation="" if is_cash else lines[0].explanation,
        difference=differences.pop() if len(differences) == 1 else None,
        first=min(line.on for line in lines),
        last=max(line.on for line in lines),
        lines=tuple(lines),
    )


def _in_cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT)


def _break(record: Mapping[str, Any]) -> BreakLine:
    ours, theirs = Decimal(record["ours"]), Decimal(record["theirs"])
    return BreakLine(
        on=dt.date.fromisoformat(record["on"]),
        symbol=record["symbol"],
        ours=ours,
        theirs=theirs,
        difference=theirs - ours,
        explanation=record["explanation"],
    )


def _file(record: Mapping[str, Any]) -> FileLine:
    kind = FileKind(record["kind"])
    return FileLine(
        name=record["name"],
        kind=FILE_KINDS[kind],
        rows=record["rows"],
        is_recognised=kind != FileKind.UNREADABLE,
    )


def _trade(record: Mapping[str, Any]) -> TradeLine:
    side, quantity = Side(record["side"]), Decimal(record["quantity"])
    price = Decimal(record["price"])
    return TradeLine(
        on=dt.date.fromisoformat(record["on"]),
        file=record["file"],
        line=record["line"],
        symbol=record["symbol"],
        side=side,
        quantity=quantity,
        price=price,
        amount=-quantity * price if side == Side.BUY else quantity * price,
        reason=record["reason"],
        is_new=record["is_new"],
    )


def _repeat(record: Mapping[str, Any]) -> RepeatLine:
    return RepeatLine(
        file=record["file"],
        line=record["line"],
        repeats_line=record["repeats_line"],
        message=record["message"],
        is_booked=record["is_booked"],
    )


def _problem(record: Mapping[str, Any]) -> ProblemLine:
    words, tone, icon = SEVERITY_WORDS[Severity(record["severity"])]
    return ProblemLine(
        severity=words,
        tone=tone,
        icon=icon,
        message=record["message"],
        file=record["file"],
        line=record["line"],
    )


def _position(record: Mapping[str, Any]) -> PositionLine:
    return PositionLine(
        symbol=record["symbol"],
        quantity=Decimal(record["quantity"]),
        average_price=_decimal(record["average_price"]),
    )


def _equity_series(records: Sequence[Mapping[str, Any]], currency: str) -> dict[str, Any]:
    lines = (("Replayed", "ours"), ("Logged", "logged"))
    series = [
        {
            "name": name,
            "points": [
                {"time": row["on"], "value": str(Decimal(row[part]).quantize(CENT))}
                for row in records
                if row[part] is not None
            ],
        }
        for name, part in lines
    ]
    return {"currency": currency, "series": [entry for entry in series if entry["points"]]}


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
