"""Equity snapshots: the points of the equity curve."""

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from uuid import UUID

from django.db import transaction

from brokers.calendar import NEW_YORK, previous_trading_day, trade_date
from portfolios.calculations import compute_equity
from portfolios.enums import EntryKind, PortfolioKind
from portfolios.lots import ZERO
from portfolios.models import EquitySnapshot, LedgerEntry, Portfolio
from portfolios.replay import round_stored
from portfolios.statements import NEWEST_SNAPSHOT

UNCHANGED_SPACING = dt.timedelta(minutes=5)
CHANGED_SPACING = dt.timedelta(minutes=1)
KEEP_INTRADAY = dt.timedelta(days=30)
CLOSING_SOURCE = "close"
CLOSING_TIME = dt.time(16)


def take_snapshot(
    *,
    portfolio: Portfolio,
    equity: Decimal,
    cash: Decimal,
    at: dt.datetime,
    source: str = "sync",
    force: bool = False,
) -> EquitySnapshot | None:
    """Store one point of the equity curve; call it with the portfolio's row locked.

    Unless forced, an unchanged equity is written every five minutes and a changed one every minute at most;
    None when it was too soon. `net_flow` is the money moved in or out since the point before.
    """
    last = NEWEST_SNAPSHOT.first(portfolio=portfolio.pk)
    if last is not None:
        if at <= last.at:
            return None
        spacing = UNCHANGED_SPACING if last.equity == equity else CHANGED_SPACING
        if not force and at - last.at < spacing:
            return None
    return EquitySnapshot.objects.create(
        portfolio=portfolio,
        at=at,
        trade_date=trade_date(at),
        equity=round_stored(equity),
        cash=round_stored(cash),
        net_flow=sum_transfers(portfolio, after=last.at, until=at) if last else ZERO,
        source=source,
    )


def add_past_closes(*, account_id: UUID, closes: Mapping[str, Mapping[dt.date, Decimal]]) -> int:
    """Give days without any point a close, computed from the ledger and closing prices; return how many.

    `closes` holds prices by symbol and trade date. A day on which a held symbol has no price stays empty.
    """
    with transaction.atomic():
        portfolio = Portfolio.objects.select_for_update().get(account_id=account_id)
        entries = list(LedgerEntry.objects.filter(portfolio=portfolio).order_by("occurred_at", "pk"))
        known = set(EquitySnapshot.objects.filter(portfolio=portfolio).values_list("trade_date", flat=True))
        days = {day for prices in closes.values() for day in prices} - known
        points = [_past_close(portfolio, entries, day, closes) for day in sorted(days)]
        added = [point for point in points if point is not None]
        EquitySnapshot.objects.bulk_create(added)
    return len(added)


def _past_close(
    portfolio: Portfolio,
    entries: Sequence[LedgerEntry],
    day: dt.date,
    closes: Mapping[str, Mapping[dt.date, Decimal]],
) -> EquitySnapshot | None:
    at = dt.datetime.combine(day, CLOSING_TIME, NEW_YORK)
    if portfolio.opened_at is None or at <= portfolio.opened_at:
        return None
    booked = [entry for entry in entries if entry.occurred_at <= at]
    cash = sum((entry.amount for entry in booked), ZERO)
    held: dict[str, Decimal] = {}
    for entry in booked:
        if entry.symbol:
            held[entry.symbol] = held.get(entry.symbol, ZERO) + entry.quantity
    prices = {symbol: days[day] for symbol, days in closes.items() if day in days}
    equity = compute_equity(cash=cash, quantities=held, marks=prices)
    if equity is None:
        return None
    return EquitySnapshot(
        portfolio=portfolio,
        at=at,
        trade_date=day,
        equity=round_stored(equity),
        cash=round_stored(cash),
        net_flow=ZERO,
        source=CLOSING_SOURCE,
    )


def sum_transfers(portfolio: Portfolio, *, after: dt.datetime, until: dt.datetime) -> Decimal:
    """Add up deposits and withdrawals booked in (after, until]."""
    amounts = LedgerEntry.objects.filter(
        portfolio=portfolio, kind=EntryKind.TRANSFER, occurred_at__gt=after, occurred_at__lte=until
    ).values_list("amount", flat=True)
    return sum(amounts, ZERO)


def close_trade_date(*, now: dt.datetime) -> int:
    """Name the last point of the trade date that ended before `now` its close, once for every linked book.

    Older points within a day are thinned out after a month: the close stays, and carries the day's flows.
    Returns how many books got a close.
    """
    ended = previous_trading_day(trade_date(now))
    books = Portfolio.objects.filter(kind=PortfolioKind.LINKED).exclude(opened_at=None)
    return sum(_close_book(pk, ended=ended, now=now) for pk in books.values_list("pk", flat=True))


def _close_book(portfolio_id: UUID, *, ended: dt.date, now: dt.datetime) -> bool:
    with transaction.atomic():
        Portfolio.objects.select_for_update().get(pk=portfolio_id)
        points = EquitySnapshot.objects.filter(portfolio_id=portfolio_id)
        _thin_out(list(points.filter(trade_date__lt=(now - KEEP_INTRADAY).date()).order_by("at")))
        of_day = points.filter(trade_date=ended)
        last = of_day.order_by("-at").first()
        if last is None or of_day.filter(source=CLOSING_SOURCE).exists():
            return False
        last.source = CLOSING_SOURCE
        last.save(update_fields=["source"])
    return True


def _thin_out(points: list[EquitySnapshot]) -> None:
    """Keep the last point of each trade date; its flow becomes the sum of the day's."""
    for _, group in groupby(points, key=lambda point: point.trade_date):
        *earlier, last = group
        if not earlier:
            continue
        last.net_flow += sum((point.net_flow for point in earlier), ZERO)
        last.save(update_fields=["net_flow"])
        EquitySnapshot.objects.filter(pk__in=[point.pk for point in earlier]).delete()
