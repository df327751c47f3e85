"""Stopping: nothing leaves after the halt, exits and cancels do, and the time it took is on record."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from orders.dispatcher import OrderDispatcher
from orders.enums import OrderStatus
from orders.models import Order, OutboxMessage
from orders.services.halts import cancel_for_halts, measure_halts
from orders.services.ingest import apply_report
from orders.services.reconcile import trade_report
from risk.models import TradingHalt
from risk.services.halts import halt_trading, resume_trading
from risk.services.limits import set_limit
from tests.orders.conftest import make_account
from tests.orders.helpers import fresh, outbox, place, send
from tradeplatform.models import AuditEntry, Role, User

WAIT_SECONDS = 120


def halt(user, account, **values):
    return halt_trading(scope="account", scope_key=str(account.pk), reason="Stop", actor=user, **values)


def test_a_queued_order_does_not_leave_after_the_halt(user, account, book):
    order = place(user, account).order
    halt(user, account)

    assert send(order) is False

    assert fresh(order).status == OrderStatus.NOT_SENT
    assert fresh(order).reject_reason
    assert book.posts == []


def test_exits_and_cancels_pass_the_halt(user, account, book):
    bought = place(user, account).order
    send(bought)
    sent = book.orders[fresh(bought).broker_order_id]
    apply_report(account.pk, trade_report(book.fill(sent, Decimal(10), Decimal(10))))
    waiting = place(user, account, limit_price="9.00", confirm=("G02",)).order
    send(waiting)
    halt(user, account, cancel_open=True)

    exit_order = place(user, account, side="sell", quantity="10", limit_price="9.90").order
    assert send(exit_order) is True
    assert cancel_for_halts() == 1
    assert send(waiting, "cancel") is True

    assert fresh(exit_order).status == OrderStatus.ACCEPTED
    assert book.cancels == [fresh(waiting).broker_order_id]


def test_a_halt_needs_no_cache_and_neither_do_cancels(user, account, book, settings):
    order = place(user, account).order
    send(order)
    working = settings.CACHES
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
            "OPTIONS": {"socket_connect_timeout": 0.2},
        }
    }
    halt(user, account, cancel_open=True)
    cancel_for_halts()

    sent = send(order, "cancel")

    settings.CACHES = working
    assert sent is True
    assert book.cancels == [fresh(order).broker_order_id]


def test_the_halt_says_when_the_last_order_left_and_how_many_were_on_their_way(user, account, book):
    halts = []

    def press() -> None:
        halts.append(halt(user, account))

    order = place(user, account).order
    book.before.append(press)
    send(order)
    earlier = timedelta(seconds=3)
    TradingHalt.objects.update(started_at=F("started_at") - earlier)
    OutboxMessage.objects.update(sent_at=F("sent_at") - earlier)

    assert measure_halts() == 1

    found = TradingHalt.objects.get()
    assert (found.in_flight, found.late_sends) == (1, 0)
    assert found.last_send_at == outbox(order).sent_at
    entry = AuditEntry.objects.get(action="kill.last_send")
    assert (entry.data["in_flight"], entry.data["late_sends"]) == (1, 0)
    assert measure_halts() == 0


@pytest.mark.parametrize(
    ("row", "last_byte", "in_flight"),
    [
        # Began to leave a second before the press, and the broker answered within 1.4 s.
        ({"sent": -1.0, "timings": {"ack": 1400.0}, "done": 0.5}, 0.4, 1),
        # Began to leave within the second that is granted.
        ({"sent": 0.2, "timings": {"ack": 50.0}, "done": 0.3}, 0.25, 0),
        # Answered before the press; only the book was written after it.
        ({"sent": -1.0, "timings": {"ack": 900.0}, "done": 0.5}, 0.0, 0),
        # Lost in the air: its sender had gone, and its lease ended later.
        ({"sent": -1.0, "timings": {}, "unknown": 2.0}, 2.0, 1),
    ],
)
def test_the_halt_says_from_when_on_no_byte_left(user, account, book, row, last_byte, in_flight):
    send(place(user, account).order)
    pressed = timezone.now() - timedelta(seconds=10)
    found = halt(user, account, now=pressed)

    def at(name):
        return pressed + timedelta(seconds=row[name]) if name in row else None

    OutboxMessage.objects.update(
        status="unknown" if "unknown" in row else "done",
        sent_at=at("sent"),
        done_at=at("done"),
        unknown_since=at("unknown"),
        timings=row["timings"],
    )
    assert found.press_to_last_byte is None

    measure_halts()

    found.refresh_from_db()
    assert (found.press_to_last_byte, found.in_flight) == (timedelta(seconds=last_byte), in_flight)
    assert found.press_to_last_send == timedelta(seconds=max(row["sent"], 0))
    data = AuditEntry.objects.get(action="kill.last_send").data
    assert data["last_byte_at"] == str(found.last_byte_at)
    assert data["started_at"] == str(pressed)


def test_a_halt_that_found_nothing_to_stop_says_so(user, account, book):
    found = halt(user, account, now=timezone.now() - timedelta(seconds=10))

    measure_halts()

    found.refresh_from_db()
    assert (found.last_send_at, found.last_byte_at) == (None, None)
    assert found.press_to_last_byte == timedelta(0)


def test_a_send_after_the_halt_is_an_incident_on_record(user, account, book):
    order = place(user, account).order
    send(order)
    found = halt(user, account)
    TradingHalt.objects.update(started_at=timezone.now() - timedelta(seconds=30))
    OutboxMessage.objects.update(sent_at=timezone.now() - timedelta(seconds=20))

    measure_halts()

    found.refresh_from_db()
    assert found.late_sends == 1
    assert AuditEntry.objects.get(action="kill.last_send").data["late_sends"] == 1


class ClosingPool(ThreadPoolExecutor):
    """Closes each thread's database connection after its work, so that none outlives the test."""

    def submit(self, work, /, *args, **kwargs):
        def run():
            try:
                return work(*args, **kwargs)
            finally:
                connection.close()

        return super().submit(run)


def run_dispatcher(stop: threading.Event) -> threading.Thread:
    dispatcher = OrderDispatcher(name="kill-test", pool=ClosingPool(3), side_pool=ClosingPool(2))
    thread = threading.Thread(target=dispatcher.run, args=(stop,))
    thread.start()
    return thread


def wait_for(condition, what: str) -> float:
    """Return how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < WAIT_SECONDS, what
        time.sleep(0.05)
    return time.monotonic() - started


def lift_daily_limits(user) -> None:
    user.role = Role.ADMIN
    user.save(update_fields=["role"])
    for name in ("max_daily_trades", "orders_per_minute"):
        set_limit(
            scope="platform",
            scope_key="",
            name=name,
            value="1000",
            author=user,
            reason="load",
            immediate=True,
        )


class Moments(list):
    """Keeps when each order reached the broker instead of its id."""

    def append(self, _client_order_id: str) -> None:
        super().append(time.time())


@pytest.mark.django_db(transaction=True)
def test_under_load_only_what_was_past_its_last_look_leaves_after_the_press(user, book, settings, capsys):
    settings.DEMO_MODE = True
    lift_daily_limits(user)
    accounts = [make_account(user, number=f"K{number}") for number in range(4)]
    left = book.posts = Moments()
    stop, full = threading.Event(), threading.Event()

    def keep_placing() -> None:
        number = 0
        while not full.is_set():
            number += 1
            try:
                price = str(Decimal("9.00") + Decimal(number % 90) / 100)
                place(
                    user,
                    accounts[number % 4],
                    limit_price=price,
                    quantity="1",
                    symbol=f"AC{chr(65 + number % 26)}",
                )
            except Exception:  # refusals after the halt are the point
                time.sleep(0.01)
        connection.close()

    dispatcher = run_dispatcher(stop)
    crowd = threading.Thread(target=keep_placing)
    crowd.start()
    try:
        wait_for(lambda: len(left) >= 5, "no order left before the halt")
        halt_trading(scope="user", scope_key=str(user.pk), reason="Stop", actor=user)
        pressed = time.time()
        time.sleep(2.5)
        full.set()
        wait_for(
            lambda: not OutboxMessage.objects.filter(status__in=["ready", "claimed"]).exists(), "not drained"
        )
        wait_for(lambda: TradingHalt.objects.exclude(measured_at=None).exists(), "never measured")
    finally:
        full.set()
        crowd.join()
        stop.set()
        dispatcher.join()

    # One sender per account: no second order of it can follow the one that was past its last look.
    assert sum(moment > pressed for moment in left) <= len(accounts)
    found = TradingHalt.objects.get()
    assert found.press_to_last_byte is not None
    assert set(Order.objects.filter(created_at__gt=found.started_at).values_list("status", flat=True)) <= {
        OrderStatus.NOT_SENT,
        OrderStatus.DENIED,
    }
    with capsys.disabled():
        print(f"\npress to last byte under load: {found.press_to_last_byte.total_seconds() * 1000:.0f} ms")


@pytest.mark.django_db(transaction=True)
def test_the_cancels_of_a_hundred_open_orders_leave(user, account, book, settings, capsys):
    settings.DEMO_MODE = True
    lift_daily_limits(user)
    for number in range(100):
        order = place(user, account, quantity="1", limit_price="9.50", symbol=f"H{number:03d}").order
        send(order)
    stop = threading.Event()
    dispatcher = run_dispatcher(stop)
    try:
        halt(user, account, cancel_open=True)
        took = wait_for(lambda: len(set(book.cancels)) == 100, "not all cancels left")
    finally:
        stop.set()
        dispatcher.join()

    with capsys.disabled():
        print(f"\ncancels of 100 open orders out after {took:.1f} s")


@pytest.mark.django_db(transaction=True)
def test_a_halt_survives_the_restart_of_the_dispatcher(user, account, book):
    order = place(user, account).order
    halt(user, account)
    stop = threading.Event()
    dispatcher = run_dispatcher(stop)
    try:
        wait_for(lambda: fresh(order).status == OrderStatus.NOT_SENT, "the halted order stayed queued")
    finally:
        stop.set()
        dispatcher.join()

    assert book.posts == []
    assert TradingHalt.objects.get().lifted_at is None


def test_trading_goes_on_after_the_halt_is_lifted(user, account, book):
    found = halt(user, account)
    resume_trading(halt_id=found.pk, reason="All clear", actor=user)

    order = place(user, account).order

    assert send(order) is True
    assert book.posts == [order.client_order_id]


def test_only_people_of_the_account_may_halt_it(stranger: User, account):
    with pytest.raises(Exception, match="risk admin"):
        halt(stranger, account)
    assert not TradingHalt.objects.exists()
