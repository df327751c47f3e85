"""The market data websocket on the SDK's StockDataStream, as a flow of quotes."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import msgpack
from alpaca.data.live.stock import StockDataStream

from brokers.adapters.alpaca import constants
from brokers.adapters.alpaca.client import sdk_credentials
from brokers.adapters.alpaca.market_mapping import apply_message
from brokers.adapters.alpaca.stream import StreamBroken, close_quietly, websocket_params
from brokers.adapters.base import QuoteSink
from brokers.enums import LinkKind
from brokers.exceptions import AuthorizationExpired, BrokerError, Unavailable
from brokers.types import Credentials, QuoteInfo

# As in `stream`: the interruption is logged here, without a traceback for every attempt.
logging.getLogger("alpaca.data.live.websocket").setLevel(logging.CRITICAL)


async def stream_quotes(url: str, credentials: Credentials, symbols: Sequence[str], sink: QuoteSink) -> None:
    """Deliver the quotes of one connection until cancelled.

    Raises AuthorizationExpired when the login is refused and Unavailable when the connection is lost or the
    account's data plan does not allow this stream. Without symbols there is nothing to wait for: it returns.
    """
    if not symbols:
        return
    stream = QuoteStream(url, credentials, sink)
    stream.subscribe_quotes(stream.take, *symbols)
    stream.subscribe_trades(stream.take, *symbols)
    try:
        await stream.run_until_lost()
    finally:
        await close_quietly(stream)


class QuoteStream(StockDataStream):
    """Quotes of some symbols; a trade updates the last price of the quote before it."""

    _ws: Any

    def __init__(self, url: str, credentials: Credentials, sink: QuoteSink) -> None:
        key, secret = _data_login(credentials)
        super().__init__(key, secret, raw_data=True, url_override=url, websocket_params=websocket_params(url))
        self._sink = sink
        self._quotes: dict[str, QuoteInfo] = {}
        self._refusal: BrokerError | None = None

    async def run_until_lost(self) -> None:
        """Hold the connection. Ends by raising what the server refused it for, or Unavailable."""
        await self._run_forever()
        raise self._refusal or Unavailable("Alpaca ended the quote stream.")

    async def take(self, message: Any) -> None:
        """Turn one message into a quote and pass it on."""
        symbol = str(message.get("S"))
        quote = apply_message(message, self._quotes.get(symbol))
        if quote is not None:
            self._quotes[symbol] = quote
            await self._sink(quote)

    async def _auth(self) -> None:
        await self._ws.send(
            msgpack.packb({"action": "auth", "key": self._api_key, "secret": self._secret_key})
        )
        frame = await asyncio.wait_for(self._ws.recv(), constants.STREAM_ANSWER_TIMEOUT)
        for message in msgpack.unpackb(frame):
            if message.get("T") == "error":
                await self._dispatch(message)
                raise StreamBroken("login failed")
            if message.get("msg") == "authenticated":
                return
        raise StreamBroken("login was not answered")

    async def _dispatch(self, msg: Any) -> None:
        """Notice refusals, which the SDK only logs."""
        if isinstance(msg, dict) and msg.get("T") == "error":
            self._note_error(msg.get("code"))
        await super()._dispatch(msg)

    async def _wait_before_reconnect(self, retries: int) -> None:
        """Leave the SDK's loop; the caller polls and connects again."""
        self._should_run = False
        raise self._refusal or Unavailable("The connection to Alpaca's quote stream was lost.") from None

    def _note_error(self, code: Any) -> None:
        if code == constants.DATA_STREAM_AUTH_FAILED:
            self._refuse(AuthorizationExpired("Alpaca refused the quote stream's login.", code=str(code)))
        elif code in constants.DATA_STREAM_REFUSALS:
            self._refuse(Unavailable("The data plan of this account has no quote stream.", code=str(code)))

    def _refuse(self, error: BrokerError) -> None:
        self._refusal = error
        self._should_run = False
        if self._stop_stream_event is not None:
            self._stop_stream_event.set()
        self._stop_stream_queue.put_nowait({"should_stop": True})


def _data_login(credentials: Credentials) -> tuple[str, str]:
    """Return the login pair; a token goes in the secret's place, under the literal key `oauth`."""
    keys = sdk_credentials(credentials)
    if credentials.kind is LinkKind.OAUTH2:
        return "oauth", keys["oauth_token"]
    return keys["api_key"], keys["secret_key"]
