"""The comparison at rest: the platform's rows against the broker's private book."""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from benchmarks.faults.book import Book, HeldOrder
from benchmarks.faults.oracle import Violations
from benchmarks.faults.workload import Workload
from benchmarks.faults.world import World
from brokers.enums import BrokerOrderStatus
from orders.enums import CLOSED, OrderStatus
from orders.models import Execution, Order, OrderAlias, OrderEvent, OutboxMessage
from portfolios.models import Break, Portfolio
from portfolios.services.rebuild import check_book
from risk.models import RiskDecisionRecord, TradingHalt
from risk.replay import replay_decision
from tradeplatform.models import AuditEntry

ZERO = Decimal(0)
NEVER_LIVE = frozenset({OrderStatus.DENIED, OrderStatus.NOT_SENT, OrderStatus.REJECTED})
AT_BROKER = {
    BrokerOrderStatus.OPEN: {OrderStatus.ACCEPTED},
    BrokerOrderStatus.PARTIALLY_FILLED: {OrderStatus.PARTIALLY_FILLED},
    BrokerOrderStatus.FILLED: {OrderStatus.FILLED},
    BrokerOrderStatus.CANCELED: {OrderStatus.CANCELED},
    BrokerOrderStatus.EXPIRED: {OrderStatus.EXPIRED},
}
REPLAYED_DECISIONS = 200


@dataclass
class RestChecks:
    world: World
    book: Book
    workload: Workload
    violations: Violations

    def run(self) -> None:
        self._load()
        for held in self.book.orders.values():
            self._check_held(held)
        for order in self.orders.values():
            self._check_order(order)
        self._check_keys()
        for owner in self.workload.owners:
            self._check_account(owner.number, owner.account.pk)
        self._check_audit()
        self._check_decisions()

    def _load(self) -> None:
        self.orders = {order.pk: order for order in Order.objects.order_by("created_at", "pk")}
        counted = Execution.objects.filter(busted_at=None, corrected_at=None).order_by()
        self.counted = set(counted.values_list("exec_id", flat=True))
        self.standing = {
            one.exec_id: one.last_qty for held in self.book.accounts.values() for one in held.executions
        }
        self.matched = set(
            OrderEvent.objects.filter(kind="adopted_by_match").values_list("order_id", flat=True)
        )
        self.by_broker_id = {order.broker_order_id: order for order in self.orders.values()}
        for broker_id, order_id in OrderAlias.objects.exclude(broker_order_id="").values_list(
            "broker_order_id", "order_id"
        ):
            self.by_broker_id.setdefault(broker_id, self.orders[order_id])
        self.by_client_id = {order.client_order_id: order for order in self.orders.values()}
        replaces = OutboxMessage.objects.filter(kind="replace").values_list("client_order_id", "order_id")
        self.by_intent = self.by_client_id | {name: self.orders[pk] for name, pk in replaces}

    def _report(self, name: str, detail: str) -> None:
        self.violations.add(name, detail, self.world.time)
        self.world.note(f"VIOLATION {name} {detail}")

    def _check_held(self, held: HeldOrder) -> None:
        """I2 and denied-but-live: every order at the broker is one of ours, or known as foreign."""
        ours = self.by_broker_id.get(held.id)
        intended = self.by_intent.get(held.intent)
        if intended is not None and intended.status in NEVER_LIVE:
            self._report("denied but live", f"{held.id} for {intended.client_order_id} ({intended.status})")
        if ours is None:
            self._report("lost", f"{held.id} ({held.view.status}) is not in our books, intent {held.intent}")
            return
        if not held.external and intended is not None and ours.pk != intended.pk:
            self._report(
                "wrongly tied", f"{held.id} is {ours.client_order_id}, meant {intended.client_order_id}"
            )
        if held.external and ours.origin != "external" and not self._is_double(held, ours):
            self._report("wrongly tied", f"{held.id} was placed by hand, shown as {ours.client_order_id}")
        if held.id != ours.broker_order_id:
            return
        if problem := self._difference(held, ours):
            theirs = f"{held.id} is {held.view.status} with {held.view.cum_qty}"
            self._report("state differs", f"{theirs}, ours {ours.status} with {ours.cum_qty}: {problem}")

    def _difference(self, held: HeldOrder, ours: Order) -> str:
        """Say in what our order is not what really happened.

        A bust leaves the broker's own state and total behind: an order whose only fill was annulled stays
        filled there, and one that replaced it may go on counting it. What is over there is over here, too.
        """
        if held.is_live == (ours.status in CLOSED):
            return "open at one place only"
        fills = [name for one in self._chain(held) for name in one.executions]
        was_busted = not self.book.busted.keys().isdisjoint(fills)
        if not was_busted and ours.status not in AT_BROKER.get(held.view.status, {ours.status}):
            return "another state"
        total = sum((self._worth(name) for name in fills), ZERO)
        return "" if ours.cum_qty == total else f"it must be {total}"

    def _worth(self, exec_id: str) -> Decimal:
        """Return the shares of a fill, none if it was annulled: unless nobody could tell us so.

        Its position differs then, which must be shown as a break (`_check_account`).
        """
        annulled = self.book.busted.get(exec_id)
        if annulled is None:
            return self.standing[exec_id]
        return annulled.last_qty if exec_id in self.counted else ZERO

    def _chain(self, held: HeldOrder) -> list[HeldOrder]:
        """Return the order with those that it replaced."""
        chain = [held]
        while (old := self.book.orders.get(chain[-1].view.replaces)) is not None:
            chain.append(old)
        return chain

    def _is_double(self, held: HeldOrder, ours: Order) -> bool:
        """The broker's one order equals ours in every field, and ours never arrived: they look the same.

        Such a tie is shown as a conclusion and can be undone. It is counted, and not a broken promise.
        """
        is_double = ours.client_order_id not in self.book.by_intent and ours.pk in self.matched
        self.workload.done["tied to a double placed by hand"] += is_double
        return is_double

    def _check_order(self, order: Order) -> None:
        """I3 and phantoms: every order of ours has an end, is open at the broker, or is with a person."""
        if order.status == OrderStatus.UNCONFIRMED and order.needs_person_at is None:
            self._report("lost", f"{order.client_order_id} is unconfirmed and nobody was asked")
        if order.status in (OrderStatus.QUEUED, OrderStatus.SUBMITTING):
            self._report("lost", f"{order.client_order_id} is still {order.status}")
        if order.status in (OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_REPLACE):
            self._report("lost", f"{order.client_order_id} is still {order.status}")
        live = order.status not in CLOSED or order.cum_qty > 0
        if live and order.status != OrderStatus.UNCONFIRMED and order.broker_order_id not in self.book.orders:
            self._report(
                "phantom", f"{order.client_order_id} is {order.status}, the broker has no such order"
            )

    def _check_keys(self) -> None:
        """One press of the button is at most one order at the broker, a confirmed question included."""
        by_key: Counter[str] = Counter()
        for order in self.orders.values():
            if order.note:
                by_key[order.note.removesuffix("c")] += len(
                    self.book.by_intent.get(order.client_order_id, [])
                )
        for key, count in by_key.items():
            if count > 1:
                self._report("duplicate", f"{count} orders at the broker for one press {key}")

    def _check_account(self, number: str, account_id: UUID) -> None:
        """I6 and I7 against the broker; a lost bust stays different, and must be shown as a break."""
        held = self.book.accounts[number]
        portfolio = Portfolio.objects.get(account_id=account_id)
        ours = {row.symbol: row.quantity for row in portfolio.positions.all() if row.quantity}
        theirs = {symbol: quantity for symbol, quantity in held.positions.items() if quantity}
        if (ours, portfolio.cash) != (theirs, held.cash) and not Break.objects.filter(
            portfolio=portfolio, resolved_at=None
        ).exists():
            self._report("books differ unseen", f"{number}: {ours} {portfolio.cash}, {theirs} {held.cash}")
        for problem in check_book(portfolio):
            self._report("I12 book differs from ledger", f"{number}: {problem}")

    def _check_audit(self) -> None:
        """I10: every order and every halt has its entry in the audit trail."""
        entries = set(AuditEntry.objects.values_list("object_type", "object_id"))
        for order in self.orders.values():
            if order.origin == "api" and ("order", str(order.pk)) not in entries:
                self._report("I10 no audit entry", order.client_order_id)
        for halt in TradingHalt.objects.all():
            if ("trading_halt", str(halt.pk)) not in entries:
                self._report("I10 no audit entry", f"halt {halt.pk}")

    def _check_decisions(self) -> None:
        """A sample of the gate's decisions computes again to the same answer."""
        for record in RiskDecisionRecord.objects.order_by("created_at", "client_order_id")[
            :REPLAYED_DECISIONS
        ]:
            if not replay_decision(record).matches:
                self._report("I12 decision does not replay", record.client_order_id)
