"""What the adapter declares, and the addresses and bodies that follow from it."""

from decimal import Decimal

import pytest

from brokers.adapters.alpaca import endpoints, mapping
from brokers.adapters.alpaca.adapter import AlpacaAdapter
from brokers.enums import DedupeClass, Environment, MarginRegime, OrderClass, OrderType, Side, TimeInForce
from brokers.types import OrderRequest, StopLoss, TakeProfit

T = TimeInForce


@pytest.mark.parametrize("environment", Environment)
def test_declaration(environment):
    can = AlpacaAdapter.capabilities(environment)

    assert can.is_paper is (environment is Environment.PAPER)
    assert (can.dedupe_class, can.dedupe_window) == (DedupeClass.D, None)
    assert (can.rate_limit.requests, can.rate_limit.period.total_seconds()) == (200, 60)
    assert can.rate_limit.scope == "account"
    assert (can.margin_regime, can.margin_regime_source) == (
        MarginRegime.INTRADAY,
        "Alpaca changelog 2026-06-04",
    )
    assert can.client_order_id_format.max_length == 128


@pytest.mark.parametrize(
    ("order_type", "forces", "fractional", "extended", "classes"),
    [
        (OrderType.MARKET, set(T), {T.DAY}, set(), {"simple", "bracket", "oto"}),
        (OrderType.LIMIT, set(T), {T.DAY}, {T.DAY, T.GTC}, {"simple", "bracket", "oto", "oco"}),
        (OrderType.STOP, {T.DAY, T.GTC}, set(), set(), {"simple"}),
        (OrderType.STOP_LIMIT, {T.DAY, T.GTC}, set(), set(), {"simple"}),
        (OrderType.TRAILING_STOP, {T.DAY, T.GTC}, set(), set(), {"simple"}),
    ],
)
def test_what_goes_with_what(order_type, forces, fractional, extended, classes):
    rule = AlpacaAdapter.capabilities(Environment.PAPER).rule_for(order_type)

    assert rule.times_in_force == forces
    assert rule.fractional_times_in_force == fractional
    assert rule.extended_hours_times_in_force == extended
    assert rule.order_classes == classes


@pytest.mark.parametrize("price", [Decimal(120), None])
def test_the_take_profit_of_an_oco_is_its_only_limit(price):
    request = OrderRequest(
        symbol="AAPL",
        side=Side.SELL,
        order_type=OrderType.LIMIT,
        time_in_force=T.GTC,
        quantity=Decimal(1),
        limit_price=price,
        order_class=OrderClass.OCO,
        take_profit=TakeProfit(limit_price=Decimal(120)),
        stop_loss=StopLoss(stop_price=Decimal(80)),
    )

    body = mapping.order_body(request, client_order_id="c")

    assert "limit_price" not in body
    assert (body["take_profit"], body["stop_loss"]) == ({"limit_price": "120"}, {"stop_price": "80"})


def test_addresses_are_settings_and_forgive_their_endings(settings):
    settings.ALPACA_PAPER_URL = "https://paper.test/v2/"
    settings.ALPACA_LIVE_URL = " https://live.test/ "
    settings.ALPACA_DATA_URL = "https://data.test"
    settings.ALPACA_PAPER_STREAM_URL = "wss://paper.test"
    settings.ALPACA_LIVE_STREAM_URL = "wss://live.test/stream/"
    settings.ALPACA_DATA_STREAM_URL = "wss://data.test"

    assert endpoints.trading_url(Environment.PAPER) == "https://paper.test"
    assert endpoints.trading_url(Environment.LIVE) == "https://live.test"
    assert endpoints.data_url() == "https://data.test"
    assert endpoints.trading_stream_url(Environment.PAPER) == "wss://paper.test/stream"
    assert endpoints.trading_stream_url(Environment.LIVE) == "wss://live.test/stream"
    assert endpoints.data_stream_url() == "wss://data.test/v2/iex"


def test_nothing_secret_is_printed():
    from tests.brokers.adapters.alpaca.conftest import KEYS, make_adapter

    assert "very-secret" not in f"{KEYS!r} {make_adapter().handle!r}"
