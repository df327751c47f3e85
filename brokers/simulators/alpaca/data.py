"""Market data REST: bars, quotes, trades, their latest values, and snapshots. Numbers are JSON numbers."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from brokers.matching_terms import Quote
from brokers.simulators.alpaca.errors import ApiError, invalid
from brokers.simulators.alpaca.gateway import Call, Reply
from brokers.simulators.alpaca.queries import parse_limit, parse_symbols, parse_time
from brokers.simulators.alpaca.wire import stamp
from brokers.simulators.market import Bar, Market, group_bars
from brokers.simulators.sessions import NEW_YORK
from brokers.simulators.symbols import BY_SYMBOL

FEEDS = ("iex", "sip", "delayed_sip", "boats", "overnight", "otc")
RECENT = timedelta(minutes=15)
RECENT_SIP = "subscription does not permit querying recent SIP data"
UNIT_MINUTES = {"min": 1, "t": 1, "hour": 60, "h": 60}


def bar_json(bar: Bar) -> dict[str, Any]:
    """A bar, always with trade count and volume-weighted price."""
    return {
        "t": f"{bar.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "o": bar.open,
        "h": bar.high,
        "l": bar.low,
        "c": bar.close,
        "v": bar.volume,
        "n": bar.trades,
        "vw": bar.vwap,
    }


def quote_json(quote: Quote) -> dict[str, Any]:
    """A quote; sizes are shares."""
    return {
        "t": stamp(quote.as_of),
        "ax": "V",
        "ap": float(quote.ask),
        "as": int(quote.ask_size),
        "bx": "V",
        "bp": float(quote.bid),
        "bs": int(quote.bid_size),
        "c": ["R"],
        "z": "C",
    }


def trade_json(quote: Quote) -> dict[str, Any]:
    """The trade behind the quote's last price."""
    number = int(quote.as_of.timestamp())
    size = 100 + number % 7 * 20
    return {
        "t": stamp(quote.as_of),
        "x": "V",
        "p": float(quote.last),
        "s": size,
        "c": ["@"],
        "i": number,
        "z": "C",
    }


def _check_feed(call: Call, end: datetime | None) -> datetime:
    """The end of the query window. On the free plan recent consolidated data is refused."""
    now, feed = call.sim.clock.now(), call.query.get("feed") or "default"
    if feed not in (*FEEDS, "default"):
        raise invalid(f"invalid feed: {feed}")
    basic = call.sim.book.customers[call.account.customer_id].market_data_plan == "basic"
    if feed == "sip" and basic:
        if end is not None and end > now - RECENT:
            raise ApiError(403, 42210000, RECENT_SIP)
        return end or now - RECENT
    return end or now


def _known(call: Call) -> list[str]:
    return [symbol for symbol in parse_symbols(call.query.get("symbols")) if symbol in BY_SYMBOL]


def _page(call: Call, rows: Iterator[tuple[str, dict[str, Any]]], name: str) -> Reply:
    """One page over all symbols together. The token is the number of rows already delivered."""
    limit = parse_limit(call.query.get("limit"), default=1000, most=10_000)
    skip = _read_token(call.query.get("page_token"))
    found: dict[str, list[dict[str, Any]]] = {}
    token = None
    for index, (symbol, row) in enumerate(rows):
        if index < skip:
            continue
        if index == skip + limit:
            token = urlsafe_b64encode(str(index).encode()).decode()
            break
        found.setdefault(symbol, []).append(row)
    return Reply({name: found, "next_page_token": token})


def _read_token(token: str | None) -> int:
    try:
        return int(urlsafe_b64decode(token.encode())) if token else 0
    except ValueError:
        raise invalid("invalid page_token") from None


def get_bars(call: Call) -> Reply:
    """GET /v2/stocks/bars."""
    end = _check_feed(call, parse_time(call.query.get("end"), "end"))
    midnight = call.sim.clock.now().astimezone(NEW_YORK).replace(hour=0, minute=0, second=0, microsecond=0)
    start = parse_time(call.query.get("start"), "start") or midnight
    adjusted = call.query.get("adjustment", "raw") in ("split", "all")
    series = bar_series(call.query.get("timeframe", "1Day"))
    newest_first = call.query.get("sort") == "desc"

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        for symbol in sorted(_known(call)):
            bars = series(call.sim.market, symbol, start, end, call.sim.clock.now(), adjusted)
            for bar in reversed(bars) if newest_first else bars:
                yield symbol, bar_json(bar)

    return _page(call, rows(), "bars")


Series = Callable[[Market, str, datetime, datetime, datetime, bool], list[Bar]]


def bar_series(timeframe: str) -> Series:
    """A reader of bars for a timeframe such as 1Min, 15T, 1Hour, 1Day, 1Week or 3Month.

    Raises ApiError 422.
    """
    match = re.fullmatch(r"(\d+)(Min|T|Hour|H|Day|D|Week|W|Month|M)", timeframe)
    if match is None:
        raise invalid(f"invalid timeframe: {timeframe}")
    count, unit = int(match[1]), match[2].lower() if match[2] != "M" else "month"
    if unit in UNIT_MINUTES:
        minutes = count * UNIT_MINUTES[unit]
        return lambda *args: _intraday(minutes, *args)
    return lambda *args: _daily(count, unit, *args)


def _dates(start: datetime, end: datetime) -> list[Any]:
    first, last = start.astimezone(NEW_YORK).date(), end.astimezone(NEW_YORK).date()
    return [first + timedelta(days=index) for index in range((last - first).days + 1)]


def _intraday(
    minutes: int, market: Market, symbol: str, start: datetime, end: datetime, now: datetime, adjusted: bool
) -> list[Bar]:
    bars = [
        bar
        for day in _dates(start, min(end, now))
        for bar in market.minute_bars(symbol, day, now=now, adjusted=adjusted)
        if start <= bar.at <= end
    ]
    if minutes == 1:
        return bars
    step = minutes * 60
    starts = sorted({int(bar.at.timestamp()) // step * step for bar in bars})
    return group_bars(bars, [datetime.fromtimestamp(value, tz=UTC) for value in starts])


def _daily(
    count: int,
    unit: str,
    market: Market,
    symbol: str,
    start: datetime,
    end: datetime,
    now: datetime,
    adjusted: bool,
) -> list[Bar]:
    found = []
    for day in _dates(start, min(end, now)):
        bar = market.daily_bar(symbol, day, now=now, adjusted=adjusted)
        if bar is not None and start - timedelta(days=1) < bar.at <= end:
            found.append(bar)
    if unit in ("day", "d"):
        return found
    starts = sorted({_period_start(bar.at, count, unit) for bar in found})
    return group_bars(found, starts)


def _period_start(at: datetime, count: int, unit: str) -> datetime:
    local = at.astimezone(NEW_YORK)
    if unit in ("week", "w"):
        return local - timedelta(days=local.weekday())
    month = (local.month - 1) // count * count + 1
    return local.replace(month=month, day=1)


def get_quotes(call: Call) -> Reply:
    """GET /v2/stocks/quotes: one quote per second."""
    return _seconds(call, "quotes", quote_json)


def get_trades(call: Call) -> Reply:
    """GET /v2/stocks/trades: one trade per second."""
    return _seconds(call, "trades", trade_json)


def _seconds(call: Call, name: str, shape: Callable[[Quote], dict[str, Any]]) -> Reply:
    now = call.sim.clock.now()
    end = min(now, _check_feed(call, parse_time(call.query.get("end"), "end")))
    start = parse_time(call.query.get("start"), "start") or end - timedelta(minutes=10)
    span = max(0, int(end.timestamp()) - int(start.timestamp()))
    offsets = range(span, -1, -1) if call.query.get("sort") == "desc" else range(span + 1)

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        for symbol in sorted(_known(call)):
            for offset in offsets:
                at = start.replace(microsecond=0) + timedelta(seconds=offset)
                yield symbol, shape(call.sim.market.past_quote(symbol, at))

    return _page(call, rows(), name)


def latest_bars(call: Call) -> Reply:
    """GET /v2/stocks/bars/latest."""
    return _latest(call, "bars", lambda symbol, now: _minute_bar(call.sim.market, symbol, now))


def latest_quotes(call: Call) -> Reply:
    """GET /v2/stocks/quotes/latest."""
    return _latest(call, "quotes", lambda symbol, now: quote_json(call.sim.market.quote(symbol, now)))


def latest_trades(call: Call) -> Reply:
    """GET /v2/stocks/trades/latest."""
    return _latest(call, "trades", lambda symbol, now: trade_json(call.sim.market.quote(symbol, now)))


def snapshots(call: Call) -> Reply:
    """GET /v2/stocks/snapshots: by symbol, without a wrapper."""
    now = call.sim.clock.now()
    _refuse_recent_sip(call, now)
    return Reply({symbol: _snapshot(call.sim.market, symbol, now) for symbol in _known(call)})


def _latest(call: Call, name: str, read: Callable[[str, datetime], Any]) -> Reply:
    now = call.sim.clock.now()
    _refuse_recent_sip(call, now)
    return Reply({name: {symbol: read(symbol, now) for symbol in _known(call)}})


def _refuse_recent_sip(call: Call, now: datetime) -> None:
    _check_feed(call, now)


def _minute_bar(market: Market, symbol: str, now: datetime) -> dict[str, Any] | None:
    bars = market.minute_bars(symbol, now.astimezone(NEW_YORK).date(), now=now)
    return bar_json(bars[-1]) if bars else None


def _snapshot(market: Market, symbol: str, now: datetime) -> dict[str, Any]:
    day = now.astimezone(NEW_YORK).date()
    quote, today = market.quote(symbol, now), market.daily_bar(symbol, day, now=now)
    before, previous = None, day - timedelta(days=1)
    while before is None:
        before = market.daily_bar(symbol, previous, now=now)
        previous -= timedelta(days=1)
    return {
        "latestTrade": trade_json(quote),
        "latestQuote": quote_json(quote),
        "minuteBar": _minute_bar(market, symbol, now),
        "dailyBar": bar_json(today) if today else None,
        "prevDailyBar": bar_json(before),
    }
