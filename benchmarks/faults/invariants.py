"""What must hold in the platform's own rows: of touched objects after every step, of all at rest.

I4 what has filled only falls by a bust. I5 fills never exceed the order. I7 positions are the sum of fills.
I11 nothing points into another person's account. I12 the stored state is what its facts and journal say.
I1, I2, I3, I6 and the comparison with the broker's book are in `rest`; I8 and I9 in `oracle`; I10 checks
that every order, cancel and halt has its audit entry.

The rows are read past the platform's own models, by plain SQL: thousands of looks a second, and a model that
reads wrongly cannot hide what is stored.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import connections

from benchmarks.faults.oracle import Violations
from benchmarks.faults.world import World
from orders.enums import OrderStatus
from orders.execution_facts import ExecutionFact
from orders.state_machine import OrderState

ZERO = Decimal(0)
FULL_CHECK_STEPS = 500
LEASE_CHECK_STEPS = 20
LEASE_NOTICED = timedelta(seconds=10)
MOVES_SHARES = frozenset({"partially_filled", "filled", "busted", "canceled"})
PART = 500

_NEW_EVENTS = "SELECT id, order_id, kind, to_status FROM orders_orderevent WHERE id > ? ORDER BY id"
_ORDERS = """
    SELECT o.id, o.client_order_id, o.status, o.quantity, o.cum_qty, o.avg_px, o.account_id, o.symbol,
           o.user_id = a.user_id
    FROM orders_order o JOIN brokers_brokeraccount a ON a.id = o.account_id WHERE o.id IN ({marks})
"""
_EXECUTIONS = """
    SELECT order_id, exec_id, last_qty, last_px, busted_at IS NOT NULL, corrected_at IS NOT NULL, account_id
    FROM orders_execution WHERE order_id IN ({marks})
"""
_FILLS = """
    SELECT o.side, e.last_qty FROM orders_execution e JOIN orders_order o ON o.id = e.order_id
    WHERE e.account_id = ? AND o.symbol = ? AND e.busted_at IS NULL AND e.corrected_at IS NULL
"""
_POSITION = """
    SELECT p.quantity FROM portfolios_position p JOIN portfolios_portfolio b ON b.id = p.portfolio_id
    WHERE b.account_id = ? AND p.symbol = ?
"""
# The sums of all rows, made by the database; its numbers are exact here, for the campaign trades whole shares
# at whole cents.
_ALL_ORDERS = """
    SELECT o.id, o.client_order_id, o.status, o.quantity + 0.0, o.cum_qty + 0.0, o.avg_px + 0.0,
           COALESCE(x.live, 0.0), x.amount, COALESCE(x.gone, 0)
    FROM orders_order o LEFT JOIN (
        SELECT order_id, SUM(CASE WHEN out THEN 0.0 ELSE last_qty END) AS live,
               SUM(CASE WHEN out THEN 0.0 ELSE last_qty * last_px END) AS amount, SUM(out) AS gone
        FROM (SELECT order_id, last_qty, last_px, busted_at IS NOT NULL OR corrected_at IS NOT NULL AS out
              FROM orders_execution) GROUP BY order_id
    ) x ON x.order_id = o.id
"""
_WRONG_POSITIONS = """
    SELECT f.account, f.symbol, COALESCE(p.quantity, 0) + 0.0, f.total FROM (
        SELECT e.account_id AS account, o.symbol AS symbol,
               SUM(CASE o.side WHEN 'buy' THEN e.last_qty ELSE -e.last_qty END) + 0.0 AS total
        FROM orders_execution e JOIN orders_order o ON o.id = e.order_id
        WHERE e.busted_at IS NULL AND e.corrected_at IS NULL GROUP BY e.account_id, o.symbol
    ) f LEFT JOIN portfolios_portfolio b ON b.account_id = f.account
    LEFT JOIN portfolios_position p ON p.portfolio_id = b.id AND p.symbol = f.symbol
    WHERE COALESCE(p.quantity, 0) + 0.0 <> f.total
"""
_WRONG_CASH = """
    SELECT b.id FROM portfolios_portfolio b LEFT JOIN (
        SELECT portfolio_id, SUM(CAST(ROUND(amount * 100) AS INTEGER)) AS cents
        FROM portfolios_ledgerentry GROUP BY portfolio_id
    ) l ON l.portfolio_id = b.id WHERE CAST(ROUND(b.cash * 100) AS INTEGER) <> COALESCE(l.cents, 0)
"""
_FOREIGN_ROWS = """
    SELECT o.client_order_id FROM orders_order o JOIN brokers_brokeraccount a ON a.id = o.account_id
    WHERE o.user_id <> a.user_id
    UNION ALL SELECT o.client_order_id FROM orders_execution e JOIN orders_order o ON o.id = e.order_id
    WHERE e.account_id <> o.account_id
"""
_OLD_CLAIMS = "SELECT order_id FROM orders_outboxmessage WHERE status = 'claimed' AND lease_until < ?"


def read(statement: str, values: Collection[object] = ()) -> list[tuple[Any, ...]]:
    """Return the rows of a statement; {marks} stands for as many places as there are values."""
    statement = statement.format(marks=",".join("?" * len(values)))
    return connections["default"].connection.execute(statement, tuple(values)).fetchall()  # type: ignore[no-any-return]


@dataclass
class StepChecks:
    """Looks after each step at what the step has changed."""

    world: World
    violations: Violations
    filled: dict[str, tuple[Decimal | float, int]] = field(default_factory=dict)
    newest: dict[str, str] = field(default_factory=dict)
    steps: int = 0
    checked: int = 0
    _changes: int = 0
    _last_event: int = 0

    def after_step(self) -> None:
        changes = connections["default"].connection.total_changes
        if changes == self._changes:
            return
        self._changes = changes
        self.steps += 1
        rows = read(_NEW_EVENTS, [self._last_event])
        if rows:
            self._last_event = rows[-1][0]
            for _, order_id, kind, to_status in rows:
                self.world.note(f"order {order_id} {kind} {to_status}")
                if to_status:
                    self.newest[order_id] = to_status
            moved = {order_id for _, order_id, kind, _ in rows if kind in MOVES_SHARES}
            self.check_orders(dict.fromkeys(row[1] for row in rows), moved=moved)
        if self.steps % LEASE_CHECK_STEPS == 0:
            self._check_leases()
        if self.steps % FULL_CHECK_STEPS == 0:
            self.check_everything()

    def check_everything(self) -> None:
        """Check every row there is, by the sums that the database makes of them."""
        self._check_leases()
        for row in read(_ALL_ORDERS):
            self._check_sums(*row)
        for account_id, symbol, held, expected in read(_WRONG_POSITIONS):
            self._report(
                "I7 position differs from fills", f"{symbol} of {account_id}: {held}, fills {expected}"
            )
        for (name,) in read(_FOREIGN_ROWS):
            self._report("I11 foreign row", name)
        for (portfolio_id,) in read(_WRONG_CASH):
            self._report("I6 cash differs from ledger", portfolio_id)

    def check_at_rest(self) -> None:
        """Check everything by sums, and then each order once more by its exact numbers."""
        self.check_everything()
        ids = [order_id for (order_id,) in read("SELECT id FROM orders_order ORDER BY id")]
        for start in range(0, len(ids), PART):
            self.check_orders(ids[start : start + PART], moved=set())

    def check_orders(self, ids: Collection[str], *, moved: set[str]) -> None:
        """Check the orders with these ids, and the positions of those whose shares have moved."""
        executions: dict[str, list[ExecutionFact]] = {}
        accounts: dict[str, set[str]] = {}
        for order_id, exec_id, quantity, price, busted, corrected, account in read(_EXECUTIONS, ids):
            fact = ExecutionFact(
                exec_id=exec_id,
                last_qty=Decimal(quantity),
                last_px=Decimal(price),
                busted=bool(busted),
                corrected=bool(corrected),
            )
            executions.setdefault(order_id, []).append(fact)
            accounts.setdefault(order_id, set()).add(account)
        pairs = set()
        for order_id, name, status, quantity, cum_qty, avg_px, account, symbol, is_owners in read(
            _ORDERS, ids
        ):
            self.checked += 1
            state = OrderState(
                status=OrderStatus(status),
                quantity=None if quantity is None else Decimal(quantity),
                executions=tuple(executions.get(order_id, ())),
            )
            label = f"{name} ({status})"
            self._check_order(
                order_id, label, state, Decimal(cum_qty), None if avg_px is None else Decimal(avg_px)
            )
            if not is_owners or not accounts.get(order_id, {account}) <= {account}:
                self._report("I11 foreign row", label)
            if order_id in moved:
                pairs.add((account, symbol))
        for account, symbol in sorted(pairs):
            self._check_position(account, symbol)

    def _report(self, name: str, detail: str) -> None:
        self.violations.add(name, detail, self.world.time)
        self.world.note(f"VIOLATION {name} {detail}")

    def _check_order(
        self, order_id: str, name: str, state: OrderState, cum_qty: Decimal, avg_px: Decimal | None
    ) -> None:
        gone = sum(1 for one in state.executions if one.busted or one.corrected)
        self._check_never_falls(order_id, name, state.status, cum_qty, gone)
        if state.quantity is not None and state.cum_qty > state.quantity:
            self._report("I5 overfilled", name)
        if (cum_qty, avg_px) != (state.cum_qty, state.avg_px):
            self._report("I12 totals differ from executions", name)
        if state.status != self.newest.get(order_id, state.status):
            self._report("I12 status differs from journal", f"{name} {self.newest[order_id]}")

    def _check_sums(
        self,
        order_id: str,
        name: str,
        status: str,
        quantity: float | None,
        cum_qty: float,
        avg_px: float | None,
        live: float,
        amount: float | None,
        gone: int,
    ) -> None:
        self.checked += 1
        label = f"{name} ({status})"
        self._check_never_falls(order_id, label, status, cum_qty, gone)
        if quantity is not None and live > quantity:
            self._report("I5 overfilled", label)
        average = amount / live if amount and live else None
        is_priced_alike = (avg_px is None) == (average is None) and abs((avg_px or 0) - (average or 0)) < 1e-6
        if cum_qty != live or not is_priced_alike:
            self._report("I12 totals differ from executions", label)
        if status != self.newest.get(order_id, status):
            self._report("I12 status differs from journal", f"{label} {self.newest[order_id]}")

    def _check_never_falls(
        self, order_id: str, name: str, status: str, cum_qty: Decimal | float, gone: int
    ) -> None:
        before, gone_before = self.filled.get(order_id, (ZERO, 0))
        if cum_qty < before and gone <= gone_before and status != OrderStatus.UNCONFIRMED:
            self._report("I4 filled fell", name)
        self.filled[order_id] = (cum_qty, gone)

    def _check_position(self, account: str, symbol: str) -> None:
        fills = read(_FILLS, [account, symbol])
        expected = sum((Decimal(last) if side == "buy" else -Decimal(last) for side, last in fills), ZERO)
        held = read(_POSITION, [account, symbol])
        if (Decimal(held[0][0]) if held else ZERO) != expected:
            self._report("I7 position differs from fills", f"{symbol} of {account}")

    def _check_leases(self) -> None:
        """I3: a claim whose owner is gone becomes a doubt that has a name, soon."""
        late = self.world.now() - LEASE_NOTICED
        for (order_id,) in read(_OLD_CLAIMS, [f"{late:%Y-%m-%d %H:%M:%S}"]):
            self._report("I3 dead claim unnoticed", order_id)
