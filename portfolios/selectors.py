"""Reads of the book, always scoped to their owner where a person asks.

What pages show comes as frozen dataclasses; amounts are exact Decimals, rounded where they are displayed.
A figure that cannot be known is None, never zero.
"""

import datetime as dt
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet

from brokers.calendar import NEW_YORK
from brokers.models import BrokerAccount
from portfolios.causes import cause_of
from portfolios.comparison import TEXT_KINDS, DifferenceKind
from portfolios.drift_catalogue import WORDS, Drift
from portfolios.enums import BreakStatus
from portfolios.history import PerformanceView, equity_curve, performance_of
from portfolios.holdings import HoldingRow, HoldingsView, day_pnl_of, holdings_view
from portfolios.imports.types import BreakKind
from portfolios.lots import ZERO
from portfolios.models import Break, ImportBatch, LedgerEntry, Lot, LotClosure, Portfolio, Position
from tradeplatform.common.exceptions import NotFoundError
from tradeplatform.models import User

__all__ = [
    "AllocationSlice",
    "BreakRow",
    "HoldingRow",
    "HoldingsView",
    "LotRow",
    "PerformanceView",
    "RealisedRow",
    "allocation_of",
    "breaks_for",
    "day_pnl_of",
    "describe_breaks",
    "differing_books_for",
    "entries_of",
    "equity_curve",
    "get_break_for",
    "get_import_for",
    "get_portfolio_for",
    "holdings_view",
    "imports_for",
    "lots_view",
    "open_breaks_for",
    "performance_of",
    "portfolio_of",
    "portfolios_for",
    "positions_of",
    "realised_by_month",
    "realised_by_symbol",
    "same_cause_as",
]

BREAK_LABELS = {
    DifferenceKind.CASH: "Cash",
    DifferenceKind.POSITION_QUANTITY: "Shares",
    DifferenceKind.MISSING_POSITION: "Not held at the broker",
    DifferenceKind.UNKNOWN_POSITION: "Not in your book",
    DifferenceKind.AVERAGE_PRICE: "Average price",
    DifferenceKind.ACCOUNT: "Account",
    DifferenceKind.ORDER_MISSING: "Order not known at the broker",
    DifferenceKind.ORDER_TERMS: "Terms of an order",
    DifferenceKind.ORDER_STATUS: "State of an order",
    DifferenceKind.ORDER_LEGS: "Exits of an order",
    DifferenceKind.ORDER_FILLED: "Filled quantity of an order",
    BreakKind.POSITION: "Shares",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LotRow:
    """An open lot: signed shares, price per share and the cost of what remains, commission included."""

    symbol: str
    opened_at: dt.datetime
    source: str
    quantity: Decimal
    remaining: Decimal
    price: Decimal
    cost: Decimal
    is_long_term: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RealisedRow:
    """Closed shares added up under a label: a symbol, or a month such as 2026-03 (New York time)."""

    label: str
    closures: int
    proceeds: Decimal
    cost: Decimal
    realised_pnl: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationSlice:
    """`share` is a fraction of equity; short positions are negative."""

    label: str
    value: Decimal
    share: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakRow:
    """A difference with both values as numbers; `difference` is theirs minus ours.

    Differences of orders and accounts are words: `our_words` and `their_words`, and the numbers are zero.
    `cause` says what most likely happened, `subject` is the order that differs.
    """

    id: int
    portfolio_id: UUID
    portfolio_name: str
    label: str
    kind: str
    symbol: str
    as_of_date: dt.date | None
    ours: Decimal
    theirs: Decimal
    difference: Decimal
    is_money: bool
    status: str
    status_label: str
    age: dt.timedelta
    times_seen: int
    owner: str
    explanation: str
    resolution: str
    resolved_at: dt.datetime | None
    can_adopt: bool
    drift: str = ""
    cause: str = ""
    subject: str = ""
    our_words: str = ""
    their_words: str = ""


def portfolios_for(user: User) -> QuerySet[Portfolio]:
    """Return the user's books, oldest first, with their accounts."""
    return Portfolio.objects.filter(user=user).select_related("account")


def get_portfolio_for(user: User, portfolio_id: UUID | str) -> Portfolio:
    """Return one book of the user; raises NotFoundError for everything else, foreign ones included."""
    found = _first_by_id(portfolios_for(user), portfolio_id)
    if found is None:
        raise NotFoundError("There is no such portfolio.")
    return found


def portfolio_of(account: BrokerAccount) -> Portfolio | None:
    """Return the account's book; None while it has not been made."""
    return Portfolio.objects.filter(account=account).first()


def positions_of(portfolio: Portfolio) -> QuerySet[Position]:
    """Return what is held, by symbol."""
    return Position.objects.filter(portfolio=portfolio).exclude(quantity=0)


def entries_of(portfolio: Portfolio) -> QuerySet[LedgerEntry]:
    """Return the ledger, newest first."""
    return LedgerEntry.objects.filter(portfolio=portfolio).order_by("-occurred_at", "-id")


def lots_view(portfolio: Portfolio, *, now: dt.datetime, symbol: str = "") -> list[LotRow]:
    """Return open lots, oldest first within each symbol. Long-term: owned for over a year by `now`."""
    lots = Lot.objects.filter(portfolio=portfolio).exclude(remaining=0).select_related("entry")
    if symbol:
        lots = lots.filter(symbol=symbol)
    return [
        LotRow(
            symbol=lot.symbol,
            opened_at=lot.opened_at,
            source=lot.entry.get_kind_display(),
            quantity=lot.quantity,
            remaining=lot.remaining,
            price=lot.price,
            cost=lot.remaining * lot.price + lot.extra_cost,
            is_long_term=lot.remaining > 0 and _is_held_over_a_year(lot.opened_at, now),
        )
        for lot in lots.order_by("symbol", "opened_at", "id")
    ]


def realised_by_symbol(portfolio: Portfolio) -> list[RealisedRow]:
    """Return realised P&L by symbol, alphabetically."""
    return _sum_closures((closure.lot.symbol, closure) for closure in _closures_of(portfolio))


def realised_by_month(portfolio: Portfolio) -> list[RealisedRow]:
    """Return realised P&L by month of the closing trade, newest first."""
    rows = _sum_closures(
        (f"{closure.closed_at.astimezone(NEW_YORK):%Y-%m}", closure) for closure in _closures_of(portfolio)
    )
    return rows[::-1]


def allocation_of(view: HoldingsView) -> list[AllocationSlice]:
    """Return how the equity is spread, largest first, cash included; [] while a price is missing."""
    if view.equity is None or view.equity <= 0:
        return []
    slices = [
        AllocationSlice(label=row.symbol, value=row.market_value, share=row.market_value / view.equity)
        for row in view.rows
        if row.market_value is not None
    ]
    slices.append(AllocationSlice(label="Cash", value=view.cash, share=view.cash / view.equity))
    return sorted(slices, key=lambda part: abs(part.value), reverse=True)


def breaks_for(
    user: User, *, portfolio: Portfolio | None = None, include_resolved: bool = False
) -> QuerySet[Break]:
    """Return the user's differences, those seen only once left out, oldest first."""
    breaks = Break.objects.filter(portfolio__user=user).select_related("portfolio")
    if portfolio is not None:
        breaks = breaks.filter(portfolio=portfolio)
    if include_resolved:
        return breaks.exclude(status=BreakStatus.SEEN).order_by("first_seen_at", "as_of_date", "id")
    return breaks.filter(status=BreakStatus.OPEN).order_by("first_seen_at", "as_of_date", "id")


def open_breaks_for(user: User) -> QuerySet[Break]:
    """Return the user's open differences, oldest first."""
    return breaks_for(user)


def differing_books_for(user: User) -> list[tuple[Portfolio, int]]:
    """Return the linked books with open differences to their brokers, and how many each has."""
    is_open = Q(breaks__status=BreakStatus.OPEN, breaks__batch=None)
    books = Portfolio.objects.filter(user=user).annotate(differences=Count("breaks", filter=is_open))
    return [(book, book.differences) for book in books.filter(differences__gt=0).order_by("name", "pk")]


def get_break_for(user: User, break_id: int | str) -> Break:
    """Return one difference of the user; raises NotFoundError."""
    found = _first_by_id(Break.objects.filter(portfolio__user=user).select_related("portfolio"), break_id)
    if found is None:
        raise NotFoundError("There is no such difference.")
    return found


def same_cause_as(found: Break) -> list[int]:
    """Return the open differences of an imported book that share a cause with this one, itself included.

    Empty for a linked book: there each difference is looked at by itself.
    """
    if found.batch_id is None:
        return []
    rows = Break.objects.filter(portfolio_id=found.portfolio_id, kind=found.kind, status=BreakStatus.OPEN)
    wanted = _cause_of(found)
    return [
        row.pk for row in rows.exclude(batch=None).order_by("as_of_date", "pk") if _cause_of(row) == wanted
    ]


def _cause_of(row: Break) -> Hashable:
    difference = Decimal(row.theirs or "0") - Decimal(row.ours or "0")
    return cause_of(kind=row.kind, symbol=row.symbol, difference=difference, explanation=row.explanation)


def describe_breaks(breaks: Sequence[Break] | QuerySet[Break], *, now: dt.datetime) -> list[BreakRow]:
    """Turn differences into rows for a page."""
    return [_describe_break(row, now) for row in breaks]


def imports_for(user: User) -> QuerySet[ImportBatch]:
    """Return the user's imports, newest first."""
    return ImportBatch.objects.filter(user=user).select_related("portfolio")


def get_import_for(user: User, batch_id: UUID | str) -> ImportBatch:
    """Return one import of the user; raises NotFoundError."""
    found = _first_by_id(imports_for(user), batch_id)
    if found is None:
        raise NotFoundError("There is no such import.")
    return found


def _closures_of(portfolio: Portfolio) -> QuerySet[LotClosure]:
    return LotClosure.objects.filter(lot__portfolio=portfolio).select_related("lot")


def _sum_closures(labelled: Any) -> list[RealisedRow]:
    by_label: dict[str, list[LotClosure]] = {}
    for label, closure in labelled:
        by_label.setdefault(label, []).append(closure)
    return [
        RealisedRow(
            label=label,
            closures=len(rows),
            proceeds=sum((row.proceeds for row in rows), ZERO),
            cost=sum((row.cost for row in rows), ZERO),
            realised_pnl=sum((row.realised_pnl for row in rows), ZERO),
        )
        for label, rows in sorted(by_label.items())
    ]


def _is_held_over_a_year(opened_at: dt.datetime, now: dt.datetime) -> bool:
    """More than one year, counted from the day after purchase (IRS Topic 409)."""
    bought, today = opened_at.astimezone(NEW_YORK).date(), now.astimezone(NEW_YORK).date()
    return (today.year - 1, today.month, today.day) > (bought.year, bought.month, bought.day)


def _describe_break(row: Break, now: dt.datetime) -> BreakRow:
    is_text = row.kind in TEXT_KINDS
    ours = ZERO if is_text else Decimal(row.ours or "0")
    theirs = ZERO if is_text else Decimal(row.theirs or "0")
    words = WORDS.get(Drift(row.drift)) if row.drift in set(Drift) else None
    kind = BreakKind.POSITION if row.kind == BreakKind.POSITION else DifferenceKind(row.kind)
    return BreakRow(
        id=row.pk,
        portfolio_id=row.portfolio_id,
        portfolio_name=row.portfolio.name,
        label=BREAK_LABELS[kind],
        kind=row.kind,
        symbol=row.symbol,
        as_of_date=row.as_of_date,
        ours=ours,
        theirs=theirs,
        difference=theirs - ours,
        is_money=kind in (DifferenceKind.CASH, DifferenceKind.AVERAGE_PRICE),
        status=row.status,
        status_label=row.get_status_display(),
        age=(row.resolved_at or now) - row.first_seen_at,
        times_seen=row.times_seen,
        owner=row.owner,
        explanation=row.explanation,
        resolution=row.resolution,
        resolved_at=row.resolved_at,
        can_adopt=(
            not is_text
            and row.batch_id is None
            and row.resolved_at is None
            and row.portfolio.account_id is not None
        ),
        drift=words.label if words else "",
        cause=row.cause or (words.meaning if words else ""),
        subject=row.subject,
        our_words=row.ours if is_text else "",
        their_words=row.theirs if is_text else "",
    )


def _first_by_id(rows: QuerySet[Any], row_id: UUID | str | int) -> Any | None:
    """Find by id; text that is no id finds nothing."""
    try:
        return rows.filter(pk=row_id).first()
    except (ValidationError, ValueError, OverflowError):
        return None
