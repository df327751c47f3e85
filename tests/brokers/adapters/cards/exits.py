"""Cards about bracket, one-cancels-other, one-triggers-other and trailing orders."""

from dataclasses import replace

import pytest

from brokers.enums import BrokerOrderStatus, OrderClass, OrderType, Side, TimeInForce
from brokers.types import BrokerOrder, OrderRequest, StopLoss, TakeProfit
from tests.brokers.adapters.cards.bench import SYMBOL, WORKING, Cards, D, card, limit_buy, market, until


class ExitCards(Cards):
    EXITS = {
        "take_profit": TakeProfit(limit_price=D(120)),
        "stop_loss": StopLoss(stop_price=D(80)),
    }

    def entry(self) -> OrderRequest:
        return market(
            quantity="10", order_class=OrderClass.BRACKET, time_in_force=TimeInForce.GTC, **self.EXITS
        )

    @card("EXIT-1")
    def test_the_exits_of_a_bracket_wait_for_its_entry(self):
        self.need_class(OrderClass.BRACKET, OrderType.LIMIT)
        request = replace(self.entry(), order_type=OrderType.LIMIT, limit_price=D(90))

        order = self.see(self.place(request), BrokerOrderStatus.OPEN)

        assert order.order_class is OrderClass.BRACKET
        assert {leg.status for leg in order.legs} == {BrokerOrderStatus.HELD}
        assert {leg.side for leg in order.legs} == {Side.SELL}
        assert {leg.limit_price or leg.stop_price for leg in order.legs} == {D(120), D(80)}

    @card("EXIT-2")
    def test_one_exit_of_a_bracket_ends_the_other(self):
        self.need_class(OrderClass.BRACKET, OrderType.MARKET)
        order = self.place_filled(self.entry())
        until(lambda: self.leg_statuses(order) <= WORKING, "both exits working")

        self.bench.set_quote(SYMBOL, D(121), D("121.10"))

        done = {BrokerOrderStatus.FILLED, BrokerOrderStatus.CANCELED}
        until(lambda: self.leg_statuses(order) == done, "one exit filled, the other cancelled")
        assert self.quantity_of() == 0

    def leg_statuses(self, order: BrokerOrder) -> set[BrokerOrderStatus]:
        self.bench.settle()
        legs = self.adapter.get_order_status(order.broker_order_id).legs
        return {leg.status if leg.status is not BrokerOrderStatus.HELD else BrokerOrderStatus.OPEN
                for leg in legs} if len(legs) == 2 else set(BrokerOrderStatus)  # fmt: skip

    @card("EXIT-3")
    def test_cancelling_a_bracket_takes_its_exits_along(self):
        self.need_class(OrderClass.BRACKET, OrderType.LIMIT)
        request = replace(self.entry(), order_type=OrderType.LIMIT, limit_price=D(90))
        order = self.see(self.place(request), BrokerOrderStatus.OPEN)

        self.adapter.cancel_order(order.broker_order_id)

        self.see(order, BrokerOrderStatus.CANCELED)
        until(lambda: self.leg_statuses(order) == {BrokerOrderStatus.CANCELED}, "exits cancelled")

    @card("EXIT-4")
    def test_one_cancels_other_protects_a_position(self):
        self.need_class(OrderClass.OCO, OrderType.LIMIT)
        self.place_filled(market(quantity="10"))
        request = limit_buy("10", "120", side=Side.SELL, order_class=OrderClass.OCO, **self.EXITS)

        order = self.place(request)
        assert order.order_class is OrderClass.OCO
        self.see(order, *WORKING)
        self.bench.set_quote(SYMBOL, D(79), D("79.10"))

        until(lambda: self.bench.settle() or self.quantity_of() == 0, "the stop sold the position")
        self.see(order, BrokerOrderStatus.CANCELED)

    @card("EXIT-5")
    def test_one_triggers_other_has_a_single_exit(self):
        self.need_class(OrderClass.OTO, OrderType.MARKET)
        request = market(
            quantity="10",
            order_class=OrderClass.OTO,
            time_in_force=TimeInForce.GTC,
            stop_loss=self.EXITS["stop_loss"],
        )

        order = self.place_filled(request)

        assert order.order_class is OrderClass.OTO
        assert [leg.stop_price for leg in order.legs] == [D(80)]

    @card("EXIT-6", "trailing stops")
    @pytest.mark.parametrize("trail", [{"trail_percent": D(5)}, {"trail_amount": D("2.5")}])
    def test_a_trailing_stop_follows_the_market_and_fires(self, trail):
        self.place_filled(market(quantity="10"))
        request = market(Side.SELL, "10", order_type=OrderType.TRAILING_STOP, **trail)
        order = self.place_working(request)
        assert (order.trail_percent, order.trail_amount) == (
            trail.get("trail_percent"),
            trail.get("trail_amount"),
        )

        self.bench.set_quote(SYMBOL, D("119.90"), D("120.10"))
        self.bench.settle()
        self.bench.set_quote(SYMBOL, D("109.90"), D("110.10"))

        fired = self.see(order, BrokerOrderStatus.FILLED)
        assert fired.cum_qty == 10
        assert fired.avg_px > 105
