"""Fresh quotes for symbols that somebody looks at: one stream per feed, polls where it has none."""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import DatabaseError

from brokers.exceptions import AuthorizationExpired, Unsupported
from brokers.feeds import Feed, feed_for
from brokers.models import BrokerAccount, QuoteInterest
from brokers.services.link_health import mark_needs_relink
from brokers.services.market_data import drop_old_interest, read_quotes, store_quotes
from brokers.threads import DatabaseThreads
from brokers.types import QuoteInfo
from tradeplatform.common.clock import utc_now

logger = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
STORE_SECONDS = 0.33
POLL_SECONDS = 1.5
RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 60.0
SWEEP_SECONDS = 60.0


@dataclass
class _FeedTask:
    """The running stream of one feed, for exactly these symbols."""

    feed: Feed
    symbols: frozenset[str]
    task: asyncio.Task[None]


class QuoteStreams:
    """Follows the table of interest and keeps one task per feed going."""

    def __init__(self, threads: DatabaseThreads) -> None:
        self._threads = threads
        self._tasks: dict[str, _FeedTask] = {}
        self._swept_at = 0.0

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            while True:
                try:
                    await self._follow_interest()
                except Exception as error:
                    logger.exception("quote_interest_not_read", error=type(error).__name__)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for running in self._tasks.values():
                running.task.cancel()

    async def _follow_interest(self) -> None:
        """Start, restart and end feed tasks so that they match what is wanted now."""
        wanted = await self._threads.run(_load_interest)
        for key in [key for key in self._tasks if key not in wanted]:
            self._tasks.pop(key).task.cancel()
        for key, (feed, symbols) in wanted.items():
            running = self._tasks.get(key)
            if running is not None and running.symbols == symbols and not running.task.done():
                continue
            if running is not None:
                running.task.cancel()
                await asyncio.wait([running.task], timeout=5)
            task = asyncio.create_task(self._serve(feed, symbols), name=f"quotes-{key}")
            self._tasks[key] = _FeedTask(feed, symbols, task)
        if time.monotonic() - self._swept_at > SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            await self._threads.run(drop_old_interest, now=utc_now() - timedelta(minutes=5))

    async def _serve(self, feed: Feed, symbols: frozenset[str]) -> None:
        """Stream; while that does not work, poll and try the stream again later and later."""
        retry = RETRY_SECONDS
        while True:
            try:
                if not feed.capabilities.quote_stream:
                    raise Unsupported("This feed has no quote stream.")
                await self._stream(feed, symbols)
            except AuthorizationExpired as error:
                await self._lose(feed, error)
                return
            except Unsupported:
                await self._poll(feed, symbols, seconds=None)
            except Exception as error:
                logger.warning("quote_stream_lost", feed=feed.key, error=type(error).__name__)
            await self._poll(feed, symbols, seconds=retry)
            retry = min(retry * 2, LONGEST_RETRY_SECONDS)

    async def _stream(self, feed: Feed, symbols: frozenset[str]) -> None:
        """Collect what arrives, and write the newest quote of each symbol three times a second."""
        reader = await self._threads.run(feed.open, purpose="quote stream")
        pending: dict[str, QuoteInfo] = {}

        async def collect(quote: QuoteInfo) -> None:
            pending[quote.symbol] = _merge(pending.get(quote.symbol), quote)

        # A stream tells changes only: the first picture comes by REST.
        await self._threads.run(read_quotes, feed, symbols, max_age=timedelta(seconds=5), now=utc_now())
        writer = asyncio.create_task(self._write(feed, pending))
        stream = asyncio.create_task(reader.stream_quotes(sorted(symbols), collect))
        try:
            done, _ = await asyncio.wait({writer, stream}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (writer, stream):
                task.cancel()
            await asyncio.wait([writer, stream], timeout=5)

    async def _write(self, feed: Feed, pending: dict[str, QuoteInfo]) -> None:
        while True:
            await asyncio.sleep(STORE_SECONDS)
            if pending:
                batch = list(pending.values())
                pending.clear()
                await self._store(feed, batch)

    async def _store(self, feed: Feed, quotes: list[QuoteInfo]) -> None:
        """Write quotes; a quote that the database does not take is replaced by the next one."""
        try:
            await self._threads.run(store_quotes, feed.broker, quotes, received_at=utc_now())
        except DatabaseError as error:
            logger.warning("quotes_not_stored", feed=feed.key, error=type(error).__name__)

    async def _poll(self, feed: Feed, symbols: frozenset[str], *, seconds: float | None) -> None:
        """Read quotes by REST, for so long or until cancelled."""
        until = None if seconds is None else time.monotonic() + seconds
        while until is None or time.monotonic() < until:
            fresh = timedelta(seconds=POLL_SECONDS / 2)
            await self._threads.run(read_quotes, feed, symbols, max_age=fresh, now=utc_now())
            await asyncio.sleep(POLL_SECONDS)

    async def _lose(self, feed: Feed, error: AuthorizationExpired) -> None:
        if feed.connection_id is not None:
            await self._threads.run(mark_needs_relink, connection_id=feed.connection_id, reason=error.message)


def _merge(older: QuoteInfo | None, newer: QuoteInfo) -> QuoteInfo:
    """Keep the parts of the older quote that the newer message does not speak of."""
    if older is None:
        return newer
    speaks_of_book = newer.bid is not None or newer.ask is not None
    book = newer if speaks_of_book else older
    return QuoteInfo(
        symbol=newer.symbol,
        bid=book.bid,
        ask=book.ask,
        bid_size=book.bid_size,
        ask_size=book.ask_size,
        last=newer.last if newer.last is not None else older.last,
        previous_close=newer.previous_close if newer.previous_close is not None else older.previous_close,
        as_of=max(newer.as_of, older.as_of),
    )


def _load_interest() -> dict[str, tuple[Feed, frozenset[str]]]:
    """Return the wanted symbols by feed. Accounts that share a feed share its stream."""
    rows = QuoteInterest.objects.filter(wanted_until__gte=utc_now(), account__is_active=True).select_related(
        "account__connection"
    )
    by_account: dict[BrokerAccount, set[str]] = defaultdict(set)
    for row in rows:
        by_account[row.account].add(row.symbol)
    feeds: dict[str, Feed] = {}
    symbols: dict[str, set[str]] = defaultdict(set)
    for account, wanted in by_account.items():
        feed = feed_for(account)
        if feed is not None:
            feeds.setdefault(feed.key, feed)
            symbols[feed.key] |= wanted
    return {key: (feed, frozenset(symbols[key])) for key, feed in feeds.items()}
