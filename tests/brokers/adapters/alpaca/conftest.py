"""An adapter that is pointed at a scripted server."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from brokers.adapters.alpaca import client as alpaca_client
from brokers.adapters.alpaca import constants
from brokers.adapters.alpaca.adapter import AlpacaAdapter
from brokers.enums import Environment, LinkKind, OrderType, Side, TimeInForce
from brokers.types import AccountHandle, Credentials, DecisionToken, OrderRequest
from tests.brokers.adapters.alpaca.scripted_server import ScriptedServer

KEYS = Credentials(LinkKind.API_KEY, {"key_id": "PKTEST", "secret_key": "very-secret"})
TOKEN = Credentials(LinkKind.OAUTH2, {"access_token": "oauth-secret"})
REQUEST = OrderRequest(
    symbol="AAPL",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    time_in_force=TimeInForce.DAY,
    quantity=Decimal(10),
    limit_price=Decimal("187.35"),
)


@pytest.fixture
def server(settings, monkeypatch):
    server = ScriptedServer()
    settings.ALPACA_PAPER_URL = server.url + "/"
    settings.ALPACA_LIVE_URL = server.url + "/v2"
    settings.ALPACA_DATA_URL = server.url
    settings.ALPACA_TOKEN_URL = server.url + "/oauth/token"
    monkeypatch.setattr(constants, "READ_TIMEOUT", 0.5)
    monkeypatch.setattr(constants, "CONNECT_TIMEOUT", 0.5)
    yield server
    alpaca_client.close_clients()
    server.close()


def make_adapter(credentials=KEYS, environment=Environment.PAPER):
    return AlpacaAdapter(
        AccountHandle(
            account_id=UUID(int=1),
            broker="alpaca",
            environment=environment,
            broker_account_id="acc",
            currency="USD",
            credentials=credentials,
        )
    )


@pytest.fixture
def adapter(server):
    return make_adapter()


def place(adapter, *, client_order_id="tp-01jc", request=REQUEST):
    token = DecisionToken(
        decision_id=UUID(int=2), order_hash="h", expires_at=datetime.now(UTC) + timedelta(seconds=5)
    )
    return adapter.place_order(request, client_order_id=client_order_id, token=token, order_hash="h")
