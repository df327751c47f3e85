"""Addresses of Alpaca's services. Every one is a setting, so that any server can be put in its place."""

from urllib.parse import urlsplit

from django.conf import settings

from brokers.enums import Environment


def trading_url(environment: Environment) -> str:
    """Return the trading host of an environment; the SDK appends `/v2/...` itself."""
    url = settings.ALPACA_LIVE_URL if environment is Environment.LIVE else settings.ALPACA_PAPER_URL
    return _base(url)


def data_url() -> str:
    """Return the market data host, one for both environments."""
    return _base(settings.ALPACA_DATA_URL)


def trading_stream_url(environment: Environment) -> str:
    """Return the full address of the `trade_updates` websocket."""
    live = environment is Environment.LIVE
    return _full(settings.ALPACA_LIVE_STREAM_URL if live else settings.ALPACA_PAPER_STREAM_URL, "/stream")


def data_stream_url() -> str:
    """Return the full address of the market data websocket; the free feed when none is named."""
    return _full(settings.ALPACA_DATA_STREAM_URL, "/v2/iex")


def _base(url: str) -> str:
    return url.strip().rstrip("/").removesuffix("/v2")


def _full(url: str, default_path: str) -> str:
    url = url.strip().rstrip("/")
    return url if urlsplit(url).path else url + default_path
