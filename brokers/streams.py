"""The stream service: one process listens to many accounts, and several processes share them.

Raw messages are stored before anything is made of them. While a stream is down the account is polled, and
each new connection begins with a back-fill, so a lost message costs time but is never lost. One account's
failure never stops another's stream. Who listens to whom is decided by leases in the database
(`brokers.services.stream_leases`); the process that has been running longest also moves the practice orders
and keeps the quotes fresh, of which there may be one only.
"""

import asyncio
import os
import socket
import time
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Any
from uuid import UUID, uuid4

import structlog

from brokers.account_stream import AccountCall, AccountStreamer, StreamTimings, Workshop, end_tasks
from brokers.adapters.paper.driver import drive_practice_orders
from brokers.backoff import spread
from brokers.enums import StreamState
from brokers.quote_streams import QuoteStreams
from brokers.services import stream_leases
from brokers.threads import DatabaseThreads
from tradeplatform.common.clock import utc_now

logger = structlog.get_logger(__name__)

__all__ = ["AccountCall", "StreamService", "StreamTimings"]


@dataclass
class _Running:
    """One account's streamer with the task that runs it."""

    streamer: AccountStreamer
    task: asyncio.Task[None]


@dataclass
class StreamService:
    """Holds the event streams of this process's share of all accounts whose link works.

    `apply_events(account_id)` is called after raw messages of an account were stored and must apply what is
    in the inbox; it returns False when something waits there that a back-fill may explain.
    `backfill(account_id)` is called on every connect and must catch up by REST; it returns False when it
    could not, and is then tried again. `poll` (by default the back-fill) is called while a stream is down and
    for brokers without one. All three run on database threads, never on the event loop; one of them never
    runs twice at once for one account, but `apply_events` may run beside the others. What they raise is
    logged and tried again later, except AuthorizationExpired, which marks the link and ends the account's
    stream.

    `quotes` and `practice` switch the quote streams and the practice orders' driver; tests turn them off.
    `workers` threads store and apply; as many again, for each broker, talk to it. `random` spreads
    reconnects and polls.
    """

    apply_events: AccountCall
    backfill: AccountCall
    poll: AccountCall | None = None
    timings: StreamTimings = field(default_factory=StreamTimings)
    quotes: bool = True
    practice: bool = True
    workers: int = 6
    random: Random = field(default_factory=SystemRandom)

    def __post_init__(self) -> None:
        self.name = ""
        self._threads = DatabaseThreads(workers=self.workers)
        # The proof of life must not wait behind anything.
        self._lease_threads = DatabaseThreads(workers=1)
        # Calls that talk to a broker wait long: each has threads of its own, and none delays the storing.
        self._slow: dict[str, DatabaseThreads] = {}
        self._running: dict[UUID, _Running] = {}
        self._changed: set[AccountStreamer] = set()
        self._helpers: list[asyncio.Task[None]] = []
        self._stop_asked = False
        self._stopping: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._shop = Workshop(
            apply_events=self.apply_events,
            backfill=self.backfill,
            poll=self.poll or self.backfill,
            timings=self.timings,
            random=self.random,
            threads=self._threads,
            slow_threads=self._slow_threads,
            crowd=self._crowd,
            changed=self._changed.add,
        )

    async def run(self) -> None:
        """Serve until `stop` is called or the task is cancelled, then hand everything over in order."""
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        if self._stop_asked:
            self._stopping.set()
        notes = asyncio.create_task(self._keep_notes(), name="stream-notes")
        try:
            while not self._stopping.is_set():
                await self._guard(self._take_round(), what="round")
                await self._pause(self.timings.discover)
        finally:
            await self._hand_over(notes)

    def stop(self) -> None:
        """Ask the service to end, or not to begin; safe from signal handlers and from other threads."""
        self._stop_asked = True
        if self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)

    @property
    def streaming(self) -> frozenset[UUID]:
        """Return the accounts that this process listens to."""
        return frozenset(self._running)

    @property
    def live(self) -> int:
        """Return how many of them have a connection that listens."""
        return sum(one.streamer.state is StreamState.LIVE for one in self._running.values())

    async def _take_round(self) -> None:
        """Keep the lease, and make the running streams what the lease says."""
        if not self.name:
            name = f"streams@{socket.gethostname()[:60]}:{os.getpid()}:{uuid4().hex[:8]}"
            await self._lease_threads.run(stream_leases.join, name)
            self.name = name
        holding = await self._lease_threads.run(stream_leases.take_round, self.name)
        if holding is None:
            logger.error("stream_lease_lost", name=self.name, accounts=len(self._running))
            self.name = ""
            await self._lead(False)
            await self._end_accounts(list(self._running))
            return
        await self._follow(holding)
        await self._lead(holding.is_leader)

    async def _follow(self, holding: stream_leases.Holding) -> None:
        """Start the streams of new and re-linked accounts, end those that went or are to be given up."""
        leaving = set(holding.give_up)
        ended = []
        for account_id, running in self._running.items():
            held = holding.accounts.get(account_id)
            if held != running.streamer.account or account_id in leaving or running.task.done():
                ended.append(account_id)
        await self._end_accounts(ended)
        if leaving:
            await self._lease_threads.run(stream_leases.release, self.name, sorted(leaving))
            logger.info("streams_given_up", accounts=len(leaving), kept=len(self._running))
        fresh = [
            held
            for account_id, held in holding.accounts.items()
            if account_id not in self._running and account_id not in leaving
        ]
        for held in fresh:
            streamer = AccountStreamer(held, self._shop)
            pause = spread(len(fresh), random=self.random)
            task = asyncio.create_task(streamer.run(after=pause), name=f"stream-{held.account_id}")
            self._running[held.account_id] = _Running(streamer, task)

    async def _end_accounts(self, account_ids: Iterable[UUID]) -> None:
        ended = [self._running.pop(account_id) for account_id in account_ids]
        await end_tasks(*(one.task for one in ended), timeout=self.timings.stop)
        self._changed.difference_update(one.streamer for one in ended)

    async def _lead(self, is_leader: bool) -> None:
        """Run what only one process may run, or end it."""
        if is_leader and not self._helpers:
            self._helpers = [asyncio.create_task(job, name=name) for name, job in self._leader_jobs()]
        elif not is_leader and self._helpers:
            helpers, self._helpers = self._helpers, []
            await end_tasks(*helpers, timeout=self.timings.stop)

    def _leader_jobs(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        jobs: list[tuple[str, Coroutine[Any, Any, None]]] = []
        if self.practice:
            jobs.append(("practice-orders", self._drive_practice()))
        if self.quotes:
            jobs.append(("quote-streams", QuoteStreams(self._slow_threads("quotes")).run()))
        return jobs

    async def _keep_notes(self) -> None:
        """Write down how the streams are doing, in few statements for all of them."""
        covered_at = 0.0
        while True:
            await asyncio.sleep(self.timings.note)
            await self._guard(self._write_notes(), what="notes")
            if time.monotonic() - covered_at >= self.timings.covered and self.name:
                covered_at = time.monotonic()
                await self._guard(self._write_covered(), what="covered")

    async def _write_notes(self) -> None:
        changed = list(self._changed)
        self._changed.clear()
        if not changed or not self.name:
            return
        try:
            await self._threads.run(stream_leases.note_streams, self.name, [one.note() for one in changed])
        except Exception:
            self._changed.update(changed)
            raise

    async def _write_covered(self) -> None:
        now = utc_now()
        behind = []
        for account_id, one in self._running.items():
            if one.streamer.is_behind:
                behind.append(account_id)
            elif one.streamer.state is StreamState.LIVE:
                one.streamer.covered_until = now
        await self._threads.run(stream_leases.note_covered, self.name, until=now, behind=behind)

    async def _hand_over(self, notes: asyncio.Task[None]) -> None:
        """End every stream with what it has stored, then free the accounts for other processes."""
        await self._lead(False)
        await self._end_accounts(list(self._running))
        await end_tasks(notes, timeout=self.timings.stop)
        if self.name:
            await self._guard(self._lease_threads.run(stream_leases.leave, self.name), what="leave")
        for threads in (self._threads, self._lease_threads, *self._slow.values()):
            await asyncio.to_thread(threads.close)

    def _slow_threads(self, key: str) -> DatabaseThreads:
        if key not in self._slow:
            self._slow[key] = DatabaseThreads(workers=self.workers)
        return self._slow[key]

    def _crowd(self) -> int:
        return len(self._running) - self.live

    async def _drive_practice(self) -> None:
        threads = self._slow_threads("practice")
        while True:
            started = time.monotonic()
            await self._guard(threads.run(drive_practice_orders, utc_now()), what="practice orders")
            await asyncio.sleep(max(0.05, self.timings.practice - (time.monotonic() - started)))

    async def _guard(self, work: Coroutine[Any, Any, object], *, what: str) -> None:
        """Await something whose failure must not end the service."""
        try:
            await work
        except Exception as error:
            logger.exception("stream_service_problem", what=what, error=type(error).__name__)

    async def _pause(self, seconds: float) -> None:
        if self._stopping is None:
            return
        try:
            await asyncio.wait_for(self._stopping.wait(), timeout=seconds)
        except TimeoutError:
            return
