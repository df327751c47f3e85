"""More than 200 orders while every kind of process is killed at least five times; then all books are equal.

The separate processes are also frozen for longer than two leases, and lose their queue and their database.
KILL_SEED repeats a campaign's choices (not its timing). Its table is shown at the end of the run.
"""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.services.kill_campaign_books import Comparison, compare
from tests.services.kill_campaign_faults import FLUSHES, FREEZES, REDIS_STOPS, RESTARTS_OF_EACH, Faults
from tests.services.kill_campaign_platform import (
    NotReached,
    Part,
    Platform,
    build_embedded,
    build_separate,
    wait_for,
)
from tests.services.kill_campaign_traffic import HELD, SHARES_HELD, Person
from tests.services.servers import running_servers

PEOPLE = 12
ORDERS_EACH = 18
KILLS_OF_EACH = 5
RESTARTED_WITHIN = 10.0
EMBEDDED_SECONDS, SEPARATE_SECONDS = 75.0, 110.0
# Waits end long after anything but a hang: how fast a thing was is printed, never judged.
TRAFFIC_ENDS_WITHIN, QUIET_SECONDS = 900.0, 300.0
SEED = os.environ.get("KILL_SEED") or str(Random().randint(1, 10**9))

pytestmark = [
    pytest.mark.services,
    pytest.mark.alone,
    pytest.mark.skipif(not os.environ.get("TEST_SERVICES"), reason="needs make test-services"),
]


def test_books_stay_equal_while_the_embedded_platform_is_killed_again_and_again(
    tmp_path: Path, show: Callable[[str], None]
) -> None:
    campaign = Campaign(build_embedded(tmp_path), title="embedded", seconds=EMBEDDED_SECONDS)
    campaign.run(show)


def test_books_stay_equal_while_separate_processes_are_killed_and_frozen_and_lose_their_servers(
    tmp_path: Path, show: Callable[[str], None]
) -> None:
    # Servers of their own: other tests of this run keep theirs while these are stopped.
    with running_servers() as (postgres, redis):
        platform = build_separate(
            tmp_path, database_url=postgres.url, broker_url=f"{redis.url}/8", cache_url=f"{redis.url}/9"
        )
        campaign = Campaign(platform, title="separate processes", seconds=SEPARATE_SECONDS)
        campaign.faults = Faults(platform, postgres, redis, seed=SEED, seconds=SEPARATE_SECONDS)
        campaign.run(show)
        assert campaign.faults.held == campaign.faults.lapsed >= FREEZES["dispatcher"]
        expected = [*FREEZES.values(), FLUSHES, REDIS_STOPS, RESTARTS_OF_EACH, RESTARTS_OF_EACH]
        assert sorted(campaign.faults.done.values()) == sorted(expected)


class Campaign:
    """One campaign: its platform, the people who place orders, and what is found in the end."""

    def __init__(self, platform: Platform, *, title: str, seconds: float) -> None:
        self.platform, self.title, self.seconds = platform, title, seconds
        self.faults: Faults | None = None
        self.people: list[Person] = []
        self.results: list[Comparison] = []
        self.story: dict[str, Any] = {}
        self.settle = self.total = 0.0

    def run(self, show: Callable[[str], None]) -> None:
        """Run it, show its table and judge it."""
        started = time.monotonic()
        self.platform.start()
        try:
            logins, sim_accounts = make_people(self.platform)
            set_world(self.platform)
            self.people = [self._make_person(number, login) for number, login in enumerate(logins)]
            for person in self.people:
                person.start()
            self._disturb()
            for person in self.people:
                person.join(TRAFFIC_ENDS_WITHIN)
            quiet = time.monotonic()
            self.results = wait_until_equal(self.platform, logins, sim_accounts)
            self.story = self.platform.ask("story", emails=[login["email"] for login in logins])
            self.settle, self.total = time.monotonic() - quiet, time.monotonic() - started
            show(summary(self))
            judge(self)
        finally:
            self.platform.stop()

    def _make_person(self, number: int, login: dict[str, str]) -> Person:
        return Person(
            site=self.platform.site,
            login=login,
            wanted=ORDERS_EACH,
            pause=self.seconds / ORDERS_EACH / 2,
            seed=f"{SEED}:{self.title}:{number}",
        )

    def _disturb(self) -> None:
        """Kill and break everything while orders are placed; return when all of it is done."""
        with ThreadPoolExecutor(2) as pool:
            kills = pool.submit(kill_everything, self.platform, self.seconds)
            faults = pool.submit(self.faults.run) if self.faults else None
        kills.result()
        if faults is not None:
            faults.result()

    @property
    def accepted(self) -> list[str]:
        """The ids of the orders that the API has confirmed."""
        return [order["id"] for person in self.people for order in person.tally.accepted]

    def stored(self) -> set[str]:
        """The ids of the orders in our book."""
        books = self.platform.ask("book", emails=[person.login["email"] for person in self.people])
        return {order["id"] for book in books.values() for order in book["orders"]}


def make_people(platform: Platform) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Open accounts at the simulator and here; return the logins and our account ids with the simulator's."""
    made = [
        platform.control(
            "accounts",
            {
                "name": f"Customer {number}",
                "cash": "100000",
                "positions": {symbol: {"qty": SHARES_HELD, "price": price} for symbol, price in HELD.items()},
            },
        )
        for number in range(PEOPLE)
    ]
    people = [
        {"email": f"trader{number}@example.com", "key_id": row["key_id"], "secret": row["secret"]}
        for number, row in enumerate(made)
    ]
    logins = platform.ask("set_up", people=people)
    return logins, {login["account"]: row["account_id"] for login, row in zip(logins, made, strict=True)}


def set_world(platform: Platform) -> None:
    """Make the broker slow and its market thin, so that kills strike in the middle; a restart forgets this.

    Each look at the market gives three shares, most writes take long, a few answers are lost.
    """
    platform.control("market/liquidity", {"max_fill": "3"})
    platform.control("delays", {"route_delay": 0.05, "cancel_delay": 0.1, "replace_delay": 0.1})
    lost = {"kind": "hang_after", "probability": 0.1, "seconds": 1.0}
    slow = {"kind": "slow", "probability": 0.6, "seconds": 1.2}
    rules = [
        {**rule, "endpoint": f"orders.{name}", "count": None, "seed": f"{SEED}:{name}:{platform.kills}"}
        for rule in (lost, slow)
        for name in ("create", "replace", "cancel")
    ]
    platform.control("faults", {"rules": rules})


def kill_everything(platform: Platform, seconds: float) -> None:
    """Kill each kind often enough, at random moments, while orders are placed; kinds may be down together."""
    begun = time.monotonic()

    def kill_often(part: Part) -> None:
        random = Random(f"{SEED}:{part.kind}")
        for number in range(KILLS_OF_EACH):
            share = (number + random.uniform(0.1, 0.9)) / KILLS_OF_EACH
            time.sleep(max(0.0, begun + share * seconds - time.monotonic()))
            platform.kill_and_measure(part)
            if part.kind == "brokers":
                set_world(platform)

    with ThreadPoolExecutor(len(platform.parts)) as pool:
        list(pool.map(kill_often, platform.parts))


def wait_until_equal(
    platform: Platform, logins: list[dict[str, str]], sim_accounts: dict[str, str]
) -> list[Comparison]:
    """Compare until nothing differs and nothing is under way; after the deadline return what still does."""
    emails = [login["email"] for login in logins]
    results: list[Comparison] = []

    def look() -> bool:
        ours = platform.ask("book", emails=emails)
        results[:] = [
            compare(ours[account], platform.control(f"book?account={sim_account}"))
            for account, sim_account in sim_accounts.items()
        ]
        unsettled = platform.ask("story", emails=emails)["unsettled"]
        return not unsettled and not any(result.differences for result in results)

    with contextlib.suppress(NotReached):
        wait_for(look, seconds=QUIET_SECONDS, what="the books are equal", pause=0.5)
    return results


def summary(campaign: Campaign) -> str:
    """Return the campaign's table: what was done how often, what came of it, and the comparison."""
    platform, people, results, story = (
        campaign.platform,
        campaign.people,
        campaign.results,
        campaign.story,
    )
    refusals = Counter(reason.split(" ", 2)[1] for person in people for reason in person.tally.refused)
    late = [kind for kind, took in platform.restarts if took > RESTARTED_WITHIN]
    lines: list[tuple[str, Any]] = [
        (f"SIGKILL {kind}", times) for kind, times in sorted(platform.kills.items())
    ]
    if campaign.faults is not None:
        counts = {part.kind: part.count for part in platform.parts if part.count > 1}
        lines += sorted(campaign.faults.done.items())
        lines += [
            ("processes at once", counts),
            ("claims a frozen dispatcher held, lapsed", (campaign.faults.held, campaign.faults.lapsed)),
        ]
    lines += [
        ("orders accepted (201)", len(campaign.accepted)),
        ("answers replayed for a repeated key", sum(person.tally.replays for person in people)),
        ("requests repeated", sum(person.tally.repeats for person in people)),
        (
            "cancels, replaces taken",
            (sum(p.tally.cancels for p in people), sum(p.tally.replaces for p in people)),
        ),
        ("refused", dict(refusals)),
        ("slowest restart of the process, s", slowest(platform.restarts)),
        (f"restarts later than {RESTARTED_WITHIN:.0f} s", late),
        ("slowest return to work, s", slowest(platform.returns)),
        ("outcome unknown, then settled", story["unknown"]),
        ("sender of an order killed or frozen", story["vanished"]),
        ("claimed more than once", story["claimed_again"]),
        ("requests beyond one per client id", sum(result.resends for result in results)),
        ("statuses", dict(sum((result.statuses for result in results), Counter()))),
        ("why not sent", dict(sum((result.not_sent for result in results), Counter()))),
        ("rows compared with the broker's book", dict(sum((result.rows for result in results), Counter()))),
        ("duplicates", sum(result.duplicates for result in results)),
        ("lost", sum(result.lost for result in results) + len(set(campaign.accepted) - campaign.stored())),
        ("rows that differ", sum(len(result.differences) for result in results)),
        ("books equal after, s", round(campaign.settle, 1)),
        ("whole campaign, s", round(campaign.total)),
    ]
    table = "\n".join(f"  {name:<40} {value}" for name, value in lines)
    return f"kill campaign, {campaign.title}: KILL_SEED={SEED}\n{table}"


def slowest(measured: list[tuple[str, float]]) -> dict[str, float]:
    kinds = sorted({kind for kind, _ in measured})
    return {kind: round(max(took for name, took in measured if name == kind), 1) for kind in kinds}


def judge(campaign: Campaign) -> None:
    """No row differs, nothing is under way, and everything was done as often as promised."""
    people, results = campaign.people, campaign.results
    assert [person.failure for person in people if person.failure] == []
    assert [person.name for person in people if person.is_alive()] == []
    assert [name for person in people for name in person.tally.unanswered] == []
    assert [line for result in results for line in result.differences] == []
    assert (sum(result.duplicates for result in results), sum(result.lost for result in results)) == (0, 0)
    assert campaign.story["unsettled"] == 0
    assert len(campaign.accepted) >= 200
    assert len(campaign.accepted) == len(set(campaign.accepted))
    assert set(campaign.accepted) <= campaign.stored()
    assert {part.kind for part in campaign.platform.parts} == set(campaign.platform.kills)
    assert min(campaign.platform.kills.values()) >= KILLS_OF_EACH
