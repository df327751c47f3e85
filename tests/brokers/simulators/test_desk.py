"""The life of orders in the simulated broker, without a network."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from brokers.simulators.alpaca.errors import ApiError
from brokers.simulators.alpaca.orders import place
from brokers.simulators.book import Refused
from brokers.simulators.interventions import bust_execution, split_stock
from brokers.simulators.sessions import NEW_YORK
from brokers.simulators.valuation import equity_at, held_quantity, value_account

D = Decimal


def send(sim, **body):
    defaults = {"symbol": "AAPL", "qty": "10", "side": "buy", "type": "market", "time_in_force": "day"}
    order = place(sim, sim.account, defaults | body, "test")
    return order


def filled(sim, **body):
    order = send(sim, **body)
    sim.desk.settle()
    assert order.status == "filled"
    return order


def quote(sim, bid, ask, **extra):
    values = {name: D(value) for name, value in extra.items()}
    sim.market.pin("AAPL", bid=D(bid), ask=D(ask), **values)
    sim.desk.tick()


def names(sim, order):
    return [event for event, snapshot in sim.events if snapshot.id == order.id]


def position(sim):
    return sim.book.position(sim.account.id, "AAPL")


def legs(sim, order):
    return [sim.book.orders[child] for child in sim.book.children[order.id]]


BRACKET = {
    "type": "limit",
    "limit_price": "100.02",
    "order_class": "bracket",
    "time_in_force": "gtc",
    "take_profit": {"limit_price": "110"},
    "stop_loss": {"stop_price": "90"},
}


def test_market_order_is_acknowledged_before_it_fills(sim):
    order = send(sim)
    assert order.status == "pending_new"
    sim.desk.settle()
    assert [status for status, _ in order.history] == ["pending_new", "new", "filled"]
    assert names(sim, order) == ["pending_new", "new", "fill"]
    assert (sim.account.cash, position(sim).qty) == (D("98999.80"), D(10))


def test_displayed_size_makes_partial_fills_until_the_order_is_done(sim):
    quote(sim, "99.98", "100.02", ask_size="4")
    order = send(sim)
    sim.desk.settle()
    assert (order.status, order.filled_qty) == ("partially_filled", 4)
    sim.desk.tick()
    assert order.filled_qty == 8
    sim.desk.tick()
    assert (order.status, order.filled_qty) == ("filled", 10)
    executions = sim.book.executions[sim.account.id]
    assert [row.qty for row in executions] == [4, 4, 2]
    assert [row.leaves_qty for row in executions] == [6, 2, 0]
    assert names(sim, order)[2:] == ["partial_fill", "partial_fill", "fill"]


def test_without_replenishment_the_display_stays_consumed(sim):
    sim.desk.settings.replenish = False
    quote(sim, "99.98", "100.02", ask_size="4")
    order = send(sim)
    sim.desk.settle()
    sim.desk.tick()
    assert order.filled_qty == 4
    quote(sim, "99.98", "100.02", ask_size="6")
    assert order.status == "filled"


def test_two_orders_share_the_displayed_size(sim):
    quote(sim, "99.98", "100.02", ask_size="15")
    first, second = send(sim), send(sim)
    sim.desk.settle()
    assert (first.filled_qty, second.filled_qty) == (10, 5)


def test_resting_limit_fills_when_the_quote_reaches_it(sim):
    order = send(sim, type="limit", limit_price="99.50")
    sim.desk.settle()
    assert order.status == "new"
    quote(sim, "99.40", "99.45")
    assert (order.status, order.filled_avg_price) == ("filled", D("99.45"))


def test_buy_stop_does_not_trade_beyond_its_collar(sim):
    order = send(sim, type="stop", stop_price="101")
    sim.desk.settle()
    quote(sim, "120", "120.10")
    assert (order.status, order.triggered, order.collar) == ("new", True, D("103.52"))
    quote(sim, "103", "103.10")
    assert order.filled_avg_price == D("103.1")


def test_trailing_stop_follows_and_sells(sim):
    filled(sim)
    order = send(sim, side="sell", type="trailing_stop", trail_price="5", time_in_force="gtc")
    sim.desk.settle()
    assert (order.hwm, order.stop_price) == (100, D("95.00"))
    quote(sim, "119.98", "120.02")
    assert (order.hwm, order.stop_price) == (120, D("115.00"))
    quote(sim, "114.90", "115.00")
    assert (order.status, order.filled_avg_price) == ("filled", D("114.9"))


def test_cancel_takes_effect_a_moment_later_and_loses_against_a_fill(sim):
    order = send(sim, type="limit", limit_price="99")
    sim.desk.settle()
    sim.desk.request_cancel(order)
    assert order.status == "pending_cancel"
    quote(sim, "98.90", "98.95")
    assert order.status == "filled"
    sim.desk.settle()
    assert names(sim, order)[-1] == "order_cancel_rejected"
    with pytest.raises(Refused, match="not_cancelable"):
        sim.desk.request_cancel(order)


def test_cancel_keeps_what_was_filled(sim):
    quote(sim, "99.98", "100.02", ask_size="3")
    order = send(sim)
    sim.desk.settle()
    sim.desk.request_cancel(order)
    sim.desk.settle()
    assert (order.status, order.filled_qty, position(sim).qty) == ("canceled", 3, 3)


def replacement(sim, order, **body):
    from brokers.simulators.alpaca.gateway import Call
    from brokers.simulators.alpaca.orders import replace_order

    call = Call(sim, sim.account, "test", {}, {"order_id": order.id}, body)
    return sim.book.orders[replace_order(call).body["id"]]


def test_replace_makes_a_new_order_and_retires_the_old_one(sim):
    old = send(sim, type="limit", limit_price="99")
    sim.desk.settle()
    new = replacement(sim, old, limit_price="100.05", qty="7")
    assert (old.status, new.status, new.replaces) == ("pending_replace", "pending_new", old.id)
    sim.desk.settle()
    assert (old.status, old.replaced_by) == ("replaced", new.id)
    assert (new.status, new.filled_qty, position(sim).qty) == ("filled", 7, 7)
    assert new.client_order_id != old.client_order_id


def test_replace_loses_against_a_full_fill(sim):
    old = send(sim, type="limit", limit_price="99")
    sim.desk.settle()
    new = replacement(sim, old, limit_price="98")
    quote(sim, "98.90", "98.95")
    sim.desk.settle()
    assert (old.status, new.status, position(sim).qty) == ("filled", "rejected", 10)


def test_partial_fill_during_a_replace_is_not_bought_twice(sim):
    old = send(sim, type="limit", limit_price="99")
    sim.desk.settle()
    new = replacement(sim, old, limit_price="98.96")
    quote(sim, "98.90", "98.95", ask_size="4")
    sim.desk.settle()
    assert (old.status, old.filled_qty, new.qty) == ("replaced", 4, 6)
    for _ in range(5):
        sim.desk.tick()
    assert (new.status, position(sim).qty) == ("filled", 10)


def test_replace_is_refused_before_the_order_works(sim):
    order = send(sim, type="limit", limit_price="99")
    with pytest.raises(ApiError, match="cannot replace order in pending_new status"):
        replacement(sim, order, limit_price="98")


def test_bracket_children_wait_for_the_whole_entry(sim):
    quote(sim, "99.98", "100.02", ask_size="6")
    parent = send(sim, **BRACKET)
    sim.desk.settle()
    assert parent.status == "partially_filled"
    assert [leg.status for leg in legs(sim, parent)] == ["held", "held"]
    sim.desk.tick()
    profit, loss = legs(sim, parent)
    assert (profit.status, profit.order_type, profit.side) == ("new", "limit", "sell")
    assert (loss.status, loss.order_type) == ("new", "stop")
    quote(sim, "110", "110.10")
    assert (profit.status, loss.status, position(sim).qty) == ("filled", "canceled", 0)


def test_stop_of_a_bracket_takes_the_profit_order_with_it(sim):
    parent = send(sim, **BRACKET)
    sim.desk.settle()
    profit, loss = legs(sim, parent)
    quote(sim, "89.90", "90.00")
    assert (loss.status, profit.status, loss.filled_avg_price) == ("filled", "canceled", D("89.9"))


def test_partial_fill_of_one_exit_shrinks_the_other(sim):
    parent = send(sim, **BRACKET)
    sim.desk.settle()
    profit, loss = legs(sim, parent)
    sim.desk.settings.replenish = False
    quote(sim, "110", "110.10", bid_size="4")
    assert (profit.filled_qty, loss.qty, names(sim, loss)[-1]) == (4, 6, "restated")
    quote(sim, "89.90", "90.00", bid_size="100")
    assert (loss.status, profit.status, position(sim).qty) == ("filled", "canceled", 0)


def test_cancelling_the_entry_or_one_exit_cancels_the_rest(sim):
    parent = send(sim, **(BRACKET | {"limit_price": "95"}))
    sim.desk.settle()
    sim.desk.request_cancel(parent)
    sim.desk.settle()
    assert [leg.status for leg in legs(sim, parent)] == ["canceled", "canceled"]
    active = send(sim, **BRACKET)
    sim.desk.settle()
    profit, loss = legs(sim, active)
    sim.desk.request_cancel(profit)
    sim.desk.settle()
    assert (profit.status, loss.status) == ("canceled", "canceled")


def test_replaced_entry_still_owns_its_exits(sim):
    parent = send(sim, **(BRACKET | {"limit_price": "95"}))
    sim.desk.settle()
    new = replacement(sim, parent, limit_price="100.02")
    sim.desk.settle()
    assert new.status == "filled"
    assert [leg.status for leg in legs(sim, parent)] == ["new", "new"]


def test_oco_holds_its_shares_once_and_one_exit_ends_the_other(sim):
    filled(sim)
    exits = {"take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "90", "limit_price": "89"}}
    parent = send(sim, side="sell", type="limit", order_class="oco", time_in_force="gtc", **exits)
    sim.desk.settle()
    (stop,) = legs(sim, parent)
    assert (parent.limit_price, parent.status, stop.order_type, stop.status) == (
        110,
        "new",
        "stop_limit",
        "new",
    )
    assert held_quantity(sim.book, sim.account.id, "AAPL", "sell")[0] == 10
    quote(sim, "89.90", "90.00")
    assert (stop.status, parent.status, position(sim).qty) == ("filled", "canceled", 0)


def test_oto_has_one_exit(sim):
    parent = send(sim, order_class="oto", stop_loss={"stop_price": "90"})
    sim.desk.settle()
    assert [leg.order_type for leg in legs(sim, parent)] == ["stop"]
    assert legs(sim, parent)[0].status == "new"


def test_closed_market_queues_until_the_open(sim):
    sim.sessions.set_mode("closed")
    sim.desk.tick()
    order = send(sim)
    sim.desk.settle()
    assert (order.status, names(sim, order)) == ("accepted", ["accepted"])
    sim.sessions.set_mode("open")
    sim.desk.tick()
    assert order.status == "filled"


def test_extended_hours_limit_trades_before_the_open(sim):
    sim.sessions.set_mode("pre")
    sim.desk.tick()
    extended = send(sim, type="limit", limit_price="101", extended_hours=True)
    plain = send(sim, type="limit", limit_price="101")
    sim.desk.settle()
    assert (extended.status, plain.status) == ("filled", "accepted")


def test_the_close_expires_day_orders_and_parks_gtc_orders(sim):
    day = send(sim, type="limit", limit_price="50")
    gtc = send(sim, type="limit", limit_price="50", time_in_force="gtc")
    closing = send(sim, time_in_force="cls")
    sim.desk.settle()
    assert closing.status == "new"
    sim.sessions.set_mode("closed")
    sim.desk.tick()
    assert (day.status, gtc.status, closing.status) == ("expired", "done_for_day", "filled")
    sim.sessions.set_mode("open")
    sim.desk.tick()
    assert gtc.status == "new"


def test_the_always_open_market_still_ends_its_day(sim):
    sim.clock.freeze(datetime(2026, 3, 3, 15, 59, tzinfo=NEW_YORK))
    sim.desk.tick()
    day = send(sim, type="limit", limit_price="50")
    opening = send(sim, time_in_force="opg")
    sim.desk.settle()
    assert opening.status == "accepted"
    sim.clock.advance(120)
    sim.desk.tick()
    assert (day.status, opening.status) == ("expired", "filled")


def test_ioc_and_fok_end_at_once(sim):
    quote(sim, "99.98", "100.02", ask_size="4")
    ioc, fok = send(sim, time_in_force="ioc"), send(sim, time_in_force="fok")
    sim.desk.settle()
    assert (ioc.status, ioc.filled_qty, fok.status, fok.filled_qty) == ("canceled", 4, "canceled", 0)


def test_dollar_order_buys_fractional_shares_and_never_more(sim):
    order = send(sim, qty=None, notional="1000")
    sim.desk.settle()
    assert (order.status, order.qty, order.filled_qty) == ("filled", None, D("9.998000399"))
    assert order.filled_value <= 1000


def test_halt_stops_fills_until_it_is_lifted(sim):
    sim.market.halt("AAPL", halted=True)
    order = send(sim)
    sim.desk.settle()
    assert order.status == "new"
    sim.market.halt("AAPL", halted=False)
    sim.desk.tick()
    assert order.status == "filled"


def test_bust_takes_cash_shares_and_filled_quantity_back(sim):
    order = filled(sim)
    (execution,) = sim.book.executions[sim.account.id]
    bust_execution(sim.desk, execution.id)
    assert (sim.account.cash, position(sim).qty, order.filled_qty) == (100_000, 0, 0)
    assert names(sim, order)[-1] == "trade_bust"
    with pytest.raises(Refused, match="already_busted"):
        bust_execution(sim.desk, execution.id)


def test_split_multiplies_shares_and_restates_open_orders(sim):
    filled(sim)
    order = send(sim, side="sell", type="limit", limit_price="120", time_in_force="gtc", qty="5")
    sim.desk.settle()
    split_stock(sim.desk, "AAPL", D(4))
    assert (position(sim).qty, position(sim).avg_entry_price) == (40, D("25.005"))
    assert (order.qty, order.limit_price, names(sim, order)[-1]) == (20, 30, "restated")
    assert sim.market.quote("AAPL", sim.clock.now()).bid == 25
    rebuilt = sim.book.rebuild_position(sim.account.id, "AAPL")
    assert (rebuilt.qty, rebuilt.avg_entry_price) == (40, D("25.005"))


def test_short_sale_reserves_and_covers(sim):
    order = filled(sim, side="sell")
    assert (order.position_intent, position(sim).qty) == ("sell_to_open", -10)
    assert position(sim).avg_entry_price == D("99.98")
    cover = filled(sim, side="buy", qty="4")
    assert (cover.position_intent, position(sim).qty) == ("buy_to_close", -6)
    with pytest.raises(Refused, match="insufficient_quantity"):
        send(sim, side="buy", qty="7")


def test_open_buys_reduce_buying_power_at_once_and_cancel_gives_it_back(sim):
    before = value_account(sim.book, sim.account).buying_power
    order = send(sim, type="limit", limit_price="90", qty="100")
    assert value_account(sim.book, sim.account).buying_power == before - 9000
    sim.desk.settle()
    sim.desk.request_cancel(order)
    sim.desk.settle()
    assert value_account(sim.book, sim.account).buying_power == before == 200_000


def test_equity_history_is_replayed_from_the_book(sim):
    now = sim.clock.now()
    later = [now - timedelta(days=1), sim.clock.now() + timedelta(seconds=1)]
    assert equity_at(sim.book, sim.account, later) == [0, 100_000]


def test_cash_and_positions_always_equal_the_sum_of_executions(sim):
    sim.desk.settings.partial_probability = 0.7
    for index in range(40):
        side = "sell" if position(sim).qty > 20 else "buy"
        send(sim, side=side, qty=str(1 + index % 9))
        sim.desk.settle()
        for _ in range(6):
            sim.desk.tick()
        quote(sim, str(D("99.9") + index % 5), str(D(100) + index % 5))
    executions = sim.book.executions[sim.account.id]
    spent = sum(row.signed_qty * row.price for row in executions)
    assert len(executions) > 40
    assert sim.account.cash == 100_000 - spent
    assert position(sim).qty == sum(row.signed_qty for row in executions)
    for order in sim.book.orders.values():
        own = [row.qty for row in executions if row.order_id == order.id]
        assert sum(own) == order.filled_qty <= order.qty
