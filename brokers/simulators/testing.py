"""A simulator in a thread of the test process, on a free loopback port, with its control interface as
methods.

::

    with SimulatorServer() as server:
        account = server.create_account(cash="50000")
        server.set_quote("AAPL", "99.98", "100.02")
        server.fault("status_after", endpoint="orders.create", status=504)
        ...
        assert server.book(account.account_id)["orders"][0]["status"] == "filled"
"""

import http.client
import json
import socket
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import uvicorn

from brokers.simulators.app import create_app
from brokers.simulators.server import server_config
from brokers.simulators.simulator import Simulator, SimulatorOptions
from brokers.simulators.stripe.state import StripeOptions

START_SECONDS = 15.0


class ControlError(Exception):
    """The control interface refused."""


@dataclass(frozen=True, slots=True)
class TestAccount:
    """A created account and its key pair."""

    __test__ = False

    account_id: str
    account_number: str
    customer_id: str
    env: str
    key_id: str
    secret: str


class SimulatorServer:
    """Runs a simulator while the ``with`` block lasts. The rate limit is high unless it is what you test.

    A ``state`` path lets a second server continue where the first one stopped.
    """

    def __init__(
        self,
        *,
        seed: int = 7,
        state: str | None = None,
        demo: bool = False,
        rate_limit: int = 1_000_000,
        session: str = "open",
        port: int = 0,
        stripe: StripeOptions | None = None,
    ) -> None:
        self.options = SimulatorOptions(
            seed=seed,
            state=state,
            demo=demo,
            rate_limit=rate_limit,
            session=session,
            stripe=stripe or StripeOptions(),
        )
        self.port = port
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def paper_url(self) -> str:
        """Base URL of the paper trading host."""
        return f"{self.origin}/alpaca/paper"

    @property
    def live_url(self) -> str:
        """Base URL of the live trading host."""
        return f"{self.origin}/alpaca/live"

    @property
    def data_url(self) -> str:
        """Base URL of the market data host."""
        return f"{self.origin}/alpaca/data"

    @property
    def authorize_url(self) -> str:
        """The consent page."""
        return f"{self.origin}/alpaca/oauth/authorize"

    @property
    def token_url(self) -> str:
        """The token endpoint."""
        return f"{self.origin}/alpaca/oauth/token"

    @property
    def paper_stream_url(self) -> str:
        """The trade_updates socket of the paper host."""
        return f"ws://127.0.0.1:{self.port}/alpaca/paper/stream"

    @property
    def live_stream_url(self) -> str:
        """The trade_updates socket of the live host."""
        return f"ws://127.0.0.1:{self.port}/alpaca/live/stream"

    @property
    def data_stream_url(self) -> str:
        """The market data socket (iex feed)."""
        return f"ws://127.0.0.1:{self.port}/alpaca/data/v2/iex"

    @property
    def stripe_url(self) -> str:
        """Base address of the simulated Stripe's API; the library adds ``/v1``."""
        return f"{self.origin}/stripe"

    def start(self) -> None:
        """Start the server and wait until it listens."""
        # asyncio switches off the delay of small packets only where it reads this number.
        sock = socket.socket(proto=socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", self.port))
        self.port = sock.getsockname()[1]
        self._server = uvicorn.Server(server_config(create_app(Simulator(self.options))))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [sock]}, name="simulator", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("the simulator did not start")
            time.sleep(0.005)

    def stop(self) -> None:
        """Stop the server and wait for its thread."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(START_SECONDS)
        self._server = self._thread = None

    def control(self, path: str, **body: Any) -> Any:
        """POST to the control interface. Raises ControlError with the answer's text when it refuses."""
        return self._request("POST", f"/control/{path}", json.dumps(body))

    def read(self, path: str, **query: str) -> Any:
        """GET from the control interface."""
        return self._request("GET", f"/control/{path}?{urlencode(query)}", None)

    def create_account(self, **options: Any) -> TestAccount:
        """A new account; options: env, cash, positions, key_id, secret, customer_id, rate_limit, name."""
        return TestAccount(**self.control("accounts", **options))

    def grant_token(self, *account_ids: str, scope: str = "account:write trading data") -> str:
        """An OAuth token for these accounts, without the consent page."""
        return str(self.control("tokens", account_ids=list(account_ids), scope=scope)["access_token"])

    def register_app(self, client_id: str, client_secret: str, *redirect_uris: str) -> None:
        """Register an OAuth application."""
        body = {"client_id": client_id, "client_secret": client_secret}
        self.control("apps", **body, redirect_uris=list(redirect_uris))

    def revoke(self, **credential: str) -> None:
        """Revoke by key_id, token or account_id."""
        self.control("credentials/revoke", **credential)

    def set_quote(self, symbol: str, bid: str, ask: str, **sizes: str) -> None:
        """Pin a quote; optional bid_size, ask_size, last."""
        self.control("market/quote", symbol=symbol, bid=bid, ask=ask, **sizes)

    def set_price(self, symbol: str, price: str) -> None:
        """Pin a quote two ticks wide around a price."""
        self.control("market/price", symbol=symbol, price=price)

    def set_session(self, mode: str) -> None:
        """open, calendar, closed, pre, post or overnight."""
        self.control("session", mode=mode)

    def fault(self, kind: str, **rule: Any) -> dict[str, Any]:
        """Add a fault rule; see ``brokers.simulators.faults.FaultRule`` for the fields."""
        return dict(self.control("faults", kind=kind, **rule)["rules"][0])

    def clear_faults(self) -> None:
        """Remove all fault rules."""
        self.control("faults/clear")

    def fault_counts(self) -> dict[str, int]:
        """How often each rule kind fired, by ``endpoint:kind``."""
        return dict(self.read("faults")["fired"])

    def book(self, account_id: str | None = None) -> dict[str, Any]:
        """The oracle: see :func:`brokers.simulators.oracle.book_json`."""
        return dict(self.read("book", **({"account": account_id} if account_id else {})))

    def reset(self) -> None:
        """A fresh world."""
        self.control("reset")

    def _request(self, method: str, path: str, body: str | None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if response.status != 200:
            raise ControlError(f"{response.status} {text}")
        return json.loads(text)
