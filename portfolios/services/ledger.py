"""Writing ledger entries and what is computed from them: lots, closures, positions, cash.

Callers hold the account row's lock (linked books) and then the portfolio's, in this order: account,
portfolio, position. The portfolio's lock makes "later entry exists" and the projections safe to read.
"""

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal

from django.db.models import Q, QuerySet

from brokers.models import BrokerAccount
from brokers.types import format_decimal
from portfolios.calculations import position_from_lots
from portfolios.enums import EntryKind, PortfolioKind
from portfolios.lots import ZERO
from portfolios.models import ImportBatch, LedgerEntry, Lot, LotClosure, Portfolio, Position
from portfolios.replay import BookedLot, LedgerFact, SymbolBook, replay_symbol, round_stored
from tradeplatform.common.clock import utc_now
from tradeplatform.common.events import publish_event
from tradeplatform.common.prepared import PreparedQuery, PreparedUpdate, insert_row, slot

SHARE_MOVING_KINDS = frozenset(
    {
        EntryKind.OPENING_LOT,
        EntryKind.FILL,
        EntryKind.BUST,
        EntryKind.TRANSFER,
        EntryKind.SPLIT,
        EntryKind.CORRECTION,
    }
)

_LOCKED_BOOK = PreparedQuery(
    lambda: (
        Portfolio.objects.select_for_update()
        .filter(account_id=slot(Portfolio, "account"))
        .order_by("created_at")[:1]
    )
)
_SAVE_CASH = PreparedUpdate(
    lambda: Portfolio.objects.filter(pk=slot(Portfolio, "id")),
    cash=slot(Portfolio, "cash"),
    realised_pnl=slot(Portfolio, "realised_pnl"),
)
_LOCKED_POSITION = PreparedQuery(
    lambda: (
        Position.objects.select_for_update()
        .filter(portfolio_id=slot(Position, "portfolio"), symbol=slot(Position, "symbol"))
        .order_by()
    )
)
_POSITION_FIGURES = ("quantity", "avg_price", "entry_price", "realised_pnl", "updated_at")
_SAVE_POSITION = PreparedUpdate(
    lambda: Position.objects.filter(pk=slot(Position, "id")),
    **{name: slot(Position, name) for name in _POSITION_FIGURES},
)
_OPEN_LOTS = PreparedQuery(
    lambda: (
        Lot.objects.filter(portfolio_id=slot(Lot, "portfolio"), symbol=slot(Lot, "symbol"))
        .exclude(remaining=0)
        .order_by("opened_at", "id")
    )
)


def _later_entries() -> QuerySet[LedgerEntry, int]:
    """What already stands after an entry of the same symbol."""
    at, key = slot(LedgerEntry, "occurred_at"), slot(LedgerEntry, "source_key")
    return (
        LedgerEntry.objects.filter(
            Q(occurred_at__gt=at) | Q(occurred_at=at, source_key__gt=key),
            portfolio_id=slot(LedgerEntry, "portfolio"),
            symbol=slot(LedgerEntry, "symbol"),
            kind__in=sorted(SHARE_MOVING_KINDS - {EntryKind.BUST}),
        )
        .exclude(pk=slot(LedgerEntry, "id"))
        .order_by()
        .values_list("pk", flat=True)[:1]
    )


_LATER_ENTRIES = PreparedQuery(_later_entries)


def lock_account_book(account: BrokerAccount) -> Portfolio:
    """Return the account's book, locked; a book that is not opened yet is made on the spot.

    Executions can arrive before the opening balances were read: they are booked, and `open_book` takes them
    out of the broker's snapshot again.
    """
    portfolio = _LOCKED_BOOK.first(account=account.pk)
    if portfolio is not None:
        return portfolio
    Portfolio.objects.get_or_create(
        account=account,
        defaults={
            "user_id": account.user_id,
            "kind": PortfolioKind.LINKED,
            "name": account.label,
            "currency": account.currency,
        },
    )
    return Portfolio.objects.select_for_update().get(account=account)


def insert_entry(
    portfolio: Portfolio,
    *,
    kind: EntryKind,
    source_key: str,
    occurred_at: dt.datetime,
    symbol: str = "",
    quantity: Decimal = ZERO,
    price: Decimal | None = None,
    amount: Decimal = ZERO,
    commission: Decimal = ZERO,
    note: str = "",
    batch: ImportBatch | None = None,
) -> LedgerEntry | None:
    """Insert one entry; None when this source was booked before. Projections are not touched."""
    entry = LedgerEntry(
        portfolio=portfolio,
        kind=kind,
        source_key=source_key,
        symbol=symbol,
        quantity=round_stored(quantity),
        price=None if price is None else round_stored(price),
        amount=round_stored(amount),
        commission=round_stored(commission),
        occurred_at=occurred_at,
        note=note[:200],
        batch=batch,
    )
    return entry if insert_row(entry, if_new=True) else None


def apply_entry(portfolio: Portfolio, entry: LedgerEntry) -> Position | None:
    """Bring cash, lots and position up to date with one new entry; the portfolio's row is locked.

    An entry that is not the newest of its symbol, opens it or undoes another replays the symbol. Returns the
    position it touched, None when only cash moved.
    """
    portfolio.cash += entry.amount
    position = None
    if entry.symbol and entry.kind in SHARE_MOVING_KINDS:
        position = lock_position(portfolio, entry.symbol)
        if entry.kind in (EntryKind.BUST, EntryKind.OPENING_LOT) or _comes_late(entry):
            replay_position(portfolio, position)
        else:
            _apply_incrementally(portfolio, position, entry)
    _SAVE_CASH.write(id=portfolio.pk, cash=portfolio.cash, realised_pnl=portfolio.realised_pnl)
    return position


def lock_position(portfolio: Portfolio, symbol: str) -> Position:
    """Return the position row of a symbol, locked; made when it is new."""
    position = _LOCKED_POSITION.first(portfolio=portfolio.pk, symbol=symbol)
    if position is None:
        position, _ = Position.objects.select_for_update().get_or_create(portfolio=portfolio, symbol=symbol)
    return position


def replay_position(portfolio: Portfolio, position: Position) -> None:
    """Rebuild lots, closures and position of one symbol from its entries. Saves all but the portfolio."""
    entries = LedgerEntry.objects.filter(
        portfolio=portfolio, symbol=position.symbol, kind__in=SHARE_MOVING_KINDS
    )
    book = replay_symbol(to_fact(entry) for entry in entries)
    Lot.objects.filter(portfolio=portfolio, symbol=position.symbol).delete()
    lots = Lot.objects.bulk_create(to_lot(portfolio, lot) for lot in book.lots)
    _insert_closures(book, {lot.entry_id: lot for lot in lots})
    realised = sum((closure.realised_pnl for closure in book.closures), ZERO)
    portfolio.realised_pnl += realised - position.realised_pnl
    _save_position(position, book, realised_pnl=realised)


def publish_book_change(portfolio: Portfolio, position: Position | None) -> None:
    """Tell the user's pages about a changed position (if any) and the new balance; last in a transaction."""
    account = str(portfolio.account_id) if portfolio.account_id else None
    base = {"account": account, "portfolio": str(portfolio.pk)}
    if position is not None:
        payload = {
            **base,
            "symbol": position.symbol,
            "quantity": format_decimal(position.quantity),
            "avg_price": format_decimal(position.avg_price),
            "realised_pnl": format_decimal(position.realised_pnl),
        }
        publish_event(user_id=portfolio.user_id, kind="position", payload=payload)
    payload = {
        **base,
        "cash": format_decimal(portfolio.cash),
        "realised_pnl": format_decimal(portfolio.realised_pnl),
    }
    publish_event(user_id=portfolio.user_id, kind="balance", payload=payload)


def to_fact(entry: LedgerEntry) -> LedgerFact:
    return LedgerFact(
        entry_id=entry.pk,
        kind=entry.kind,
        source_key=entry.source_key,
        symbol=entry.symbol,
        quantity=entry.quantity,
        price=entry.price,
        commission=entry.commission,
        occurred_at=entry.occurred_at,
    )


def to_lot(portfolio: Portfolio, lot: BookedLot) -> Lot:
    return Lot(
        portfolio=portfolio,
        entry_id=lot.entry_id,
        symbol=lot.symbol,
        opened_at=lot.opened_at,
        quantity=lot.quantity,
        remaining=lot.remaining,
        price=lot.price,
        extra_cost=lot.extra_cost,
    )


def to_booked_lot(lot: Lot) -> BookedLot:
    return BookedLot(
        entry_id=lot.entry_id,
        symbol=lot.symbol,
        opened_at=lot.opened_at,
        quantity=lot.quantity,
        remaining=lot.remaining,
        price=lot.price,
        extra_cost=lot.extra_cost,
    )


def _comes_late(entry: LedgerEntry) -> bool:
    """Whether the book already holds an entry of this symbol that belongs after this one."""
    later = _LATER_ENTRIES.first(
        portfolio=entry.portfolio_id,
        symbol=entry.symbol,
        id=entry.pk,
        occurred_at=entry.occurred_at,
        source_key=entry.source_key,
    )
    return later is not None


def _apply_incrementally(portfolio: Portfolio, position: Position, entry: LedgerEntry) -> None:
    rows = _OPEN_LOTS.all(portfolio=portfolio.pk, symbol=entry.symbol)
    known = {row.entry_id: row for row in rows}
    lots = (to_booked_lot(row) for row in known.values())
    book = SymbolBook(lots, entry_price=position.entry_price)
    book.apply(to_fact(entry))
    changed = []
    for lot in book.lots:
        row = known.get(lot.entry_id)
        if row is None:
            known[lot.entry_id] = to_lot(portfolio, lot)
            insert_row(known[lot.entry_id])
        elif to_booked_lot(row) != lot:
            row.quantity, row.remaining = lot.quantity, lot.remaining
            row.price, row.extra_cost = lot.price, lot.extra_cost
            changed.append(row)
    if changed:
        Lot.objects.bulk_update(changed, ["quantity", "remaining", "price", "extra_cost"])
    _insert_closures(book, known)
    realised = sum((closure.realised_pnl for closure in book.closures), ZERO)
    portfolio.realised_pnl += realised
    _save_position(position, book, realised_pnl=position.realised_pnl + realised)


def _insert_closures(book: SymbolBook, lots: dict[int, Lot]) -> None:
    LotClosure.objects.bulk_create(_closures(book, lots))


def _closures(book: SymbolBook, lots: dict[int, Lot]) -> Iterable[LotClosure]:
    for closure in book.closures:
        yield LotClosure(
            lot=lots[closure.lot_entry_id],
            entry_id=closure.entry_id,
            quantity=closure.quantity,
            proceeds=closure.proceeds,
            cost=closure.cost,
            realised_pnl=closure.realised_pnl,
            closed_at=closure.closed_at,
        )


def _save_position(position: Position, book: SymbolBook, *, realised_pnl: Decimal) -> None:
    figures = position_from_lots(book.open_lots, position.symbol)
    position.quantity = figures.quantity
    position.avg_price = round_stored(figures.average_price or ZERO)
    position.entry_price = book.entry_price
    position.realised_pnl = realised_pnl
    position.updated_at = utc_now()
    _SAVE_POSITION.write(id=position.pk, **{name: getattr(position, name) for name in _POSITION_FIGURES})
