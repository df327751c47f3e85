"""What a broker or an exchange does to a book from outside: busted trades and stock splits."""

import uuid
from decimal import Decimal

from brokers.simulators.book import Refused
from brokers.simulators.desk import Desk
from brokers.simulators.records import Execution, LedgerEntry


def bust_execution(desk: Desk, execution_id: str) -> Execution:
    """Annul a fill: cash, position and the order's filled quantity go back; the stream gets ``trade_bust``.

    Raises Refused("unknown_execution") or Refused("already_busted").
    """
    book = desk.book
    execution = book.execution_index.get(execution_id)
    if execution is None:
        raise Refused("unknown_execution")
    if execution.busted:
        raise Refused("already_busted")
    with book.transaction():
        execution.busted, execution.busted_at = True, book.clock.now()
        account, order = book.accounts[execution.account_id], book.orders[execution.order_id]
        account.cash += execution.signed_qty * execution.price
        order.filled_qty -= execution.qty
        order.filled_value -= execution.qty * execution.price
        order.updated_at = book.clock.now()
        book.rebuild_position(account.id, execution.symbol)
        book.touch(execution, account, order)
        desk.emit("trade_bust", order, execution)
    return execution


def split_stock(desk: Desk, symbol: str, ratio: Decimal) -> None:
    """Turn every share of ``symbol`` into ``ratio`` shares, in the market, in positions and in open orders.

    Open orders that would get a fraction of a share are cancelled, the others are restated.
    """
    if ratio <= 0:
        raise ValueError("a split ratio must be positive")
    book, now = desk.book, desk.book.clock.now()
    book.market.add_split(symbol, ratio, now)
    with book.transaction():
        for account_id in book.accounts:
            position = book.positions[account_id].get(symbol)
            if position is None or position.qty == 0:
                continue
            entry = LedgerEntry(str(uuid.uuid4()), account_id, book.next_seq(), "SPLIT", now)
            entry.symbol, entry.ratio = symbol, ratio
            entry.description = f"{ratio} for 1 stock split"
            book.ledger[account_id].append(entry)
            position.qty *= ratio
            position.avg_entry_price /= ratio
            book.touch(entry, position)
        _restate_orders(desk, symbol, ratio)


def _restate_orders(desk: Desk, symbol: str, ratio: Decimal) -> None:
    for order in list(desk.book.open_orders[symbol].values()):
        if order.qty is None:
            continue
        scaled = order.qty * ratio
        if scaled != scaled.to_integral_value() or order.filled_qty:
            desk.finish(order, "canceled")
            continue
        order.qty = scaled
        for name in ("limit_price", "stop_price", "trail_price", "hwm", "collar"):
            value = getattr(order, name)
            if value is not None:
                setattr(order, name, (value / ratio).quantize(Decimal("0.0001")))
        desk.book.touch(order)
        desk.emit("restated", order)
