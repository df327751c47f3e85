"""The vendor's client, unmodified, against the simulator over real sockets."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.live import StockDataStream
from alpaca.data.requests import (
    StockBarsRequest,
    StockLatestQuoteRequest,
    StockQuotesRequest,
    StockSnapshotRequest,
    StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderClass, OrderSide, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetCalendarRequest,
    GetOrdersRequest,
    GetPortfolioHistoryRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLossRequest,
    TakeProfitRequest,
    TrailingStopOrderRequest,
)
from alpaca.trading.stream import TradingStream

from tests.brokers.simulators.conftest import wait_for


@pytest.fixture
def client(server, account):
    made = TradingClient(account.key_id, account.secret, url_override=server.paper_url)
    yield made
    made._session.close()


@pytest.fixture
def data(server, account):
    made = StockHistoricalDataClient(account.key_id, account.secret, url_override=server.data_url)
    yield made
    made._session.close()


def market(qty=10, **extra):
    values = {"symbol": "AAPL", "qty": qty, "side": OrderSide.BUY, "time_in_force": TimeInForce.DAY}
    return MarketOrderRequest(**(values | extra))


def limit(price, **extra):
    values = {"symbol": "AAPL", "qty": 10, "side": OrderSide.BUY, "time_in_force": TimeInForce.GTC}
    return LimitOrderRequest(limit_price=price, **(values | extra))


def wait_order(client, order_id, status):
    def read():
        found = client.get_order_by_id(order_id)
        return found if found.status.value == status else None

    return wait_for(read)


def test_market_order_fills_and_becomes_a_position(client):
    placed = client.submit_order(market(client_order_id="sdk-1"))
    filled = wait_order(client, placed.id, "filled")
    assert (filled.filled_qty, filled.filled_avg_price) == ("10", "100.02")
    assert client.get_order_by_client_id("sdk-1").id == placed.id
    position = client.get_open_position("AAPL")
    assert (position.qty, position.avg_entry_price, position.side.value) == ("10", "100.02", "long")
    assert client.get_account().cash == "98999.8"
    closed = client.close_position("AAPL", ClosePositionRequest(qty="4"))
    wait_order(client, closed.id, "filled")
    assert client.get_all_positions()[0].qty == "6"


def test_duplicate_client_order_id_is_refused_by_code(client):
    client.submit_order(market(client_order_id="once"))
    with pytest.raises(APIError) as caught:
        client.submit_order(market(client_order_id="once"))
    assert caught.value.status_code == 422
    assert caught.value.code == 40010001
    assert caught.value.message == "client_order_id must be unique"


def test_bracket_replace_and_cancel(client):
    placed = client.submit_order(
        limit(
            90,
            order_class=OrderClass.BRACKET,
            take_profit=TakeProfitRequest(limit_price=110),
            stop_loss=StopLossRequest(stop_price=80),
        )
    )
    assert [leg.status.value for leg in placed.legs] == ["held", "held"]
    wait_order(client, placed.id, "new")
    new = client.replace_order_by_id(placed.id, ReplaceOrderRequest(limit_price=91))
    assert (str(new.replaces), new.limit_price) == (str(placed.id), "91")
    assert wait_order(client, placed.id, "replaced").replaced_by == new.id
    wait_order(client, new.id, "new")
    client.cancel_order_by_id(new.id)
    wait_order(client, new.id, "canceled")
    everything = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, nested=False))
    assert {order.status.value for order in everything} == {"replaced", "canceled"}
    assert client.get_orders() == []


def test_trailing_stop_shows_its_mark(client, server):
    wait_order(client, client.submit_order(market()).id, "filled")
    request = TrailingStopOrderRequest(
        symbol="AAPL", qty=10, side=OrderSide.SELL, time_in_force=TimeInForce.GTC, trail_percent=5
    )
    placed = client.submit_order(request)
    found = wait_for(lambda: (row := client.get_order_by_id(placed.id)).hwm and row)
    assert (found.hwm, found.stop_price) == ("100", "95")
    assert client.cancel_orders()[0].status == 200


def test_read_calls_parse(client):
    assert client.get_clock().is_open is True
    assert client.get_asset("AAPL").fractionable is True
    assert len(client.get_all_assets()) > 40
    day = datetime(2026, 11, 27, tzinfo=UTC).date()
    (row,) = client.get_calendar(GetCalendarRequest(start=day, end=day))
    assert row.close == datetime(2026, 11, 27, 13, 0)  # noqa: DTZ001 - the client drops the zone
    assert client.get_account_configurations().no_shorting is False
    history = client.get_portfolio_history(GetPortfolioHistoryRequest(period="1W", timeframe="1D"))
    assert history.equity[-1] == 100000.0
    activities = client.get("/account/activities", {"activity_types": "CSD"})
    assert [row["net_amount"] for row in activities] == ["100000"]


def test_wrong_secret_is_401(server, account):
    client = TradingClient(account.key_id, "wrong", url_override=server.paper_url)
    with pytest.raises(APIError) as caught:
        client.get_account()
    client._session.close()
    assert caught.value.status_code == 401


def test_oauth_token_reaches_only_the_granted_environment(server, account):
    token = server.grant_token(account.account_id)
    paper = TradingClient(oauth_token=token, url_override=server.paper_url)
    live = TradingClient(oauth_token=token, url_override=server.live_url)
    assert str(paper.get_account().id) == account.account_id
    with pytest.raises(APIError) as caught:
        live.get_account()
    assert caught.value.status_code == 403
    paper._session.close()
    live._session.close()


def test_market_data_parses(data):
    now = datetime.now(UTC)
    bars = data.get_stock_bars(
        StockBarsRequest(
            symbol_or_symbols=["AAPL", "ATYR"],
            timeframe=TimeFrame.Day,
            start=now - timedelta(days=730),
            feed="iex",
        )
    )
    assert len(bars["AAPL"]) > 490
    assert all(
        bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars["ATYR"]
    )
    minutes = data.get_stock_bars(
        StockBarsRequest(symbol_or_symbols="AAPL", timeframe=TimeFrame.Minute, start=now - timedelta(days=7))
    )
    assert len(minutes["AAPL"]) > 1000
    quote = data.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols="AAPL"))["AAPL"]
    assert (quote.bid_price, quote.ask_price) == (99.98, 100.02)
    snapshot = data.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols="ABEO"))["ABEO"]
    assert snapshot.previous_daily_bar.close > 0
    window = {"symbol_or_symbols": "ABEO", "start": now - timedelta(minutes=1), "limit": 20}
    assert len(data.get_stock_quotes(StockQuotesRequest(**window))["ABEO"]) == 20
    assert len(data.get_stock_trades(StockTradesRequest(**window))["ABEO"]) == 20


def test_trading_stream_delivers_the_life_of_an_order(server, account, client):
    stream = TradingStream(account.key_id, account.secret, url_override=server.paper_stream_url)
    events = []

    async def handler(update):
        events.append(update)

    async def scenario():
        stream.subscribe_trade_updates(handler)
        running = asyncio.create_task(stream._run_forever())
        while server.read("streams")["trade_updates"] == 0:
            await asyncio.sleep(0.02)
        await asyncio.to_thread(client.submit_order, market(client_order_id="streamed"))
        async with asyncio.timeout(10):
            while not events or events[-1].event != "fill":
                await asyncio.sleep(0.02)
        await stream.stop_ws()
        async with asyncio.timeout(10):
            await running

    asyncio.run(scenario())
    assert [update.event for update in events] == ["pending_new", "new", "fill"]
    assert events[-1].order.client_order_id == "streamed"
    assert (events[-1].price, events[-1].qty, events[-1].position_qty) == (100.02, 10.0, 10.0)


def test_data_stream_delivers_quotes_trades_and_halts(server, account):
    stream = StockDataStream(account.key_id, account.secret, url_override=server.data_stream_url)
    quotes, trades, statuses = [], [], []

    async def on_quote(quote):
        quotes.append(quote)

    async def on_trade(trade):
        trades.append(trade)

    async def on_status(status):
        statuses.append(status)

    async def scenario():
        stream.subscribe_quotes(on_quote, "AAPL", "SPY")
        stream.subscribe_trades(on_trade, "AAPL")
        stream.subscribe_trading_statuses(on_status, "AAPL")
        running = asyncio.create_task(stream._run_forever())
        async with asyncio.timeout(10):
            while not (quotes and trades):
                await asyncio.sleep(0.02)
            await asyncio.to_thread(server.set_quote, "AAPL", "101.00", "101.10")
            await asyncio.to_thread(server.control, "market/halt", symbol="AAPL")
            while not statuses or not [quote for quote in quotes if quote.bid_price == 101.0]:
                await asyncio.sleep(0.02)
        await stream.stop_ws()
        async with asyncio.timeout(10):
            await running

    asyncio.run(scenario())
    assert statuses[0].status_code == "H"
    assert trades[0].price == 100.0
    assert all(quote.timestamp.tzinfo is not None for quote in quotes)
