"""What the cards stand on: a bench with the broker behind it, orders that rest or fill, and shorthands."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from brokers.adapters.base import BrokerInterface
from brokers.enums import BrokerOrderStatus, DedupeClass, LinkKind, OrderClass, OrderType, Side, TimeInForce
from brokers.types import BrokerOrder, Capabilities, DecisionToken, OrderRequest, ReplaceRequest, hash_order

D = Decimal
DEADLINE = 15.0
SYMBOL = "AAPL"
UNKNOWN_SYMBOL = "ZZZZQ"
DISPLAYED = D(10_000)
BID, ASK = D("99.90"), D("100.10")
WORKING = {BrokerOrderStatus.PENDING_NEW, BrokerOrderStatus.OPEN}
CLOSED = {
    BrokerOrderStatus.FILLED,
    BrokerOrderStatus.CANCELED,
    BrokerOrderStatus.EXPIRED,
    BrokerOrderStatus.REJECTED,
}
Found = TypeVar("Found")

CARDS: dict[str, str] = {}


# What a card may need, by the adapter's own declaration. A card without its need is skipped.
NEEDS: dict[str, Callable[[Capabilities], Any]] = {
    "network": lambda can: LinkKind.BUILT_IN not in can.link_kinds,
    "refusal of repeated ids": lambda can: can.dedupe_class is DedupeClass.D,
    "lasting memory of ids": lambda can: can.dedupe_class is DedupeClass.D and can.dedupe_window is None,
    "replace": lambda can: can.replace,
    "replaceable quantity": lambda can: can.replace and "quantity" in can.replace_fields,
    "extended hours": lambda can: any(rule.extended_hours_times_in_force for rule in can.order_rules),
    "parts of shares": lambda can: can.fractional or can.notional,
    "trailing stops": lambda can: can.rule_for(OrderType.TRAILING_STOP),
    "activities": lambda can: can.activities,
    "quotes": lambda can: can.quotes,
    "bars": lambda can: can.bars,
    "stream": lambda can: can.stream,
    "quote stream": lambda can: can.quote_stream,
}


def card(card_id: str, *needs: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a test its card id, which no other may have, and name what an adapter must declare for it."""
    if card_id in CARDS or not NEEDS.keys() >= set(needs):
        raise ValueError(f"card {card_id} is taken or needs something unknown")

    def register(test: Callable[..., None]) -> Callable[..., None]:
        CARDS[card_id] = test.__name__
        test.needs = needs  # type: ignore[attr-defined]
        return test

    return register


class BrokerBench(ABC):
    """One adapter with the broker behind it, and the few things a test must be able to do to that broker.

    The account starts with no position in SYMBOL, at least 50,000 in cash, and an open market.
    """

    adapter: BrokerInterface

    @abstractmethod
    def set_quote(self, symbol: str, bid: Decimal, ask: Decimal, *, size: Decimal = DISPLAYED) -> None:
        """Fix the broker's quote and let it match its open orders against it."""

    def settle(self) -> None:  # noqa: B027 - optional
        """Let the broker do what it does between two looks; brokers with a life of their own need nothing."""

    def with_wrong_credentials(self) -> BrokerInterface:
        """Return an adapter of the same account whose credentials the broker refuses."""
        raise NotImplementedError

    def count_order_posts(self) -> int:
        """Return how many order requests the broker has received."""
        raise NotImplementedError

    def add_fault(self, kind: str, endpoint: str, **options: Any) -> None:
        """Make the broker misbehave once (see the simulator's fault kinds)."""
        raise NotImplementedError

    def drop_streams(self) -> None:
        """Cut the broker's event connections."""
        raise NotImplementedError


def until(look: Callable[[], Found], what: str) -> Found:
    """Look until there is something to see; fail loudly at the deadline."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"did not happen in time: {what}")


def limit_buy(quantity: str = "10", price: str = "90", **changes: Any) -> OrderRequest:
    """A buy far below the market: it rests."""
    return OrderRequest(
        **{
            "symbol": SYMBOL,
            "side": Side.BUY,
            "order_type": OrderType.LIMIT,
            "time_in_force": TimeInForce.DAY,
            "quantity": D(quantity),
            "limit_price": D(price),
        }
        | changes
    )


def market(side: Side = Side.BUY, quantity: str | None = "10", **changes: Any) -> OrderRequest:
    """A market order: it fills."""
    return OrderRequest(
        **{
            "symbol": SYMBOL,
            "side": side,
            "order_type": OrderType.MARKET,
            "time_in_force": TimeInForce.DAY,
            "quantity": D(quantity) if quantity else None,
        }
        | changes
    )


def resting(order_type: OrderType, time_in_force: TimeInForce, **changes: Any) -> OrderRequest:
    """A buy of any type with prices that fit the bench's quote."""
    prices: dict[OrderType, dict[str, Decimal]] = {
        OrderType.MARKET: {},
        OrderType.LIMIT: {"limit_price": D(90)},
        OrderType.STOP: {"stop_price": D(120)},
        OrderType.STOP_LIMIT: {"stop_price": D(120), "limit_price": D(121)},
        OrderType.TRAILING_STOP: {"trail_percent": D(5)},
    }
    return OrderRequest(
        **{
            "symbol": SYMBOL,
            "side": Side.BUY,
            "order_type": order_type,
            "time_in_force": time_in_force,
            "quantity": D(10),
            **prices[order_type],
        }
        | changes
    )


class Cards:
    """Shorthands over a bench, so that the cards read as sentences."""

    bench: BrokerBench

    @pytest.fixture(autouse=True)
    def _open_market(self, request: pytest.FixtureRequest, bench: BrokerBench) -> None:
        self.bench = bench
        for name in request.function.needs:
            self.need(NEEDS[name](self.can), name)
        bench.set_quote(SYMBOL, BID, ASK)

    @property
    def adapter(self) -> BrokerInterface:
        return self.bench.adapter

    @property
    def can(self) -> Capabilities:
        return self.adapter.capabilities(self.adapter.handle.environment)

    def need(self, capability: Any, name: str) -> None:
        """Skip the card when the adapter declares that it lacks the capability."""
        if not capability:
            pytest.skip(f"{self.can.broker} declares no {name}")

    def need_class(self, order_class: OrderClass, order_type: OrderType) -> None:
        rule = self.can.rule_for(order_type)
        self.need(rule and order_class in rule.order_classes, f"{order_class} orders of type {order_type}")

    def token(self, order_hash: str, *, seconds: float = 5) -> DecisionToken:
        expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
        return DecisionToken(decision_id=uuid4(), order_hash=order_hash, expires_at=expires_at)

    def place(self, request: OrderRequest, client_order_id: str | None = None) -> BrokerOrder:
        client_order_id = client_order_id or f"card-{uuid4().hex}"
        order_hash = hash_order(
            account_id=self.adapter.handle.account_id, client_order_id=client_order_id, request=request
        )
        return self.adapter.place_order(
            request, client_order_id=client_order_id, token=self.token(order_hash), order_hash=order_hash
        )

    def replace(self, order: BrokerOrder, changes: ReplaceRequest) -> BrokerOrder:
        return self.adapter.replace_order(
            order.broker_order_id,
            changes,
            client_order_id=f"card-{uuid4().hex}",
            token=self.token("replace"),
            order_hash="replace",
        )

    def see(self, order: BrokerOrder, *statuses: BrokerOrderStatus) -> BrokerOrder:
        """Read the order until it is in one of `statuses`."""

        def look() -> BrokerOrder | None:
            self.bench.settle()
            seen = self.adapter.get_order_status(order.broker_order_id)
            return seen if seen.status in statuses else None

        return until(look, f"{order.broker_order_id} in {statuses}")

    def place_working(self, request: OrderRequest) -> BrokerOrder:
        return self.see(self.place(request), BrokerOrderStatus.OPEN)

    def place_filled(self, request: OrderRequest) -> BrokerOrder:
        return self.see(self.place(request), BrokerOrderStatus.FILLED)

    def quantity_of(self, symbol: str = SYMBOL) -> Decimal:
        return sum((row.quantity for row in self.adapter.get_positions() if row.symbol == symbol), D(0))
