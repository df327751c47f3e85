"""Feeds open event streams: one poller per process looks for news of everybody who is connected.

A commit in this process wakes the streams of its user at once; commits of other processes are seen by the
poller. Streams read their own rows, so nothing is lost between a wake-up and the read.
"""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.db import close_old_connections

from brokers.models import BrokerAccount, LatestQuote
from brokers.services.market_data import note_interest
from tradeplatform.common.events import add_listener
from tradeplatform.models import EventCursor, UserEvent

logger = structlog.get_logger(__name__)
T = TypeVar("T")

BATCH = 200
MAX_SYMBOLS = 100
_INTEREST_SECONDS = 60
# Streams share a few threads and database connections instead of holding one each.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="live")


async def in_thread(function: Callable[..., T], *args: Any) -> T:
    """Run a function that uses the database in one of the shared threads."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _with_connection, function, args)


def _with_connection(function: Callable[..., T], args: tuple[Any, ...]) -> T:
    close_old_connections()
    try:
        return function(*args)
    finally:
        close_old_connections()


@dataclass(eq=False)
class Listener:
    """One open stream: whose it is, which symbols it shows, and the flag that wakes it."""

    user_id: int
    account: BrokerAccount | None
    symbols: frozenset[str]
    quote_source: str = ""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    quotes: dict[str, LatestQuote] = field(default_factory=dict)


class LiveHub:
    """Wakes listeners of one event loop when there is something new for them."""

    def __init__(self) -> None:
        self._listeners: dict[Listener, Callable[[], None]] = {}
        self._sequences: dict[int, int] = {}
        self._quote_times: dict[tuple[str, str], datetime] = {}
        self._poller: asyncio.Task[None] | None = None
        self._interest_at = 0.0
        self.is_closing = False

    def close(self) -> None:
        """End every stream: the server is about to stop, and clients will connect again."""
        self.is_closing = True
        for listener in self._listeners:
            listener.wake.set()

    def count_for(self, user_id: int) -> int:
        """Return how many streams the user has open here."""
        return sum(listener.user_id == user_id for listener in self._listeners)

    def join(self, listener: Listener) -> None:
        """Start waking this listener; starts the poller with the first one."""
        loop = asyncio.get_running_loop()
        self._listeners[listener] = add_listener(
            listener.user_id, lambda: loop.call_soon_threadsafe(listener.wake.set)
        )
        self._interest_at = 0.0
        if self._poller is None or self._poller.done():
            self._poller = loop.create_task(self._poll())

    def leave(self, listener: Listener) -> None:
        """Forget a listener; the poller ends by itself after the last one."""
        if remove := self._listeners.pop(listener, None):
            remove()

    async def _poll(self) -> None:
        while self._listeners:
            try:
                await self._look()
            except Exception as error:
                # The database may be restarting; the streams stay open and the next look may succeed.
                logger.warning("live_poll_failed", error=type(error).__name__)
            await asyncio.sleep(settings.EVENT_POLL_SECONDS)

    async def _look(self) -> None:
        users = {listener.user_id for listener in self._listeners}
        for user_id, sequence in (await in_thread(_read_sequences, users)).items():
            if self._sequences.get(user_id) != sequence:
                self._sequences[user_id] = sequence
                self._wake(user_id)
        await self._look_at_quotes()

    def _wake(self, user_id: int) -> None:
        for listener in self._listeners:
            if listener.user_id == user_id:
                listener.wake.set()

    async def _look_at_quotes(self) -> None:
        watching = [one for one in self._listeners if one.quote_source and one.symbols]
        if not watching:
            return
        now = asyncio.get_running_loop().time()
        if now - self._interest_at > _INTEREST_SECONDS / 2:
            self._interest_at = now
            await in_thread(_note_interest, [(one.account, one.symbols) for one in watching if one.account])
        wanted = {(one.quote_source, symbol) for one in watching for symbol in one.symbols}
        for quote in await in_thread(_read_quotes, wanted):
            key = (quote.broker, quote.symbol)
            if self._quote_times.get(key) != quote.received_at:
                self._quote_times[key] = quote.received_at
                self._hand_out(watching, quote)

    @staticmethod
    def _hand_out(watching: list[Listener], quote: LatestQuote) -> None:
        for listener in watching:
            if listener.quote_source == quote.broker and quote.symbol in listener.symbols:
                listener.quotes[quote.symbol] = quote
                listener.wake.set()


_hubs: dict[asyncio.AbstractEventLoop, LiveHub] = {}


def current_hub() -> LiveHub:
    """Return the hub of the running event loop."""
    loop = asyncio.get_running_loop()
    for old in [known for known in _hubs if known.is_closed()]:
        del _hubs[old]
    return _hubs.setdefault(loop, LiveHub())


def read_events(user_id: int, after: int) -> list[UserEvent]:
    """Return the user's next events in order."""
    return list(UserEvent.objects.filter(user_id=user_id, sequence__gt=after).order_by("sequence")[:BATCH])


def last_sequence(user_id: int) -> int:
    """Return the newest number given to the user, 0 if none."""
    return EventCursor.objects.filter(user_id=user_id).values_list("last_sequence", flat=True).first() or 0


def can_resume(user_id: int, after: int) -> bool:
    """Say whether every event after this number is still stored."""
    last = last_sequence(user_id)
    if after >= last:
        return after == last
    return UserEvent.objects.filter(user_id=user_id, sequence=after + 1).exists()


def quote_payload(quote: LatestQuote, currency: str) -> dict[str, str | None]:
    """Return a quote as it goes to the browser: prices as strings, time in ISO 8601."""

    def text(value: Any) -> str | None:
        return None if value is None else str(value)

    return {
        "symbol": quote.symbol,
        "bid": text(quote.bid),
        "ask": text(quote.ask),
        "last": text(quote.last),
        "previous_close": text(quote.previous_close),
        "currency": currency,
        "as_of": quote.as_of.isoformat(),
    }


def _read_sequences(users: Iterable[int]) -> dict[int, int]:
    return dict(EventCursor.objects.filter(user_id__in=users).values_list("user_id", "last_sequence"))


def _read_quotes(wanted: set[tuple[str, str]]) -> list[LatestQuote]:
    symbols = {symbol for _, symbol in wanted}
    return [
        quote
        for quote in LatestQuote.objects.filter(symbol__in=symbols)
        if (quote.broker, quote.symbol) in wanted
    ]


def _note_interest(pairs: list[tuple[BrokerAccount, frozenset[str]]]) -> None:
    for account, symbols in pairs:
        note_interest(account, sorted(symbols), seconds=_INTEREST_SECONDS)
