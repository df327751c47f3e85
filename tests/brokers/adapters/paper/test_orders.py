"""What the practice broker does with orders: fills, refusals, exits, replaces, to the cent."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from brokers.enums import OrderClass, OrderType, Session, Side, TimeInForce
from brokers.exceptions import DuplicateClientOrderId, NotFound, NotSent, Rejected, Unavailable
from brokers.types import DecisionToken, OrderRequest, ReplaceRequest, StopLoss, TakeProfit

pytestmark = pytest.mark.django_db

D = Decimal


def kinds(desk) -> list[str]:
    return list(desk.book.events.order_by("id").values_list("kind", flat=True))


def test_a_market_buy_is_acknowledged_then_filled_at_the_ask(desk):
    order = desk.place(client_order_id="mine-1")
    assert (order.status, order.cum_qty, order.client_order_id) == ("open", D(0), "mine-1")
    filled = desk.look(order)
    assert (filled.status, filled.cum_qty, filled.avg_px) == ("filled", D(10), D("100.02"))
    assert desk.book.cash == D("8999.80")
    assert desk.position() == D(10)
    assert kinds(desk) == ["new", "fill"]


def test_account_and_positions_are_valued_at_the_last_price(desk):
    desk.buy()
    info = desk.broker.get_account_info()
    assert (info.cash, info.equity, info.buying_power) == (D("8999.80"), D("9999.80"), D("8999.80"))
    position = desk.broker.get_positions()[0]
    assert (position.quantity, position.avg_price, position.market_value, position.unrealised_pnl) == (
        D(10),
        D("100.02"),
        D("1000.00"),
        D("-0.20"),
    )


def test_displayed_size_makes_partial_fills_and_one_quote_fills_once(desk):
    desk.set_quote("ACME", size="4")
    order = desk.place(quantity="10")
    assert (desk.look(order).status, desk.look(order).cum_qty) == ("partially_filled", D(4))
    desk.tick()
    assert desk.look(order).cum_qty == D(4)
    desk.set_quote("ACME", ask="100.10", size="20")
    desk.tick()
    done = desk.look(order)
    assert (done.status, done.cum_qty, done.avg_px) == ("filled", D(10), D("100.068"))
    assert kinds(desk) == ["new", "partial_fill", "fill"]


def test_two_orders_share_what_a_quote_displays(desk):
    desk.set_quote("ACME", size="10")
    first = desk.place(kind=OrderType.LIMIT, limit_price=D("99.00"), quantity="8")
    second = desk.place(kind=OrderType.LIMIT, limit_price=D("99.00"), quantity="8")
    desk.set_quote("ACME", bid="98.90", ask="98.95", size="10")
    desk.tick()
    assert (desk.look(first).cum_qty, desk.look(second).cum_qty) == (D(8), D(2))


def test_an_amount_buys_parts_of_a_share_whatever_the_display(desk):
    desk.set_quote("ACME", size="1")
    order = desk.place(quantity=None, notional=D("250.00"))
    done = desk.look(order)
    assert (done.status, done.cum_qty) == ("filled", D("2.499500099"))
    assert desk.book.cash == D("10000") - (D("2.499500099") * D("100.02")).quantize(D("1E-9"))


def test_a_limit_order_rests_and_fills_at_the_better_price(desk):
    order = desk.place(kind=OrderType.LIMIT, limit_price=D("95.00"))
    assert desk.look(order).status == "open"
    assert desk.tick() == 0
    desk.set_quote("ACME", bid="94.48", ask="94.50")
    assert desk.tick() == 1
    assert desk.look(order).avg_px == D("94.50")


def test_open_buys_reduce_the_buying_power(desk):
    desk.place(kind=OrderType.LIMIT, limit_price=D("90.00"), quantity="100")
    assert desk.broker.get_account_info().buying_power == D("1000")
    with pytest.raises(Rejected) as refused:
        desk.place(kind=OrderType.LIMIT, limit_price=D("90.00"), quantity="12")
    assert refused.value.code == "insufficient_buying_power"
    assert desk.book.orders.count() == 1


def test_a_market_order_never_overdraws_the_cash_when_the_price_jumps(desk):
    desk.set_quote("ACME", size="10")
    order = desk.place(quantity="97")
    desk.set_quote("ACME", bid="200.00", ask="200.02", last="200.00", size="500")
    desk.tick()
    ended = desk.look(order)
    assert (ended.status, ended.cum_qty) == ("canceled", D(10 + 44))
    assert ended.reject_reason == "Not enough cash."
    assert D(0) <= desk.book.cash < D("200.02")


def test_selling_more_than_held_is_refused_and_open_sells_hold_their_shares(desk):
    desk.buy("10")
    desk.place(side=Side.SELL, kind=OrderType.LIMIT, limit_price=D("120.00"), quantity="6")
    with pytest.raises(Rejected) as refused:
        desk.place(side=Side.SELL, quantity="5")
    assert refused.value.code == "insufficient_quantity"
    desk.place(side=Side.SELL, quantity="4")
    assert desk.position() == D(6)
    assert desk.broker.get_positions()[0].quantity_available == D(0)


def test_a_client_order_id_is_refused_for_ever(desk):
    first = desk.place(client_order_id="once", kind=OrderType.LIMIT, limit_price=D("90.00"))
    desk.broker.cancel_order(first.broker_order_id)
    with pytest.raises(DuplicateClientOrderId):
        desk.place(client_order_id="once")
    assert desk.broker.find_order("once").broker_order_id == first.broker_order_id
    assert desk.book.orders.count() == 1


def test_nothing_is_ordered_without_a_decision_for_the_same_hash(desk):
    request = OrderRequest(
        symbol="ACME",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        quantity=D(1),
    )
    expired = DecisionToken(
        decision_id=uuid4(), order_hash="h", expires_at=datetime.now(UTC) - timedelta(seconds=1)
    )
    for token, refusal in ((desk.token("other"), PermissionError), (expired, NotSent)):
        with pytest.raises(refusal):
            desk.broker.place_order(request, client_order_id="x", token=token, order_hash="h")
    assert not desk.book.orders.exists()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"symbol": "NOPE"}, "unknown_symbol"),
        ({"quantity": "0"}, "bad_size"),
        ({"quantity": "-1"}, "bad_size"),
        ({"quantity": "NaN"}, "bad_size"),
        ({"quantity": "1.0000000001"}, "bad_size"),
        ({"notional": D(100)}, "bad_size"),
        ({"quantity": None}, "bad_size"),
        ({"quantity": None, "notional": D("0.99")}, "below_minimum"),
        ({"quantity": "1.5", "time_in_force": TimeInForce.GTC}, "bad_time_in_force"),
        ({"kind": OrderType.LIMIT}, "bad_price"),
        ({"kind": OrderType.LIMIT, "limit_price": D("99.001")}, "sub_penny"),
        ({"kind": OrderType.LIMIT, "limit_price": D("0.12345")}, "sub_penny"),
        ({"kind": OrderType.LIMIT, "limit_price": D(0)}, "bad_price"),
        ({"limit_price": D(100)}, "bad_price"),
        ({"kind": OrderType.STOP, "stop_price": D("99.00")}, "stop_side"),
        ({"kind": OrderType.TRAILING_STOP}, "bad_trail"),
        ({"kind": OrderType.TRAILING_STOP, "trail_percent": D("0.05")}, "bad_trail"),
        ({"extended_hours": True}, "bad_extended_hours"),
        ({"order_class": OrderClass.BRACKET, "take_profit": TakeProfit(limit_price=D(110))}, "bad_exits"),
        (
            {
                "order_class": OrderClass.BRACKET,
                "take_profit": TakeProfit(limit_price=D(90)),
                "stop_loss": StopLoss(stop_price=D(95)),
            },
            "bad_exits",
        ),
        (
            {
                "quantity": "1.5",
                "order_class": OrderClass.OTO,
                "stop_loss": StopLoss(stop_price=D(95)),
            },
            "bad_order_class",
        ),
    ],
)
def test_bad_orders_are_refused_by_name_and_leave_no_trace(desk, fields, code):
    with pytest.raises(Rejected) as refused:
        desk.place(**fields)
    assert refused.value.code == code
    assert not desk.book.orders.exists()
    assert not desk.book.events.exists()


def test_a_market_order_without_a_price_is_refused_and_a_limit_order_waits(desk):
    desk.script.quotes.clear()
    from brokers.models import LatestQuote

    LatestQuote.objects.all().delete()
    with pytest.raises(Rejected) as refused:
        desk.place()
    assert refused.value.code == "no_quote"
    assert desk.place(kind=OrderType.LIMIT, limit_price=D(90)).status == "open"


def test_without_a_source_of_prices_nothing_is_ordered(desk, settings):
    settings.PRACTICE_DATA_KEY_ID = ""
    with pytest.raises(Rejected) as refused:
        desk.place()
    assert refused.value.code == "no_quote_source"
    with pytest.raises(Unavailable):
        desk.broker.get_quote("ACME")


def test_immediate_orders_cancel_what_does_not_fill(desk):
    desk.set_quote("ACME", size="3")
    partly = desk.place(time_in_force=TimeInForce.IOC, quantity="5")
    assert (desk.look(partly).status, desk.look(partly).cum_qty) == ("canceled", D(3))
    desk.set_quote("ACME", size="3")
    nothing = desk.place(time_in_force=TimeInForce.FOK, quantity="5")
    assert (desk.look(nothing).status, desk.look(nothing).cum_qty) == ("canceled", D(0))


def test_a_sell_stop_is_elected_by_the_last_price(desk):
    desk.buy()
    order = desk.place(side=Side.SELL, kind=OrderType.STOP, stop_price=D("95.00"))
    desk.set_quote("ACME", bid="94.90", ask="95.10", last="95.01")
    desk.tick()
    assert desk.look(order).status == "open"
    desk.set_quote("ACME", bid="94.80", ask="94.90", last="94.90")
    desk.tick()
    assert (desk.look(order).status, desk.look(order).avg_px) == ("filled", D("94.80"))


def test_a_trailing_stop_follows_the_high(desk):
    desk.buy()
    order = desk.place(side=Side.SELL, kind=OrderType.TRAILING_STOP, trail_percent=D(5))
    desk.set_quote("ACME", bid="119.90", ask="120.10", last="120.00")
    desk.tick()
    assert desk.look(order).stop_price == D("114.00")
    desk.set_quote("ACME", bid="113.80", ask="113.90", last="113.90")
    desk.tick()
    assert (desk.look(order).status, desk.look(order).avg_px) == ("filled", D("113.80"))


def bracket(desk, **fields):
    return desk.place(
        order_class=OrderClass.BRACKET,
        take_profit=TakeProfit(limit_price=D("110.00")),
        stop_loss=StopLoss(stop_price=D("95.00")),
        **fields,
    )


def test_a_bracket_wakes_its_exits_and_the_filled_one_ends_the_other(desk):
    order = bracket(desk)
    assert [leg.status for leg in order.legs] == ["held", "held"]
    profit, stop = desk.look(order).legs
    assert (desk.look(order).status, profit.status, stop.status) == ("filled", "open", "open")
    assert (profit.order_type, stop.order_type) == ("limit", "stop")
    with pytest.raises(Rejected):
        desk.place(side=Side.SELL, quantity="1")
    desk.set_quote("ACME", bid="110.05", ask="110.10", last="110.05")
    desk.tick()
    profit, stop = desk.look(order).legs
    assert (profit.status, profit.avg_px, stop.status) == ("filled", D("110.05"), "canceled")
    assert desk.position() == D(0)
    assert desk.book.cash == D("10100.30")


def test_a_partly_filled_exit_shrinks_the_other(desk):
    order = bracket(desk)
    desk.set_quote("ACME", bid="110.00", ask="110.10", last="110.00", size="4")
    desk.tick()
    profit, stop = desk.look(order).legs
    assert (profit.cum_qty, stop.quantity, stop.status) == (D(4), D(6), "open")


def test_cancelling_a_resting_bracket_cancels_its_exits(desk):
    order = bracket(desk, kind=OrderType.LIMIT, limit_price=D("99.00"))
    desk.broker.cancel_order(order.broker_order_id)
    ended = desk.look(order)
    assert (ended.status, [leg.status for leg in ended.legs]) == ("canceled", ["canceled", "canceled"])
    with pytest.raises(Rejected):
        desk.broker.cancel_order(order.broker_order_id)


def test_cancelling_a_held_exit_cancels_the_whole_group(desk):
    order = bracket(desk, kind=OrderType.LIMIT, limit_price=D("99.00"))
    desk.broker.cancel_order(order.legs[0].broker_order_id)
    ended = desk.look(order)
    assert (ended.status, [leg.status for leg in ended.legs]) == ("canceled", ["canceled", "canceled"])


def test_an_oco_holds_its_shares_once_and_the_stop_ends_the_take_profit(desk):
    desk.buy()
    order = desk.place(
        side=Side.SELL,
        kind=OrderType.LIMIT,
        order_class=OrderClass.OCO,
        take_profit=TakeProfit(limit_price=D("110.00")),
        stop_loss=StopLoss(stop_price=D("95.00"), limit_price=D("94.00")),
    )
    assert (order.limit_price, order.legs[0].order_type, order.legs[0].status) == (
        D("110.00"),
        "stop_limit",
        "open",
    )
    desk.set_quote("ACME", bid="94.50", ask="94.60", last="94.90")
    desk.tick()
    ended = desk.look(order)
    assert (ended.status, ended.legs[0].status, ended.legs[0].avg_px) == ("canceled", "filled", D("94.50"))
    assert desk.position() == D(0)


def test_an_oto_has_one_exit(desk):
    order = desk.place(order_class=OrderClass.OTO, stop_loss=StopLoss(stop_price=D("95.00")))
    assert [(leg.order_type, leg.status) for leg in desk.look(order).legs] == [("stop", "open")]


def test_replacing_makes_a_new_order_that_keeps_what_was_filled(desk):
    desk.set_quote("ACME", size="4")
    order = desk.place(kind=OrderType.LIMIT, limit_price=D("100.05"), quantity="10")
    new = desk.replace(order, ReplaceRequest(quantity=D(8), limit_price=D("90.00")), client_order_id="second")
    old = desk.look(order)
    assert (old.status, old.replaced_by, old.cum_qty) == ("replaced", new.broker_order_id, D(4))
    assert (new.replaces, new.quantity, new.cum_qty, new.limit_price, new.client_order_id) == (
        order.broker_order_id,
        D(8),
        D(4),
        D("90.00"),
        "second",
    )
    assert kinds(desk) == ["new", "partial_fill", "replaced", "new"]
    with pytest.raises(Rejected):
        desk.replace(order, ReplaceRequest(limit_price=D("91.00")))


def test_replaced_exits_stay_in_their_group(desk):
    order = bracket(desk)
    stop = desk.look(order).legs[1]
    moved = desk.replace(stop, ReplaceRequest(stop_price=D("97.00")))
    desk.set_quote("ACME", bid="96.90", ask="97.00", last="96.95")
    desk.tick()
    assert desk.look(moved).status == "filled"
    assert desk.look(order).legs[0].status == "canceled"
    assert desk.position() == D(0)


@pytest.mark.parametrize(
    "changes",
    [
        ReplaceRequest(quantity=D("2.5")),
        ReplaceRequest(limit_price=D("90.001")),
        ReplaceRequest(stop_price=D("90.00")),
        ReplaceRequest(trail=D(5)),
        ReplaceRequest(time_in_force=TimeInForce.IOC),
        ReplaceRequest(quantity=D(1000)),
    ],
)
def test_bad_replaces_leave_the_order_as_it_is(desk, changes):
    order = desk.place(kind=OrderType.LIMIT, limit_price=D("90.00"))
    with pytest.raises(Rejected):
        desk.replace(order, changes)
    assert desk.look(order).status == "open"
    assert desk.book.orders.count() == 1


def test_unknown_orders_are_not_found(desk):
    for order_id in (str(uuid4()), "nonsense"):
        with pytest.raises(NotFound):
            desk.broker.get_order_status(order_id)
        with pytest.raises(NotFound):
            desk.broker.cancel_order(order_id)
    with pytest.raises(NotFound):
        desk.broker.find_order("nothing")


def test_regular_orders_wait_outside_the_core_session_and_extended_ones_trade(desk):
    desk.script.session = Session.PRE
    from django.core.cache import cache

    cache.clear()
    resting = desk.place(quantity="1")
    trading = desk.place(kind=OrderType.LIMIT, limit_price=D("100.02"), extended_hours=True, quantity="1")
    assert (desk.look(resting).status, desk.look(trading).status) == ("open", "filled")


def test_lists_tell_orders_newest_first_with_nested_legs_and_executions_oldest_first(desk):
    first = desk.buy("1")
    second = bracket(desk, quantity="2")
    orders = desk.broker.list_orders()
    assert [order.broker_order_id for order in orders] == [second.broker_order_id, first.broker_order_id]
    assert [len(order.legs) for order in orders] == [2, 0]
    executions = desk.broker.list_executions()
    assert [(row.broker_order_id, row.last_qty, row.cum_qty) for row in executions] == [
        (first.broker_order_id, D(1), D(1)),
        (second.broker_order_id, D(2), D(2)),
    ]
    assert desk.broker.list_executions(since=datetime.now(UTC) + timedelta(hours=1)) == []
    open_ids = {order.broker_order_id for order in desk.broker.list_orders(open_only=True)}
    assert open_ids == {leg.broker_order_id for leg in desk.look(second).legs}
