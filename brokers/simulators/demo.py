"""The customer a fresh simulator starts with: a paper and a live account with a short history."""

import uuid
from datetime import datetime, timedelta
from decimal import Decimal

from brokers.simulators.book import Book
from brokers.simulators.records import Account, OAuthApp, Order
from brokers.simulators.symbols import BY_SYMBOL

DEMO_APP_ID = "demo-client"
DEMO_APP_SECRET = "demo-client-secret"  # noqa: S105 - a published credential of a local simulator
PAPER_KEY = ("PKDEMO0000000000DEMO", "demo-secret-paper")
LIVE_KEY = ("AKDEMO0000000000DEMO", "demo-secret-live")
DATA_KEY = ("PKPRACTICEDATA000001", "practice-data-secret")
PAPER_TRADES = (("AAPL", 20, 40), ("SPY", 12, 33), ("ABEO", 900, 21), ("ATYR", 2500, 12), ("MSFT", 6, 5))
LIVE_TRADES = (("SPY", 8, 38), ("FBIO", 600, 17), ("KO", 30, 9))


def create_demo(book: Book) -> None:
    """Create the demo application, the customer with 100,000 dollars on paper and 25,000 live, and an
    account without money whose key reads prices for practice accounts.
    """
    with book.transaction():
        book.put(OAuthApp(DEMO_APP_ID, DEMO_APP_SECRET, "Tradeplatform", [], any_loopback=True))
        customer = book.add_customer(name="Demo Customer", email="demo@example.com")
        plans = (("paper", 100_000, PAPER_KEY, PAPER_TRADES), ("live", 25_000, LIVE_KEY, LIVE_TRADES))
        for env, cash, (key_id, secret), trades in plans:
            account = book.add_account(customer_id=customer.id, env=env, cash=Decimal(0))
            now = book.clock.now()
            account.created_at = now - timedelta(days=60)
            book.move_cash(account, Decimal(cash), at=account.created_at)
            book.add_key(account, key_id=key_id, secret=secret)
            for symbol, shares, days in trades:
                add_past_fill(book, account, symbol, Decimal(shares), now - timedelta(days=days))
        operator = book.add_customer(name="Market data", email="data@example.com")
        source = book.add_account(customer_id=operator.id, env="paper", cash=Decimal(0))
        book.add_key(source, key_id=DATA_KEY[0], secret=DATA_KEY[1])


def add_past_fill(book: Book, account: Account, symbol: str, qty: Decimal, at: datetime) -> Order:
    """Book a purchase of ``qty`` shares that filled at the price of ``at``."""
    order = Order(
        id=str(uuid.uuid4()),
        account_id=account.id,
        client_order_id=str(uuid.uuid4()),
        seq=book.next_seq(),
        symbol=symbol,
        asset_id=BY_SYMBOL[symbol].asset_id,
        side="buy",
        order_type="market",
        time_in_force="day",
        created_at=at,
        updated_at=at,
        submitted_at=at,
        qty=qty,
        position_intent="buy_to_open",
    )
    with book.transaction():
        book.add_order(order)
        book.book_execution(order, qty, book.market.close_price(symbol, at), at, Decimal(0))
        book.record_status(order, "filled")
        order.filled_at = order.updated_at = at
        order.history = [["accepted", at.isoformat()], ["filled", at.isoformat()]]
    return order
