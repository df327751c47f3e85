"""Calls of the market data API, on the free real-time feed unless the account's plan is known."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from brokers.adapters.alpaca import constants
from brokers.adapters.alpaca.client import AlpacaRest
from brokers.adapters.alpaca.failures import Call
from brokers.adapters.alpaca.market_mapping import read_bars, read_snapshots
from brokers.adapters.alpaca.parsing import write_time
from brokers.exceptions import NotFound, Unavailable, Unsupported
from brokers.types import Bar, QuoteInfo

_SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9./\-]{0,31}", re.ASCII)
_INVALID_SYMBOL = re.compile(r"invalid symbol:?\s*(\S+)", re.IGNORECASE)


def check_symbol(symbol: str) -> str:
    """Return `symbol` when it can be one; raises NotFound otherwise, before it gets into an address."""
    if not _SYMBOL.fullmatch(symbol):
        raise NotFound("That is not a symbol.")
    return symbol


def get_quotes(client: AlpacaRest, symbols: Sequence[str]) -> list[QuoteInfo]:
    """Return the latest quotes, with last trade and previous close; unknown symbols are left out."""
    wanted = [symbol for symbol in dict.fromkeys(symbols) if _SYMBOL.fullmatch(symbol)]
    size = constants.SYMBOLS_PER_QUOTE_CALL
    quotes: list[QuoteInfo] = []
    for start in range(0, len(wanted), size):
        quotes += _get_snapshots(client, wanted[start : start + size])
    return quotes


def _get_snapshots(client: AlpacaRest, symbols: list[str]) -> list[QuoteInfo]:
    """One malformed symbol spoils a whole call: the one that Alpaca names is left out of the next."""
    left = list(symbols)
    while left:
        params = {"symbols": ",".join(left), "feed": constants.DATA_FEED}
        try:
            return client.get("/stocks/snapshots", params, read=read_snapshots, call=Call.MARKET_DATA)
        except Unavailable as error:
            named = _INVALID_SYMBOL.search(error.message)
            invalid = named.group(1).strip("\"'.,") if named else ""
            if invalid not in left:
                raise
            left.remove(invalid)
    return []


def get_bars(client: AlpacaRest, symbol: str, *, timeframe: str, start: datetime, end: datetime) -> list[Bar]:
    """Return split-adjusted bars, oldest first. Raises Unsupported for a timeframe that is not offered."""
    if timeframe not in constants.TIMEFRAMES:
        raise Unsupported(f"Alpaca has no bars of {timeframe}.")
    params: dict[str, Any] = {
        "symbols": check_symbol(symbol),
        "timeframe": timeframe,
        "start": write_time(start),
        "end": write_time(end),
        "limit": constants.BARS_PAGE,
        "adjustment": "split",
        "feed": constants.DATA_FEED,
        "sort": "asc",
    }
    bars: dict[datetime, Bar] = {}
    for _ in range(constants.MAX_PAGES):
        page, next_page = client.get(
            "/stocks/bars", params, read=lambda answer: read_bars(answer, symbol), call=Call.MARKET_DATA
        )
        bars.update((bar.start, bar) for bar in page)
        if not next_page or next_page == params.get("page_token"):
            return sorted(bars.values(), key=lambda bar: bar.start)
        params["page_token"] = next_page
    raise Unavailable("Alpaca's bars cannot be read to their end.")
