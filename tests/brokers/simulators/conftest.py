"""A running simulator per module, a fresh account per test, and a plain HTTP client."""

import http.client
import json
import time
from decimal import Decimal

import pytest

from brokers.simulators.simulator import Simulator, SimulatorOptions
from brokers.simulators.testing import SimulatorServer


class Api:
    """Calls one host of the simulated broker with one account's keys."""

    def __init__(self, server, account=None, *, host="paper", headers=None):
        self.server, self.account, self.host = server, account, host
        keys = {"APCA-API-KEY-ID": account.key_id, "APCA-API-SECRET-KEY": account.secret} if account else {}
        self.headers = {**keys, **(headers or {})}
        self.last_headers = {}

    def call(self, method, path, body=None):
        """(status, parsed body or text)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            data = json.dumps(body) if isinstance(body, dict) else body
            connection.request(method, f"/alpaca/{self.host}{path}", data, self.headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        self.last_headers = {name.lower(): value for name, value in response.getheaders()}
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text

    def order(self, **body):
        body = {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day"} | body
        return self.call(
            "POST", "/v2/orders", {key: value for key, value in body.items() if value is not None}
        )

    def wait_status(self, order_id, *wanted):
        """The order once it has one of the wanted statuses."""

        def read():
            found = self.call("GET", f"/v2/orders/{order_id}")[1]
            return found if found["status"] in wanted else None

        return wait_for(read)


def wait_for(read, seconds=10):
    """Poll until ``read`` returns something true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = read()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("nothing happened in time")


@pytest.fixture(scope="module")
def server():
    with SimulatorServer() as running:
        yield running


@pytest.fixture
def account(server):
    server.reset()
    server.set_quote("AAPL", "99.98", "100.02", last="100")
    server.set_quote("ABEO", "5.00", "5.04", last="5.02")
    return server.create_account(cash="100000")


@pytest.fixture
def api(server, account):
    return Api(server, account)


@pytest.fixture
def sim():
    """A simulated world in memory, with pinned quotes and an account, driven without a server."""
    world = Simulator(SimulatorOptions(demo=False))
    world.market.pin("AAPL", bid=Decimal("99.98"), ask=Decimal("100.02"), last=Decimal(100))
    customer = world.book.add_customer(name="Test", email="test@example.com")
    world.account = world.book.add_account(customer_id=customer.id, env="paper", cash=Decimal(100_000))
    world.events = []
    world.book.listeners.append(lambda event: world.events.append((event.event, event.order)))
    yield world
    world.close()
