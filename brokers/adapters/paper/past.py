"""A past for a practice account, so that a demonstration does not begin with an empty page.

Only what a person could have done is written: market orders that filled at prices of their day.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from brokers.adapters.paper.book import lock_book, next_sequence, position_of
from brokers.adapters.paper.models import PracticeBook, PracticeExecution, PracticeOrder, PracticePosition
from brokers.enums import BrokerOrderStatus, OrderType, Side, TimeInForce


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTrade:
    """A whole fill. `quantity` is positive shares, `price` in the account's currency."""

    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    at: datetime


def record_past(book_id: uuid.UUID, *, trades: Sequence[PastTrade]) -> None:
    """Write trades, oldest first, into a book that has none; a book that was traded in stays as it is.

    Raises NotFound when the book is gone and ValueError for a trade that cash or shares do not cover.
    """
    with lock_book(book_id) as book:
        if book.orders.exists():
            return
        for trade in trades:
            _record(book, trade)
        book.save(update_fields=["cash"])


def _record(book: PracticeBook, trade: PastTrade) -> None:
    order = PracticeOrder.objects.create(
        sequence=next_sequence(book),
        book=book,
        client_order_id=f"past-{uuid.uuid4().hex}",
        symbol=trade.symbol,
        side=trade.side,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        status=BrokerOrderStatus.FILLED,
        quantity=trade.quantity,
        cum_qty=trade.quantity,
        avg_px=trade.price,
        submitted_at=trade.at,
        updated_at=trade.at,
    )
    PracticeExecution.objects.create(
        order=order,
        book=book,
        last_qty=trade.quantity,
        last_px=trade.price,
        cum_qty=trade.quantity,
        executed_at=trade.at,
    )
    _move_shares(book, trade)
    book.cash += trade.quantity * trade.price * (1 if trade.side is Side.SELL else -1)
    if book.cash < 0:
        raise ValueError(f"There is not enough cash for {trade.quantity} {trade.symbol}.")


def _move_shares(book: PracticeBook, trade: PastTrade) -> None:
    position = position_of(book, trade.symbol) or PracticePosition(
        book=book, symbol=trade.symbol, quantity=Decimal(0), avg_price=Decimal(0)
    )
    if trade.side is Side.BUY:
        cost = position.quantity * position.avg_price + trade.quantity * trade.price
        position.quantity += trade.quantity
        position.avg_price = cost / position.quantity
    else:
        position.quantity -= trade.quantity
    if position.quantity < 0:
        raise ValueError(f"There are not enough shares of {trade.symbol} to sell.")
    if position.quantity:
        position.save()
    else:
        position.delete()
