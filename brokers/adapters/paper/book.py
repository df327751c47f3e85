"""The practice broker's book under its lock: buying power, held shares, fills, and the messages they make.

Every function here is called inside the transaction of `lock_book`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Max

from brokers.adapters.paper.mapping import describe_event, describe_order
from brokers.adapters.paper.models import (
    LIVE_STATUSES,
    OPEN_STATUSES,
    PracticeBook,
    PracticeEvent,
    PracticeExecution,
    PracticeOrder,
    PracticePosition,
)
from brokers.enums import BrokerOrderStatus, OrderClass, Side
from brokers.exceptions import NotFound
from brokers.matching_terms import ONE, QUANTITY_STEP

ZERO = Decimal(0)
_NINE_PLACES = Decimal("0.000000001")


@contextmanager
def lock_book(book_id: UUID | str) -> Iterator[PracticeBook]:
    """Open a transaction that holds the book. Raises NotFound when it is gone."""
    with transaction.atomic():
        book = PracticeBook.objects.select_for_update().filter(pk=book_id).first()
        if book is None:
            raise NotFound("This practice account does not exist any more.")
        yield book


def open_orders(book: PracticeBook) -> list[PracticeOrder]:
    """Return the working orders in order of arrival; held exits are not among them."""
    return list(book.orders.filter(status__in=OPEN_STATUSES).order_by("sequence"))


def position_of(book: PracticeBook, symbol: str) -> PracticePosition | None:
    """Return the position in a symbol, if there is one."""
    return book.positions.filter(symbol=symbol).first()


def held_quantities(orders: Iterable[PracticeOrder]) -> dict[str, Decimal]:
    """Return the shares that open sells hold, by symbol. The exits of one group hold theirs once."""
    groups: dict[tuple[str, UUID], Decimal] = {}
    for order in orders:
        if order.side == Side.SELL and order.quantity is not None:
            key = (order.symbol, order.root_id or order.pk)
            groups[key] = max(groups.get(key, ZERO), order.quantity - order.cum_qty)
    held: dict[str, Decimal] = {}
    for (symbol, _), quantity in groups.items():
        held[symbol] = held.get(symbol, ZERO) + quantity
    return held


def reserved_cash(orders: Iterable[PracticeOrder]) -> Decimal:
    """Return what open buys hold back of the cash. The exits of one group hold theirs once."""
    groups: dict[UUID, Decimal] = {}
    for order in orders:
        if order.side == Side.BUY:
            key = order.root_id or order.pk
            groups[key] = max(groups.get(key, ZERO), cost_of(order))
    return sum(groups.values(), ZERO)


def cost_of(order: PracticeOrder) -> Decimal:
    """Return the most that the open part of a buy may cost."""
    if order.notional is not None:
        return order.notional
    if order.quantity is None or order.reserve_price is None:
        return ZERO
    return (order.quantity - order.cum_qty) * order.reserve_price


def next_sequence(book: PracticeBook) -> int:
    """Return the next place in the order of arrival."""
    return int(book.orders.aggregate(last=Max("sequence"))["last"] or 0) + 1


def exit_siblings(order: PracticeOrder) -> list[PracticeOrder]:
    """Return the live exits that an exit shares its shares with."""
    root_id = order.root_id or order.pk
    group = PracticeOrder.objects.filter(root_id=root_id, status__in=LIVE_STATUSES).exclude(pk=order.pk)
    siblings = list(group)
    if order.root_id is not None and order.order_class == OrderClass.OCO:
        siblings += PracticeOrder.objects.filter(pk=root_id, status__in=LIVE_STATUSES)
    return siblings


def is_exit(order: PracticeOrder) -> bool:
    """Say whether an order closes what another one opened: a leg, or the take-profit that leads an OCO."""
    return order.root_id is not None or order.order_class == OrderClass.OCO


def emit(
    book: PracticeBook,
    kind: str,
    order: PracticeOrder,
    *,
    at: datetime,
    execution: PracticeExecution | None = None,
) -> None:
    """Append one message to the book's event stream."""
    payload = describe_event(kind, describe_order(order), at=at, execution=execution)
    PracticeEvent.objects.create(book=book, kind=kind, payload=payload, created_at=at)


def close_order(
    book: PracticeBook, order: PracticeOrder, status: BrokerOrderStatus, *, at: datetime, reason: str = ""
) -> None:
    """End an order without a fill, and with it the exits that depend on it."""
    order.status = status
    order.end_reason = reason[:200]
    order.updated_at = at
    order.save(update_fields=["status", "end_reason", "updated_at"])
    emit(book, "expired" if status == BrokerOrderStatus.EXPIRED else "canceled", order, at=at)
    for other in exit_siblings(order):
        close_order(
            book, other, BrokerOrderStatus.CANCELED, at=at, reason="The other order of the group ended."
        )


def fill_order(
    book: PracticeBook,
    order: PracticeOrder,
    *,
    quantity: Decimal,
    price: Decimal,
    quote_at: datetime,
    at: datetime,
) -> Decimal:
    """Execute `quantity` shares at `price` as far as cash and shares allow; return what was executed.

    What they do not allow is cancelled with a reason, so that no book ever goes below zero.
    """
    allowed = min(quantity, _affordable(book, order, price))
    if allowed > ZERO:
        _execute(book, order, quantity=allowed, price=price, quote_at=quote_at, at=at)
    if allowed < quantity and order.status in OPEN_STATUSES:
        reason = "Not enough cash." if order.side == Side.BUY else "Not enough shares."
        close_order(book, order, BrokerOrderStatus.CANCELED, at=at, reason=reason)
    return allowed


def _affordable(book: PracticeBook, order: PracticeOrder, price: Decimal) -> Decimal:
    """Return how many shares the book can pay for or deliver without touching what others hold."""
    others = [other for other in open_orders(book) if other.pk != order.pk and not _same_group(other, order)]
    if order.side == Side.SELL:
        position = position_of(book, order.symbol)
        held = held_quantities(others).get(order.symbol, ZERO)
        return max(ZERO, (position.quantity if position else ZERO) - held)
    whole = order.quantity is not None and order.quantity == order.quantity.to_integral_value()
    cash = max(ZERO, book.cash - reserved_cash(others))
    return (cash / price).quantize(ONE if whole else QUANTITY_STEP, rounding=ROUND_DOWN)


def _same_group(one: PracticeOrder, other: PracticeOrder) -> bool:
    return (one.root_id or one.pk) == (other.root_id or other.pk)


def _execute(
    book: PracticeBook,
    order: PracticeOrder,
    *,
    quantity: Decimal,
    price: Decimal,
    quote_at: datetime,
    at: datetime,
) -> None:
    _move_position(book, order, quantity, price)
    total = order.cum_qty + quantity
    paid = (order.avg_px or ZERO) * order.cum_qty + price * quantity
    order.avg_px = (paid / total).quantize(_NINE_PLACES)
    order.cum_qty = total
    order.filled_quote_at = quote_at
    order.updated_at = at
    done = order.quantity is None or total >= order.quantity
    order.status = BrokerOrderStatus.FILLED if done else BrokerOrderStatus.PARTIALLY_FILLED
    order.save(update_fields=["avg_px", "cum_qty", "filled_quote_at", "updated_at", "status"])
    execution = PracticeExecution.objects.create(
        book=book, order=order, last_qty=quantity, last_px=price, cum_qty=total, executed_at=at
    )
    emit(book, "fill" if done else "partial_fill", order, at=at, execution=execution)
    _follow_up(book, order, done=done, at=at)


def _move_position(book: PracticeBook, order: PracticeOrder, quantity: Decimal, price: Decimal) -> None:
    amount = (quantity * price).quantize(_NINE_PLACES)
    position = position_of(book, order.symbol)
    if order.side == Side.BUY:
        book.cash -= amount
        if position is None:
            PracticePosition.objects.create(
                book=book, symbol=order.symbol, quantity=quantity, avg_price=price
            )
        else:
            total = position.quantity + quantity
            cost = position.quantity * position.avg_price + amount
            position.quantity, position.avg_price = total, (cost / total).quantize(_NINE_PLACES)
            position.save(update_fields=["quantity", "avg_price"])
    elif position is not None:
        book.cash += amount
        position.quantity -= quantity
        if position.quantity:
            position.save(update_fields=["quantity"])
        else:
            position.delete()
    book.save(update_fields=["cash"])


def _follow_up(book: PracticeBook, order: PracticeOrder, *, done: bool, at: datetime) -> None:
    """A filled entry wakes its exits; a filled exit ends its sibling, a partly filled one shrinks it."""
    if is_exit(order):
        for sibling in exit_siblings(order):
            _shrink_or_end(book, sibling, order, done=done, at=at)
    elif done:
        for leg in order.legs.filter(status=BrokerOrderStatus.HELD):
            leg.status = BrokerOrderStatus.OPEN
            leg.quantity = order.cum_qty
            leg.updated_at = at
            leg.save(update_fields=["status", "quantity", "updated_at"])
            emit(book, "new", leg, at=at)


def _shrink_or_end(
    book: PracticeBook, sibling: PracticeOrder, filled: PracticeOrder, *, done: bool, at: datetime
) -> None:
    left = (filled.quantity or ZERO) - filled.cum_qty
    if done or left <= ZERO:
        sibling.status = BrokerOrderStatus.CANCELED
        sibling.end_reason = "The other exit was filled."
        kind = "canceled"
    else:
        sibling.quantity = sibling.cum_qty + left
        kind = "restated"
    sibling.updated_at = at
    sibling.save(update_fields=["status", "end_reason", "quantity", "updated_at"])
    emit(book, kind, sibling, at=at)
