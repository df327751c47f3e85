"""One story that passes every kind of process: the site, the dispatcher, the streams, a queue worker.

Each step can be repeated by whoever was doing it, as a person or a restarted process would.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.utils import timezone

from brokers.models import BrokerAccount, BrokerEvent
from brokers.services.inbox import record_event
from brokers.types import StreamEvent
from orders.dispatcher import send_ready
from orders.drafts import parse_changes
from orders.enums import CLOSED, OPEN
from orders.exceptions import OrderClosed, OrderDenied
from orders.models import Order, OutboxMessage
from orders.services.cancel import cancel_order
from orders.services.idempotency import StoredRefusal
from orders.services.ingest import apply_pending_events
from orders.services.reconcile import check_in_flight, reconcile_account
from orders.services.replace import replace_order
from orders.services.resolve import due_unknowns, expire_leases, resolve_unknown
from orders.tasks import ring_outbox
from tests.orders.helpers import place
from tests.orders.scripted_broker import BOOK
from tradeplatform.models import User


class StoryClock:
    """The machine's time, moved on by the story."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return timezone.now() + self.ahead

    def monotonic(self) -> float:
        return self.now().timestamp()


@dataclass
class Story:
    user: User
    account: BrokerAccount
    clock: StoryClock

    def steps(self) -> list[tuple[str, Callable[[], None]]]:
        return [
            ("site places", lambda: self.place("first", "100")),
            ("dispatcher sends", self.dispatch),
            ("streams report a part", lambda: self.fill("first", "40")),
            ("site changes", self.change),
            ("dispatcher sends the change", self.dispatch),
            ("dispatcher checks the change", self.check_changes),
            ("streams report the rest", lambda: self.fill("first", "80")),
            ("site places again", lambda: self.place("second", "50", symbol="BETA")),
            ("worker sends", self.work),
            ("site cancels", lambda: self.cancel("second")),
            ("dispatcher sends the cancel", self.dispatch),
            ("dispatcher reconciles", lambda: reconcile_account(self.account.pk)),
        ]

    def order(self, key: str) -> Order | None:
        return Order.objects.filter(idempotencyrecord__key=key).first()

    def place(self, key: str, quantity: str, *, symbol: str = "ACME") -> None:
        try:
            place(self.user, self.account, key=key, quantity=quantity, symbol=symbol)
        except (OrderDenied, StoredRefusal):
            # While an earlier order is unconfirmed, a new one is refused; that is the rule, not a loss.
            assert Order.objects.filter(status="unconfirmed").exists()

    def dispatch(self) -> None:
        send_ready(self.account.pk, worker="dispatcher")

    def work(self) -> None:
        for message in OutboxMessage.objects.filter(status="ready", not_before__lte=self.clock.now()):
            ring_outbox(message.pk)

    def fill(self, key: str, quantity: str) -> None:
        """Fill at the broker up to a total (once), and deliver every fill (as often as asked)."""
        order = self.order(key)
        held = BOOK.orders.get(order.broker_order_id) if order and order.broker_order_id else None
        while held is not None and held.replaced_by:
            held = BOOK.orders[held.replaced_by]
        if held is None:
            return
        done = sum((one.last_qty for one in BOOK.executions if one.symbol == held.symbol), Decimal(0))
        wanted = Decimal(quantity) - done
        if wanted > 0 and held.quantity and wanted <= held.quantity - held.cum_qty:
            BOOK.fill(held, wanted, Decimal("9.98"))
        for execution in BOOK.executions:
            payload = {
                "exec_type": "trade",
                "broker_order_id": execution.broker_order_id,
                "exec_id": execution.exec_id,
                "last_qty": str(execution.last_qty),
                "last_px": str(execution.last_px),
            }
            event = StreamEvent(
                dedupe_key=execution.exec_id, kind="fill", payload=payload, received_at=self.clock.now()
            )
            record_event(account_id=self.account.pk, event=event, source="stream")
        apply_pending_events(self.account.pk)

    def change(self) -> None:
        order = self.order("first")
        if order and order.status in OPEN and order.quantity == 100:
            replace_order(user=self.user, order_id=order.pk, changes=parse_changes({"quantity": "80"}))

    def check_changes(self) -> None:
        for order in Order.objects.filter(status__in=["pending_replace", "pending_cancel"]):
            check_in_flight(order.pk)

    def cancel(self, key: str) -> None:
        order = self.order(key)
        if order is None:
            return
        try:
            cancel_order(user=self.user, order_id=order.pk)
        except OrderClosed:
            assert order.status in CLOSED or Order.objects.get(pk=order.pk).status in CLOSED

    def recover(self) -> None:
        """Let a restarted platform settle what the dead process left: leases lapse, answers are looked up."""
        for _ in range(16):
            if self.is_settled():
                break
            self.clock.ahead += timedelta(seconds=8)
            expire_leases()
            for outbox_id in due_unknowns():
                resolve_unknown(outbox_id)
            self.dispatch()
            apply_pending_events(self.account.pk)
            self.check_changes()
        reconcile_account(self.account.pk)

    def is_settled(self) -> bool:
        """Say whether nothing waits for the platform any more; a person may still have to decide."""
        waiting = OutboxMessage.objects.filter(status__in=["ready", "claimed", "unknown"])
        return not (
            waiting.filter(order__needs_person_at=None).exists()
            or BrokerEvent.objects.filter(applied_at=None).exists()
            or Order.objects.filter(status__in=["pending_cancel", "pending_replace"]).exists()
        )
