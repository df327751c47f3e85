"""All conformance cards for Alpaca: the real SDK against the simulator over real sockets."""

from decimal import Decimal
from uuid import UUID

import pytest

from brokers.adapters.alpaca import client as alpaca_client
from brokers.adapters.alpaca import constants
from brokers.adapters.alpaca.adapter import AlpacaAdapter
from brokers.enums import Environment, LinkKind
from brokers.simulators.testing import SimulatorServer
from brokers.types import AccountHandle, Credentials
from tests.brokers.adapters.contract import CARDS, DISPLAYED, NEEDS, BrokerAdapterContract, BrokerBench


@pytest.fixture(scope="module")
def simulator():
    with SimulatorServer() as server:
        yield server


class AlpacaBench(BrokerBench):
    def __init__(self, simulator, environment, kind):
        self.simulator = simulator
        self.account = simulator.create_account(env=environment.value, cash="100000")
        if kind is LinkKind.OAUTH2:
            values = {"access_token": simulator.grant_token(self.account.account_id)}
        else:
            values = {"key_id": self.account.key_id, "secret_key": self.account.secret}
        self.environment = environment
        self.adapter = self.make_adapter(Credentials(kind, values))

    def make_adapter(self, credentials):
        return AlpacaAdapter(
            AccountHandle(
                account_id=UUID(self.account.account_id),
                broker="alpaca",
                environment=self.environment,
                broker_account_id=self.account.account_id,
                currency="USD",
                credentials=credentials,
            )
        )

    def with_wrong_credentials(self):
        credentials = self.adapter.handle.credentials
        wrong = {name: f"{value}X" for name, value in credentials.values.items()}
        return self.make_adapter(Credentials(credentials.kind, wrong))

    def set_quote(self, symbol, bid, ask, *, size=DISPLAYED):
        self.simulator.set_quote(symbol, str(bid), str(ask), bid_size=str(size), ask_size=str(size))

    def count_order_posts(self):
        return len(self.simulator.book(self.account.account_id)["received"])

    def add_fault(self, kind, endpoint, **options):
        self.simulator.fault(kind, endpoint=endpoint, account_id=self.account.account_id, **options)

    def drop_streams(self):
        self.simulator.control("streams/disconnect", account_id=self.account.account_id)


@pytest.fixture
def _wired(simulator, settings, monkeypatch):
    settings.ALPACA_PAPER_URL = simulator.paper_url
    settings.ALPACA_LIVE_URL = simulator.live_url
    settings.ALPACA_DATA_URL = simulator.data_url
    settings.ALPACA_PAPER_STREAM_URL = simulator.paper_stream_url
    settings.ALPACA_LIVE_STREAM_URL = simulator.live_stream_url
    settings.ALPACA_DATA_STREAM_URL = simulator.data_stream_url
    monkeypatch.setattr(constants, "READ_TIMEOUT", 1.0)
    yield
    simulator.clear_faults()
    alpaca_client.close_clients()


@pytest.mark.usefixtures("_wired")
class TestWithKeys(BrokerAdapterContract):
    @pytest.fixture
    def bench(self, simulator, _wired):
        return AlpacaBench(simulator, Environment.PAPER, LinkKind.API_KEY)


@pytest.mark.usefixtures("_wired")
class TestWithToken(BrokerAdapterContract):
    @pytest.fixture
    def bench(self, simulator, _wired):
        return AlpacaBench(simulator, Environment.LIVE, LinkKind.OAUTH2)


@pytest.mark.usefixtures("_wired")
class TestDiscovery:
    def test_one_token_may_cover_a_paper_and_a_live_account(self, simulator):
        paper = simulator.create_account(env="paper")
        live = simulator.create_account(env="live", customer_id=paper.customer_id)
        token = simulator.grant_token(paper.account_id, live.account_id)

        found = AlpacaAdapter.discover_accounts(
            Credentials(LinkKind.OAUTH2, {"access_token": token}), environments=list(Environment)
        )

        assert [(row.environment, row.info.broker_account_id) for row in found] == [
            (Environment.PAPER, paper.account_id),
            (Environment.LIVE, live.account_id),
        ]

    def test_a_paper_key_opens_the_paper_account_only(self, simulator):
        account = simulator.create_account(env="paper", cash="1234.56")
        keys = Credentials(LinkKind.API_KEY, {"key_id": account.key_id, "secret_key": account.secret})

        (found,) = AlpacaAdapter.discover_accounts(keys, environments=list(Environment))

        assert found.environment is Environment.PAPER
        assert found.info.cash == Decimal("1234.56")


def test_alpaca_is_excused_from_no_card():
    can = AlpacaAdapter.capabilities(Environment.PAPER)

    assert len(CARDS) >= 50
    assert [name for name, applies in NEEDS.items() if not applies(can)] == []
