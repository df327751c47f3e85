"""What the practice broker sees of the market: its owner's feed, or the operator's."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from brokers.adapters.paper.models import PracticeBook
from brokers.adapters.paper.rules import MarketView
from brokers.enums import Session
from brokers.exceptions import BrokerError, NotFound, Rejected, Unavailable
from brokers.feeds import Feed, practice_feed
from brokers.models import Instrument, LatestQuote
from brokers.services.market_data import as_quote, read_quotes, read_session
from brokers.types import AssetInfo, MarketClock, QuoteInfo
from tradeplatform.common.clock import utc_now

ORDER_QUOTE_AGE = timedelta(seconds=2)
VALUE_QUOTE_AGE = timedelta(seconds=60)
ASSET_AGE = timedelta(hours=24)


def require_feed(user_id: int) -> Feed:
    """Return the feed; raises Unavailable when there is none."""
    feed = practice_feed(user_id)
    if feed is None:
        raise Unavailable("No source of prices is set up for practice accounts on this site.")
    return feed


def view_market(user_id: int, symbol: str) -> MarketView:
    """Look at a symbol for an order. Raises Rejected when it is unknown or cannot be checked right now."""
    now = utc_now()
    feed = practice_feed(user_id)
    if feed is None:
        raise Rejected(
            "No source of prices is set up for practice accounts on this site, so nothing was ordered. "
            "Link a broker that has prices, or ask the operator to set one up.",
            code="no_quote_source",
        )
    try:
        asset = find_asset(feed, symbol, now=now)
    except NotFound:
        raise Rejected(f"There is no security {symbol}.", code="unknown_symbol") from None
    except BrokerError:
        raise Rejected(
            f"{symbol} could not be checked because the source of prices does not answer. Nothing was "
            "ordered. Try again in a minute.",
            code="no_quote_source",
        ) from None
    quotes = read_quotes(feed, [asset.symbol], max_age=ORDER_QUOTE_AGE, now=now)
    return MarketView(
        asset=asset,
        quote=quotes.get(asset.symbol),
        session=read_session(feed, now=now).session,
        now=utc_now(),
    )


def find_asset(feed: Feed, symbol: str, *, now: datetime) -> AssetInfo:
    """Return a security from the stored list if it is a day old at most, else from the feed."""
    row = Instrument.objects.filter(
        broker=feed.broker, symbol=symbol, checked_at__gte=now - ASSET_AGE
    ).first()
    if row is None:
        return feed.open(purpose="practice order").get_asset(symbol)
    return AssetInfo(
        symbol=row.symbol,
        name=row.name,
        exchange=row.exchange,
        tradable=row.tradable,
        fractionable=row.fractionable,
        shortable=row.shortable,
        marginable=row.marginable,
        overnight_tradable=row.overnight_tradable,
        fractional_extended_hours=row.fractional_extended_hours,
    )


def value_quotes(book: PracticeBook, symbols: Iterable[str]) -> dict[str, QuoteInfo]:
    """Return quotes to value positions with; an old one is better than none."""
    wanted = sorted(set(symbols))
    feed = practice_feed(book.user_id)
    if not wanted or feed is None:
        return {}
    quotes = read_quotes(feed, wanted, max_age=VALUE_QUOTE_AGE, now=utc_now())
    missing = [symbol for symbol in wanted if symbol not in quotes]
    for row in LatestQuote.objects.filter(broker=feed.broker, symbol__in=missing):
        quotes[row.symbol] = as_quote(row)
    return quotes


def market_clock(user_id: int) -> MarketClock:
    """Return the clock of the feed, or the calendar's."""
    now = utc_now()
    state = read_session(practice_feed(user_id), now=now)
    return MarketClock(
        now=now,
        is_open=state.session == Session.CORE,
        next_open=state.next_open,
        next_close=state.next_close,
        session=state.session,
    )
