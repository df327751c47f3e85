"""What the demo login finds on its first dashboard, written against the simulated prices."""

from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from billing.services import ensure_plans
from brokers.adapters.alpaca import client as alpaca_client
from brokers.models import BrokerAccount
from brokers.simulators.testing import SimulatorServer
from orders.models import Order
from portfolios.models import EquitySnapshot, Portfolio, Position
from portfolios.services.rebuild import check_book
from portfolios.services.sync import SyncOutcome, sync_book
from tradeplatform.services.demo import ensure_demo_people
from tradeplatform.services.demo_history import PLANS, furnish_demo_account
from tradeplatform.services.disclosures import ensure_disclosures
from tradeplatform.services.roles import ensure_roles

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> BrokerAccount:
    cache.clear()
    ensure_plans()
    ensure_roles()
    ensure_disclosures()
    ensure_demo_people()
    return BrokerAccount.objects.get(user__email="demo@example.com")


def test_the_book_is_open_before_any_price_is_known(account: BrokerAccount, settings: Any) -> None:
    settings.ALPACA_DATA_URL = "http://127.0.0.1:9"
    portfolio = Portfolio.objects.get(account=account)
    assert portfolio.opened_at is not None
    assert portfolio.cash == 100_000
    assert not furnish_demo_account(now=timezone.now())
    assert not Order.objects.exists()


def test_the_account_gets_positions_a_curve_and_an_open_order_once(
    account: BrokerAccount, settings: Any
) -> None:
    with SimulatorServer(demo=True) as simulator:
        settings.ALPACA_PAPER_URL, settings.ALPACA_DATA_URL = simulator.paper_url, simulator.data_url
        assert furnish_demo_account(now=timezone.now())
        assert furnish_demo_account(now=timezone.now())
        report = sync_book(account_id=account.pk)
        alpaca_client.close_clients()
    cache.clear()

    assert Order.objects.filter(account=account, status="filled").count() == len(PLANS)
    assert Order.objects.filter(account=account, status="queued", order_type="limit").count() == 1
    portfolio = Portfolio.objects.get(account=account)
    held = {row.symbol: row.quantity for row in Position.objects.filter(portfolio=portfolio)}
    assert held == {"SPY": 40, "AAPL": 35, "MSFT": 20, "KO": 150}
    assert portfolio.realised_pnl != 0
    assert EquitySnapshot.objects.filter(portfolio=portfolio, source="close").count() > 30
    assert (report.outcome, report.seen, report.opened) == (SyncOutcome.COMPARED, 0, 0)
    assert check_book(portfolio) == []
