"""What the simulator acknowledged survives its death; and the command that runs it."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from brokers.simulators.testing import SimulatorServer
from tests.brokers.simulators.conftest import Api, wait_for

ROOT = Path(__file__).resolve().parents[3]


class Running:
    """The command in its own process."""

    def __init__(self, port, state):
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "run_broker_simulator", "--port", str(port), "--state", str(state)],
            cwd=ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.ready = self.process.stdout.readline().strip()

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait(15)
        self.process.stdout.close()
        return self.process.returncode


class Demo:
    key_id, secret = "PKDEMO0000000000DEMO", "demo-secret-paper"


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_killed_simulator_continues_with_every_acknowledged_order(tmp_path, port):
    first = Running(port, tmp_path / "book.sqlite3")
    assert first.ready == f"Broker simulator ready on http://127.0.0.1:{port}"
    api = Api(first, Demo)
    acknowledged = [api.order(client_order_id=f"k{index}", qty="1")[1]["id"] for index in range(20)]
    resting = api.order(client_order_id="rest", type="limit", limit_price="1")[1]["id"]
    before = api.wait_status(acknowledged[0], "filled")
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    second = Running(port, tmp_path / "book.sqlite3")
    api = Api(second, Demo)
    assert api.call("GET", f"/v2/orders/{acknowledged[0]}")[1] == before
    for order_id in acknowledged:
        assert api.wait_status(order_id, "filled")["filled_qty"] == "1"
    assert api.wait_status(resting, "new")["id"] == resting
    assert api.order(client_order_id="k7")[0] == 422
    assert api.call("DELETE", f"/v2/orders/{resting}")[0] == 204
    fills = api.call("GET", "/v2/account/activities/FILL")[1]
    assert len(fills) == len({row["id"] for row in fills}) == 25
    assert second.end(signal.SIGTERM) == 0


def test_state_file_keeps_world_tokens_and_cash(tmp_path):
    state = str(tmp_path / "book.sqlite3")
    with SimulatorServer(state=state) as server:
        account = server.create_account(cash="500.25")
        token = server.grant_token(account.account_id)
        server.set_quote("AAPL", "10.00", "10.02")
        server.control("market/halt", symbol="ABEO")
        server.set_session("closed")
    with SimulatorServer(state=state) as server:
        bearer = Api(server, headers={"Authorization": f"Bearer {token}"})
        assert bearer.call("GET", "/v2/account")[1]["cash"] == "500.25"
        assert bearer.call("GET", "/v2/clock")[1]["is_open"] is False
        assert server.read("quote", symbol="AAPL")["ask"] == "10.02"


def test_demo_customer_has_history_on_both_environments(tmp_path):
    with SimulatorServer(demo=True) as server:
        for key_id, secret, host, cash in (
            ("PKDEMO0000000000DEMO", "demo-secret-paper", "paper", 100_000),
            ("AKDEMO0000000000DEMO", "demo-secret-live", "live", 25_000),
        ):
            keys = type("Keys", (), {"key_id": key_id, "secret": secret})
            api = Api(server, keys, host=host)
            assert len(api.call("GET", "/v2/positions")[1]) >= 3
            history = api.call("GET", "/v2/account/portfolio/history?period=2M&timeframe=1D")[1]
            assert cash * 0.5 < history["equity"][-1] < cash * 1.5
            assert len(history["equity"]) == len(history["timestamp"]) > 30


def test_evidence_of_every_order_request_is_kept():
    with SimulatorServer() as server:
        account = server.create_account()
        api = Api(server, account)
        api.order(client_order_id="one")
        api.order(client_order_id="one")
        rows = server.book(account.account_id)["received"]
        assert [row["outcome"] for row in rows] == ["accepted", "client_order_id must be unique"]
        assert rows[0]["monotonic_ns"] < rows[1]["monotonic_ns"]
        wait_for(lambda: server.book(account.account_id)["executions"])
