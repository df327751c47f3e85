"""What each broker's list says about a security, kept for a day."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from django.db.models import Case, IntegerField, Q, Value, When

from brokers.exceptions import AuthorizationExpired, BrokerError, NotFound, Unavailable
from brokers.feeds import Feed, feed_for
from brokers.models import BrokerAccount, Instrument
from brokers.selectors import streaming_accounts
from brokers.services.link_health import mark_needs_relink
from brokers.types import AssetInfo
from tradeplatform.common.cache import keep_cached, read_cached
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.common.prepared import PreparedQuery, slot

logger = structlog.get_logger(__name__)

MAX_AGE = timedelta(hours=24)
UNKNOWN_SECONDS = 60
BATCH = 500
_SYMBOL = re.compile(r"[A-Z][A-Z0-9]{0,9}([./-][A-Z0-9]{1,9})?")
_ASSET_FIELDS = (
    "name",
    "exchange",
    "tradable",
    "fractionable",
    "shortable",
    "marginable",
    "fractional_extended_hours",
    "overnight_tradable",
    "checked_at",
)

_STORED = PreparedQuery(
    lambda: Instrument.objects.filter(
        broker=slot(Instrument, "broker"), symbol=slot(Instrument, "symbol")
    ).order_by()
)


def clean_symbol(text: str) -> str:
    """Return the symbol in capitals, or "" when the text cannot be one."""
    symbol = text.strip().upper()
    return symbol if len(symbol) <= 20 and _SYMBOL.fullmatch(symbol) else ""


def get_instrument(
    account: BrokerAccount, symbol: str, *, max_age: timedelta = MAX_AGE, now: datetime | None = None
) -> Instrument | None:
    """Return the security as the account's feed lists it; None when that says there is no such symbol.

    Raises Unavailable when the answer is not known: a security that cannot be checked is not unknown.
    """
    cleaned = clean_symbol(symbol)
    if not cleaned:
        return None
    feed = feed_for(account)
    if feed is None:
        raise Unavailable("No source of prices is set up, so the symbol cannot be checked.")
    moment = now or utc_now()
    stored = _STORED.first(broker=feed.broker, symbol=cleaned)
    if stored is not None and stored.checked_at >= moment - max_age:
        return stored
    return _look_up(feed, cleaned, at=moment)


def search_instruments(account: BrokerAccount, query: str, *, limit: int = 20) -> list[Instrument]:
    """Return tradable securities whose symbol starts with the text or whose name contains it.

    Exact symbols come first. An exact symbol that is not stored yet is looked up at the feed.
    """
    text = query.strip()
    feed = feed_for(account)
    if not text or feed is None:
        return []
    found = _search_stored(feed.broker, text, limit=limit)
    if clean_symbol(text) and not any(row.symbol == text.upper() for row in found):
        try:
            exact = get_instrument(account, text)
        except Unavailable:
            exact = None
        if exact is not None:
            found = [exact, *found][:limit]
    return found


def refresh_instruments(*, now: datetime | None = None) -> dict[str, int]:
    """Read the whole list of each feed that active accounts use; return how many rows each gave.

    Securities that left a list stay as rows, no longer tradable. A feed that fails is skipped.
    """
    feeds: dict[str, Feed] = {}
    for account in streaming_accounts():
        feed = feed_for(account)
        if feed is not None:
            feeds.setdefault(feed.broker, feed)
    return {broker: _refresh_feed(feed, at=now or utc_now()) for broker, feed in feeds.items()}


def store_assets(broker: str, assets: Sequence[AssetInfo], *, at: datetime) -> None:
    """Insert or update the rows of these assets. A list may name a symbol twice; the last one counts."""
    rows = {asset.symbol: _as_row(broker, asset, at=at) for asset in assets}
    Instrument.objects.bulk_create(
        rows.values(),
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["broker", "symbol"],
        update_fields=_ASSET_FIELDS,
    )


def _search_stored(broker: str, text: str, *, limit: int) -> list[Instrument]:
    upper = text.upper()
    matches = Q(symbol__startswith=upper)
    if len(text) > 1:
        matches |= Q(name__icontains=text)
    rank = Case(
        When(symbol=upper, then=Value(0)),
        When(symbol__startswith=upper, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    rows = Instrument.objects.filter(matches, broker=broker, tradable=True)
    return list(rows.annotate(rank=rank).order_by("rank", "symbol")[:limit])


def _look_up(feed: Feed, symbol: str, *, at: datetime) -> Instrument | None:
    unknown_key = f"brokers:unknown:{feed.broker}:{symbol}"
    if read_cached(unknown_key):
        return None
    try:
        asset = feed.open(purpose="look up a symbol").get_asset(symbol)
    except NotFound:
        keep_cached(unknown_key, True, seconds=UNKNOWN_SECONDS)
        Instrument.objects.filter(broker=feed.broker, symbol=symbol).update(tradable=False)
        return None
    except (BrokerError, PlatformError) as error:
        if isinstance(error, AuthorizationExpired) and feed.connection_id is not None:
            mark_needs_relink(connection_id=feed.connection_id, reason=error.message)
        raise Unavailable(f"The symbol {symbol} could not be checked with the broker.") from error
    store_assets(feed.broker, [asset], at=at)
    return Instrument.objects.filter(broker=feed.broker, symbol=asset.symbol).first()


def _refresh_feed(feed: Feed, *, at: datetime) -> int:
    try:
        assets = feed.open(purpose="refresh the list of securities").list_assets()
    except (BrokerError, PlatformError) as error:
        logger.warning("instruments_not_refreshed", feed=feed.key, error=type(error).__name__)
        return 0
    usable = [asset for asset in assets if clean_symbol(asset.symbol)]
    store_assets(feed.broker, usable, at=at)
    if usable:
        Instrument.objects.filter(broker=feed.broker, checked_at__lt=at).update(tradable=False)
    logger.info("instruments_refreshed", feed=feed.key, count=len(usable))
    return len(usable)


def _as_row(broker: str, asset: AssetInfo, *, at: datetime) -> Instrument:
    return Instrument(
        broker=broker,
        symbol=asset.symbol,
        name=asset.name[:200],
        exchange=asset.exchange[:20],
        tradable=asset.tradable,
        fractionable=asset.fractionable,
        shortable=asset.shortable,
        marginable=asset.marginable,
        fractional_extended_hours=asset.fractional_extended_hours,
        overnight_tradable=asset.overnight_tradable,
        checked_at=at,
    )
