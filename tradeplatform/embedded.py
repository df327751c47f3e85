"""The background work of a small installation, as threads of the site's process.

With the in-memory queue one process serves pages and runs worker, scheduler, order dispatcher and broker
streams. Each is the same code that production runs as a process of its own; a thread that ends or fails is
started again, and what it had taken stays safe in the database.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from celery import signals
from celery.beat import Service as BeatProcess
from celery.worker import state as worker_state
from django.db import close_old_connections

from orders.dispatcher import OrderDispatcher
from orders.management.commands.run_broker_streams import build_stream_service
from tradeplatform import metrics
from tradeplatform.celery import QUEUES, app
from tradeplatform.common.clock import utc_now
from tradeplatform.common.heartbeats import BEAT_SECONDS, keep_heartbeat, record_heartbeat

logger = structlog.get_logger(__name__)

Run = Callable[[threading.Event], None]
_WORKER_THREADS = 4
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS, _STEADY_SECONDS = 0.5, 5.0, 30.0


def run_worker(stop: threading.Event) -> None:
    """Run tasks of every queue on a few threads until `stop` is set."""
    signals.task_prerun.connect(_close_connections, weak=False, dispatch_uid="embedded-prerun")
    signals.task_postrun.connect(_close_connections, weak=False, dispatch_uid="embedded-postrun")
    worker_state.should_stop = None
    worker = app.WorkController(
        pool="threads",
        concurrency=_WORKER_THREADS,
        queues=QUEUES,
        hostname="embedded@localhost",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    watcher = threading.Thread(target=_stop_worker_after, args=(stop,), daemon=True)
    watcher.start()
    worker.start()


def _stop_worker_after(stop: threading.Event) -> None:
    stop.wait()
    worker_state.should_stop = 0


def _close_connections(**kwargs: Any) -> None:
    close_old_connections()


def run_scheduler(stop: threading.Event) -> None:
    """Queue periodic tasks until `stop` is set. Their last run is not remembered: all are repeatable."""
    scheduler = BeatProcess(app, max_interval=1, scheduler_cls="celery.beat:Scheduler")
    watcher = threading.Thread(target=lambda: (stop.wait(), scheduler.stop()), daemon=True)
    watcher.start()
    scheduler.start()


def run_dispatcher(stop: threading.Event) -> None:
    """Send orders until `stop` is set."""
    OrderDispatcher(workers=_WORKER_THREADS).run(stop)


def run_streams(stop: threading.Event) -> None:
    """Listen to the brokers until `stop` is set."""
    asyncio.run(_stream_until(stop))


async def _stream_until(stop: threading.Event) -> None:
    service = build_stream_service()
    beating = asyncio.create_task(keep_heartbeat("streams"))
    running = asyncio.create_task(service.run())
    try:
        while not stop.is_set() and not running.done():
            await asyncio.sleep(0.1)
        service.stop()
        await running
    finally:
        beating.cancel()


def run_heartbeat(stop: threading.Event, kinds: tuple[str, ...]) -> None:
    """Say for parts that do not say so themselves that they are alive."""
    started_at = utc_now()
    while not stop.is_set():
        beat(kinds, started_at)
        stop.wait(BEAT_SECONDS)


def beat(kinds: tuple[str, ...], started_at: Any) -> None:
    """Write one sign of life for each kind; a database that is away for a moment is not an error here."""
    try:
        close_old_connections()
        for kind in kinds:
            record_heartbeat(kind=kind, started_at=started_at)
    except Exception as error:
        logger.warning("heartbeat_failed", error=type(error).__name__)


class Background:
    """Threads that keep running: each is started again with a growing pause when it ends by itself."""

    def __init__(self, parts: dict[str, Run]) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep_running, args=(kind, run), name=kind, daemon=True)
            for kind, run in parts.items()
        ]

    def start(self) -> None:
        """Start every thread."""
        for thread in self._threads:
            thread.start()

    def ask_to_stop(self) -> None:
        """Tell all to end, without waiting."""
        self._stop.set()

    def stop(self, *, timeout_seconds: float = 6.0) -> list[str]:
        """Tell all to end, wait a little, and return the names of those still busy."""
        self.ask_to_stop()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _keep_running(self, kind: str, run: Run) -> None:
        wait = _FIRST_WAIT_SECONDS
        while not self._stop.is_set():
            started = time.monotonic()
            self._run_once(kind, run)
            if self._stop.is_set():
                return
            if time.monotonic() - started > _STEADY_SECONDS:
                wait = _FIRST_WAIT_SECONDS
            metrics.SUPERVISOR_RESTARTS.labels(kind).inc()
            logger.error("background_restarts", kind=kind, seconds=wait)
            self._stop.wait(wait)
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    def _run_once(self, kind: str, run: Run) -> None:
        try:
            run(self._stop)
        except (Exception, SystemExit):
            # Celery ends its loops by SystemExit.
            if not self._stop.is_set():
                logger.exception("background_failed", kind=kind)
        finally:
            close_old_connections()


def build_background() -> Background:
    """Return everything that the embedded form runs beside the pages."""
    return Background(
        {
            "worker": run_worker,
            "beat": run_scheduler,
            "dispatcher": run_dispatcher,
            "streams": run_streams,
            "heartbeat": lambda stop: run_heartbeat(stop, ("web", "worker", "beat")),
        }
    )
