"""What must never happen, judged where it would happen: at the moment the bytes leave, and in the book."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import Q, QuerySet

from benchmarks.faults.book import PRICES, Book, HeldAccount, HeldOrder
from benchmarks.faults.world import World
from brokers.enums import OrderType, Side
from brokers.types import AccountHandle, DecisionToken, OrderRequest, ReplaceRequest, hash_order
from orders.models import Execution, Order, OutboxMessage
from orders.services.preview import change_request
from orders.wire import request_of
from risk.models import RiskDecisionRecord, TradingHalt
from tradeplatform.common.prepared import PreparedQuery, slot

KILL_GRACE = timedelta(seconds=1)
# A decision may be a few seconds old when its order leaves; limits that held since then count.
DECISION_LIFE = timedelta(seconds=8)
POSITION_SHARE = Decimal("0.2")
TOLERANCE = Decimal("1.01")

_OF_ACCOUNT = {"account_id": slot(Order, "account")}
_ORDER_BY_ID = PreparedQuery(
    lambda: Order.objects.filter(**_OF_ACCOUNT, client_order_id=slot(Order, "client_order_id")).order_by()
)
_ORDER_BY_BROKER_ID = PreparedQuery(
    lambda: Order.objects.filter(**_OF_ACCOUNT, broker_order_id=slot(Order, "broker_order_id")).order_by()
)
_CLAIMED = PreparedQuery(
    lambda: (
        OutboxMessage.objects.filter(
            status="claimed",
            **{name: slot(OutboxMessage, name) for name in ("order_id", "client_order_id", "kind")},
        )
        .order_by()
        .values_list("pk", flat=True)
    )
)
_DECISION = PreparedQuery(
    lambda: (
        RiskDecisionRecord.objects.filter(pk=slot(RiskDecisionRecord, "id"))
        .order_by()
        .values_list("verdict", "order_hash")
    )
)


def _halts() -> QuerySet[TradingHalt, Any]:
    """Return the halts in force that began before `since` and cover this broker, account or user."""
    covers = Q(scope="platform")
    for scope in ("broker", "account", "user"):
        covers |= Q(scope=scope, scope_key=slot(TradingHalt, "scope_key", name=scope))
    began = {"started_at__lte": slot(TradingHalt, "started_at", name="since")}
    return TradingHalt.objects.filter(covers, lifted_at=None, **began).order_by().values_list("pk", flat=True)


_HALTS = PreparedQuery(_halts)


@dataclass
class Violations:
    """What was broken, how often, and the first examples."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, name: str, detail: str, at: float) -> None:
        self.counts[name] += 1
        if len(self.examples) < 40:
            self.examples.append(f"{name} at {at:.3f} s: {detail}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """An order as the broker would hold it. `left` is what the write lets fill that nothing does by now;
    `others` are the account's live orders beside it."""

    handle: AccountHandle
    request: OrderRequest
    held: HeldAccount
    left: Decimal
    others: Sequence[HeldOrder]

    @property
    def position(self) -> Decimal:
        return self.held.positions.get(self.request.symbol, Decimal(0))

    def on_order(self, side: Side) -> Decimal:
        """Return the shares of its symbol that the other orders of one side may still trade."""
        same = [one for one in self.others if (one.view.symbol, one.view.side) == (self.request.symbol, side)]
        return sum((one.leaves for one in same), Decimal(0))

    @property
    def is_exit(self) -> bool:
        """The gate's exemption by the broker's book: it buys back no more than is short, less what other
        orders there buy back already. A sale is one: nobody sells short here, so more than is free is no
        sale past a limit on its value but `oversold`, whatever it is worth."""
        if self.request.side is Side.SELL:
            return True
        return self.left <= -self.position - self.on_order(Side.BUY)


@dataclass
class SendWatch:
    """Looks at every order write the moment it leaves the platform."""

    world: World
    book: Book
    violations: Violations
    sends: int = 0
    sent: set[str] = field(default_factory=set)
    limit_log: dict[str, list[tuple[float, Decimal]]] = field(default_factory=dict)

    def report(self, name: str, detail: str) -> None:
        self.violations.add(name, detail, self.world.time)
        self.world.note(f"VIOLATION {name} {detail}")

    def check_send(
        self, handle: AccountHandle, request: OrderRequest, client_order_id: str, token: DecisionToken
    ) -> None:
        self.sends += 1
        self.sent.add(client_order_id)
        self.world.note(f"send {client_order_id}")
        with self._never_silent():
            self._judge_send(handle, request, client_order_id, token)

    def _judge_send(
        self, handle: AccountHandle, request: OrderRequest, client_order_id: str, token: DecisionToken
    ) -> None:
        order = _ORDER_BY_ID.first(account=handle.account_id, client_order_id=client_order_id)
        if order is None:
            self.report("phantom", f"{client_order_id} was sent without a stored order")
            return
        self._check_committed(order.pk, client_order_id, order.status == "submitting", "submit")
        self._check_decision(handle, request, client_order_id, token)
        self._check_write(order, self.order_write(handle, request, client_order_id))

    def check_replace(
        self,
        handle: AccountHandle,
        broker_order_id: str,
        changes: ReplaceRequest,
        client_order_id: str,
        token: DecisionToken,
    ) -> None:
        self.sends += 1
        self.world.note(f"send replace {client_order_id}")
        with self._never_silent():
            self._judge_replace(handle, broker_order_id, changes, client_order_id, token)

    def _judge_replace(
        self,
        handle: AccountHandle,
        broker_order_id: str,
        changes: ReplaceRequest,
        client_order_id: str,
        token: DecisionToken,
    ) -> None:
        order = _ORDER_BY_BROKER_ID.first(account=handle.account_id, broker_order_id=broker_order_id)
        if order is None:
            self.report("phantom", f"a replace of {broker_order_id} was sent without a stored order")
            return
        self._check_committed(order.pk, client_order_id, order.status == "pending_replace", "replace")
        request = change_request(request_of(order), changes)
        self._check_decision(handle, request, client_order_id, token)
        old = self.book.orders[broker_order_id]
        if old.is_live:  # else the broker refuses, and nothing comes of it
            self._check_write(order, self.replace_write(handle, request, old))

    def order_write(self, handle: AccountHandle, request: OrderRequest, client_order_id: str) -> Write:
        """Return an order on its way; a repeat adds nothing to a copy that the broker can tell it by."""
        copies = self.book.by_intent.get(client_order_id, []) if self.book.has_client_ids else []
        left = copies[0].leaves if copies else request.quantity or Decimal(0)
        return self._write(handle, request, left, copies)

    def replace_write(self, handle: AccountHandle, request: OrderRequest, old: HeldOrder) -> Write:
        """Return an order that takes the place of `old`, which has filled so far."""
        return self._write(handle, request, (request.quantity or Decimal(0)) - old.view.cum_qty, [old])

    def _write(
        self, handle: AccountHandle, request: OrderRequest, left: Decimal, own: Sequence[HeldOrder]
    ) -> Write:
        held = self.book.accounts[handle.broker_account_id]
        others = [one for one in held.orders if one.is_live and one not in own]
        return Write(handle=handle, request=request, held=held, left=left, others=others)

    def _check_write(self, order: Order, write: Write) -> None:
        self._check_halts(order, write)
        self.check_limits(write)

    def check_limits(self, write: Write) -> None:
        """E01, E04, E11 and F06 by what the broker holds."""
        self._check_value(write)
        self._check_position(write)

    def _check_committed(self, order_id: UUID, client_order_id: str, is_marked: bool, kind: str) -> None:
        """The claim and SUBMITTING must be durable before any byte leaves."""
        if connections["default"].in_atomic_block:
            self.report("uncommitted send", client_order_id)
        claimed = _CLAIMED.all(order_id=order_id, client_order_id=client_order_id, kind=kind)
        if not (is_marked and claimed):
            self.report("unmarked send", f"{client_order_id}: the stored order does not say it is being sent")

    def _check_decision(
        self, handle: AccountHandle, request: OrderRequest, client_order_id: str, token: DecisionToken
    ) -> None:
        expected = hash_order(account_id=handle.account_id, client_order_id=client_order_id, request=request)
        if _DECISION.all(id=token.decision_id) != [("allow", expected)]:
            self.report("undecided send", f"{client_order_id}: no ALLOW for this hash")

    def _check_halts(self, order: Order, write: Write) -> None:
        if write.is_exit:
            return
        if _HALTS.all(
            broker=write.handle.broker,
            account=str(write.handle.account_id),
            user=str(order.user_id),
            since=self.world.now() - KILL_GRACE,
        ):
            self.report("send after kill", order.client_order_id)

    def _check_value(self, write: Write) -> None:
        """E01: what may still fill is worth no more than one order may be, unless it only reduces."""
        number = write.handle.broker_account_id
        log = self.limit_log.get(number)
        if not log or write.is_exit:
            return
        since = self.world.time - DECISION_LIFE.total_seconds()
        at_start = [value for at, value in log if at <= since][-1:]
        loosest = max([*at_start, *(value for at, value in log if at > since)])
        if write.left * price_of(write.request) > loosest:
            self.report("limit breach", f"order value over {loosest} at {number}")

    def _check_position(self, write: Write) -> None:
        held, request, number = write.held, write.request, write.handle.broker_account_id
        if request.symbol in held.touched_by_hand and not self._is_told(write):
            return
        if request.side is Side.SELL:
            if write.on_order(Side.SELL) + write.left > write.position:
                self.report("limit breach", f"oversold {request.symbol} at {number}")
            return
        price, cost = PRICES[request.symbol], write.left * price_of(request)
        on_order = sum(
            (order.cost for order in write.others if order.view.symbol == request.symbol), Decimal(0)
        )
        worth = sum((PRICES[name] * quantity for name, quantity in held.positions.items()), Decimal(0))
        share = (write.position * price + on_order + cost) / (held.cash + worth)
        if share > POSITION_SHARE * TOLERANCE:
            self.report("limit breach", f"{request.symbol} at {share:.3f} of {number}")
        free = held.cash - sum((order.cost for order in write.others), Decimal(0))
        if not held.touched_by_hand and cost > free:
            self.report("limit breach", f"overspent at {number}")

    def _is_told(self, write: Write) -> bool:
        """Tell whether all that the broker did to the symbol was in our books when the order was decided on.

        Nobody can know of a bust, or of an order placed by hand, before it is told.
        """
        symbol, account_id = write.request.symbol, write.handle.account_id
        before = self.world.now() - DECISION_LIFE
        rows = Execution.objects.filter(account_id=account_id, order__symbol=symbol).order_by()
        booked = list(rows.values_list("exec_id", "received_at", "busted_at"))
        standing = {exec_id for exec_id, _, busted_at in booked if busted_at is None}
        if standing != {one.exec_id for one in write.held.executions if one.symbol == symbol}:
            return False
        if any(max(received_at, busted_at or received_at) > before for _, received_at, busted_at in booked):
            return False
        live = {one.id for one in write.others if one.view.symbol == symbol}
        known = Order.objects.filter(account_id=account_id, broker_order_id__in=live, journal__at__lte=before)
        return known.distinct().count() == len(live)

    @contextmanager
    def _never_silent(self) -> Iterator[None]:
        """A mistake of this judge must not look like an unclear outcome to the sender."""
        try:
            yield
        except Exception as error:
            self.report("the judge failed", repr(error))
            raise

    def check_accept(self, order: HeldOrder) -> None:
        """I1: at most one order at the broker per intent."""
        if len(self.book.by_intent[order.intent]) > 1:
            self.report("duplicate", f"{order.intent} lives as {order.id} too")


def price_of(request: OrderRequest) -> Decimal:
    if request.order_type is OrderType.MARKET:
        return PRICES[request.symbol]
    return request.limit_price or PRICES[request.symbol]
