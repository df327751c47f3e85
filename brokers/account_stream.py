"""One account's stream: connect, back-fill, store and apply what arrives; poll while it is down.

What ends a connection ends nobody else's. Everything that touches the database or a broker's REST runs on
threads that all accounts share, so an account costs a connection and a few small tasks.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from uuid import UUID

import structlog
from django.db import DatabaseError

from brokers.backoff import Backoff
from brokers.enums import StreamState
from brokers.exceptions import AuthorizationExpired, BrokerError, Unavailable, Unsupported
from brokers.models import BrokerAccount
from brokers.registry import manager
from brokers.selectors import streaming_accounts
from brokers.services.inbox import record_events
from brokers.services.link_health import mark_needs_relink
from brokers.services.stream_leases import HeldAccount, StreamNote
from brokers.threads import DatabaseThreads
from brokers.types import StreamEvent
from tradeplatform.common.clock import utc_now

logger = structlog.get_logger(__name__)

AccountCall = Callable[[UUID], object]
# More messages of one account than this wait only when the database is away: its REST answers must do then.
MOST_WAITING = 5000
STORE_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class StreamTimings:
    """How often the service does what, in seconds."""

    discover: float = 1.5
    note: float = 1.0
    covered: float = 5.0
    poll: float = 5.0
    practice: float = 1.0
    first_retry: float = 1.0
    longest_retry: float = 30.0
    steady_after: float = 30.0
    stop: float = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What all accounts of a process share.

    `crowd` tells how many of them are without their connection just now; `changed` is told whenever
    something worth writing down has happened to one of them.
    """

    apply_events: AccountCall
    backfill: AccountCall
    poll: AccountCall
    timings: StreamTimings
    random: Random
    threads: DatabaseThreads
    slow_threads: Callable[[str], DatabaseThreads]
    crowd: Callable[[], int]
    changed: Callable[["AccountStreamer"], None]


class AccountStreamer:
    """Keeps the events of one account flowing into the inbox, until it is cancelled or the link ends."""

    __slots__ = (
        "_arrived",
        "_backoff",
        "_call_locks",
        "_next_poll",
        "_shop",
        "_waiting",
        "account",
        "covered_until",
        "has_gap",
        "last_event_at",
        "problem",
        "since",
        "state",
    )

    def __init__(self, account: HeldAccount, shop: Workshop) -> None:
        timings = shop.timings
        self.account = account
        self.state = StreamState.CONNECTING
        self.since = utc_now()
        self.problem = ""
        self.last_event_at: datetime | None = None
        self.covered_until: datetime | None = None
        self.has_gap = True
        self._shop = shop
        self._backoff = Backoff(first=timings.first_retry, longest=timings.longest_retry, random=shop.random)
        self._waiting: list[StreamEvent] = []
        self._arrived: asyncio.Event | None = None
        self._call_locks: dict[AccountCall, asyncio.Lock] = {}
        self._next_poll = 0.0

    async def run(self, *, after: float) -> None:
        """Begin after so many seconds. Returns when the broker refuses the link, which is then marked."""
        try:
            await asyncio.sleep(after)
            while True:
                started = asyncio.get_running_loop().time()
                if not await self._try_stream():
                    await self._poll_for_ever()
                if asyncio.get_running_loop().time() - started > self._shop.timings.steady_after:
                    self._backoff.reset()
                await self._poll_between(self._backoff.next_pause(crowd=self._shop.crowd()))
        except AuthorizationExpired as error:
            logger.warning("stream_link_expired", account=str(self.account.account_id))
            await self._shop.threads.run(_mark_link, self.account.account_id, error.message)

    def note(self) -> StreamNote:
        """Return how it goes, for the row that people and other processes see."""
        return StreamNote(
            account_id=self.account.account_id,
            state=self.state,
            since=self.since,
            problem=self.problem[:200],
            last_event_at=self.last_event_at,
            covered_until=self.covered_until,
        )

    @property
    def is_behind(self) -> bool:
        """Say whether something may be missing in the inbox although the stream stands."""
        return self.has_gap or bool(self._waiting)

    async def _try_stream(self) -> bool:
        """Stream until the connection is lost; False when the broker has no stream at all."""
        try:
            await self._hold_connection()
        except (AuthorizationExpired, asyncio.CancelledError):
            raise
        except Unsupported:
            return False
        except BrokerError as error:
            self._move_to(StreamState.INTERRUPTED, problem=error.message)
        except Exception as error:
            self._move_to(StreamState.INTERRUPTED, problem=type(error).__name__)
        else:
            self._move_to(StreamState.INTERRUPTED, problem="The broker ended the stream.")
        logger.warning("stream_lost", account=str(self.account.account_id), problem=self.problem)
        return True

    async def _hold_connection(self) -> None:
        """Hold one connection: back-fill when it stands, then store and apply what arrives."""
        shop, account_id = self._shop, self.account.account_id
        account = await shop.threads.run(_load_account, account_id)
        if account is None:
            raise AuthorizationExpired("The account is not linked any more.")
        if not manager.capabilities_of(account).stream:
            raise Unsupported("This broker has no event stream.")
        reader = await shop.threads.run(manager.get_reader, account, purpose="event stream")
        self._waiting, self._arrived = [], asyncio.Event()
        self.has_gap = True
        jobs = [asyncio.create_task(self._store_arriving())]
        try:
            jobs.append(asyncio.create_task(reader.stream_events(self._take, on_connected=self._begin_live)))
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                job.result()
        finally:
            await end_tasks(*reversed(jobs), timeout=shop.timings.stop)
            await self._store(list(self._waiting))

    async def _begin_live(self) -> None:
        """The connection listens: read what happened before, then count as live."""
        listening_since = utc_now()
        if await self._call(self._shop.backfill, slow=True):
            self.has_gap = False
            self.covered_until = listening_since
        self._move_to(StreamState.LIVE)
        if self._arrived is not None:
            self._arrived.set()

    async def _take(self, event: StreamEvent) -> None:
        """Take a message; this is the sink of the stream. Raises Unavailable when too many wait."""
        if len(self._waiting) >= MOST_WAITING:
            raise Unavailable("More messages wait to be stored than may wait.")
        self._waiting.append(event)
        if self._arrived is not None:
            self._arrived.set()

    async def _store_arriving(self) -> None:
        """Store messages in the order of arrival, as many at once as have arrived, then apply them.

        A message leaves the list only after it was stored, so whoever cancels this finds the rest there.
        While nothing arrives, a back-fill that failed is tried again.
        """
        while True:
            if await self._owed_backfill():
                await self._close_gap()
            batch = list(self._waiting)
            if await self._store(batch):
                del self._waiting[: len(batch)]
            else:
                await asyncio.sleep(STORE_AGAIN_SECONDS)

    async def _owed_backfill(self) -> bool:
        """Wait for a message. While a back-fill is owed, wait no longer than a poll's pause; True if so."""
        if self._waiting or self._arrived is None:
            return False
        self._arrived.clear()
        owes = self.has_gap and self.state is StreamState.LIVE
        try:
            await asyncio.wait_for(self._arrived.wait(), self._poll_pause() if owes else None)
        except TimeoutError:
            return True
        return False

    async def _close_gap(self) -> None:
        began = utc_now()
        if await self._call(self._shop.backfill, slow=True):
            self.has_gap, self.covered_until = False, began
            self._shop.changed(self)
            await self._apply()

    async def _store(self, batch: list[StreamEvent]) -> bool:
        """Store a batch; False when the database did not take it. Applying is not part of the promise."""
        if not batch:
            return True
        account_id = self.account.account_id
        try:
            await self._shop.threads.run(record_events, account_id=account_id, events=batch, source="stream")
        except DatabaseError as error:
            logger.error("events_not_stored", account=str(account_id), error=type(error).__name__)
            return False
        self.last_event_at = batch[-1].received_at
        self._shop.changed(self)
        await self._apply()
        return True

    async def _apply(self) -> None:
        """Apply what is stored. What waits for a fact that was never told is asked for by REST soon."""
        if not await self._call(self._shop.apply_events, slow=False):
            self.has_gap = True

    async def _poll_for_ever(self) -> None:
        """Stand in for a stream that the broker does not have."""
        self._move_to(StreamState.POLLED)
        while True:
            await self._poll()
            await asyncio.sleep(self._poll_pause())

    async def _poll_between(self, seconds: float) -> None:
        """Wait for so long before the next attempt, polling as often as is due."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        self._next_poll = max(self._next_poll, loop.time() + self._poll_pause() / 2)
        while (left := until - loop.time()) > 0:
            due = self._next_poll - loop.time()
            await asyncio.sleep(max(0.0, min(left, due)))
            if loop.time() >= self._next_poll:
                await self._poll()
                self._next_poll = loop.time() + self._poll_pause()

    async def _poll(self) -> None:
        began = utc_now()
        if await self._call(self._shop.poll, slow=True):
            self.covered_until = began
            self._shop.changed(self)

    def _poll_pause(self) -> float:
        return self._shop.timings.poll * self._shop.random.uniform(0.75, 1.25)

    async def _call(self, function: AccountCall, *, slow: bool) -> bool:
        """Run a callable for the account, never twice at once; False when it failed or said that it did."""
        account_id = self.account.account_id
        threads = self._shop.slow_threads(self.account.broker) if slow else self._shop.threads
        async with self._call_locks.setdefault(function, asyncio.Lock()):
            try:
                return await threads.run(function, account_id) is not False
            except AuthorizationExpired:
                raise
            except Exception as error:
                logger.exception("stream_call_failed", account=str(account_id), error=type(error).__name__)
                return False

    def _move_to(self, state: StreamState, *, problem: str = "") -> None:
        if state is not self.state:
            self.since = utc_now()
        self.state, self.problem = state, problem
        self._shop.changed(self)


async def end_tasks(*tasks: asyncio.Task[None], timeout: float) -> None:
    """Cancel tasks and wait until they are done; what they raise on the way out is logged."""
    for task in tasks:
        task.cancel()
    done, _ = await asyncio.wait(tasks, timeout=timeout) if tasks else (set(), set())
    for task in done:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.info("stream_task_failed", task=task.get_name(), error=type(error).__name__)


def _load_account(account_id: UUID) -> BrokerAccount | None:
    return streaming_accounts().filter(pk=account_id).first()


def _mark_link(account_id: UUID, reason: str) -> None:
    account = BrokerAccount.objects.filter(pk=account_id, is_active=True).first()
    if account is not None:
        mark_needs_relink(connection_id=account.connection_id, reason=reason)
