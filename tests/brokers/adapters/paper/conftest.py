"""A practice account with its adapter, a market that the test sets, and decisions for its orders."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from brokers.adapters.paper.driver import drive_practice_orders
from brokers.adapters.paper.models import PracticeBook
from brokers.enums import OrderType, Side, TimeInForce
from brokers.models import LatestQuote
from brokers.registry import manager
from brokers.types import DecisionToken, OrderRequest
from tests.brokers.scripted import make_quote


class Desk:
    """Places orders the way the platform does, in as few words as a test wants to spend."""

    def __init__(self, account, script) -> None:
        self.account = account
        self.script = script
        self.broker = manager.get_trader(account, purpose="test")
        self.ticks = 0
        self.set_quote("ACME")

    @property
    def book(self) -> PracticeBook:
        return PracticeBook.objects.get(pk=self.account.broker_account_id)

    def set_quote(self, symbol: str, bid="99.98", ask="100.02", size="500", last="100.00") -> None:
        """Move the market: each quote is newer than the last, and the stored one is forgotten."""
        self.ticks += 1
        moment = datetime.now(UTC) + timedelta(milliseconds=self.ticks)
        self.script.quotes[symbol] = make_quote(symbol, bid, ask, size, last, as_of=moment)
        LatestQuote.objects.all().delete()

    def place(self, symbol="ACME", side=Side.BUY, kind=OrderType.MARKET, quantity="10", **fields):
        client_order_id = fields.pop("client_order_id", None) or uuid4().hex
        request = OrderRequest(
            symbol=symbol,
            side=side,
            order_type=kind,
            time_in_force=fields.pop("time_in_force", TimeInForce.DAY),
            quantity=None if quantity is None else Decimal(quantity),
            **fields,
        )
        return self.broker.place_order(
            request, client_order_id=client_order_id, token=self.token("h"), order_hash="h"
        )

    def replace(self, order, changes, client_order_id=None):
        return self.broker.replace_order(
            order.broker_order_id,
            changes,
            client_order_id=client_order_id or uuid4().hex,
            token=self.token("h"),
            order_hash="h",
        )

    def token(self, order_hash: str) -> DecisionToken:
        return DecisionToken(
            decision_id=uuid4(),
            order_hash=order_hash,
            expires_at=datetime.now(UTC) + timedelta(seconds=5),
        )

    def look(self, order):
        return self.broker.get_order_status(order.broker_order_id)

    def tick(self) -> int:
        return drive_practice_orders(datetime.now(UTC))

    def position(self, symbol="ACME"):
        row = self.book.positions.filter(symbol=symbol).first()
        return row.quantity if row else Decimal(0)

    def buy(self, quantity="10", **fields):
        """Hold shares: a market buy that fills at once."""
        order = self.place(quantity=quantity, **fields)
        assert self.look(order).status == "filled"
        return order


@pytest.fixture
def desk(practice, script):
    return Desk(practice, script)
