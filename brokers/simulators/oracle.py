"""The whole truth about the book, for tests: nothing rounded, nothing left out."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from brokers.simulators.book import Book
from brokers.simulators.records import Record, as_dict


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, datetime) else value


def record_json(record: Record) -> dict[str, Any]:
    """A record with Decimals and times as text."""
    return {name: _plain(value) for name, value in as_dict(record).items()}


def book_json(book: Book, account_id: str | None = None) -> dict[str, Any]:
    """Accounts, orders, executions, positions, cash movements and received requests.

    ``account_id`` limits all of it to one account. Raises ValueError when that account is unknown.
    """
    if account_id is not None and account_id not in book.accounts:
        raise ValueError("unknown account")
    wanted = [account_id] if account_id else list(book.accounts)
    orders = [order for item in wanted for order in book.account_orders[item].values()]
    positions = [position for item in wanted for position in book.held_positions(item)]
    received = [row for row in book.received if row.account_id in set(wanted)]
    order_rows = []
    for order in sorted(orders, key=lambda row: row.seq):
        average = order.filled_value / order.filled_qty if order.filled_qty else None
        order_rows.append({**record_json(order), "filled_avg_price": _plain(average)})
    return {
        "accounts": [record_json(book.accounts[item]) for item in wanted],
        "orders": order_rows,
        "executions": [record_json(row) for item in wanted for row in book.executions[item]],
        "positions": [record_json(row) for row in positions],
        "ledger": [record_json(row) for item in wanted for row in book.ledger[item]],
        "received": [record_json(row) for row in received],
        "cash": {item: _plain(book.accounts[item].cash) for item in wanted},
    }
