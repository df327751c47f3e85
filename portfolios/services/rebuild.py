"""Proving that what is computed from the ledger is what the ledger says, and computing it anew."""

from collections import Counter
from collections.abc import Hashable, Iterable
from decimal import Decimal

from django.db import transaction

from brokers.models import BrokerAccount
from portfolios.calculations import position_from_lots
from portfolios.lots import ZERO
from portfolios.models import LedgerEntry, Lot, LotClosure, Portfolio, Position
from portfolios.replay import SymbolBook, replay_symbol, round_stored
from portfolios.services.ledger import (
    SHARE_MOVING_KINDS,
    lock_position,
    publish_book_change,
    replay_position,
    to_booked_lot,
    to_fact,
)


def rebuild_book(portfolio: Portfolio) -> None:
    """Compute lots, closures, positions, cash and realised P&L anew from the ledger."""
    with transaction.atomic():
        locked = lock_book(portfolio)
        for symbol in sorted({*_entries_by_symbol(locked), *_position_symbols(locked)}):
            replay_position(locked, lock_position(locked, symbol))
        locked.cash = _sum_cash(locked)
        locked.save(update_fields=["cash", "realised_pnl"])
        publish_book_change(locked, None)


def check_book(portfolio: Portfolio) -> list[str]:
    """Compare the stored projection with a replay of the ledger; returns one sentence per difference."""
    with transaction.atomic():
        locked = lock_book(portfolio)
        found = _compare("Cash", locked.cash, _sum_cash(locked))
        entries = _entries_by_symbol(locked)
        realised = ZERO
        for symbol in sorted({*entries, *_position_symbols(locked)}):
            book = replay_symbol(to_fact(entry) for entry in entries.get(symbol, []))
            realised += sum((closure.realised_pnl for closure in book.closures), ZERO)
            found += _check_symbol(locked, symbol, book)
        return found + _compare("Realised P&L", locked.realised_pnl, realised)


def lock_book(portfolio: Portfolio) -> Portfolio:
    """Lock the account (if the book has one), then the book; returns its fresh row."""
    if portfolio.account_id is not None:
        BrokerAccount.objects.select_for_update().get(pk=portfolio.account_id)
    return Portfolio.objects.select_for_update().get(pk=portfolio.pk)


def _sum_cash(portfolio: Portfolio) -> Decimal:
    return sum(LedgerEntry.objects.filter(portfolio=portfolio).values_list("amount", flat=True), ZERO)


def _entries_by_symbol(portfolio: Portfolio) -> dict[str, list[LedgerEntry]]:
    by_symbol: dict[str, list[LedgerEntry]] = {}
    entries = LedgerEntry.objects.filter(portfolio=portfolio, kind__in=SHARE_MOVING_KINDS)
    for entry in entries.exclude(symbol=""):
        by_symbol.setdefault(entry.symbol, []).append(entry)
    return by_symbol


def _position_symbols(portfolio: Portfolio) -> set[str]:
    return set(Position.objects.filter(portfolio=portfolio).values_list("symbol", flat=True))


def _check_symbol(portfolio: Portfolio, symbol: str, book: SymbolBook) -> list[str]:
    position = Position.objects.filter(portfolio=portfolio, symbol=symbol).first()
    if position is None:
        return [f"{symbol}: the position row is missing."]
    figures = position_from_lots(book.open_lots, symbol)
    lots = Lot.objects.filter(portfolio=portfolio, symbol=symbol)
    closures = LotClosure.objects.filter(lot__portfolio=portfolio, lot__symbol=symbol)
    return [
        *_compare(f"{symbol} quantity", position.quantity, figures.quantity),
        *_compare(f"{symbol} average", position.avg_price, round_stored(figures.average_price or ZERO)),
        *_compare(f"{symbol} entry price", position.entry_price, book.entry_price),
        *_compare(
            f"{symbol} realised P&L",
            position.realised_pnl,
            sum((closure.realised_pnl for closure in book.closures), ZERO),
        ),
        *_compare_rows(f"{symbol} lots", (to_booked_lot(lot) for lot in lots), book.lots),
        *_compare_rows(
            f"{symbol} closures",
            ((row.entry_id, row.quantity, row.realised_pnl) for row in closures),
            ((closure.entry_id, closure.quantity, closure.realised_pnl) for closure in book.closures),
        ),
    ]


def _compare(name: str, stored: Decimal, replayed: Decimal) -> list[str]:
    return [] if stored == replayed else [f"{name}: stored {stored}, the ledger gives {replayed}."]


def _compare_rows(name: str, stored: Iterable[Hashable], replayed: Iterable[Hashable]) -> list[str]:
    kept, expected = Counter(stored), Counter(replayed)
    if kept == expected:
        return []
    return [f"{name}: {(kept - expected).total()} rows too many, {(expected - kept).total()} missing."]
