"""The private book: accounts, orders, executions, positions and cash, with everything written through to the
store.

The book knows no wire format. It is also the oracle of the tests: what it says happened, happened.
"""

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from brokers.simulators.clock import SimulatedClock
from brokers.simulators.market import Market
from brokers.simulators.records import (
    Account,
    Customer,
    Execution,
    KeyPair,
    LedgerEntry,
    OAuthApp,
    OAuthCode,
    OAuthToken,
    Order,
    Position,
    Received,
    Record,
    Setting,
)
from brokers.simulators.store import Store

ENVIRONMENTS = ("paper", "live")


class Refused(Exception):
    """The broker says no. ``reason`` is a stable name, ``details`` feed the wire message."""

    def __init__(self, reason: str, **details: Any) -> None:
        super().__init__(reason)
        self.reason = reason
        self.details = details


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """Something that happened to an order; ``order`` is a snapshot of that moment."""

    event: str
    order: Order
    at: datetime
    execution_id: str
    execution: Execution | None = None


class Book:
    """State of the simulated broker. Change it inside ``with book.transaction():`` only."""

    def __init__(self, *, store: Store, market: Market, clock: SimulatedClock) -> None:
        self.store, self.market, self.clock = store, market, clock
        self.listeners: list[Callable[[OrderEvent], None]] = []
        self._depth = 0
        self._dirty: dict[tuple[str, str], Record] = {}
        self._events: list[OrderEvent] = []
        self._empty()

    def _empty(self) -> None:
        self.seq = 0
        self.open_costs: dict[str, Decimal] = {}
        self.customers: dict[str, Customer] = {}
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, KeyPair] = {}
        self.apps: dict[str, OAuthApp] = {}
        self.codes: dict[str, OAuthCode] = {}
        self.tokens: dict[str, OAuthToken] = {}
        self.settings: dict[str, Setting] = {}
        self.orders: dict[str, Order] = {}
        self.client_ids: dict[tuple[str, str], str] = {}
        self.account_orders: dict[str, dict[str, Order]] = defaultdict(dict)
        self.open_orders: dict[str, dict[str, Order]] = defaultdict(dict)
        self.open_by_account: dict[str, dict[str, Order]] = defaultdict(dict)
        self.children: dict[str, list[str]] = defaultdict(list)
        self.executions: dict[str, list[Execution]] = defaultdict(list)
        self.execution_index: dict[str, Execution] = {}
        self.ledger: dict[str, list[LedgerEntry]] = defaultdict(list)
        self.positions: dict[str, dict[str, Position]] = defaultdict(dict)
        self.received: list[Received] = []

    def reset(self) -> None:
        """Forget every customer, account and order."""
        self.store.clear()
        self._dirty.clear()
        self._events.clear()
        self._empty()

    def load(self) -> bool:
        """Read the state file; True when it held a book."""
        rows = self.store.load()
        simple: tuple[tuple[str, dict[str, Any]], ...] = (
            ("customer", self.customers),
            ("account", self.accounts),
            ("key", self.keys),
            ("app", self.apps),
            ("code", self.codes),
            ("token", self.tokens),
            ("setting", self.settings),
        )
        for kind, target in simple:
            target.update({row.id: row for row in rows[kind]})
        for order in sorted(cast("list[Order]", rows["order"]), key=lambda row: row.seq):
            self._index(order)
        for execution in sorted(cast("list[Execution]", rows["execution"]), key=lambda row: row.seq):
            self.executions[execution.account_id].append(execution)
            self.execution_index[execution.id] = execution
        for entry in sorted(cast("list[LedgerEntry]", rows["ledger"]), key=lambda row: row.seq):
            self.ledger[entry.account_id].append(entry)
        for position in cast("list[Position]", rows["position"]):
            self.positions[position.account_id][position.symbol] = position
        self.received = sorted(cast("list[Received]", rows["received"]), key=lambda row: row.at)
        counted = [*rows["order"], *rows["execution"], *rows["ledger"]]
        self.seq = max((row.seq for row in counted), default=0)  # type: ignore[attr-defined]
        return bool(self.accounts)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Store all touched records in one commit, then tell the listeners; nested use joins the outer
        one.
        """
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._commit()

    def _commit(self) -> None:
        if self._dirty:
            self.store.write(self._dirty.values())
            self._dirty.clear()
        events, self._events = self._events, []
        for event in events:
            for listener in self.listeners:
                listener(event)

    def touch(self, *records: Record) -> None:
        """Mark records as changed."""
        for record in records:
            self._dirty[record.KIND, record.id] = record
            self.open_costs.pop(record.id, None)

    def next_seq(self) -> int:
        """A number larger than any before, ordering orders, fills and ledger entries."""
        self.seq += 1
        return self.seq

    def emit(self, event: OrderEvent) -> None:
        """Queue an event for the listeners of this transaction."""
        self._events.append(event)

    def setting(self, name: str) -> dict[str, Any]:
        """A stored setting, empty when absent."""
        row = self.settings.get(name)
        return row.value if row else {}

    def put_setting(self, name: str, value: dict[str, Any]) -> None:
        """Store a setting."""
        with self.transaction():
            self.settings[name] = Setting(name, value)
            self.touch(self.settings[name])

    def add_customer(self, *, name: str, email: str) -> Customer:
        """A new customer without accounts."""
        with self.transaction():
            customer = Customer(str(uuid.uuid4()), name, email, self.clock.now())
            self.customers[customer.id] = customer
            self.touch(customer)
        return customer

    def add_account(self, *, customer_id: str, env: str, cash: Decimal) -> Account:
        """A new account funded with ``cash`` dollars. Raises ValueError for an unknown environment."""
        if env not in ENVIRONMENTS:
            raise ValueError(f"unknown environment {env!r}")
        with self.transaction():
            prefix = "PA" if env == "paper" else "9"
            number = f"{prefix}{len(self.accounts) + 1:08d}"
            account = Account(str(uuid.uuid4()), number, customer_id, env, self.clock.now())
            self.accounts[account.id] = account
            self.touch(account)
            if cash:
                self.move_cash(account, cash)
        return account

    def add_key(self, account: Account, *, key_id: str, secret: str) -> KeyPair:
        """A key pair for ``account``. Raises ValueError when the key id is taken."""
        if key_id in self.keys:
            raise ValueError(f"key {key_id} exists already")
        with self.transaction():
            pair = KeyPair(key_id, secret, account.id)
            self.keys[key_id] = pair
            self.touch(pair)
        return pair

    def put(self, record: OAuthApp | OAuthCode | OAuthToken) -> None:
        """Add or update a registered application, code or token."""
        targets: dict[str, Any] = {"app": self.apps, "code": self.codes, "token": self.tokens}
        with self.transaction():
            targets[record.KIND][record.id] = record
            self.touch(record)

    def move_cash(self, account: Account, amount: Decimal, *, at: datetime | None = None) -> LedgerEntry:
        """Deposit (positive) or withdraw (negative) ``amount`` dollars."""
        kind = "CSD" if amount >= 0 else "CSW"
        with self.transaction():
            account.cash += amount
            entry = LedgerEntry(
                str(uuid.uuid4()), account.id, self.next_seq(), kind, at or self.clock.now(), amount
            )
            self.ledger[account.id].append(entry)
            self.touch(account, entry)
        return entry

    def move_shares(self, account: Account, symbol: str, qty: Decimal, price: Decimal) -> None:
        """Put ``qty`` shares (negative: short) bought at ``price`` into the account without touching cash."""
        with self.transaction():
            entry = LedgerEntry(
                str(uuid.uuid4()), account.id, self.next_seq(), "JNLS", self.clock.now(), Decimal(0), symbol
            )
            entry.qty, entry.price = qty, price
            self.ledger[account.id].append(entry)
            position = self.position(account.id, symbol)
            position.add(qty, price)
            self.touch(entry, position)

    def position(self, account_id: str, symbol: str) -> Position:
        """The position record, created flat when it does not exist."""
        held = self.positions[account_id]
        if symbol not in held:
            held[symbol] = Position(f"{account_id}:{symbol}", account_id, symbol)
        return held[symbol]

    def held_positions(self, account_id: str) -> list[Position]:
        """Positions that are not flat, by symbol."""
        held = self.positions[account_id]
        return [held[symbol] for symbol in sorted(held) if held[symbol].qty != 0]

    def add_order(self, order: Order) -> None:
        """Register a new order. The caller has checked that its client id was never used."""
        self._index(order)
        self.record_status(order, order.status)

    def _index(self, order: Order) -> None:
        self.orders[order.id] = order
        self.client_ids[order.account_id, order.client_order_id] = order.id
        self.account_orders[order.account_id][order.id] = order
        if order.parent_id:
            self.children[order.parent_id].append(order.id)
        if order.is_open:
            self.open_orders[order.symbol][order.id] = order
            self.open_by_account[order.account_id][order.id] = order

    def record_status(self, order: Order, status: str) -> None:
        """Set the status, remember it in the order's history and keep the index of open orders."""
        now = self.clock.now()
        order.status = status
        order.updated_at = now
        order.history.append([status, now.isoformat()])
        if not order.is_open:
            self.open_orders[order.symbol].pop(order.id, None)
            self.open_by_account[order.account_id].pop(order.id, None)
        self.touch(order)

    def account_open_orders(self, account_id: str) -> list[Order]:
        """Open orders of the account, oldest first."""
        return list(self.open_by_account[account_id].values())

    def log_received(self, account_id: str, client_order_id: str, body: dict[str, Any], outcome: str) -> None:
        """Keep the evidence of an order request with its arrival time."""
        row = Received(
            str(uuid.uuid4()),
            account_id,
            client_order_id,
            time.monotonic_ns(),
            self.clock.now(),
            outcome,
            body,
        )
        self.received.append(row)
        self.touch(row)

    def book_execution(
        self, order: Order, qty: Decimal, price: Decimal, at: datetime, leaves: Decimal
    ) -> Execution:
        """Record a fill: cash, position, cumulative quantities and the execution row."""
        account = self.accounts[order.account_id]
        signed = qty if order.side == "buy" else -qty
        position = self.position(order.account_id, order.symbol)
        position.add(signed, price)
        account.cash -= signed * price
        order.filled_qty += qty
        order.filled_value += qty * price
        execution = Execution(
            id=str(uuid.uuid4()),
            account_id=order.account_id,
            order_id=order.id,
            client_order_id=order.client_order_id,
            seq=self.next_seq(),
            symbol=order.symbol,
            side=order.side,
            qty=qty,
            price=price,
            cum_qty=order.filled_qty,
            leaves_qty=leaves,
            position_qty=position.qty,
            at=at,
        )
        self.executions[order.account_id].append(execution)
        self.execution_index[execution.id] = execution
        self.touch(account, position, order, execution)
        return execution

    def rebuild_position(self, account_id: str, symbol: str) -> Position:
        """Recompute a position from the fills and ledger entries that count."""
        position = self.position(account_id, symbol)
        position.qty, position.avg_entry_price = Decimal(0), Decimal(0)
        rows: list[Execution | LedgerEntry] = [
            row for row in self.executions[account_id] if row.symbol == symbol and not row.busted
        ]
        rows += [row for row in self.ledger[account_id] if row.symbol == symbol]
        for row in sorted(rows, key=lambda item: item.seq):
            apply_row(position, row)
        self.touch(position)
        return position


def apply_row(position: Position, row: Execution | LedgerEntry) -> None:
    """Apply one fill, share movement or split to ``position``."""
    if isinstance(row, Execution):
        position.add(row.signed_qty, row.price)
    elif row.entry_type == "JNLS":
        position.add(row.qty, row.price)
    elif row.entry_type == "SPLIT":
        position.qty *= row.ratio
        position.avg_entry_price /= row.ratio
