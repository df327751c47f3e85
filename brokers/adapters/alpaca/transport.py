"""The HTTP session under the SDK: bounded in time and size, never retrying, and honest about what was sent.

The whole order path rests on one question, "may the broker have seen this request?". Exception classes do
not answer it reliably (the same SSLError is raised in a handshake and in the middle of an answer), so the
connection itself notes the moment before it writes the first byte of a request.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from brokers.adapters.alpaca import constants

_CHUNK = 65_536


@dataclass
class Exchange:
    """What became of one call: whether bytes may have left, and the answer if one came."""

    sent: bool = False
    response: requests.Response | None = None


class _Current(threading.local):
    exchange: Exchange | None = None


_current = _Current()


class UnusableResponse(requests.RequestException):
    """An answer that is no answer: a redirect, an endless body or one that trickles in too slowly."""


class _NotingConnection(HTTPConnection):
    """Notes that bytes may leave, right before the first write on an open connection."""

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if _current.exchange is not None:
            _current.exchange.sent = True
        super().send(data)


class _NotingTlsConnection(_NotingConnection, HTTPSConnection):
    """The same over TLS: the handshake belongs to connecting, not to sending."""


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _NotingConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _NotingTlsConnection


class _PoolAdapter(HTTPAdapter):
    """Keeps connections alive and drops the ones that idled too long to be trusted with an order."""

    def __init__(self) -> None:
        super().__init__(pool_maxsize=constants.CONNECTIONS_PER_LINK, max_retries=0)
        self._last_used = time.monotonic()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        now = time.monotonic()
        if now - self._last_used > constants.MAX_IDLE.total_seconds():
            self.poolmanager.clear()
        self._last_used = now
        return super().send(*args, **kwargs)


class BoundedSession(requests.Session):
    """A session without retries, redirects, proxies from the environment or netrc, and with time-outs."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        adapter = _PoolAdapter()
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def request(self, method: str, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Send once and read the whole answer within the limits of `constants`.

        Raises requests.RequestException; UnusableResponse is the kind for answers that break a limit.
        """
        kwargs["timeout"] = (constants.CONNECT_TIMEOUT, constants.READ_TIMEOUT)
        kwargs["allow_redirects"] = False
        kwargs["stream"] = True
        response = super().request(method, url, *args, **kwargs)
        if _current.exchange is not None:
            _current.exchange.response = response
        try:
            _read_body(response)
        except requests.RequestException:
            response.close()
            raise
        except Exception as error:
            response.close()
            raise UnusableResponse(f"body broke off ({type(error).__name__})") from None
        if 300 <= response.status_code < 400:
            raise UnusableResponse("redirect")
        return response


def _read_body(response: requests.Response) -> None:
    """Load the body into the response, piece by piece as it arrives.

    A socket time-out alone would let a body trickle for ever, one byte per time-out.
    """
    deadline = time.monotonic() + constants.BODY_TIMEOUT
    pieces, size = [], 0
    try:
        while piece := response.raw.read1(_CHUNK, decode_content=True):
            pieces.append(piece)
            size += len(piece)
            if size > constants.MAX_BODY_BYTES or time.monotonic() > deadline:
                raise UnusableResponse("body too long")
    finally:
        # What arrived is kept even if the rest did not: a person may want to see it.
        response._content = b"".join(pieces)
        response._content_consumed = True
    response.raw.release_conn()


class watched:  # noqa: N801 - reads as a statement: `with watched() as exchange`
    """Context in which this thread's call is noted; yields its Exchange."""

    def __enter__(self) -> Exchange:
        _current.exchange = Exchange()
        return _current.exchange

    def __exit__(self, *_: object) -> None:
        _current.exchange = None
