"""Breaks and equity of an imported book, restated from all of its applied batches.

Each batch says something about the days its files log. Where batches overlap, the later one speaks for the
day. So applying and undoing a batch both come down to restating.
"""

import datetime as dt
from decimal import Decimal
from typing import Any

from brokers.calendar import previous_trading_day
from portfolios.enums import BreakStatus, EntryKind, ImportStatus
from portfolios.imports.quirks import trade_moment
from portfolios.lots import ZERO
from portfolios.models import Break, EquitySnapshot, ImportBatch, LedgerEntry, Portfolio, Position
from portfolios.replay import round_stored

SOURCE = "import"
OPENING_SOURCE = "opening"


def restate_history(portfolio: Portfolio) -> None:
    """Replace the imported breaks, equity points and last prices; the book's row is locked.

    Breaks that a person has resolved stay resolved.
    """
    batches = list(applied_batches(portfolio))
    _restate_breaks(portfolio, _latest_by_day(batches, "breaks"))
    _restate_equity(portfolio, _latest_by_day(batches, "equity"))
    prices: dict[str, Any] = {}
    for batch in batches:
        prices.update(batch.preview["prices"])
    for position in Position.objects.filter(portfolio=portfolio, symbol__in=prices):
        position.market_price = Decimal(prices[position.symbol]["price"])
        position.priced_at = dt.datetime.fromisoformat(prices[position.symbol]["at"])
        position.save(update_fields=["market_price", "priced_at"])


def applied_batches(portfolio: Portfolio) -> list[ImportBatch]:
    """Return the batches in the book, oldest first."""
    batches = ImportBatch.objects.filter(portfolio=portfolio, status=ImportStatus.APPLIED)
    return list(batches.order_by("applied_at", "created_at"))


def adds_history(batch: ImportBatch, earlier: list[ImportBatch]) -> bool:
    """Whether the batch logs a day that the earlier ones do not, or logs one differently."""
    for part in ("equity", "breaks"):
        known = {day: rows for day, (_, rows) in _latest_by_day(earlier, part).items()}
        own = {day: rows for day, (_, rows) in _latest_by_day([batch], part).items()}
        if any(known.get(day) != rows for day, rows in own.items()):
            return True
    return False


def _latest_by_day(batches: list[ImportBatch], part: str) -> dict[str, tuple[ImportBatch, list[Any]]]:
    """Rows of one part of the previews by day, from the last batch that logged the day."""
    by_day: dict[str, tuple[ImportBatch, list[Any]]] = {}
    for batch in batches:
        rows_by_day: dict[str, list[Any]] = {}
        for row in (*batch.preview["equity"], *batch.preview["breaks"]):
            rows_by_day[row["on"]] = []
        for row in batch.preview[part]:
            rows_by_day[row["on"]].append(row)
        by_day.update({day: (batch, rows) for day, rows in rows_by_day.items()})
    return by_day


def _restate_breaks(portfolio: Portfolio, by_day: dict[str, tuple[ImportBatch, list[Any]]]) -> None:
    kept = Break.objects.filter(portfolio=portfolio).exclude(batch=None)
    kept.filter(resolved_at=None).delete()
    resolved = {(row.kind, row.symbol, str(row.as_of_date), row.ours, row.theirs) for row in kept.all()}
    fresh = []
    for batch, rows in by_day.values():
        at = batch.applied_at or batch.created_at
        for row in rows:
            if (row["kind"], row["symbol"], row["on"], row["ours"], row["theirs"]) in resolved:
                continue
            fresh.append(
                Break(
                    portfolio=portfolio,
                    batch=batch,
                    kind=row["kind"],
                    symbol=row["symbol"],
                    as_of_date=dt.date.fromisoformat(row["on"]),
                    ours=row["ours"],
                    theirs=row["theirs"],
                    explanation=row["explanation"],
                    status=BreakStatus.OPEN,
                    owner=portfolio.user.email,
                    first_seen_at=at,
                    last_seen_at=at,
                )
            )
    Break.objects.bulk_create(fresh)


def _restate_equity(portfolio: Portfolio, by_day: dict[str, tuple[ImportBatch, list[Any]]]) -> None:
    """One point a day: the logged equity, else ours. Cash is the book's."""
    EquitySnapshot.objects.filter(portfolio=portfolio).delete()
    flows = _flows_by_day(portfolio)
    points = [_opening_point(portfolio, by_day)]
    for day in sorted(by_day):
        for row in by_day[day][1]:
            equity = row["logged"] or row["ours"]
            if equity is not None:
                on = dt.date.fromisoformat(day)
                flow = sum((flows.pop(moved) for moved in sorted(flows) if moved <= on), ZERO)
                points.append(_point(portfolio, on, Decimal(equity), Decimal(row["cash"]), flow))
    EquitySnapshot.objects.bulk_create(point for point in points if point is not None)


def _opening_point(portfolio: Portfolio, by_day: dict[str, Any]) -> EquitySnapshot | None:
    """The opening cash, on the trading day before anything happened; without it the first day has no return.

    None when the book opened with positions (their value then is unknown) or with nothing.
    """
    entries = LedgerEntry.objects.filter(portfolio=portfolio)
    opening = entries.filter(kind=EntryKind.OPENING_CASH).first()
    if not by_day or opening is None or opening.amount <= 0:
        return None
    if entries.filter(kind=EntryKind.OPENING_LOT).exists():
        return None
    days = [dt.date.fromisoformat(day) for day in by_day]
    first = entries.exclude(kind=EntryKind.OPENING_CASH).order_by("occurred_at").first()
    if first is not None:
        days.append(first.occurred_at.date())
    on = previous_trading_day(min(days))
    point = _point(portfolio, on, opening.amount, opening.amount, ZERO)
    point.source = OPENING_SOURCE
    return point


def _point(
    portfolio: Portfolio, on: dt.date, equity: Decimal, cash: Decimal, flow: Decimal
) -> EquitySnapshot:
    return EquitySnapshot(
        portfolio=portfolio,
        at=trade_moment(on, 0),
        trade_date=on,
        equity=round_stored(equity),
        cash=round_stored(cash),
        net_flow=flow,
        source=SOURCE,
    )


def _flows_by_day(portfolio: Portfolio) -> dict[dt.date, Decimal]:
    flows: dict[dt.date, Decimal] = {}
    for entry in LedgerEntry.objects.filter(portfolio=portfolio, kind=EntryKind.TRANSFER):
        day = entry.occurred_at.date()
        flows[day] = flows.get(day, ZERO) + entry.amount
    return flows
