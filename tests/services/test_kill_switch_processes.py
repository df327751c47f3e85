"""The kill switch on real processes: without Redis, with a read-only database, with none at all."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.services.kill_campaign_platform import RETURN_SECONDS, ROOT, Platform, build_separate, wait_for
from tests.services.kill_campaign_traffic import CLOSED, HELD, SHARES_HELD, Answer, Person
from tests.services.servers import PostgresServer, RedisServer, running_servers

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not os.environ.get("TEST_SERVICES"), reason="needs make test-services"),
]
PRICES = {"AAPL": "262.00", "F": "12.00", "KO": "70.00"}
RESTING = {"symbol": "AAPL", "side": "buy", "order_type": "limit", "quantity": "2", "limit_price": "251.00"}
OTHER = {"symbol": "F", "side": "buy", "order_type": "limit", "quantity": "3", "limit_price": "11.50"}
EXIT = {"symbol": "KO", "side": "sell", "order_type": "market", "quantity": "5"}


@dataclass
class World:
    """A running installation with one customer, and the same customer's account at the broker."""

    platform: Platform
    postgres: PostgresServer
    redis: RedisServer
    customer: Person
    sim_account: str

    def order(self, order: dict[str, Any]) -> dict[str, Any]:
        return self.customer.send("GET", f"orders/{order['id']}/").body

    def wait_for_status(self, order: dict[str, Any], *wanted: str) -> None:
        ended = (*wanted, *CLOSED)
        status = wait_for(
            lambda: (seen := self.order(order).get("status")) in ended and seen,
            seconds=RETURN_SECONDS,
            what=f"the order is {wanted}",
        )
        assert status in wanted

    def halts(self) -> list[dict[str, Any]]:
        answer = self.customer.send("GET", "halts/")
        return answer.body if isinstance(answer.body, list) else []

    def stop_trading(self) -> Answer:
        body = {"scope": "user", "reason": "Enough", "cancel_open": True}
        return self.customer.send("POST", "halts/", body)

    def wait_until_measured(self) -> dict[str, Any]:
        return wait_for(
            lambda: next((halt for halt in self.halts() if halt["in_flight"] is not None), None),
            seconds=RETURN_SECONDS,
            what="the halt is measured",
        )

    def at_broker(self) -> dict[str, Any]:
        return self.platform.control(f"book?account={self.sim_account}")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running_servers() as (postgres, redis):
        platform = build_separate(
            tmp_path, database_url=postgres.url, broker_url=f"{redis.url}/0", cache_url=f"{redis.url}/1"
        )
        platform.start()
        try:
            positions = {symbol: {"qty": SHARES_HELD, "price": price} for symbol, price in HELD.items()}
            for order in (RESTING, OTHER, EXIT):
                platform.control(
                    "market/price", {"symbol": order["symbol"], "price": PRICES[order["symbol"]]}
                )
            made = platform.control(
                "accounts", {"name": "Customer", "cash": "100000", "positions": positions}
            )
            person = {"email": "trader@example.com", "key_id": made["key_id"], "secret": made["secret"]}
            (login,) = platform.ask("set_up", people=[person])
            customer = Person(site=platform.site, login=login, wanted=0, pause=0, seed="kill switch")
            yield World(platform, postgres, redis, customer, made["account_id"])
        finally:
            platform.stop()


def test_with_the_cache_and_the_queue_gone_a_halt_stops_cancels_and_lets_exits_out(
    world: World, show: Callable[[str], None]
) -> None:
    resting = world.customer.place(**RESTING)
    world.wait_for_status(resting, "accepted")
    world.redis.stop()

    assert world.stop_trading().status == 201

    assert world.customer.place(**OTHER) is None
    assert "order_denied" in world.customer.tally.refused[-1]
    leaving = world.customer.place(**EXIT)
    world.wait_for_status(leaving, "filled")
    world.wait_for_status(resting, "canceled")
    measured = world.wait_until_measured()
    assert measured["late_sends"] == 0
    assert sorted(row["symbol"] for row in world.at_broker()["orders"]) == ["AAPL", "KO"]
    show(f"kill switch without cache: pressed {measured['started_at']}, last byte {measured['last_byte_at']}")


def test_with_a_read_only_database_a_halt_holds_cancels_leave_and_both_are_taken_in_later(
    world: World, tmp_path: Path
) -> None:
    var = tmp_path / "var"
    resting = world.customer.place(**RESTING)
    world.wait_for_status(resting, "accepted")
    make_read_only(world.postgres, yes=True)
    wait_for(lambda: is_refused(world), seconds=RETURN_SECONDS, what="the database takes no writes")

    halted = world.stop_trading()

    assert (halted.status, halted.body["id"]) == (202, None)
    assert (var / "halt.latch").exists()
    assert is_refused(world, EXIT), "without a record nothing is sent, exits included"
    cancelled = manage(world.platform, "emergency_cancel", "--all")
    assert cancelled.returncode == 0, cancelled.stderr
    assert "1 cancel(s) taken" in cancelled.stdout
    assert [row["status"] for row in world.at_broker()["orders"]] == ["canceled"]
    assert (var / "cancels.jsonl").exists()

    make_read_only(world.postgres, yes=False)

    wait_for(
        lambda: [halt for halt in world.halts() if halt["id"]],
        seconds=RETURN_SECONDS,
        what="the halt is in the database",
    )
    wait_for(lambda: not (var / "halt.latch").exists(), seconds=RETURN_SECONDS, what="the file is gone")
    world.wait_for_status(resting, "canceled")
    assert world.customer.place(**OTHER) is None
    assert "order_denied" in world.customer.tally.refused[-1]
    wait_for(
        lambda: list(var.glob("cancels-*.jsonl")), seconds=RETURN_SECONDS, what="the cancels are taken in"
    )
    assert not (var / "cancels.jsonl").exists()
    assert world.wait_until_measured()["late_sends"] == 0
    assert len(world.at_broker()["orders"]) == 1


def test_with_no_database_at_all_the_file_stops_the_senders_of_this_machine(
    world: World, tmp_path: Path
) -> None:
    resting = world.customer.place(**RESTING)
    world.wait_for_status(resting, "accepted")
    world.postgres.stop("immediate")

    halted = manage(world.platform, "emergency_halt", "--reason", "Fire", "--cancel-open")
    unread = manage(world.platform, "emergency_cancel", "--all")

    assert halted.returncode == 0, halted.stderr
    assert (tmp_path / "var" / "halt.latch").exists()
    assert unread.returncode == 1
    assert "cannot even be read" in unread.stderr

    world.postgres.start()

    world.wait_for_status(resting, "canceled")
    assert [halt["scope"] for halt in world.halts()] == ["platform"]
    assert world.customer.place(**OTHER) is None


def is_refused(world: World, order: dict[str, Any] = OTHER) -> bool:
    """Try once to place an order; it must be refused because it cannot be recorded."""
    body = {"account": world.customer.login["account"], "time_in_force": "day", **order}
    answer = world.customer.send_once("POST", "orders/", body, key="while the database is read-only")
    return answer is not None and (answer.status, answer.body.get("code")) == (503, "database_unwritable")


def make_read_only(postgres: PostgresServer, *, yes: bool) -> None:
    """Let every session of the server refuse writes, as a standby or a full disk would."""
    value = "on" if yes else "off"
    with psycopg.connect(
        postgres.url, autocommit=True, options="-c default_transaction_read_only=off"
    ) as connection:
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        connection.execute("SELECT pg_reload_conf()")


def manage(platform: Platform, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(
        command, cwd=ROOT, env=platform.environment, capture_output=True, text=True, check=False
    )
