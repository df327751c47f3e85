"""Pure translation of Alpaca's market data: snapshots, bars and the websocket's short-keyed messages."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from brokers.adapters.alpaca.parsing import (
    UnreadableAnswer,
    read_amount,
    read_text,
    read_time,
    require_amount,
    require_list,
    require_mapping,
    require_positive,
    require_time,
)
from brokers.types import Bar, QuoteInfo


def read_snapshots(answer: Any) -> list[QuoteInfo]:
    """Translate GET /v2/stocks/snapshots, an object by symbol. Symbols without data are left out."""
    rows = require_mapping(answer, "snapshots")
    quotes = (_read_snapshot(symbol, row) for symbol, row in rows.items() if isinstance(row, Mapping))
    return [quote for quote in quotes if quote is not None]


def _read_snapshot(symbol: str, row: Mapping[str, Any]) -> QuoteInfo | None:
    """Every part of a snapshot may be null; without quote and trade there is nothing to show."""
    quote, trade = _part(row, "latestQuote"), _part(row, "latestTrade")
    as_of = read_time(quote, "t") or read_time(trade, "t")
    if as_of is None:
        if quote or trade:
            raise UnreadableAnswer(f"{symbol} has a price without a time")
        return None
    return QuoteInfo(
        symbol=symbol,
        bid=_price(quote, "bp"),
        ask=_price(quote, "ap"),
        bid_size=read_amount(quote, "bs"),
        ask_size=read_amount(quote, "as"),
        last=_price(trade, "p"),
        as_of=as_of,
        previous_close=_price(_part(row, "prevDailyBar"), "c"),
    )


def _part(row: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = row.get(key)
    return value if isinstance(value, Mapping) else {}


def _price(row: Mapping[str, Any], key: str) -> Decimal | None:
    """Return a price; Alpaca writes 0 for a side of the book that is empty."""
    return read_amount(row, key) or None


def read_bars(answer: Any, symbol: str) -> tuple[list[Bar], str]:
    """Translate one page of GET /v2/stocks/bars; returns the bars and the next page's token ("" = last)."""
    page = require_mapping(answer, "bars")
    by_symbol = page.get("bars") or {}
    rows = require_mapping(by_symbol, "bars").get(symbol) or []
    return [_read_bar(row) for row in require_list(rows, "bars")], read_text(page, "next_page_token")


def _read_bar(answer: Any) -> Bar:
    row = require_mapping(answer, "bar")
    return Bar(
        start=require_time(row, "t"),
        open=require_positive(row, "o"),
        high=require_positive(row, "h"),
        low=require_positive(row, "l"),
        close=require_positive(row, "c"),
        volume=require_amount(row, "v"),
    )


def apply_message(message: Mapping[str, Any], known: QuoteInfo | None) -> QuoteInfo | None:
    """Return the quote after a stream message: `q` replaces the sides, `t` the last price.

    None when the message is of another kind or cannot be read: the next one repairs that.
    """
    kind, symbol = message.get("T"), read_text(message, "S")
    moment = read_stream_time(message.get("t"))
    if not symbol or moment is None:
        return None
    try:
        if kind == "q":
            return QuoteInfo(
                symbol=symbol,
                bid=_price(message, "bp"),
                ask=_price(message, "ap"),
                bid_size=read_amount(message, "bs"),
                ask_size=read_amount(message, "as"),
                last=known.last if known else None,
                as_of=moment,
                previous_close=known.previous_close if known else None,
            )
        if kind == "t":
            return _with_trade(symbol, require_positive(message, "p"), moment, known)
    except UnreadableAnswer:
        return None
    return None


def _with_trade(symbol: str, price: Decimal, moment: datetime, known: QuoteInfo | None) -> QuoteInfo:
    """A trade brings a new last price; bid and ask keep the age that they have."""
    if known:
        return replace(known, last=price)
    return QuoteInfo(
        symbol=symbol, bid=None, ask=None, bid_size=None, ask_size=None, last=price, as_of=moment
    )


def read_stream_time(value: Any) -> datetime | None:
    """Return the time of a stream message: a MessagePack timestamp, or a text on a JSON connection."""
    convert = getattr(value, "to_datetime", None)
    if convert is not None:
        moment: datetime = convert()
        return moment.astimezone(UTC)
    return read_time({"t": value}, "t")
