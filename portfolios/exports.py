"""Books as CSV: holdings, open lots, closed lots and the ledger."""

import csv
import datetime as dt
import io
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation

from brokers.types import format_decimal
from portfolios.holdings import holdings_view
from portfolios.models import LedgerEntry, Lot, LotClosure, Portfolio
from tradeplatform.common.exceptions import NotFoundError

Cell = str | Decimal | dt.datetime | None
Table = tuple[Sequence[str], Iterable[Sequence[Cell]]]


def export_csv(portfolio: Portfolio, kind: str, *, now: dt.datetime) -> str:
    """Return one table of a book as CSV with a header row.

    `kind` is "holdings", "lots", "closures" or "ledger"; NotFoundError for others. Decimals are exact,
    times are UTC in ISO form, and text that a spreadsheet would run as a formula is quoted.
    """
    if kind not in EXPORTS:
        raise NotFoundError("There is no such export.")
    header, rows = EXPORTS[kind](portfolio, now)
    target = io.StringIO()
    writer = csv.writer(target)
    writer.writerow(header)
    writer.writerows([write_cell(cell) for cell in row] for row in rows)
    return target.getvalue()


def write_cell(cell: Cell) -> str:
    """Write one cell. Text that starts like a formula gets an apostrophe; numbers stay numbers."""
    if cell is None:
        return ""
    if isinstance(cell, Decimal):
        return format_decimal(cell) or ""
    if isinstance(cell, dt.datetime):
        return cell.astimezone(dt.UTC).isoformat()
    return f"'{cell}" if cell[:1] in "=+-@\t\r" and cell and not _is_number(cell) else cell


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def _holdings(portfolio: Portfolio, now: dt.datetime) -> Table:
    header = ["Symbol", "Quantity", "Average price", "Cost", "Last price", "Priced at", "Market value"]
    view = holdings_view(portfolio, now=now)
    rows: Iterable[list[Cell]] = [
        [
            row.symbol,
            row.quantity,
            row.avg_price,
            row.cost,
            row.last,
            row.priced_at,
            row.market_value,
            row.unrealised_pnl,
            row.day_pnl,
            row.realised_pnl,
        ]
        for row in view.rows
    ]
    return [*header, "Unrealised P&L", "Day P&L", "Realised P&L"], rows


def _lots(portfolio: Portfolio, now: dt.datetime) -> Table:
    lots = Lot.objects.filter(portfolio=portfolio).exclude(remaining=0).order_by("symbol", "opened_at", "id")
    rows: Iterable[list[Cell]] = (
        [
            lot.symbol,
            lot.opened_at,
            lot.quantity,
            lot.remaining,
            lot.price,
            lot.remaining * lot.price + lot.extra_cost,
        ]
        for lot in lots
    )
    return ["Symbol", "Opened at", "Opened quantity", "Open quantity", "Price", "Cost"], rows


def _closures(portfolio: Portfolio, now: dt.datetime) -> Table:
    closures = LotClosure.objects.filter(lot__portfolio=portfolio).select_related("lot")
    rows: Iterable[list[Cell]] = (
        [
            row.lot.symbol,
            row.lot.opened_at,
            row.closed_at,
            row.quantity,
            row.proceeds,
            row.cost,
            row.realised_pnl,
        ]
        for row in closures.order_by("closed_at", "id")
    )
    return ["Symbol", "Opened at", "Closed at", "Quantity", "Proceeds", "Cost", "Realised P&L"], rows


def _ledger(portfolio: Portfolio, now: dt.datetime) -> Table:
    entries = LedgerEntry.objects.filter(portfolio=portfolio).order_by("occurred_at", "id")
    rows: Iterable[list[Cell]] = (
        [
            row.occurred_at,
            row.get_kind_display(),
            row.symbol,
            row.quantity,
            row.price,
            row.commission,
            row.amount,
            row.note,
            row.source_key,
        ]
        for row in entries
    )
    header = ["Time", "Kind", "Symbol", "Quantity", "Price", "Commission", "Cash", "Note", "Source"]
    return header, rows


EXPORTS: dict[str, Callable[[Portfolio, dt.datetime], Table]] = {
    "holdings": _holdings,
    "lots": _lots,
    "closures": _closures,
    "ledger": _ledger,
}
