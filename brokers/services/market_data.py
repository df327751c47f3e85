"""Quotes, bars and the market session, from the shortest way that is fresh enough.

The stream service keeps quotes fresh that somebody looks at; others are read once and stored. Reads never
raise for a feed that does not answer: they return nothing, and the caller says so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Q

from brokers import calendar
from brokers.enums import Session
from brokers.exceptions import AuthorizationExpired, BrokerError, NotFound
from brokers.feeds import Feed, feed_for
from brokers.models import BrokerAccount, LatestQuote, QuoteInterest
from brokers.services.instruments import clean_symbol, get_instrument, search_instruments
from brokers.services.link_health import mark_needs_relink
from brokers.types import Bar, MarketClock, QuoteInfo
from tradeplatform.common.cache import keep_cached, read_cached
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.common.prepared import PreparedQuery, slot

__all__ = [
    "SessionState",
    "describe_quotes",
    "get_bars",
    "get_instrument",
    "get_quote",
    "get_quotes",
    "get_session",
    "note_interest",
    "quote_broker",
    "search_instruments",
    "store_quotes",
]

logger = structlog.get_logger(__name__)

CLOCK_PERIOD = timedelta(seconds=30)
CLOCK_RETRY = timedelta(seconds=5)
CLOCK_STANDS = timedelta(minutes=10)
INTRADAY_BAR_SECONDS = 20
DAILY_BAR_SECONDS = 300
_STORED_QUOTE = PreparedQuery(
    lambda: LatestQuote.objects.filter(
        broker=slot(LatestQuote, "broker"),
        symbol=slot(LatestQuote, "symbol"),
        received_at__gte=slot(LatestQuote, "received_at", name="since"),
    ).order_by()
)
TIMEFRAMES = frozenset({"1Min", "5Min", "15Min", "1Hour", "1Day"})


@dataclass(frozen=True, slots=True)
class SessionState:
    """Phase of the market for one account. `source` is "broker" or, when it does not answer, "calendar"."""

    session: Session
    is_open: bool
    next_open: datetime
    next_close: datetime
    source: str


def quote_broker(account: BrokerAccount) -> str:
    """Return the name that this account's quotes are stored under; "" when it has no feed."""
    feed = feed_for(account)
    return feed.broker if feed else ""


def describe_quotes(account: BrokerAccount) -> str:
    """Say in one sentence where this account's prices come from."""
    feed = feed_for(account)
    return feed.description if feed else "No source of prices is set up for this account."


def get_quote(account: BrokerAccount, symbol: str, *, max_age: timedelta, now: datetime) -> QuoteInfo | None:
    """Return a quote received within `max_age`, reading it from the feed if need be; None if it has none."""
    return get_quotes(account, [symbol], max_age=max_age, now=now).get(clean_symbol(symbol))


def get_quotes(
    account: BrokerAccount, symbols: Iterable[str], *, max_age: timedelta, now: datetime
) -> dict[str, QuoteInfo]:
    """Return fresh quotes by symbol; symbols without one are left out."""
    wanted = {clean_symbol(symbol) for symbol in symbols} - {""}
    feed = feed_for(account)
    if feed is None or not wanted:
        return {}
    return read_quotes(feed, wanted, max_age=max_age, now=now)


def read_quotes(
    feed: Feed, symbols: Iterable[str], *, max_age: timedelta, now: datetime
) -> dict[str, QuoteInfo]:
    """Return fresh quotes of a feed by symbol, one read for all that are stored too old."""
    wanted = set(symbols)
    found = {row.symbol: as_quote(row) for row in _stored_quotes(feed.broker, wanted, since=now - max_age)}
    missing = sorted(wanted - found.keys())
    if missing:
        fresh = _fetch_quotes(feed, missing)
        store_quotes(feed.broker, fresh, received_at=utc_now())
        found.update({quote.symbol: quote for quote in fresh})
    return found


def _stored_quotes(broker: str, symbols: set[str], *, since: datetime) -> Iterable[LatestQuote]:
    if len(symbols) == 1:
        return _STORED_QUOTE.all(broker=broker, symbol=next(iter(symbols)), since=since)
    return LatestQuote.objects.filter(broker=broker, symbol__in=symbols, received_at__gte=since)


def store_quotes(broker: str, quotes: Sequence[QuoteInfo], *, received_at: datetime) -> None:
    """Keep the newest quote of each symbol. A quote without bid and ask only moves the last price."""
    for quote in quotes:
        known = LatestQuote.objects.filter(broker=broker, symbol=quote.symbol)
        values = _quote_values(quote, received_at)
        if known.filter(as_of__lte=quote.as_of).update(**values):
            continue
        if known.filter(as_of__gt=quote.as_of).update(received_at=received_at):
            continue
        try:
            with transaction.atomic():
                LatestQuote.objects.create(broker=broker, symbol=quote.symbol, **values)
        except IntegrityError:
            known.filter(as_of__lte=quote.as_of).update(**values)


def get_bars(
    account: BrokerAccount, symbol: str, *, timeframe: str, start: datetime, end: datetime
) -> list[Bar]:
    """Return bars, oldest first, from the cache where it is recent; [] when the feed has none.

    Raises ValueError for an unknown timeframe.
    """
    if timeframe not in TIMEFRAMES:
        raise ValueError(f"Unknown timeframe {timeframe!r}.")
    feed = feed_for(account)
    cleaned = clean_symbol(symbol)
    if feed is None or not cleaned or not feed.capabilities.bars:
        return []
    seconds = DAILY_BAR_SECONDS if timeframe == "1Day" else INTRADAY_BAR_SECONDS
    span = f"{int(start.timestamp()) // seconds}:{int(end.timestamp()) // seconds}"
    key = f"brokers:bars:{feed.broker}:{cleaned}:{timeframe}:{span}"
    bars: list[Bar] | None = read_cached(key)
    if bars is None:
        bars = _fetch_bars(feed, cleaned, timeframe=timeframe, start=start, end=end)
        if bars:
            keep_cached(key, bars, seconds=seconds)
    return bars


def get_session(account: BrokerAccount, *, now: datetime) -> SessionState:
    """Return the market phase by the broker's clock (read at most every 30 s), else by the calendar."""
    feed = feed_for(account)
    return read_session(feed, now=now)


def read_session(feed: Feed | None, *, now: datetime) -> SessionState:
    """Return the market phase by a feed's clock, or by the calendar when there is none."""
    clock = _read_clock(feed, now=now) if feed else None
    if clock is None:
        session = calendar.session_at(now)
        return SessionState(
            session, session == Session.CORE, calendar.next_open(now), calendar.next_close(now), "calendar"
        )
    return SessionState(_session_of(clock, now), clock.is_open, clock.next_open, clock.next_close, "broker")


def note_interest(
    account: BrokerAccount, symbols: Iterable[str], *, seconds: int = 60, now: datetime | None = None
) -> None:
    """Ask the stream service to keep these symbols' quotes fresh for a while."""
    broker = quote_broker(account)
    wanted = {clean_symbol(symbol) for symbol in symbols} - {""}
    if not broker or not wanted:
        return
    until = (now or utc_now()) + timedelta(seconds=seconds)
    QuoteInterest.objects.bulk_create(
        [
            QuoteInterest(broker=broker, account=account, symbol=symbol, wanted_until=until)
            for symbol in sorted(wanted)
        ],
        update_conflicts=True,
        unique_fields=["account", "symbol"],
        update_fields=["broker", "wanted_until"],
    )


def drop_old_interest(*, now: datetime) -> int:
    """Delete interest that ended; returns how many rows went."""
    return QuoteInterest.objects.filter(Q(wanted_until__lt=now)).delete()[0]


def _fetch_quotes(feed: Feed, symbols: Sequence[str]) -> list[QuoteInfo]:
    if not feed.capabilities.quotes:
        return []
    try:
        reader = feed.open(purpose="read quotes")
        found = reader.get_quotes(symbols) if len(symbols) > 1 else [reader.get_quote(symbols[0])]
        return [quote for quote in found if _has_numbers(quote)]
    except NotFound:
        return []
    except (BrokerError, PlatformError) as error:
        _note_failure(feed, error, what="quotes")
        return []


def _has_numbers(quote: QuoteInfo) -> bool:
    """Say whether what is there of a quote can be stored and reckoned with."""
    figures = (quote.bid, quote.ask, quote.last, quote.bid_size, quote.ask_size, quote.previous_close)
    return all(one is None or (one.is_finite() and one >= 0) for one in figures)


def _fetch_bars(feed: Feed, symbol: str, *, timeframe: str, start: datetime, end: datetime) -> list[Bar]:
    try:
        reader = feed.open(purpose="read bars")
        return list(reader.get_bars(symbol, timeframe=timeframe, start=start, end=end))
    except NotFound:
        return []
    except (BrokerError, PlatformError) as error:
        _note_failure(feed, error, what="bars")
        return []


@dataclass(frozen=True, slots=True)
class _KeptClock:
    """A feed's clock as it was read last, None if it never could be, and when to ask again."""

    clock: MarketClock | None
    read_at: datetime
    ask_at: datetime

    def standing(self, now: datetime) -> MarketClock | None:
        """Return the clock while it holds: until it says that the session changes, and not for ever."""
        clock = self.clock
        if clock is None or now - self.read_at > CLOCK_STANDS:
            return None
        return clock if now < min(clock.next_open, clock.next_close) else None


def _read_clock(feed: Feed, *, now: datetime) -> MarketClock | None:
    """Return the feed's clock; one that cannot be read again stands as it was for a while."""
    key = f"brokers:kept_clock:{feed.key}"
    kept: _KeptClock = read_cached(key) or _KeptClock(None, now, now)
    clock = kept.standing(now)
    has_ended = clock is None and kept.clock is not None
    if now < kept.ask_at and not has_ended:
        return clock
    try:
        clock = feed.open(purpose="read the market clock").get_clock()
        kept = _KeptClock(clock, now, now + CLOCK_PERIOD)
    except (BrokerError, PlatformError) as error:
        _note_failure(feed, error, what="clock")
        kept = _KeptClock(clock, kept.read_at, now + CLOCK_RETRY)
    keep_cached(key, kept, seconds=int(CLOCK_STANDS.total_seconds()))
    return clock


def _session_of(clock: MarketClock, now: datetime) -> Session:
    """Trust the broker on whether the core session runs; the calendar knows the phases around it."""
    if clock.session is not None:
        return clock.session
    if clock.is_open:
        return Session.CORE
    session = calendar.session_at(now)
    return Session.CLOSED if session == Session.CORE else session


def _note_failure(feed: Feed, error: Exception, *, what: str) -> None:
    logger.warning("market_data_unavailable", feed=feed.key, what=what, error=type(error).__name__)
    if isinstance(error, AuthorizationExpired) and feed.connection_id is not None:
        mark_needs_relink(connection_id=feed.connection_id, reason=error.message)


def as_quote(row: LatestQuote) -> QuoteInfo:
    """Return a stored quote as the value that the rest of the platform passes around."""
    return QuoteInfo(
        symbol=row.symbol,
        bid=row.bid,
        ask=row.ask,
        bid_size=row.bid_size,
        ask_size=row.ask_size,
        last=row.last,
        as_of=row.as_of,
        previous_close=row.previous_close,
    )


def _quote_values(quote: QuoteInfo, received_at: datetime) -> dict[str, object]:
    values: dict[str, object] = {"as_of": quote.as_of, "received_at": received_at}
    if quote.bid is not None or quote.ask is not None:
        values |= {
            "bid": quote.bid,
            "ask": quote.ask,
            "bid_size": quote.bid_size,
            "ask_size": quote.ask_size,
        }
    if quote.last is not None:
        values["last"] = quote.last
    if quote.previous_close is not None:
        values["previous_close"] = quote.previous_close
    return values
