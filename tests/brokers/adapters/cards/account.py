"""Cards about the account, its orders' effect on it, fills, activities and markets."""

from datetime import timedelta

import pytest

from brokers.enums import Side
from brokers.exceptions import AuthorizationExpired, NotFound
from tests.brokers.adapters.cards.bench import ASK, BID, SYMBOL, UNKNOWN_SYMBOL, Cards, D, card, market


class AccountCards(Cards):
    @card("ACC-1")
    def test_the_account_is_read_with_its_money(self):
        info = self.adapter.authenticate()

        assert info.broker_account_id
        assert info.currency == "USD"
        assert info.cash >= 50_000
        assert info.buying_power >= info.cash
        assert info.restriction == ""
        assert info == self.adapter.get_account_info()

    @card("ACC-2", "network")
    def test_refused_credentials_are_a_broken_link(self):
        stranger = self.bench.with_wrong_credentials()

        with pytest.raises(AuthorizationExpired):
            stranger.authenticate()
        with pytest.raises(AuthorizationExpired):
            type(stranger).discover_accounts(
                stranger.handle.credentials, environments=[stranger.handle.environment]
            )

    @card("ACC-3", "network")
    def test_fresh_credentials_lead_to_the_account(self):
        handle = self.adapter.handle

        (found,) = type(self.adapter).discover_accounts(handle.credentials, environments=[handle.environment])

        assert found.environment is handle.environment
        assert found.info.broker_account_id == self.adapter.get_account_info().broker_account_id

    @card("ACC-4")
    def test_a_fill_changes_cash_and_position(self):
        before = self.adapter.get_account_info().cash

        filled = self.place_filled(market(quantity="10"))

        assert filled.cum_qty == 10
        assert BID <= filled.avg_px <= ASK * D("1.01")
        (position,) = [row for row in self.adapter.get_positions() if row.symbol == SYMBOL]
        assert position.quantity == 10
        assert position.avg_price == filled.avg_px
        spent = before - self.adapter.get_account_info().cash
        assert abs(spent - 10 * filled.avg_px) <= D("0.10")

    @card("ACC-5")
    def test_a_closed_position_is_gone(self):
        self.place_filled(market(quantity="3"))
        self.place_filled(market(Side.SELL, quantity="3"))

        assert self.quantity_of() == 0


class HistoryCards(Cards):
    @card("HIS-1")
    def test_each_fill_is_listed_once_oldest_first(self):
        first = self.place_filled(market(quantity="2"))
        second = self.place_filled(market(Side.SELL, quantity="2"))

        fills = [row for row in self.adapter.list_executions() if row.symbol == SYMBOL]

        ids = [row.broker_order_id for row in fills]
        assert ids == sorted(ids, key=[first.broker_order_id, second.broker_order_id].index)
        assert len({row.exec_id for row in fills}) == len(fills) >= 2
        assert {row.side for row in fills} == {Side.BUY, Side.SELL}
        assert sum(row.last_qty for row in fills) == 4
        later = self.adapter.list_executions(since=fills[-1].transact_time + timedelta(seconds=1))
        assert later == []

    @card("HIS-2", "activities")
    def test_activities_are_not_fills(self):
        self.place_filled(market(quantity="1"))

        rows = self.adapter.list_activities()

        assert all(row.activity_id and row.kind != "FILL" for row in rows)
        assert [row.occurred_at for row in rows] == sorted(row.occurred_at for row in rows)
        assert any(row.amount and row.amount >= 50_000 for row in rows), "the opening deposit"


class MarketCards(Cards):
    @card("MKT-1")
    def test_assets(self):
        asset = self.adapter.get_asset(SYMBOL)

        assert (asset.symbol, asset.tradable) == (SYMBOL, True)
        assert asset.name
        with pytest.raises(NotFound):
            self.adapter.get_asset(UNKNOWN_SYMBOL)

    @card("MKT-2")
    def test_the_list_of_assets_can_be_searched(self):
        assets = {asset.symbol: asset for asset in self.adapter.list_assets()}

        assert assets[SYMBOL].name
        assert UNKNOWN_SYMBOL not in assets

    @card("MKT-3")
    def test_clock(self):
        clock = self.adapter.get_clock()

        assert clock.now.utcoffset() == timedelta(0)
        assert clock.now < clock.next_close
        assert clock.now < clock.next_open

    @card("MKT-4", "quotes")
    def test_quotes(self):
        quote = self.adapter.get_quote(SYMBOL)

        assert (quote.symbol, quote.bid, quote.ask) == (SYMBOL, BID, ASK)
        assert quote.bid_size > 0
        assert quote.as_of.utcoffset() == timedelta(0)
        assert quote.previous_close is None or quote.previous_close > 0
        with pytest.raises(NotFound):
            self.adapter.get_quote(UNKNOWN_SYMBOL)
        found = self.adapter.get_quotes([SYMBOL, UNKNOWN_SYMBOL])
        assert [row.symbol for row in found] == [SYMBOL]

    @card("MKT-5", "bars")
    def test_bars(self):
        end = self.adapter.get_clock().now
        bars = self.adapter.get_bars(SYMBOL, timeframe="1Day", start=end - timedelta(days=40), end=end)

        assert 15 <= len(bars) <= 40
        assert [bar.start for bar in bars] == sorted({bar.start for bar in bars})
        assert all(
            bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars
        )
