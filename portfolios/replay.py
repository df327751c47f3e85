"""From ledger entries of one symbol to its lots and closures. Pure: no database, no clock.

The same code books one new entry on the open lots and replays a whole history, so both lead to the same
book. Entries apply in the order of `replay_key`; an entry that arrives late is put where it belongs by a
replay. Everything stored is rounded to nine decimals here, half to even, and nowhere else.

Entries that move shares without a trade (opening lots, transfers in kind, corrections) realise nothing:
they open a lot at their price, or close lots at cost, first in, first out.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal

from brokers.enums import Side
from portfolios.enums import EntryKind
from portfolios.lots import ZERO, Fill, LotError, LotLedger, OpenLot, Split

STORED_QUANTUM = Decimal("0.000000001")
FILL_KEY = "exec:"
BUST_KEY = "bust:"


def round_stored(value: Decimal) -> Decimal:
    """Round to the nine decimals in which the book is kept."""
    return value.quantize(STORED_QUANTUM, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFact:
    """A ledger entry as the replay reads it. `quantity` is signed shares, `price` per share."""

    entry_id: int
    kind: str
    source_key: str
    symbol: str
    quantity: Decimal
    price: Decimal | None
    commission: Decimal
    occurred_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedLot:
    """A lot with its history: `quantity` as opened (restated by splits), `remaining` what is still open."""

    entry_id: int
    symbol: str
    opened_at: dt.datetime
    quantity: Decimal
    remaining: Decimal
    price: Decimal
    extra_cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedClosure:
    """Part of the lot of `lot_entry_id` closed by `entry_id`; `realised_pnl` is `proceeds - cost`."""

    lot_entry_id: int
    entry_id: int
    quantity: Decimal
    proceeds: Decimal
    cost: Decimal
    realised_pnl: Decimal
    closed_at: dt.datetime


def replay_key(fact: LedgerFact) -> tuple[int, dt.datetime, str]:
    """Opening lots first, then by time; at the same moment activities before executions (by key)."""
    return (0 if fact.kind == EntryKind.OPENING_LOT else 1, fact.occurred_at, fact.source_key)


def replay_symbol(facts: Iterable[LedgerFact]) -> "SymbolBook":
    """Replay every entry of one symbol, busted fills left out."""
    known = list(facts)
    busted = {
        FILL_KEY + fact.source_key.removeprefix(BUST_KEY) for fact in known if fact.kind == EntryKind.BUST
    }
    book = SymbolBook()
    for fact in sorted(known, key=replay_key):
        if fact.kind != EntryKind.BUST and fact.source_key not in busted:
            book.apply(fact)
    return book


class SymbolBook:
    """Lots of one symbol, the closures that the applied entries made, and the weighted entry price."""

    def __init__(self, open_lots: Iterable[BookedLot] = (), *, entry_price: Decimal = ZERO) -> None:
        self._lots = {str(lot.entry_id): lot for lot in open_lots}
        self._ledger = LotLedger(_to_open(lot) for lot in self._lots.values() if lot.remaining)
        self.closures: list[BookedClosure] = []
        self.entry_price = entry_price

    @property
    def lots(self) -> list[BookedLot]:
        """Every lot, closed ones too, in the order in which they were opened."""
        current = {lot.id: lot for lot in self._ledger.lots}
        return [_with_current(lot, current.get(key)) for key, lot in self._lots.items()]

    @property
    def open_lots(self) -> tuple[OpenLot, ...]:
        return self._ledger.lots

    @property
    def quantity(self) -> Decimal:
        return sum((lot.quantity for lot in self._ledger.lots), ZERO)

    def apply(self, fact: LedgerFact) -> None:
        """Apply one entry. Raises LotError when it makes no sense on these lots."""
        held = self.quantity
        if fact.kind == EntryKind.FILL:
            self._apply_fill(fact)
        elif fact.kind == EntryKind.SPLIT:
            self._apply_split(fact)
        elif fact.quantity:
            self._move_shares(fact)
        elif fact.kind == EntryKind.CORRECTION and fact.price is not None:
            self._restate_average(fact.price)
        self.entry_price = move_entry_price(self.entry_price, held=held, now=self.quantity, fact=fact)

    def _apply_fill(self, fact: LedgerFact) -> None:
        fill = Fill(
            exec_id=str(fact.entry_id),
            symbol=fact.symbol,
            side=Side.BUY if fact.quantity > 0 else Side.SELL,
            quantity=abs(fact.quantity),
            price=_price_of(fact),
            commission=fact.commission,
            occurred_at=fact.occurred_at,
        )
        result = self._ledger.book(fill)
        for closure in result.closures:
            self._close(
                fact,
                lot_id=closure.lot_id,
                quantity=closure.quantity,
                proceeds=closure.proceeds,
                cost=closure.cost,
            )
        if result.opened:
            self._lots[result.opened.id] = _opened(result.opened)

    def _apply_split(self, fact: LedgerFact) -> None:
        held = self._ledger.quantity(fact.symbol)
        if not held:
            return
        if (held + fact.quantity) / held <= 0:
            raise LotError("The split would leave no shares; its ratio cannot be right.")
        split = Split(fact.symbol, abs(held + fact.quantity), abs(held), fact.occurred_at)
        self._ledger.split(split)
        self._replace_open(replace(lot, extra_cost=round_stored(lot.extra_cost)) for lot in self._ledger.lots)
        for lot in self._ledger.lots:
            before = self._lots[lot.id]
            whole = round_stored(before.quantity * split.numerator / split.denominator)
            self._lots[lot.id] = replace(before, quantity=whole)

    def _move_shares(self, fact: LedgerFact) -> None:
        left = fact.quantity
        kept: list[OpenLot] = []
        for lot in self._ledger.lots:
            if lot.quantity * left >= 0:
                kept.append(lot)
                continue
            size = min(abs(left), abs(lot.quantity))
            signed = size if lot.quantity > 0 else -size
            share = lot.extra_cost * size / abs(lot.quantity)
            extra = lot.extra_cost if signed == lot.quantity else round_stored(share)
            cost = abs(signed * lot.price + extra)
            self._close(fact, lot_id=lot.id, quantity=size, proceeds=cost, cost=cost)
            left += signed
            if signed != lot.quantity:
                kept.append(replace(lot, quantity=lot.quantity - signed, extra_cost=lot.extra_cost - extra))
        if left:
            opened = OpenLot(str(fact.entry_id), fact.symbol, fact.occurred_at, left, _price_of(fact))
            kept.append(opened)
            self._lots[opened.id] = _opened(opened)
        self._replace_open(kept)

    def _restate_average(self, price: Decimal) -> None:
        """Shift every open lot's price alike, so that their mean becomes `price`."""
        held = sum((lot.quantity for lot in self._ledger.lots), ZERO)
        if not held:
            return
        mean = sum((lot.quantity * lot.price for lot in self._ledger.lots), ZERO) / held
        shift = round_stored(price - mean)
        self._replace_open(replace(lot, price=max(lot.price + shift, ZERO)) for lot in self._ledger.lots)

    def _close(
        self, fact: LedgerFact, *, lot_id: str, quantity: Decimal, proceeds: Decimal, cost: Decimal
    ) -> None:
        brought, paid = round_stored(proceeds), round_stored(cost)
        self.closures.append(
            BookedClosure(
                lot_entry_id=self._lots[lot_id].entry_id,
                entry_id=fact.entry_id,
                quantity=quantity,
                proceeds=brought,
                cost=paid,
                realised_pnl=brought - paid,
                closed_at=fact.occurred_at,
            )
        )

    def _replace_open(self, lots: Iterable[OpenLot]) -> None:
        self._ledger = LotLedger(list(lots))


def move_entry_price(entry_price: Decimal, *, held: Decimal, now: Decimal, fact: LedgerFact) -> Decimal:
    """Weighted entry price after one entry: moved by growth, kept by a reduction, new after crossing zero."""
    if now == 0:
        return ZERO
    if fact.kind == EntryKind.SPLIT:
        return round_stored(entry_price * held / now)
    if now == held:
        return fact.price if fact.kind == EntryKind.CORRECTION and fact.price else entry_price
    if held * now <= 0:
        return _price_of(fact)
    if abs(now) < abs(held):
        return entry_price
    return round_stored((entry_price * held + _price_of(fact) * (now - held)) / now)


def _price_of(fact: LedgerFact) -> Decimal:
    if fact.price is None:
        raise LotError(f"The entry {fact.source_key} moves shares but has no price.")
    return fact.price


def _to_open(lot: BookedLot) -> OpenLot:
    return OpenLot(
        id=str(lot.entry_id),
        symbol=lot.symbol,
        opened_at=lot.opened_at,
        quantity=lot.remaining,
        price=lot.price,
        extra_cost=lot.extra_cost,
    )


def _opened(lot: OpenLot) -> BookedLot:
    return BookedLot(
        entry_id=int(lot.id),
        symbol=lot.symbol,
        opened_at=lot.opened_at,
        quantity=lot.quantity,
        remaining=lot.quantity,
        price=lot.price,
        extra_cost=lot.extra_cost,
    )


def _with_current(lot: BookedLot, current: OpenLot | None) -> BookedLot:
    if current is None:
        return replace(lot, remaining=ZERO, extra_cost=ZERO)
    return replace(lot, remaining=current.quantity, price=current.price, extra_cost=current.extra_cost)
