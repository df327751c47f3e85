"""The broker's private book: what really happened. The campaign's oracle; the platform never sees it.

It takes whatever it is told to, without any limit of its own, so that every mistake of the sender shows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from benchmarks.faults.world import World
from brokers.enums import BrokerOrderStatus, ExecType, OrderClass, OrderType, Side, TimeInForce
from brokers.exceptions import DuplicateClientOrderId, NotFound, Rejected
from brokers.types import BrokerExecution, BrokerOrder, OrderRequest, ReplaceRequest

ZERO = Decimal(0)
PRICES = {
    "ACME": Decimal(10),
    "BOLT": Decimal(25),
    "CORE": Decimal(48),
    "DUNE": Decimal(75),
    "ECHO": Decimal(120),
    "FLUX": Decimal(16),
    "GRID": Decimal(33),
    "HALO": Decimal(90),
}
PARTIAL_SHARE = 0.30
REFUSED_SHARE = 0.02
BUST_SHARE = 0.02
LIVE = frozenset({BrokerOrderStatus.OPEN, BrokerOrderStatus.PARTIALLY_FILLED})

Publish = Callable[[str, dict[str, Any]], None]


@dataclass
class HeldOrder:
    """One order at the broker. `intent` is the id the sender gave, known here even if the wire has none."""

    view: BrokerOrder
    account: str
    intent: str
    entered_at: datetime
    external: bool = False
    executions: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.view.broker_order_id

    @property
    def is_live(self) -> bool:
        return self.view.status in LIVE

    @property
    def leaves(self) -> Decimal:
        return (self.view.quantity or ZERO) - self.view.cum_qty if self.is_live else ZERO

    @property
    def price(self) -> Decimal:
        return self.view.limit_price or PRICES[self.view.symbol]

    @property
    def cost(self) -> Decimal:
        """Cash that the open part of a buy may still take."""
        return self.leaves * self.price if self.view.side is Side.BUY else ZERO


@dataclass
class HeldAccount:
    cash: Decimal
    positions: dict[str, Decimal] = field(default_factory=dict)
    orders: list[HeldOrder] = field(default_factory=list)
    executions: list[BrokerExecution] = field(default_factory=list)
    touched_by_hand: set[str] = field(default_factory=set)


class Book:
    """Orders, executions, cash and positions of all accounts; tells `publish` of every change."""

    def __init__(self, world: World, *, has_client_ids: bool) -> None:
        self.world = world
        self.has_client_ids = has_client_ids
        self.accounts: dict[str, HeldAccount] = {}
        self.orders: dict[str, HeldOrder] = {}
        self.by_intent: dict[str, list[HeldOrder]] = {}
        self.busted: dict[str, BrokerExecution] = {}
        self.publish: Publish = lambda account, payload: None
        self.on_accept: Callable[[HeldOrder], None] = lambda order: None
        self._rng = world.rng("market")
        self._number = 0

    def open_account(self, number: str, *, cash: Decimal) -> None:
        self.accounts[number] = HeldAccount(cash=cash)

    # --- what a sender asks --------------------------------------------------------------------------

    def enter(
        self, account: str, request: OrderRequest, intent: str, *, external: bool = False
    ) -> BrokerOrder:
        """Take an order. Raises Rejected (2 % of first asks) or DuplicateClientOrderId."""
        known = self.by_intent.get(intent, [])
        if known and self.has_client_ids:
            raise DuplicateClientOrderId("client_order_id must be unique", code="40010001")
        if not external and not known and self._rng.random() < REFUSED_SHARE:
            self.world.note(f"broker refuses {intent}")
            raise Rejected("not tradable at this time", code="40310000")
        order = self._hold(account, request, intent, external=external)
        self._plan(order)
        return order.view

    def replace(self, broker_order_id: str, changes: ReplaceRequest, intent: str) -> BrokerOrder:
        """Put a new order in the place of an open one. Raises NotFound or Rejected."""
        old = self._find(broker_order_id)
        if self.by_intent.get(intent) and self.has_client_ids:
            raise DuplicateClientOrderId("client_order_id must be unique", code="40010001")
        quantity = changes.quantity or old.view.quantity
        if not old.is_live or (quantity or ZERO) <= old.view.cum_qty:
            raise Rejected("order is not replaceable", code="42210000")
        request = OrderRequest(
            symbol=old.view.symbol,
            side=old.view.side or Side.BUY,
            order_type=old.view.order_type or OrderType.LIMIT,
            time_in_force=TimeInForce.DAY,
            quantity=(quantity or ZERO) - old.view.cum_qty,
            limit_price=changes.limit_price or old.view.limit_price,
        )
        new = self._hold(old.account, request, intent, replaces=old)
        old.view = replace(
            old.view, status=BrokerOrderStatus.REPLACED, replaced_by=new.id, updated_at=self.world.now()
        )
        self._tell(old, ExecType.REPLACED, replaced_by=new.id)
        self._plan(new)
        return new.view

    def cancel(self, broker_order_id: str) -> None:
        """Take a cancel; it is carried out a moment later unless a fill is faster."""
        order = self._find(broker_order_id)
        if not order.is_live:
            raise Rejected("order is not cancelable", code="42210000")
        self.world.after(self._rng.uniform(0.05, 0.6), lambda: self._close(order, BrokerOrderStatus.CANCELED))

    def _find(self, broker_order_id: str) -> HeldOrder:
        if broker_order_id not in self.orders:
            raise NotFound("order not found")
        return self.orders[broker_order_id]

    def _hold(
        self,
        account: str,
        request: OrderRequest,
        intent: str,
        *,
        external: bool = False,
        replaces: HeldOrder | None = None,
    ) -> HeldOrder:
        self._number += 1
        now = self.world.now()
        filled = replaces.view.cum_qty if replaces else ZERO
        view = BrokerOrder(
            broker_order_id=f"B{self._number:07d}",
            client_order_id=intent if self.has_client_ids else "",
            symbol=request.symbol,
            side=request.side,
            order_type=request.order_type,
            time_in_force=request.time_in_force,
            status=BrokerOrderStatus.OPEN,
            quantity=(request.quantity or ZERO) + filled,
            notional=None,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            trail_amount=None,
            trail_percent=None,
            extended_hours=request.extended_hours,
            order_class=OrderClass.SIMPLE,
            cum_qty=filled,
            avg_px=None,
            submitted_at=now,
            updated_at=now,
            replaces=replaces.id if replaces else "",
        )
        order = HeldOrder(view=view, account=account, intent=intent, entered_at=now, external=external)
        self.orders[order.id] = order
        self.by_intent.setdefault(intent, []).append(order)
        holder = self.accounts[account]
        holder.orders.append(order)
        if external:
            holder.touched_by_hand.add(request.symbol)
        self.world.note(f"broker holds {order.id} {intent} {request.side} {view.quantity} {request.symbol}")
        self.on_accept(order)
        self._tell(order, ExecType.NEW)
        return order

    # --- the market ----------------------------------------------------------------------------------

    def _plan(self, order: HeldOrder) -> None:
        """Decide how the order fares: filled at once, in parts, or left to rest and expire."""
        chance = self._rng.random()
        total = order.leaves
        if chance < PARTIAL_SHARE and total >= 3:
            parts = self._split(total)
            done = self._rng.random() < 0.7
            at = 0.0
            for part in parts if done else parts[:-1]:
                at += self._rng.uniform(0.1, 8.0)
                self._fill_later(at, order, part)
            if not done:
                self._close_later(at + self._rng.uniform(5, 60), order)
        elif chance < 0.85 or order.view.order_type is OrderType.MARKET:
            self._fill_later(self._rng.uniform(0.02, 3.0), order, total)
        else:
            self._close_later(self._rng.uniform(30, 180), order)

    def _split(self, total: Decimal) -> list[Decimal]:
        count = self._rng.choice([2, 3])
        cuts = sorted(self._rng.sample(range(1, int(total)), count - 1))
        edges = [0, *cuts, int(total)]
        return [Decimal(high - low) for low, high in zip(edges, edges[1:], strict=False)]

    def _fill_later(self, seconds: float, order: HeldOrder, quantity: Decimal) -> None:
        self.world.after(seconds, lambda: self._fill(order, quantity))

    def _close_later(self, seconds: float, order: HeldOrder) -> None:
        self.world.after(seconds, lambda: self._close(order, BrokerOrderStatus.EXPIRED))

    def _fill(self, order: HeldOrder, quantity: Decimal) -> None:
        if not order.is_live:
            return
        quantity = min(quantity, order.leaves)
        view = order.view
        price = view.limit_price or PRICES[view.symbol]
        total = view.cum_qty + quantity
        done = total >= (view.quantity or ZERO)
        order.view = replace(
            view,
            cum_qty=total,
            avg_px=price,
            updated_at=self.world.now(),
            status=BrokerOrderStatus.FILLED if done else BrokerOrderStatus.PARTIALLY_FILLED,
        )
        execution = BrokerExecution(
            exec_id=f"X{order.id}-{len(order.executions) + 1}",
            broker_order_id=order.id,
            symbol=view.symbol,
            side=view.side or Side.BUY,
            last_qty=quantity,
            last_px=price,
            transact_time=self.world.now(),
        )
        order.executions.append(execution.exec_id)
        self.accounts[order.account].executions.append(execution)
        self._settle(order.account, execution, sign=1)
        self.world.note(f"broker fills {execution.exec_id} {quantity}")
        self._tell(order, ExecType.TRADE, execution=execution)
        if self._rng.random() < BUST_SHARE:
            self.world.after(self._rng.uniform(2, 40), lambda: self._bust(order, execution))

    def _bust(self, order: HeldOrder, execution: BrokerExecution) -> None:
        holder = self.accounts[order.account]
        holder.executions.remove(execution)
        holder.touched_by_hand.add(execution.symbol)
        self.busted[execution.exec_id] = execution
        self._settle(order.account, execution, sign=-1)
        order.view = replace(order.view, cum_qty=order.view.cum_qty - execution.last_qty)
        self.world.note(f"broker busts {execution.exec_id}")
        if order.is_live:
            # Its planned fills no longer add up to the whole; what is left of it ends by itself.
            self._close_later(self._rng.uniform(5, 60), order)
        self._tell(order, ExecType.TRADE_CANCEL, busted=execution.exec_id)

    def _close(self, order: HeldOrder, status: BrokerOrderStatus) -> None:
        if not order.is_live:
            return
        order.view = replace(order.view, status=status, updated_at=self.world.now())
        self.world.note(f"broker closes {order.id} {status}")
        kind = ExecType.CANCELED if status is BrokerOrderStatus.CANCELED else ExecType.EXPIRED
        self._tell(order, kind)

    def _settle(self, account: str, execution: BrokerExecution, *, sign: int) -> None:
        holder = self.accounts[account]
        signed = execution.last_qty * sign * (1 if execution.side is Side.BUY else -1)
        holder.cash -= signed * execution.last_px
        holder.positions[execution.symbol] = holder.positions.get(execution.symbol, ZERO) + signed

    def _tell(
        self,
        order: HeldOrder,
        kind: ExecType,
        *,
        execution: BrokerExecution | None = None,
        busted: str = "",
        replaced_by: str = "",
    ) -> None:
        payload: dict[str, Any] = {"exec_type": str(kind), "order": order.view, "replaced_by": replaced_by}
        if execution is not None:
            payload |= {"exec_id": execution.exec_id, "qty": execution.last_qty, "px": execution.last_px}
        if busted:
            payload["ref_exec_id"] = busted
        self.publish(order.account, payload)
