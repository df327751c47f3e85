import datetime as dt
from decimal import Decimal as D

from portfolios.calculations import (
    compute_day_pnl,
    compute_equity,
    position_from_lots,
    positions_from_lots,
    value_position,
)
from portfolios.lots import OpenLot

START = dt.datetime(2025, 3, 3, 15, 0, tzinfo=dt.UTC)
LOTS = (
    OpenLot("L1", "ABC", START, D("10"), D("5"), extra_cost=D("1")),
    OpenLot("L2", "ABC", START, D("30"), D("7"), extra_cost=D("1")),
    OpenLot("L3", "XYZ", START, D("-4"), D("20"), extra_cost=D("2")),
)


def test_a_position_adds_its_lots_up():
    position = position_from_lots(LOTS, "ABC")
    assert (position.quantity, position.cost) == (D("40"), D("262"))
    assert (position.average_price, position.average_cost) == (D("6.5"), D("6.55"))


def test_a_short_position_has_negative_quantity_and_cost():
    position = position_from_lots(LOTS, "XYZ")
    assert (position.quantity, position.cost, position.average_price) == (D("-4"), D("-78"), D("20"))


def test_a_flat_position_has_no_average():
    position = position_from_lots((), "ABC")
    assert (position.quantity, position.average_price, position.average_cost) == (D(0), None, None)


def test_positions_come_in_alphabetical_order_without_flat_ones():
    assert list(positions_from_lots(reversed(LOTS))) == ["ABC", "XYZ"]
    assert positions_from_lots(()) == {}


def test_a_long_position_gains_when_the_price_rises():
    value = value_position(position_from_lots(LOTS, "ABC"), mark=D("8"))
    assert (value.market_value, value.unrealised_pnl) == (D("320"), D("58"))
    assert value.unrealised_ratio == D("58") / D("262")


def test_a_short_position_gains_when_the_price_falls():
    value = value_position(position_from_lots(LOTS, "XYZ"), mark=D("15"))
    assert (value.market_value, value.unrealised_pnl) == (D("-60"), D("18"))
    assert value.unrealised_ratio == D("18") / D("78")


def test_shares_without_cost_have_no_ratio():
    free = (OpenLot("L1", "ABC", START, D("10"), D("0")),)
    assert value_position(position_from_lots(free, "ABC"), mark=D("3")).unrealised_ratio is None


def test_day_pnl_of_an_unchanged_position_is_its_price_move():
    assert compute_day_pnl(
        quantity=D("10"), mark=D("5.20"), previous_quantity=D("10"), previous_close=D("5.00")
    ) == D("2.00")


def test_day_pnl_counts_shares_bought_today_from_their_own_price():
    # 10 held at 5.00, 10 more bought at 5.10 with 1.00 commission, now 5.20.
    assert compute_day_pnl(
        quantity=D("20"),
        mark=D("5.20"),
        previous_quantity=D("10"),
        previous_close=D("5.00"),
        cash_delta=D("-52.00"),
    ) == D("2.00")


def test_day_pnl_counts_shares_sold_today_to_their_own_price():
    # 10 held at 5.00, all sold at 5.30, now 4.00: the fall after the sale does not count.
    assert compute_day_pnl(
        quantity=D("0"),
        mark=D("4.00"),
        previous_quantity=D("10"),
        previous_close=D("5.00"),
        cash_delta=D("53.00"),
    ) == D("3.00")


def test_equity_adds_cash_and_positions_of_both_signs():
    quantities = {"ABC": D("10"), "XYZ": D("-4"), "GONE": D("0")}
    assert compute_equity(cash=D("100"), quantities=quantities, marks={"ABC": D("5"), "XYZ": D("20")}) == D(
        "70"
    )


def test_equity_is_unknown_when_a_held_symbol_has_no_price():
    assert compute_equity(cash=D("100"), quantities={"ABC": D("10")}, marks={}) is None
