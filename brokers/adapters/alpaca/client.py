"""The SDK's REST clients, made safe for money: time-outs, no hidden retries, raw answers, sorted failures.

The SDK pulls in pandas (about a second and 80 MB), so it is imported when the first client is built.
Clients are kept per process and link: their connections stay open, so that an order need not wait for a
TLS handshake.
"""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import requests

from brokers.adapters.alpaca import constants
from brokers.adapters.alpaca.failures import Call, kept_reply, request_id_of, sort_refusal, unclear
from brokers.adapters.alpaca.parsing import UnreadableAnswer
from brokers.adapters.alpaca.transport import BoundedSession, Exchange, watched
from brokers.enums import LinkKind
from brokers.exceptions import TIMED_OUT, AuthorizationExpired, NotSent, Unavailable
from brokers.types import Credentials

Answer = TypeVar("Answer")

NOT_SENT = "Alpaca could not be reached; nothing was sent."
NO_ANSWER = "Alpaca did not answer as expected."


class AlpacaRest:
    """Calls of one link against one host. Thread-safe; one call is one request."""

    def __init__(self, sdk_client: Any, session: BoundedSession) -> None:
        self._client = sdk_client
        self._session = session

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        read: Callable[[Any], Answer],
        call: Call = Call.READ,
    ) -> Answer:
        """Read `path` (below /v2) and translate the answer.

        Raises NotFound, RateLimited, AuthorizationExpired or Unavailable.
        """
        return self._call(call, lambda: self._client.get(path, dict(params or {})), read)

    def post_order(self, body: Mapping[str, Any], *, read: Callable[[Any], Answer]) -> Answer:
        """Send one order. Raises what `BrokerInterface.place_order` names."""
        return self._call(Call.ORDER, lambda: self._client.post("/orders", dict(body)), read)

    def patch_order(self, path: str, body: Mapping[str, Any], *, read: Callable[[Any], Answer]) -> Answer:
        """Send one replacement. Raises as `post_order`."""
        return self._call(Call.ORDER, lambda: self._client.patch(path, dict(body)), read)

    def delete_order(self, path: str) -> None:
        """Ask for one cancellation; raises NotFound for an unknown order, otherwise as `post_order`."""
        self._call(Call.CANCEL, lambda: self._client.delete(path), lambda _: None)

    def close(self) -> None:
        """Close idle connections."""
        self._session.close()

    def _call(self, call: Call, send: Callable[[], Any], read: Callable[[Any], Answer]) -> Answer:
        from alpaca.common.exceptions import APIError

        # Failures are raised without their cause on purpose: it holds the request and its credentials.
        with watched() as exchange:
            try:
                return read(send())
            except APIError:
                raise self._sort_error(exchange, call) from None
            except UnreadableAnswer as error:
                raise self._unclear(exchange, call, f"Alpaca's answer cannot be read: {error}.") from None
            except (requests.RequestException, OSError, ValueError, RecursionError) as error:
                if not exchange.sent:
                    raise self._not_sent(call) from None
                code = TIMED_OUT if isinstance(error, requests.Timeout) else ""
                raise self._unclear(exchange, call, f"{NO_ANSWER} ({type(error).__name__})", code) from None

    @staticmethod
    def _sort_error(exchange: Exchange, call: Call) -> Exception:
        if exchange.response is None:
            return unclear(call, NO_ANSWER)
        return sort_refusal(exchange.response, call)

    @staticmethod
    def _unclear(exchange: Exchange, call: Call, message: str, code: str = "") -> Exception:
        response = exchange.response
        if response is None:
            return unclear(call, message, code=code)
        failure = unclear(
            call, message, code=code or str(response.status_code), request_id=request_id_of(response)
        )
        return failure.with_reply(kept_reply(response))

    @staticmethod
    def _not_sent(call: Call) -> Exception:
        return NotSent(NOT_SENT) if call.is_write else Unavailable(NOT_SENT)


class _ClientCache:
    """The clients of this process, least recently used first, by host and (hashed) credentials."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: OrderedDict[tuple[str, str, str], AlpacaRest] = OrderedDict()

    def get(
        self, kind: str, url: str, credentials: Credentials, build: Callable[[], AlpacaRest]
    ) -> AlpacaRest:
        key = (kind, url, _fingerprint(credentials))
        with self._lock:
            client = self._clients.get(key)
            if client is None:
                client = self._clients[key] = build()
            self._clients.move_to_end(key)
            while len(self._clients) > constants.CLIENTS_PER_PROCESS:
                self._clients.popitem(last=False)
            return client

    def clear(self) -> None:
        with self._lock:
            clients, self._clients = list(self._clients.values()), OrderedDict()
        for client in clients:
            client.close()

    def forget_after_fork(self) -> None:
        """Start afresh in a child process: a connection shared by two would mix up their answers."""
        self._lock = threading.Lock()
        self._clients = OrderedDict()


_cache = _ClientCache()
os.register_at_fork(after_in_child=_cache.forget_after_fork)


def trading_client(url: str, credentials: Credentials) -> AlpacaRest:
    """Return this process's client of a link at a trading host."""

    def build() -> AlpacaRest:
        from alpaca.trading.client import TradingClient

        return _prepare(TradingClient(**sdk_credentials(credentials), url_override=url, raw_data=True))

    return _cache.get("trading", url, credentials, build)


def data_client(url: str, credentials: Credentials) -> AlpacaRest:
    """Return this process's client of a link at the market data host."""

    def build() -> AlpacaRest:
        from alpaca.data.historical.stock import StockHistoricalDataClient

        arguments = sdk_credentials(credentials)
        return _prepare(StockHistoricalDataClient(**arguments, url_override=url, raw_data=True))

    return _cache.get("data", url, credentials, build)


def close_clients() -> None:
    """Close all connections of this process, at shutdown."""
    _cache.clear()


def _prepare(sdk_client: Any) -> AlpacaRest:
    """Take the retries and the boundless session away from an SDK client.

    The SDK re-sends after 429 and 504, order POSTs included, and `retry_attempts=0` does not stop it.
    """
    session = BoundedSession()
    sdk_client._session = session
    sdk_client._retry = 0
    return AlpacaRest(sdk_client, session)


def sdk_credentials(credentials: Credentials) -> dict[str, Any]:
    """Return the SDK's credential arguments. Raises AuthorizationExpired when they cannot be a header."""
    if credentials.kind is LinkKind.OAUTH2:
        arguments: dict[str, Any] = {"oauth_token": credentials.values.get("access_token", "")}
    else:
        arguments = {
            "api_key": credentials.values.get("key_id", ""),
            "secret_key": credentials.values.get("secret_key", ""),
        }
    if not all(value and value.isascii() and value.isprintable() for value in arguments.values()):
        raise AuthorizationExpired("The stored credentials of this link are incomplete.")
    if any(" " in value for value in arguments.values()):
        raise AuthorizationExpired("The stored credentials of this link are malformed.")
    return arguments


def _fingerprint(credentials: Credentials) -> str:
    parts = [credentials.kind.value, *(f"{k}={v}" for k, v in sorted(credentials.values.items()))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
