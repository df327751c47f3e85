"""Fifty orders at once that each pass alone: together they never pass a limit."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from brokers.models import BrokerAccount
from orders.exceptions import OrderDenied
from orders.market_facts import read_market
from orders.models import Order
from orders.services import place as service
from risk.engine import evaluate
from risk.models import RiskLimit
from tests.concurrency.conftest import make_user
from tests.concurrency.crowd import DEADLINE_SECONDS, Crowd, StoppedClock, split, take_account_lock_out
from tests.orders.conftest import make_account
from tests.orders.helpers import place
from tests.orders.scripted_broker import ScriptedBook
from tradeplatform.common.clock import use_clock, utc_now
from tradeplatform.models import User

ROUNDS = int(os.environ.get("RACE_ROUNDS", "50"))
CROWD = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """One limit, how many shares of ACME at 10.00 each of the crowd orders, and how many orders fit."""

    code: str
    quantity: str
    fits: int
    confirm: tuple[str, ...] = ("G02",)


RACES = (
    # Opening orders per trade date, lowered to 10 for the user.
    Race(code="G10", quantity="1", fits=10),
    # 20 % of an equity of 100,000 in one symbol: 20 orders of 1,000.
    Race(code="E11", quantity="100", fits=20, confirm=("G02", "E11")),
    # Buying power lowered to 1,000: 11 orders of 90.
    Race(code="E04", quantity="9", fits=11),
)


each_race = pytest.mark.parametrize("race", RACES, ids=lambda race: race.code)


def make_account_for(race: Race) -> tuple[User, BrokerAccount]:
    user = make_user()
    account = make_account(user, number=user.email[:12])
    if race.code == "G10":
        RiskLimit.objects.create(
            scope="user",
            scope_key=str(user.pk),
            name="max_daily_trades",
            value=str(race.fits),
            version=1,
            author="test",
            reason="test",
        )
    if race.code == "E04":
        # Balances just read, by the test's clock: older ones would be read again before the first order.
        BrokerAccount.objects.filter(pk=account.pk).update(buying_power=1000, synced_at=utc_now())
    # One look at the market, so that the crowd meets at the lock and not at the price feed.
    read_market(account, "ACME", now=utc_now())
    return user, account


def place_all(crowd: Crowd, race: Race, user: User, account: BrokerAccount) -> list[Any]:
    job = partial(place, user, account, confirm=race.confirm, quantity=race.quantity)
    return crowd.together([job] * CROWD)


@each_race
def test_without_the_accounts_lock_the_crowd_passes_the_limit(
    book: ScriptedBook, monkeypatch: pytest.MonkeyPatch, race: Race
) -> None:
    everybody_decided = threading.Barrier(CROWD)

    def decide_together(context: Any) -> Any:
        decision = evaluate(context)
        everybody_decided.wait(DEADLINE_SECONDS)
        return decision

    monkeypatch.setattr(service, "evaluate", decide_together)
    take_account_lock_out(monkeypatch, service)
    with Crowd(CROWD) as crowd, use_clock(StoppedClock()):
        user, account = make_account_for(race)
        split(place_all(crowd, race, user, account))
    assert Order.objects.filter(account=account, status="queued").count() == CROWD > race.fits


@each_race
def test_a_crowd_never_passes_a_limit(
    book: ScriptedBook, monkeypatch: pytest.MonkeyPatch, show: Callable[[str], None], race: Race
) -> None:
    # A slow machine must not turn waiting for the lock into refusals.
    monkeypatch.setattr(service, "LOCK_WAIT_SECONDS", DEADLINE_SECONDS)
    rounds = len(range(RACES.index(race), ROUNDS, len(RACES)))
    with Crowd(CROWD) as crowd:
        for _ in range(rounds):
            with use_clock(StoppedClock()):
                user, account = make_account_for(race)
                placed, denied = split(place_all(crowd, race, user, account), OrderDenied)
            queued = Order.objects.filter(account=account, status="queued").count()
            assert queued == len(placed) == race.fits
            assert len(denied) == CROWD - race.fits
            for refused in denied:
                assert race.code in {finding["code"] for finding in refused.details["findings"]}  # type: ignore[attr-defined]
    show(f"{rounds} rounds of {CROWD} concurrent orders against {race.code}: {race.fits} placed in each")
