"""Tax lots: what each fill opens and closes, and what that realises. Pure: no database, no clock.

Rules, the same everywhere in the book:

- A lot's quantity is signed: positive for shares held, negative for shares sold short.
- Commission belongs to the side it was paid on. A purchase costs ``quantity * price + commission``; a sale
  brings ``quantity * price - commission`` (the treatment of IRS Publication 550, "Stocks and Bonds:
  basis").
- First in, first out is the default, and also what remains when the lots a person named do not cover the sale
  (Treasury Regulation 1.1012-1(c): FIFO where identification is not adequate).
- One fill may cross zero: it closes what is open on the other side and opens a lot with the rest.
- Nothing is rounded but a shared commission (to ``COMMISSION_QUANTUM``, the last piece takes the remainder)
  and quantities after a split (to ``QUANTITY_QUANTUM``). Money is rounded to cents only where it is
  displayed.

So for any sequence of fills, exactly: realised + unrealised P&L = cash moved + market value of what is
still open.
"""

import bisect
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from brokers.enums import Side

ZERO = Decimal(0)
QUANTITY_QUANTUM = Decimal("0.000000001")
COMMISSION_QUANTUM = Decimal("0.00000001")


class LotError(ValueError):
    """A fill or corporate action that cannot be booked as given; the message names the field."""


class LotMethod(StrEnum):
    FIFO = "fifo"
    SPECIFIC = "specific"


class LotSource(StrEnum):
    EXECUTION = "execution"
    OPENING_BALANCE = "opening_balance"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution.

    ``quantity`` is positive whatever the side; ``lot_ids`` names lots to close, in order.
    """

    exec_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal
    occurred_at: dt.datetime
    lot_ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.exec_id or not self.symbol:
            raise LotError("A fill needs an execution id and a symbol.")
        for name in ("quantity", "price", "commission"):
            if not getattr(self, name).is_finite():
                raise LotError(f"The {name} of a fill must be a finite number.")
        if self.quantity <= 0:
            raise LotError("The quantity of a fill must be above zero.")
        if self.price < 0:
            raise LotError("The price of a fill must not be negative.")
        if self.occurred_at.tzinfo is None:
            raise LotError("The time of a fill must carry a time zone.")

    @property
    def signed_quantity(self) -> Decimal:
        return self.quantity if self.side == Side.BUY else -self.quantity

    @property
    def cash_delta(self) -> Decimal:
        """What the fill does to cash: negative for a purchase; commission is always paid out."""
        return -self.signed_quantity * self.price - self.commission


@dataclass(frozen=True, slots=True)
class OpenLot:
    """Shares still open from one purchase (positive) or one short sale (negative).

    ``extra_cost`` is what the shares cost beyond ``quantity * price``: the opening commission and the
    remainder a split leaves when the new price does not divide evenly.
    """

    id: str
    symbol: str
    opened_at: dt.datetime
    quantity: Decimal
    price: Decimal
    source: str = LotSource.EXECUTION
    extra_cost: Decimal = ZERO

    @property
    def cost(self) -> Decimal:
        """Signed cost: money paid for a long lot, minus the money received for a short one."""
        return self.quantity * self.price + self.extra_cost


@dataclass(frozen=True, slots=True)
class Closure:
    """Part of a lot closed by one fill. ``quantity`` is positive; ``realised_pnl = proceeds - cost``."""

    lot_id: str
    quantity: Decimal
    proceeds: Decimal
    cost: Decimal
    realised_pnl: Decimal
    closed_at: dt.datetime
    exec_id: str = ""
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class LotResult:
    """What one fill did. ``unmatched_lot_ids``: lots it named that were not open; FIFO was used instead."""

    lots: tuple[OpenLot, ...]
    opened: OpenLot | None
    closures: tuple[Closure, ...]
    realised_pnl: Decimal
    cash_delta: Decimal
    unmatched_lot_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a whole history of fills and corporate actions leads to."""

    lots: tuple[OpenLot, ...]
    closures: tuple[Closure, ...]
    realised_pnl: Decimal
    cash_delta: Decimal


@dataclass(frozen=True, slots=True)
class Split:
    """``numerator`` new shares for ``denominator`` old ones (3-for-1: 3, 1; reverse 1-for-10: 1, 10)."""

    symbol: str
    numerator: Decimal
    denominator: Decimal
    occurred_at: dt.datetime


@dataclass(frozen=True, slots=True)
class SymbolChange:
    old_symbol: str
    new_symbol: str
    occurred_at: dt.datetime


class LotLedger:
    """Open lots by symbol, in FIFO order. The mutable heart of ``apply_fill`` and ``replay_fills``."""

    def __init__(self, lots: Iterable[OpenLot] = ()) -> None:
        self._lots: dict[str, list[OpenLot]] = {}
        for lot in lots:
            self._add(lot)

    @property
    def lots(self) -> tuple[OpenLot, ...]:
        return tuple(lot for symbol in sorted(self._lots) for lot in self._lots[symbol])

    def quantity(self, symbol: str) -> Decimal:
        return sum((lot.quantity for lot in self._lots.get(symbol, [])), ZERO)

    def book(self, fill: Fill, *, method: LotMethod = LotMethod.FIFO) -> LotResult:
        """Book one fill; the result's ``lots`` is empty, read ``self.lots`` when they are needed."""
        named = fill.lot_ids if method == LotMethod.SPECIFIC else ()
        order, unmatched = self._closing_order(fill, named)
        closures: list[Closure] = []
        left = fill.quantity
        commission_left = fill.commission
        for lot in order:
            if left == 0:
                break
            size = min(left, abs(lot.quantity))
            commission = commission_left if size == left else _share(fill.commission, size, fill.quantity)
            closures.append(self._close(lot, fill, size=size, commission=commission))
            left -= size
            commission_left -= commission
        opened = self._open(fill, quantity=left, commission=commission_left) if left else None
        return LotResult(
            lots=(),
            opened=opened,
            closures=tuple(closures),
            realised_pnl=sum((closure.realised_pnl for closure in closures), ZERO),
            cash_delta=fill.cash_delta,
            unmatched_lot_ids=unmatched,
        )

    def split(self, split: Split) -> None:
        """Replace the symbol's lots by their split form; total cost stays exactly the same."""
        if split.numerator <= 0 or split.denominator <= 0:
            raise LotError("Both sides of a split ratio must be above zero.")
        held = self._lots.get(split.symbol, [])
        self._lots[split.symbol] = [_split_lot(lot, split) for lot in held]

    def rename(self, change: SymbolChange) -> None:
        """Move the lots of the old symbol to the new one; dates, prices and costs stay."""
        for lot in self._lots.pop(change.old_symbol, []):
            self._add(replace(lot, symbol=change.new_symbol))

    def _add(self, lot: OpenLot) -> None:
        if lot.quantity:
            bisect.insort_right(self._lots.setdefault(lot.symbol, []), lot, key=lambda item: item.opened_at)

    def _closing_order(self, fill: Fill, named: Sequence[str]) -> tuple[list[OpenLot], tuple[str, ...]]:
        held = self._lots.get(fill.symbol, [])
        if not held or (held[0].quantity > 0) == (fill.signed_quantity > 0):
            return [], tuple(named)
        if not named:
            return list(_until_covered(held, fill.quantity)), ()
        by_id = {lot.id: lot for lot in held}
        chosen = [by_id[lot_id] for lot_id in dict.fromkeys(named) if lot_id in by_id]
        chosen_ids = {lot.id for lot in chosen}
        rest = [lot for lot in held if lot.id not in chosen_ids]
        return chosen + rest, tuple(lot_id for lot_id in named if lot_id not in by_id)

    def _close(self, lot: OpenLot, fill: Fill, *, size: Decimal, commission: Decimal) -> Closure:
        whole = abs(lot.quantity)
        extra = lot.extra_cost if size == whole else _share(lot.extra_cost, size, whole)
        amount = size * fill.price
        if lot.quantity > 0:
            proceeds, cost = amount - commission, size * lot.price + extra
        else:
            proceeds, cost = size * lot.price - extra, amount + commission
        left = whole - size
        remaining = replace(
            lot, quantity=left if lot.quantity > 0 else -left, extra_cost=lot.extra_cost - extra
        )
        self._replace(lot, remaining)
        return Closure(
            lot_id=lot.id,
            quantity=size,
            proceeds=proceeds,
            cost=cost,
            realised_pnl=proceeds - cost,
            closed_at=fill.occurred_at,
            exec_id=fill.exec_id,
            symbol=fill.symbol,
        )

    def _replace(self, lot: OpenLot, remaining: OpenLot) -> None:
        held = self._lots[lot.symbol]
        position = held.index(lot)
        if remaining.quantity:
            held[position] = remaining
        else:
            del held[position]

    def _open(self, fill: Fill, *, quantity: Decimal, commission: Decimal) -> OpenLot:
        lot = OpenLot(
            id=fill.exec_id,
            symbol=fill.symbol,
            opened_at=fill.occurred_at,
            quantity=quantity if fill.side == Side.BUY else -quantity,
            price=fill.price,
            extra_cost=commission,
        )
        self._add(lot)
        return lot


def apply_fill(lots: Iterable[OpenLot], fill: Fill, *, method: LotMethod = LotMethod.FIFO) -> LotResult:
    """Book one fill on the open lots (any symbols; others pass through) and say what it opened and closed."""
    ledger = LotLedger(lots)
    return replace(ledger.book(fill, method=method), lots=ledger.lots)


def replay_fills(
    opening_lots: Iterable[OpenLot],
    fills: Iterable[Fill],
    *,
    actions: Iterable[Split | SymbolChange] = (),
    busted: frozenset[str] = frozenset(),
    method: LotMethod = LotMethod.FIFO,
) -> ReplayResult:
    """Rebuild the lots from the opening balance: by time, then execution id; each execution once.

    ``busted`` execution ids are left out, so a bust or a late fill gives exactly the book that would have
    been. Corporate actions apply before fills of the same moment. Raises LotError when one execution id
    comes with two different contents.
    """
    ledger = LotLedger(opening_lots)
    closures: list[Closure] = []
    cash = ZERO
    events: list[Fill | Split | SymbolChange] = [*actions, *_unique_fills(fills, busted)]
    events.sort(key=lambda event: (event.occurred_at, event.exec_id if isinstance(event, Fill) else ""))
    for event in events:
        if isinstance(event, Split):
            ledger.split(event)
        elif isinstance(event, SymbolChange):
            ledger.rename(event)
        else:
            result = ledger.book(event, method=method)
            closures.extend(result.closures)
            cash += result.cash_delta
    realised = sum((closure.realised_pnl for closure in closures), ZERO)
    return ReplayResult(lots=ledger.lots, closures=tuple(closures), realised_pnl=realised, cash_delta=cash)


def apply_split(lots: Iterable[OpenLot], split: Split) -> tuple[OpenLot, ...]:
    """Split the lots of one symbol.

    Fractions stay; cash in lieu arrives from the broker as a sale of the fraction.
    """
    ledger = LotLedger(lots)
    ledger.split(split)
    return ledger.lots


def apply_symbol_change(lots: Iterable[OpenLot], change: SymbolChange) -> tuple[OpenLot, ...]:
    """Rename a symbol in the lots; holding periods and costs stay as they were."""
    ledger = LotLedger(lots)
    ledger.rename(change)
    return ledger.lots


def _until_covered(held: Sequence[OpenLot], quantity: Decimal) -> Iterable[OpenLot]:
    covered = ZERO
    for lot in held:
        if covered >= quantity:
            return
        covered += abs(lot.quantity)
        yield lot


def _share(total: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    return (total * part / whole).quantize(COMMISSION_QUANTUM)


def _split_lot(lot: OpenLot, split: Split) -> OpenLot:
    quantity = (lot.quantity * split.numerator / split.denominator).quantize(QUANTITY_QUANTUM)
    if not quantity:
        raise LotError(f"The split leaves no shares of {lot.symbol} in lot {lot.id}; its cost would be lost.")
    price = (lot.price * split.denominator / split.numerator).quantize(QUANTITY_QUANTUM)
    return replace(lot, quantity=quantity, price=price, extra_cost=lot.cost - quantity * price)


def _unique_fills(fills: Iterable[Fill], busted: frozenset[str]) -> list[Fill]:
    seen: dict[str, Fill] = {}
    for fill in fills:
        known = seen.setdefault(fill.exec_id, fill)
        if known != fill:
            raise LotError(f"Execution {fill.exec_id} was reported with two different contents.")
    return [fill for fill in seen.values() if fill.exec_id not in busted]
