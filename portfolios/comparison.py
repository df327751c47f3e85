"""Our book against the broker's, as a list of differences. Pure: decides nothing and heals nothing.

A fill the broker has booked and we have not heard of yet looks like a difference. The orders that may fill
at this moment are passed in, and a difference they can account for is marked explained; it is still
returned.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from brokers.enums import Side

ZERO = Decimal(0)


class DifferenceKind(StrEnum):
    CASH = "cash"
    POSITION_QUANTITY = "position_quantity"
    MISSING_POSITION = "missing_position"
    UNKNOWN_POSITION = "unknown_position"
    AVERAGE_PRICE = "average_price"
    ACCOUNT = "account"
    ORDER_MISSING = "order_missing"
    ORDER_TERMS = "order_terms"
    ORDER_STATUS = "order_status"
    ORDER_LEGS = "order_legs"
    ORDER_FILLED = "order_filled"


BOOK_KINDS = frozenset(
    {
        DifferenceKind.CASH,
        DifferenceKind.POSITION_QUANTITY,
        DifferenceKind.MISSING_POSITION,
        DifferenceKind.UNKNOWN_POSITION,
        DifferenceKind.AVERAGE_PRICE,
        DifferenceKind.ACCOUNT,
    }
)
ORDER_KINDS = frozenset(DifferenceKind) - BOOK_KINDS
# Their sides are words, not numbers; the broker's cannot be adopted.
TEXT_KINDS = ORDER_KINDS | {DifferenceKind.ACCOUNT}


@dataclass(frozen=True, slots=True)
class BookPosition:
    """Signed quantity; ``average_price`` None when that side does not report one."""

    quantity: Decimal
    average_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class BookState:
    """One side of the comparison. ``cash`` None: not reported, so not compared."""

    cash: Decimal | None
    positions: Mapping[str, BookPosition] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InFlightOrder:
    """An order that may have filled without our knowing.

    ``price``: its limit, or the last quote; None if unknown.
    """

    client_order_id: str
    symbol: str
    side: Side
    leaves_qty: Decimal
    price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far two values may be apart and still agree, in currency, shares and price per share.

    ``fill_price_ratio`` is how far a fill in flight may be from its expected price when it explains a cash
    difference.
    """

    cash: Decimal = Decimal("0.01")
    quantity: Decimal = ZERO
    average_price: Decimal = Decimal("0.01")
    fill_price_ratio: Decimal = Decimal("0.10")


@dataclass(frozen=True, slots=True)
class Difference:
    """``symbol`` is empty for cash; ``explanation`` is empty unless orders in flight account for it.

    Differences of orders and of the account as a whole are in words, and ``subject`` is the order's id.
    """

    kind: DifferenceKind
    symbol: str
    ours: Decimal | str | None
    theirs: Decimal | str | None
    explanation: str = ""
    subject: str = ""

    @property
    def is_explained(self) -> bool:
        return bool(self.explanation)


def compare_books(
    ours: BookState,
    broker: BookState,
    in_flight: Sequence[InFlightOrder] = (),
    tolerance: Tolerance | None = None,
) -> list[Difference]:
    """Compare cash, quantities and average prices; positions in alphabetical order, cash last.

    Average prices are compared only where quantities agree. MISSING_POSITION: we hold it, the broker does
    not; UNKNOWN_POSITION: the broker holds it, our book has never heard of it.
    """
    limits = tolerance or Tolerance()
    differences: list[Difference] = []
    moved: dict[str, Decimal] = {}
    for symbol in sorted({*ours.positions, *broker.positions}):
        found = _compare_position(symbol, ours, broker, in_flight, limits)
        if found is None:
            continue
        differences.append(found)
        if found.is_explained:
            moved[symbol] = delta_of(found)
    cash = _compare_cash(ours.cash, broker.cash, moved, in_flight, limits)
    return [*differences, cash] if cash else differences


def delta_of(difference: Difference) -> Decimal:
    """Return how much more the broker has; zero for differences in words."""
    ours, theirs = difference.ours, difference.theirs
    if isinstance(ours, str) or isinstance(theirs, str):
        return ZERO
    return (theirs or ZERO) - (ours or ZERO)


def _compare_position(
    symbol: str,
    ours: BookState,
    broker: BookState,
    in_flight: Sequence[InFlightOrder],
    limits: Tolerance,
) -> Difference | None:
    mine = ours.positions.get(symbol, BookPosition(ZERO))
    theirs = broker.positions.get(symbol, BookPosition(ZERO))
    delta = theirs.quantity - mine.quantity
    if abs(delta) <= limits.quantity:
        return _compare_average_price(symbol, mine, theirs, limits)
    if theirs.quantity == 0:
        kind = DifferenceKind.MISSING_POSITION
    elif mine.quantity == 0:
        kind = DifferenceKind.UNKNOWN_POSITION
    else:
        kind = DifferenceKind.POSITION_QUANTITY
    explanation = _explain_quantity(delta, [order for order in in_flight if order.symbol == symbol])
    return Difference(kind, symbol, mine.quantity, theirs.quantity, explanation)


def _compare_average_price(
    symbol: str, mine: BookPosition, theirs: BookPosition, limits: Tolerance
) -> Difference | None:
    if mine.quantity == 0 or mine.average_price is None or theirs.average_price is None:
        return None
    if abs(mine.average_price - theirs.average_price) <= limits.average_price:
        return None
    return Difference(DifferenceKind.AVERAGE_PRICE, symbol, mine.average_price, theirs.average_price)


def _explain_quantity(delta: Decimal, orders: Sequence[InFlightOrder]) -> str:
    """Orders on the side of the difference explain it when they may still fill at least that much."""
    side = Side.BUY if delta > 0 else Side.SELL
    matching = [order for order in orders if order.side == side and order.leaves_qty > 0]
    if sum((order.leaves_qty for order in matching), ZERO) < abs(delta):
        return ""
    return f"May be a fill still on its way for {_name_orders(matching)}."


def _compare_cash(
    ours: Decimal | None,
    theirs: Decimal | None,
    moved: Mapping[str, Decimal],
    in_flight: Sequence[InFlightOrder],
    limits: Tolerance,
) -> Difference | None:
    if ours is None or theirs is None or abs(theirs - ours) <= limits.cash:
        return None
    explanation = _explain_cash(theirs - ours, moved, in_flight, limits)
    return Difference(DifferenceKind.CASH, "", ours, theirs, explanation)


def _explain_cash(
    delta: Decimal, moved: Mapping[str, Decimal], in_flight: Sequence[InFlightOrder], limits: Tolerance
) -> str:
    """Cash is explained only by shares that moved too: each at a price near the one its orders expect."""
    lowest = highest = ZERO
    used: list[InFlightOrder] = []
    for symbol, quantity in moved.items():
        side = Side.BUY if quantity > 0 else Side.SELL
        orders = [order for order in in_flight if order.symbol == symbol and order.side == side]
        prices = [order.price for order in orders if order.price is not None]
        if len(prices) < len(orders):
            return ""
        ends = (
            -quantity * min(prices) * (1 - limits.fill_price_ratio),
            -quantity * max(prices) * (1 + limits.fill_price_ratio),
        )
        lowest += min(ends)
        highest += max(ends)
        used.extend(orders)
    if not used or not lowest - limits.cash <= delta <= highest + limits.cash:
        return ""
    return f"May be the payment for a fill still on its way for {_name_orders(used)}."


def _name_orders(orders: Iterable[InFlightOrder]) -> str:
    names = [order.client_order_id for order in orders]
    return ("order " if len(names) == 1 else "orders ") + ", ".join(names)
