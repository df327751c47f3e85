"""The life of orders: acceptance, routing, fills, cancels, replacements, exit pairs, sessions.

Requests are acknowledged at once and take effect a few milliseconds later through a queue of due steps, as at
a real broker: an order can fill while its cancel is on the way. The server runs due steps from its event
loop; a test may call :meth:`Desk.settle` instead.
"""

import copy
import heapq
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from random import Random

from brokers.matching import expire_order, match_order, may_trade
from brokers.matching_terms import (
    Cancel,
    Expire,
    Fill,
    Quote,
    RestingOrder,
    Session,
    TrailMove,
    Trigger,
    quantity_for_notional,
)
from brokers.simulators import exits
from brokers.simulators.book import Book, OrderEvent, Refused
from brokers.simulators.desk_settings import DeskSettings
from brokers.simulators.records import WORKING, Execution, Order
from brokers.simulators.sessions import SessionModel, previous_close

ZERO = Decimal(0)
REPLACEABLE = frozenset({"new", "partially_filled"})
Face = tuple[Decimal, Decimal, Decimal, Decimal, Decimal, bool]
PARKED = frozenset({"accepted", "done_for_day"})


class Desk:
    """Works the orders of a :class:`Book` against its market."""

    def __init__(self, book: Book, sessions: SessionModel, *, seed: int) -> None:
        self.book, self.sessions, self.settings = book, sessions, DeskSettings()
        self.random = Random(f"{seed}:desk")
        self.wake: Callable[[float], None] | None = None
        self.rejecting: dict[str, str] = {}
        self._due: list[tuple[float, int, str, str]] = []
        self._taken: dict[tuple[str, str], Decimal] = {}
        self._seen: dict[str, Face] = {}
        self._matched: dict[str, Face] = {}
        self._hungry: set[str] = set()
        self._session = self.session()
        self._close = previous_close(book.clock.now())

    def session(self) -> Session:
        """The session right now."""
        return self.sessions.session(self.book.clock.now())

    def resume_after_restart(self) -> None:
        """Queue again what was under way when the process ended."""
        steps = {"pending_new": "route", "pending_cancel": "cancel", "pending_replace": "replace"}
        for orders in self.book.open_orders.values():
            for order in orders.values():
                if order.status in steps:
                    self._schedule(steps[order.status], order.id, 0)

    def submit(self, order: Order, children: list[Order]) -> None:
        """Take a checked order and its exit legs into the book; it is routed a moment later."""
        with self.book.transaction():
            routed = self._routable(order)
            order.status = "pending_new" if routed else "accepted"
            self.book.add_order(order)
            for child in children:
                child.parent_id, child.status = order.id, "held"
                self.book.add_order(child)
            self.emit(order.status, order)
            if routed:
                self._schedule("route", order.id, self.settings.route_delay)

    def request_cancel(self, order: Order) -> None:
        """Ask for a cancel. Raises Refused("not_cancelable") when the order can no longer be cancelled."""
        if not order.is_open or order.status in ("pending_cancel", "pending_replace"):
            raise Refused("not_cancelable", order=order)
        with self.book.transaction():
            order.cancel_requested_at = self.book.clock.now()
            if order.status not in REPLACEABLE:
                self.finish(order, "canceled")
                exits.after_end(self, order)
                return
            order.previous_status = order.status
            self.book.record_status(order, "pending_cancel")
            self.emit("pending_cancel", order)
            self._schedule("cancel", order.id, self.settings.cancel_delay)

    def request_replace(self, order: Order, new: Order) -> None:
        """Ask to replace ``order`` by ``new``. Raises Refused("not_replaceable") in the wrong status."""
        if order.status not in REPLACEABLE:
            raise Refused("not_replaceable", order=order)
        with self.book.transaction():
            new.replaces, new.status = order.id, "pending_new"
            new.parent_id, new.leg = order.parent_id, order.leg
            self.book.add_order(new)
            order.replaced_by, order.previous_status = new.id, order.status
            self.book.record_status(order, "pending_replace")
            self.emit("pending_replace", order)
            self._schedule("replace", order.id, self.settings.replace_delay)

    def run_due(self, now: float | None = None) -> None:
        """Run all steps that are due at the steady-clock time ``now`` (default: now)."""
        at = time.monotonic() if now is None else now
        while self._due and self._due[0][0] <= at:
            _, _, step, order_id = heapq.heappop(self._due)
            order = self.book.orders.get(order_id)
            if order is None:
                continue
            with self.book.transaction():
                {"route": self._route, "cancel": self._cancel, "replace": self._replace}[step](order)

    def settle(self) -> None:
        """Run everything that is under way, whatever its delay."""
        while self._due:
            self.run_due(float("inf"))

    def tick(self) -> None:
        """Look at the clock and at every quote that changed; called about ten times a second."""
        now = self.book.clock.now()
        self._advance_session(now)
        for symbol in [symbol for symbol, orders in self.book.open_orders.items() if orders]:
            self.match_symbol(symbol)

    def match_symbol(self, symbol: str) -> None:
        """Match all open orders of ``symbol`` when its quote changed or an order waits for more shares."""
        face = _face(self._look(symbol))
        replenished = self.settings.replenish and symbol in self._hungry
        if self._matched.get(symbol) == face and not replenished:
            return
        self._matched[symbol] = face
        self._hungry.discard(symbol)
        if replenished:
            self._forget_taken(symbol)
        with self.book.transaction():
            for order in list(self.book.open_orders[symbol].values()):
                self.work(order)

    def work(self, order: Order, session: Session | None = None) -> None:
        """Match one order against the present quote and book what happens."""
        if order.status not in WORKING:
            return
        now = self.book.clock.now()
        session = session or self.session()
        quote = self._look(order.symbol)
        quote = quote.consumed(order.side, self._taken.get((order.symbol, order.side), ZERO))
        resting = self._resting(order, quote)
        liquidity = self.settings.liquidity()
        for action in match_order(resting, quote, session, liquidity=liquidity, rng=self.random):
            if isinstance(action, Fill):
                self._fill(order, action, now, resting.leaves_qty - action.quantity)
            elif isinstance(action, Trigger):
                order.triggered = True
                self.book.touch(order)
            elif isinstance(action, TrailMove):
                order.hwm, order.stop_price = action.high_water_mark, action.stop_price
                self.book.touch(order)
            elif isinstance(action, Cancel):
                self.finish(order, "canceled")
                exits.after_end(self, order)
        if order.is_open and resting.leaves_qty and may_trade(resting, session):
            self._note_hunger(order, quote)

    def finish(self, order: Order, status: str) -> None:
        """Close ``order`` as canceled, expired, rejected or replaced and tell the stream."""
        stamps = {"rejected": "failed_at"}
        setattr(order, stamps.get(status, f"{status}_at"), self.book.clock.now())
        self.book.record_status(order, status)
        self.emit(status, order)

    def activate(self, order: Order) -> None:
        """Make a held or parked order work."""
        self.book.record_status(order, "partially_filled" if order.filled_qty else "new")
        self.emit("new", order)
        self.work(order)

    def emit(self, event: str, order: Order, execution: Execution | None = None) -> None:
        """Tell the listeners; a fill is identified by its execution, other reports by a fresh id."""
        snapshot = copy.copy(order)
        now = self.book.clock.now()
        event_id = execution.id if execution else str(uuid.uuid4())
        self.book.emit(OrderEvent(event, snapshot, now, event_id, execution))

    def reset(self) -> None:
        """Forget queued steps and return to the default settings."""
        self.settings = DeskSettings()
        self._due.clear()
        self._taken.clear()
        self._seen.clear()
        self._matched.clear()
        self._hungry.clear()
        self.rejecting.clear()

    def _schedule(self, step: str, order_id: str, delay: float) -> None:
        heapq.heappush(self._due, (time.monotonic() + delay, self.book.next_seq(), step, order_id))
        if self.wake is not None:
            self.wake(delay)

    def _routable(self, order: Order) -> bool:
        if order.time_in_force == "opg":
            return False
        session = self.session()
        extended = session in (Session.PRE, Session.POST, Session.OVERNIGHT)
        return session == Session.CORE or (extended and order.extended_hours)

    def _route(self, order: Order) -> None:
        if order.status != "pending_new":
            return
        if order.id in self.rejecting:
            order.reject_reason = self.rejecting.pop(order.id)
            self.finish(order, "rejected")
            exits.after_end(self, order)
            return
        self.activate(order)
        if order.order_class == "oco":
            exits.activate_children(self, order)

    def _cancel(self, order: Order) -> None:
        if order.status == "pending_cancel":
            self.finish(order, "canceled")
            exits.after_end(self, order)
        elif order.status == "filled":
            self.emit("order_cancel_rejected", order)

    def _replace(self, order: Order) -> None:
        new = self.book.orders.get(order.replaced_by or "")
        if new is None or new.status != "pending_new":
            return
        if order.status != "pending_replace" or new.leaves_qty <= 0:
            self._reject_replacement(order, new)
            return
        self.finish(order, "replaced")
        self.activate(new)

    def _reject_replacement(self, order: Order, new: Order) -> None:
        """The old order ended, or filled as far as the new one reaches, before the replacement took hold."""
        new.reject_reason = "the order it replaces is no longer open"
        self.finish(new, "rejected")
        if order.status == "pending_replace":
            self.book.record_status(order, order.previous_status)
            self.emit("order_replace_rejected", order)

    def _fill(self, order: Order, fill: Fill, at: datetime, left: Decimal) -> None:
        key = (order.symbol, order.side)
        self._taken[key] = self._taken.get(key, ZERO) + fill.quantity
        execution = self.book.book_execution(order, fill.quantity, fill.price, at, left)
        if left == 0:
            order.filled_at = at
            self.book.record_status(order, "filled")
            self.emit("fill", order, execution)
        else:
            if order.status == "pending_replace":
                self._shrink_replacement(order, fill.quantity)
            pending = order.status in ("pending_cancel", "pending_replace")
            order.previous_status = "partially_filled"
            self.book.record_status(order, order.status if pending else "partially_filled")
            self.emit("partial_fill", order, execution)
        exits.after_fill(self, order, fill.quantity)

    def _shrink_replacement(self, order: Order, quantity: Decimal) -> None:
        """Shares that fill on the old order while the replacement is on the way are not bought twice."""
        new = self.book.orders.get(order.replaced_by or "")
        if new is not None and new.qty is not None:
            new.qty = max(ZERO, new.qty - quantity)
            self.book.touch(new)

    def _resting(self, order: Order, quote: Quote) -> RestingOrder:
        quantity = order.qty
        if quantity is None:
            rest = (order.notional or ZERO) - order.filled_value
            price = quote.opposite_price(order.side) if quote.opposite_price(order.side) > 0 else quote.last
            quantity = order.filled_qty + quantity_for_notional(max(rest, ZERO), price)
        return RestingOrder(
            order.id,
            order.symbol,
            order.side,
            order.order_type,
            quantity,
            order.filled_qty,
            order.limit_price,
            order.stop_price,
            order.trail_price,
            order.trail_percent,
            order.hwm,
            order.time_in_force,
            order.extended_hours,
            order.triggered,
            order.collar,
        )

    def _look(self, symbol: str) -> Quote:
        """The present quote; a new one shows all its shares again."""
        quote = self.book.market.quote(symbol, self.book.clock.now())
        face = _face(quote)
        if self._seen.get(symbol) != face:
            self._seen[symbol] = face
            self._forget_taken(symbol)
        return quote

    def _forget_taken(self, symbol: str) -> None:
        self._taken.pop((symbol, "buy"), None)
        self._taken.pop((symbol, "sell"), None)

    def _note_hunger(self, order: Order, quote: Quote) -> None:
        """Remember that the symbol must be matched again although its quote may stand still."""
        bound = order.limit_price if order.order_type in ("limit", "stop_limit") else order.collar
        price = quote.opposite_price(order.side)
        reachable = bound is None or (price <= bound if order.side == "buy" else price >= bound)
        waiting = order.order_type in ("stop", "stop_limit", "trailing_stop") and not order.triggered
        if reachable and not waiting:
            self._hungry.add(order.symbol)

    def _advance_session(self, now: datetime) -> None:
        """Run opening and closing when the session changed, or when a close passed in an always-open
        market.
        """
        session, close = self.sessions.session(now), previous_close(now)
        self._close = min(self._close, close)  # the clock may have been set back
        before, crossed = self._session, close > self._close
        if session == before and not crossed:
            return
        self._session, self._close = session, close
        orders = [order for group in self.book.open_orders.values() for order in group.values()]
        with self.book.transaction():
            if before == Session.CORE and (crossed or session != Session.CORE):
                self._close_core(orders)
            if (before == Session.POST and session != Session.POST) or (crossed and session == Session.CORE):
                self._expire(orders, Session.POST)
            self._open_session(orders, session, reopened=before != Session.CORE or crossed)
        self._matched.clear()

    def _close_core(self, orders: list[Order]) -> None:
        for order in orders:
            if order.time_in_force == "cls":
                self.work(order, Session.CLOSING_CROSS)
        self._expire(orders, Session.CORE)
        for order in orders:
            parked = order.status in REPLACEABLE and not order.extended_hours
            if parked and order.time_in_force == "gtc" and not order.parent_id:
                self.book.record_status(order, "done_for_day")
                self.emit("done_for_day", order)

    def _expire(self, orders: list[Order], ended: Session) -> None:
        for order in orders:
            if not order.is_open or order.status in ("accepted", "held"):
                continue
            quote = self.book.market.quote(order.symbol, self.book.clock.now())
            if any(isinstance(action, Expire) for action in expire_order(self._resting(order, quote), ended)):
                self.finish(order, "expired")
                exits.after_end(self, order)

    def _open_session(self, orders: list[Order], session: Session, *, reopened: bool) -> None:
        opening = session == Session.CORE and reopened
        for order in orders:
            if order.status not in PARKED:
                continue
            if order.time_in_force == "opg":
                if opening:
                    self.book.record_status(order, "new")
                    self.emit("new", order)
                    self.work(order, Session.OPENING_CROSS)
            elif self._routable(order):
                self.activate(order)
                if order.order_class == "oco":
                    exits.activate_children(self, order)


def _face(quote: Quote) -> Face:
    return (quote.bid, quote.ask, quote.bid_size, quote.ask_size, quote.last, quote.halted)
