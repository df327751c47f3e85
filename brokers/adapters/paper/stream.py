"""The practice broker's event stream: its own event table, watched by one query for all listeners."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID
from weakref import WeakKeyDictionary

import structlog
from django.db import DatabaseError

from brokers.adapters.paper.models import PracticeEvent
from brokers.threads import DatabaseThreads
from brokers.types import StreamEvent
from tradeplatform.common.clock import utc_now

logger = structlog.get_logger(__name__)

POLL_SECONDS = 0.2
SELF_CHECK_SECONDS = 15.0
# A row may become visible after one with a higher id of another book, so a while is looked at again.
LOOK_BACK = timedelta(seconds=10)
BATCH = 200

EventSink = Callable[[StreamEvent], Awaitable[None]]


class EventHub:
    """Wakes the listeners of the books that have new events. One per event loop."""

    def __init__(self) -> None:
        self.threads = DatabaseThreads(workers=2)
        self._listeners: dict[UUID, set[asyncio.Event]] = {}
        self._seen: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, book_id: UUID) -> asyncio.Event:
        """Start to listen; the returned flag is set when there is something new."""
        flag = asyncio.Event()
        self._listeners.setdefault(book_id, set()).add(flag)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._watch())
        return flag

    def remove(self, book_id: UUID, flag: asyncio.Event) -> bool:
        """Stop to listen; says whether that was the last listener, with whom the watch ends."""
        flags = self._listeners.get(book_id, set())
        flags.discard(flag)
        if not flags:
            self._listeners.pop(book_id, None)
        if self._listeners:
            return False
        if self._task is not None:
            self._task.cancel()
        return True

    async def _watch(self) -> None:
        while True:
            try:
                recent = await self.threads.run(_recent_events)
            except DatabaseError as error:
                logger.warning("practice_events_not_read", error=type(error).__name__)
                recent = {}
            fresh = {book_id for event_id, book_id in recent.items() if event_id not in self._seen}
            self._seen = set(recent)
            for book_id in fresh:
                for flag in self._listeners.get(book_id, ()):
                    flag.set()
            await asyncio.sleep(POLL_SECONDS)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, EventHub] = WeakKeyDictionary()


async def stream_book_events(
    book_id: UUID, sink: EventSink, *, on_connected: Callable[[], Awaitable[None]]
) -> None:
    """Deliver the events of a book that happen from now on, in order, until cancelled."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = EventHub()
    flag = hub.add(book_id)
    try:
        position = await hub.threads.run(_last_event_id, book_id)
        await on_connected()
        while True:
            rows = await hub.threads.run(_events_after, book_id, position)
            for row in rows:
                await sink(make_event(row))
                position = row.pk
            if len(rows) < BATCH:
                await _wait_for(flag)
    finally:
        if hub.remove(book_id, flag):
            _hubs.pop(loop, None)
            await asyncio.to_thread(hub.threads.close)


def make_event(row: PracticeEvent) -> StreamEvent:
    """Wrap one stored event as a message of the stream."""
    return StreamEvent(
        dedupe_key=f"practice:{row.pk}", kind=row.kind, payload=row.payload, received_at=utc_now()
    )


async def _wait_for(flag: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(flag.wait(), timeout=SELF_CHECK_SECONDS)
    except TimeoutError:
        return
    flag.clear()


def _recent_events() -> dict[int, UUID]:
    since = utc_now() - LOOK_BACK
    return dict(PracticeEvent.objects.filter(created_at__gte=since).values_list("id", "book_id"))


def _last_event_id(book_id: UUID) -> int:
    return PracticeEvent.objects.filter(book_id=book_id).values_list("id", flat=True).last() or 0


def _events_after(book_id: UUID, position: int) -> list[PracticeEvent]:
    return list(PracticeEvent.objects.filter(book_id=book_id, id__gt=position).order_by("id")[:BATCH])
