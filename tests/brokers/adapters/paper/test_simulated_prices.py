"""A practice order against the prices of the demo: the real adapter, the simulator, real sockets."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core.cache import cache

from brokers.adapters.alpaca import client as alpaca_client
from brokers.services.connections import open_practice_account
from brokers.services.market_data import get_session, search_instruments
from brokers.simulators.testing import SimulatorServer
from tests.brokers.adapters.paper.conftest import Desk


class QuietDesk(Desk):
    """The market is the simulator's: nothing to set."""

    def set_quote(self, *args, **kwargs):
        return None


@pytest.mark.django_db
def test_a_demo_practice_order_fills_at_the_simulators_ask(user, settings):
    cache.clear()
    with SimulatorServer(demo=True) as simulator:
        settings.ALPACA_PAPER_URL = simulator.paper_url
        settings.ALPACA_DATA_URL = simulator.data_url
        account = open_practice_account(user=user, cash=Decimal(10_000))
        simulator.set_quote("AAPL", "100.00", "100.04")
        desk = QuietDesk(account, None)
        order = desk.place("AAPL", quantity="3")
        filled = desk.look(order)
        assert (filled.status, filled.avg_px) == ("filled", Decimal("100.04"))
        assert desk.book.cash == Decimal("9699.88")
        assert get_session(account, now=datetime.now(UTC)).source == "broker"
        assert search_instruments(account, "aapl")[0].symbol == "AAPL"
        alpaca_client.close_clients()
    cache.clear()
