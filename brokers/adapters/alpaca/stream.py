"""The `trade_updates` websocket on the SDK's TradingStream, for thousands of accounts in one event loop.

The SDK speaks the protocol; this subclass adds what it lacks: OAuth, an end when the connection is lost or
the credentials are refused, a hook after the connect, and no event lost in silence. When to connect again is
the caller's decision, who polls meanwhile. Whatever stops an event from being stored ends the connection,
because each new one back-fills by REST.
"""

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any

import structlog
from alpaca.trading.stream import TradingStream
from django.utils import timezone
from websockets.legacy.exceptions import InvalidStatusCode

from brokers.adapters.alpaca import constants
from brokers.adapters.alpaca.client import sdk_credentials
from brokers.adapters.alpaca.events import make_stream_event, make_unreadable_event
from brokers.adapters.alpaca.failures import hide_secrets
from brokers.adapters.base import EventSink
from brokers.enums import LinkKind
from brokers.exceptions import AuthorizationExpired, BrokerError, Unavailable
from brokers.types import Credentials, StreamEvent

logger = structlog.get_logger(__name__)

# The SDK writes a traceback for every failed attempt of every account; the stream service logs one line.
logging.getLogger("alpaca.trading.stream").setLevel(logging.CRITICAL)

Hook = Callable[[], Awaitable[None]]
LOST = "The connection to Alpaca's event stream was lost."


class StreamBroken(Exception):  # noqa: N818 - a state of the connection
    """The connection cannot be trusted any more and must be made anew."""


async def stream_trade_updates(
    url: str, credentials: Credentials, sink: EventSink, *, on_connected: Hook
) -> None:
    """Deliver raw trade updates of one connection.

    Raises Unavailable when it is lost and AuthorizationExpired when Alpaca refuses the link.
    """
    stream = TradeUpdates(url, credentials, sink, on_connected)
    try:
        await stream.run_until_lost()
    finally:
        await close_quietly(stream)


def websocket_params(url: str) -> dict[str, Any]:
    """Return the connection's settings; giving any replaces all defaults of the SDK.

    No compression and one shared TLS context: both cost memory per account.
    """
    params: dict[str, Any] = {
        "ping_interval": constants.PING_EVERY,
        "ping_timeout": constants.PING_PATIENCE,
        "close_timeout": constants.STREAM_CLOSE_TIMEOUT,
        "max_queue": constants.STREAM_QUEUE,
        "compression": None,
    }
    if url.startswith("wss://"):
        params["ssl"] = _tls_context()
    return params


@cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


async def close_quietly(stream: Any) -> None:
    """Close the socket of an SDK stream; on a cancelled or broken one nothing more can be done."""
    with contextlib.suppress(Exception):
        await asyncio.wait_for(stream.close(), constants.STREAM_CLOSE_TIMEOUT + 1)


class TradeUpdates(TradingStream):
    """One account's connection. Run it with `run_until_lost` in the shared loop, end it by cancelling."""

    _ws: Any

    def __init__(self, url: str, credentials: Credentials, sink: EventSink, on_connected: Hook) -> None:
        keys = sdk_credentials(credentials)
        super().__init__(
            keys.get("api_key", ""),
            keys.get("secret_key", ""),
            raw_data=True,
            url_override=url,
            websocket_params=websocket_params(url),
        )
        self._login = _login_data(credentials, keys)
        self._secrets = tuple(keys.values())
        self._sink = sink
        self._on_connected = on_connected
        self._backlog: list[Any] = []
        self._refusal: BrokerError | None = None
        self.subscribe_trade_updates(self._deliver)

    async def run_until_lost(self) -> None:
        """Hold the connection. Ends by raising Unavailable or AuthorizationExpired."""
        await self._run_forever()
        raise Unavailable(LOST)

    async def _connect(self) -> None:
        try:
            await super()._connect()
        except InvalidStatusCode as error:
            if error.status_code == 401:
                self._refusal = AuthorizationExpired("Alpaca refused the event stream.", code="401")
            raise

    async def _auth(self) -> None:
        await self._ws.send(json.dumps({"action": "authenticate", "data": self._login}))
        answer = await self._receive(constants.STREAM_ANSWER_TIMEOUT)
        status = _data_of(answer).get("status")
        if status == "authorized":
            return
        if status == "unauthorized":
            self._refusal = AuthorizationExpired("Alpaca refused the credentials of the event stream.")
        raise StreamBroken("not authorized")

    async def _wait_before_reconnect(self, retries: int) -> None:
        """Leave the SDK's loop, which gets here after every loss of the connection."""
        raise self._refusal or Unavailable(LOST) from None

    async def _start_ws(self) -> None:
        """Connect, log in, listen, then let the caller back-fill before the first event is delivered.

        Listening comes first, so that nothing falls between back-fill and stream.
        """
        self._backlog = []
        await super()._start_ws()
        await self._await_listening()
        try:
            await self._on_connected()
        except AuthorizationExpired as error:
            self._refusal = error
            raise

    async def _await_listening(self) -> None:
        """Wait for the answer to `listen`; a trade update that overtakes it is kept for later."""
        try:
            message = await self._receive(constants.LISTEN_ANSWER_TIMEOUT)
        except TimeoutError:
            logger.warning("broker_stream_listen_unanswered", broker=constants.BROKER_KEY)
            return
        if message.get("stream") == constants.STREAM_NAME:
            self._backlog.append(message)
            return
        streams = _data_of(message).get("streams")
        if isinstance(streams, list) and constants.STREAM_NAME not in streams:
            raise StreamBroken("trade updates are not on offer")
        if message.get("stream") in ("authorization", "error"):
            raise StreamBroken("listening was refused")

    async def _consume(self) -> None:
        """Deliver messages until the connection ends, which is told by an exception."""
        try:
            while self._backlog:
                await self._dispatch(self._backlog.pop(0))
            while True:
                await self._dispatch(await self._receive(None))
        except (StreamBroken, TypeError, ValueError):
            await close_quietly(self)
            raise

    async def _receive(self, patience: float | None) -> dict[str, Any]:
        """Return the next message. Text and binary frames both carry JSON."""
        frame = await asyncio.wait_for(self._ws.recv(), patience)
        text = frame if isinstance(frame, str) else bytes(frame).decode("utf-8", "replace")
        text = hide_secrets(text, self._secrets)
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            await self._keep_unreadable(text)
            raise StreamBroken("a frame is not JSON") from None
        if not isinstance(message, dict):
            await self._keep_unreadable(text)
            raise StreamBroken("a frame is not an object")
        return message

    async def _keep_unreadable(self, text: str) -> None:
        """Hand on a frame that nobody can read, to be kept; what it may have told comes by REST."""
        await self._hand_on(make_unreadable_event(text, received_at=timezone.now()))

    async def _deliver(self, message: Mapping[str, Any]) -> None:
        data = message.get("data")
        if not isinstance(data, dict):
            await self._keep_unreadable(json.dumps(dict(message)))
            raise StreamBroken("a trade update without data")
        await self._hand_on(make_stream_event(data, received_at=timezone.now()))

    async def _hand_on(self, event: StreamEvent) -> None:
        try:
            await self._sink(event)
        except Exception as error:
            logger.warning(
                "broker_event_not_stored", broker=constants.BROKER_KEY, problem=type(error).__name__
            )
            raise StreamBroken("an event could not be stored") from error


def _login_data(credentials: Credentials, keys: Mapping[str, str]) -> dict[str, str]:
    if credentials.kind is LinkKind.OAUTH2:
        return {"oauth_token": keys["oauth_token"]}
    return {"key_id": keys["api_key"], "secret_key": keys["secret_key"]}


def _data_of(message: Mapping[str, Any]) -> Mapping[str, Any]:
    data = message.get("data")
    return data if isinstance(data, dict) else {}
