"""The order dispatcher: sends what is ready, resolves what is unknown, and reconciles on a schedule.

Any number may run, in any process; the claim in the database decides who sends. Doorbells make it fast,
the poll makes it certain: a READY row leaves within two seconds even if every bell is lost.
"""

import math
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog
from django.db import connection

from brokers.credentials import declare_process
from orders.doorbell import close_local_bell, open_local_bell
from orders.enums import OutboxStatus
from orders.models import OutboxMessage
from orders.notify import NotifyListener
from orders.services.approve import expire_approvals
from orders.services.emergency import import_emergency_files
from orders.services.halts import cancel_for_halts, measure_halts
from orders.services.ingest import accounts_with_pending_events, apply_pending_events
from orders.services.reconcile import check_in_flight, compare_book, reconcile_account
from orders.services.resolve import due_unknowns, expire_leases, resolve_unknown
from orders.services.submit import claim_and_send
from orders.statements import READY_CANCELS, READY_ROWS
from orders.timer_statements import (
    ACCOUNTS_TO_COMPARE,
    ACCOUNTS_TO_RECONCILE,
    ACCOUNTS_TO_SERVE,
    CHANGING_ORDERS,
)
from tradeplatform.common.builds import is_newest_build, record_build
from tradeplatform.common.clock import monotonic, utc_now
from tradeplatform.common.database import renew_connections
from tradeplatform.common.heartbeats import BEAT_SECONDS, record_heartbeat

logger = structlog.get_logger(__name__)

POLL_SECONDS = 0.25
IN_FLIGHT_AGE = timedelta(seconds=3)
ACTIVE_RECONCILE = timedelta(seconds=15)
IDLE_RECONCILE = timedelta(seconds=60)
# The first close is compared at once. While more follow, or the broker cannot be read, one look in so long is
# enough: comparing every account every few seconds took more of the processors than sending its orders did.
COMPARE_PAUSE = timedelta(seconds=15)
# Of accounts with open orders the balances are as new as the gate wants them (risk_context.BALANCES_MAX_AGE).
ACTIVE_COMPARE = timedelta(seconds=30)
RETRY_FAILED_CLAIM = timedelta(seconds=2)


@dataclass
class _Timer:
    """Runs a piece of housekeeping when its period has passed."""

    every_seconds: float
    work: Callable[[], object]
    due: float = 0.0

    def run_if_due(self, now: float) -> None:
        if now < self.due:
            return
        self.due = now + self.every_seconds
        try:
            self.work()
        except Exception:
            logger.exception("dispatcher_timer_failed", work=getattr(self.work, "__name__", "work"))
            renew_connections()


@dataclass
class _Busy:
    """Keys that a thread of this process is at work on, so that none is given out twice."""

    keys: set[object] = field(default_factory=set)
    again: set[object] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, key: object) -> bool:
        with self.lock:
            if key in self.keys:
                self.again.add(key)
                return False
            self.keys.add(key)
            return True

    def leave(self, key: object) -> bool:
        """Leave, or stay (True) because somebody rang meanwhile."""
        with self.lock:
            if key in self.again:
                self.again.discard(key)
                return True
            self.keys.discard(key)
            return False


class _DirectBell:
    """Gives a ring straight to the pool: an order never waits for the housekeeping between two ticks."""

    def __init__(self, dispatcher: "OrderDispatcher") -> None:
        self.dispatcher = dispatcher

    def put(self, account_id: UUID) -> None:
        if self.dispatcher.stopping.is_set():
            return
        # A pool that is being shut down takes nothing more: the row waits for whoever comes next.
        with suppress(RuntimeError):
            self.dispatcher.serve(account_id)


class OrderDispatcher:
    """Runs until `stop` is set. `workers` accounts are served at the same time.

    A simulation passes executors that run inline and calls `tick` itself, so that everything happens in
    one thread and in the order of its own clock.
    """

    def __init__(
        self,
        *,
        name: str = "",
        workers: int = 8,
        pool: Executor | None = None,
        side_pool: Executor | None = None,
    ) -> None:
        self.name = name or f"dispatcher@{socket.gethostname()}:{os.getpid()}"
        self.pool = pool or ThreadPoolExecutor(max_workers=workers, thread_name_prefix="dispatch")
        # Look-ups of unknown outcomes and stored facts never wait behind slow reconciliations.
        self.urgent_pool = side_pool or ThreadPoolExecutor(max_workers=4, thread_name_prefix="urgent")
        self.side_pool = side_pool or ThreadPoolExecutor(max_workers=4, thread_name_prefix="reconcile")
        self.stopping = threading.Event()
        self.started_at = utc_now()
        self.timers = [
            # Before anything is sent: halts latched while the database could not be written.
            _Timer(1.0, import_emergency_files),
            _Timer(POLL_SECONDS, self._poll_ready),
            _Timer(0.25, self._poll_unknown),
            _Timer(1.0, expire_leases),
            _Timer(1.0, partial(self._poll_inbox, tried=False)),
            _Timer(5.0, partial(self._poll_inbox, tried=True)),
            _Timer(1.0, self._check_in_flight),
            _Timer(0.5, cancel_for_halts),
            _Timer(1.0, measure_halts),
            _Timer(1.0, expire_approvals),
            _Timer(2.0, self._reconcile),
            _Timer(1.0, self._sync),
            _Timer(BEAT_SECONDS, self._beat),
        ]
        self.busy = _Busy()
        self.reconciled: dict[UUID, float] = {}
        self.compared: dict[UUID, float] = {}
        self.checked: dict[UUID, float] = {}

    def run(self, stop: threading.Event) -> None:
        declare_process("dispatcher", keep_seconds=30)
        record_build()
        bell = _DirectBell(self)
        open_local_bell(bell)
        listener = NotifyListener(bell) if connection.vendor == "postgresql" else None
        if listener:
            listener.start()
        logger.info("dispatcher_started", name=self.name)
        try:
            while not stop.wait(POLL_SECONDS):
                self.tick()
        finally:
            # Stop claiming, let what is on its way finish, and leave the rest to whoever comes next.
            self.stopping.set()
            close_local_bell()
            for pool in (self.pool, self.urgent_pool, self.side_pool):
                pool.shutdown(wait=True, cancel_futures=True)
            if listener:
                listener.stop()
            connection.close()
            logger.info("dispatcher_stopped", name=self.name)

    def tick(self) -> None:
        """Do the housekeeping that is due now."""
        for timer in self.timers:
            timer.run_if_due(monotonic())

    def serve(self, account_id: UUID) -> None:
        """Send what is ready for an account, on the pool; a ring while that runs makes it look again.

        Cancels do not wait for an order that is on its way just then: a second thread sends them.
        """
        cancels = ("cancels", account_id)
        if self.busy.enter(account_id):
            self.pool.submit(self._drain, account_id, account_id, False)
        elif self.busy.enter(cancels):
            self.pool.submit(self._drain, account_id, cancels, True)

    def _beat(self) -> None:
        detail = {} if is_newest_build() else {"held": "An older build: it sends cancels only. Restart it."}
        record_heartbeat(kind="dispatcher", started_at=self.started_at, detail=detail)

    def _drain(self, account_id: UUID, key: object, only_cancels: bool) -> None:
        """Send everything that is ready for one account, cancels first."""
        try:
            renew_connections()
            while True:
                send_ready(
                    account_id, worker=self.name, only_cancels=only_cancels, stopping=self.stopping.is_set
                )
                if not self.busy.leave(key):
                    return
        except Exception:
            logger.exception("drain_failed", account=str(account_id))
            with self.busy.lock:
                self.busy.keys.discard(key)
                self.busy.again.discard(key)
            renew_connections()

    def _aside(self, key: object, work: Callable[[], object], *, urgent: bool = False) -> None:
        if not self.busy.enter(key):
            return

        def run() -> None:
            try:
                renew_connections()
                work()
            except Exception:
                logger.exception("dispatcher_side_work_failed", key=str(key))
                renew_connections()
            finally:
                with self.busy.lock:
                    self.busy.keys.discard(key)
                    self.busy.again.discard(key)

        (self.urgent_pool if urgent else self.side_pool).submit(run)

    def _poll_ready(self) -> None:
        for account_id in dict.fromkeys(ACCOUNTS_TO_SERVE.all(now=utc_now())):
            self.serve(account_id)

    def _poll_unknown(self) -> None:
        for outbox_id in due_unknowns():
            self._aside(("unknown", outbox_id), partial(resolve_unknown, outbox_id), urgent=True)

    def _poll_inbox(self, *, tried: bool) -> None:
        for account_id in accounts_with_pending_events(tried=tried):
            self._aside(("inbox", account_id), partial(apply_pending_events, account_id), urgent=True)

    def _check_in_flight(self) -> None:
        now = monotonic()
        waiting = CHANGING_ORDERS.all()
        for order_id in waiting:
            first_seen = self.checked.setdefault(order_id, now)
            if now - first_seen >= IN_FLIGHT_AGE.total_seconds():
                self.checked[order_id] = now
                self._aside(("order", order_id), partial(check_in_flight, order_id), urgent=True)
        for order_id in set(self.checked) - set(waiting):
            del self.checked[order_id]

    def _reconcile(self) -> None:
        now = monotonic()
        for account_id, is_active in ACCOUNTS_TO_RECONCILE.all():
            period = ACTIVE_RECONCILE if is_active else IDLE_RECONCILE
            last = self.reconciled.setdefault(account_id, now)
            if now - last >= period.total_seconds():
                self.reconciled[account_id] = now
                with_book = not is_active or self._is_compare_due(account_id, now, ACTIVE_COMPARE)
                if with_book:
                    self.compared[account_id] = now
                work = partial(reconcile_account, account_id, with_book=with_book)
                self._aside(("account", account_id), work)

    def _sync(self) -> None:
        """Compare the book of accounts in which an order has closed since their balances were read.

        A book that was never opened, because the broker could not be read after linking, is opened so.
        """
        now = monotonic()
        for account_id in ACCOUNTS_TO_COMPARE.all():
            if self._is_compare_due(account_id, now, COMPARE_PAUSE):
                self.compared[account_id] = now
                self._aside(("account", account_id), partial(compare_book, account_id))

    def _is_compare_due(self, account_id: UUID, now: float, pause: timedelta) -> bool:
        return now - self.compared.get(account_id, -math.inf) >= pause.total_seconds()


def send_ready(
    account_id: UUID,
    *,
    worker: str,
    only_cancels: bool = False,
    stopping: Callable[[], bool] = lambda: False,
) -> int:
    """Send what is ready for one account in order, cancels first; return how many rows left.

    A row that fails is put off and does not keep the ones after it waiting.
    """
    sent = 0
    while not stopping():
        progressed = 0
        for outbox_id in _ready_rows(account_id, only_cancels=only_cancels):
            if stopping():
                break
            progressed += _send_row(outbox_id, worker)
        sent += progressed
        if not progressed:
            break
    return sent


def _ready_rows(account_id: UUID, *, only_cancels: bool) -> list[int]:
    rows = READY_CANCELS if only_cancels else READY_ROWS
    return rows.all(account=account_id, now=utc_now())


def _send_row(outbox_id: int, worker: str) -> bool:
    try:
        return claim_and_send(outbox_id, worker=worker)
    except Exception:
        logger.exception("row_not_sent", outbox=outbox_id)
        OutboxMessage.objects.filter(pk=outbox_id, status=OutboxStatus.READY).update(
            not_before=utc_now() + RETRY_FAILED_CLAIM
        )
        return False
