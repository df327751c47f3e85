"""All conformance cards for the practice account, against its own book and a market that the bench sets."""

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import connections

from brokers.adapters.paper.driver import drive_practice_orders
from brokers.models import LatestQuote
from brokers.registry import manager
from brokers.services.connections import open_practice_account
from tests.brokers.adapters.cards.account import AccountCards, HistoryCards, MarketCards
from tests.brokers.adapters.cards.exits import ExitCards
from tests.brokers.adapters.cards.faults import FaultCards
from tests.brokers.adapters.cards.orders import OrderCards, RefusalCards, ReplaceCards
from tests.brokers.adapters.cards.streams import StreamCards
from tests.brokers.adapters.contract import DISPLAYED, BrokerAdapterContract, BrokerBench
from tests.brokers.scripted import make_asset, make_bar, make_quote

SATURDAY = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
"""Outside the calendar's hours: the bench's market, which is always open, then has no auction hours."""


class PracticeBench(BrokerBench):
    def __init__(self, user, script):
        self.script = script
        self.ticks = 0
        script.assets = {"AAPL": make_asset("AAPL", "Apple")}
        script.bars = [make_bar(SATURDAY - timedelta(days=day)) for day in range(30, 0, -1)]
        account = open_practice_account(user=user, cash=Decimal(1_000_000))
        self.adapter = manager.get_trader(account, purpose="contract")

    def set_quote(self, symbol, bid, ask, *, size=DISPLAYED):
        self.ticks += 1
        moment = datetime.now(UTC) + timedelta(microseconds=self.ticks)
        last = str((bid + ask) / 2)
        self.script.quotes[symbol] = make_quote(symbol, str(bid), str(ask), str(size), last, as_of=moment)
        LatestQuote.objects.all().delete()
        self.settle()

    def settle(self):
        drive_practice_orders(datetime.now(UTC))
        if threading.current_thread() is not threading.main_thread():
            connections.close_all()


@pytest.fixture
def bench(script, user):
    with time_machine.travel(SATURDAY, tick=True):
        yield PracticeBench(user, script)


@pytest.mark.django_db
class TestPractice(
    AccountCards,
    OrderCards,
    RefusalCards,
    ReplaceCards,
    ExitCards,
    HistoryCards,
    MarketCards,
    FaultCards,
):
    """All cards but those of the stream, which reads what other transactions have committed."""


@pytest.mark.django_db(transaction=True)
class TestPracticeStream(StreamCards):
    """The cards of the stream."""


def test_no_card_is_left_out():
    covered = {name for case in (TestPractice, TestPracticeStream) for name in dir(case)}
    assert {name for name in dir(BrokerAdapterContract) if name.startswith("test_")} <= covered
