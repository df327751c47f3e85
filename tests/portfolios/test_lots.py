import datetime as dt
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.enums import Side
from portfolios.lots import (
    Fill,
    LotError,
    LotMethod,
    OpenLot,
    Split,
    SymbolChange,
    apply_fill,
    apply_split,
    apply_symbol_change,
    replay_fills,
)

START = dt.datetime(2025, 3, 3, 15, 0, tzinfo=dt.UTC)


def make_fill(
    exec_id: str,
    side: Side,
    quantity: str,
    price: str,
    *,
    commission: str = "0",
    minute: int = 0,
    symbol: str = "ABC",
    lot_ids: tuple[str, ...] = (),
) -> Fill:
    moment = START + dt.timedelta(minutes=minute)
    return Fill(exec_id, symbol, side, D(quantity), D(price), D(commission), moment, lot_ids)


def buy(exec_id: str, quantity: str, price: str, **options) -> Fill:
    return make_fill(exec_id, Side.BUY, quantity, price, **options)


def sell(exec_id: str, quantity: str, price: str, **options) -> Fill:
    return make_fill(exec_id, Side.SELL, quantity, price, **options)


TWO_LOTS = (
    OpenLot("L1", "ABC", START, D("10"), D("5")),
    OpenLot("L2", "ABC", START + dt.timedelta(minutes=1), D("10"), D("7")),
)


def test_a_purchase_opens_a_lot_and_pays_its_commission():
    result = apply_fill((), buy("e1", "10", "5.25", commission="1.00"))
    assert [(lot.id, lot.quantity, lot.price, lot.cost) for lot in result.lots] == [
        ("e1", D("10"), D("5.25"), D("53.50"))
    ]
    assert result.cash_delta == D("-53.50")
    assert result.closures == ()
    assert result.realised_pnl == 0


def test_fifo_closes_the_oldest_lot_first_and_splits_the_next():
    result = apply_fill(TWO_LOTS, sell("s1", "15", "8"))
    assert [(c.lot_id, c.quantity, c.proceeds, c.cost, c.realised_pnl) for c in result.closures] == [
        ("L1", D("10"), D("80"), D("50"), D("30")),
        ("L2", D("5"), D("40"), D("35"), D("5")),
    ]
    assert [(lot.id, lot.quantity) for lot in result.lots] == [("L2", D("5"))]
    assert result.realised_pnl == D("35")
    assert result.cash_delta == D("120")


def test_fifo_goes_by_opening_time_not_by_the_order_given():
    result = apply_fill(tuple(reversed(TWO_LOTS)), sell("s1", "1", "8"))
    assert result.closures[0].lot_id == "L1"


def test_named_lots_are_closed_in_the_order_named_and_fifo_takes_the_rest():
    fill = sell("s1", "12", "8", lot_ids=("L2",))
    result = apply_fill(TWO_LOTS, fill, method=LotMethod.SPECIFIC)
    assert [(c.lot_id, c.quantity) for c in result.closures] == [("L2", D("10")), ("L1", D("2"))]
    assert result.realised_pnl == D("16")


def test_a_named_lot_that_is_not_open_is_reported_and_fifo_used():
    fill = sell("s1", "3", "8", lot_ids=("gone",))
    result = apply_fill(TWO_LOTS, fill, method=LotMethod.SPECIFIC)
    assert result.unmatched_lot_ids == ("gone",)
    assert [(c.lot_id, c.quantity) for c in result.closures] == [("L1", D("3"))]


def test_a_lot_named_twice_is_closed_once():
    fill = sell("s1", "15", "8", lot_ids=("L2", "L2"))
    result = apply_fill(TWO_LOTS, fill, method=LotMethod.SPECIFIC)
    assert [(c.lot_id, c.quantity) for c in result.closures] == [("L2", D("10")), ("L1", D("5"))]


def test_under_fifo_named_lots_are_ignored():
    assert apply_fill(TWO_LOTS, sell("s1", "3", "8", lot_ids=("L2",))).closures[0].lot_id == "L1"


def test_selling_without_shares_opens_a_short_lot_and_covering_realises_it():
    short = apply_fill((), sell("s1", "10", "8", commission="1"))
    assert short.lots[0].quantity == D("-10")
    assert short.lots[0].cost == D("-79")
    assert short.cash_delta == D("79")
    cover = apply_fill(short.lots, buy("b1", "10", "6", commission="1"))
    assert cover.lots == ()
    assert [(c.proceeds, c.cost, c.realised_pnl) for c in cover.closures] == [(D("79"), D("61"), D("18"))]


def test_one_fill_crosses_zero_and_shares_its_commission():
    long = apply_fill((), buy("b1", "10", "5"))
    result = apply_fill(long.lots, sell("s1", "15", "6", commission="3"))
    assert [(c.quantity, c.proceeds, c.realised_pnl) for c in result.closures] == [
        (D("10"), D("58.00000000"), D("8.00000000"))
    ]
    assert result.opened is not None
    assert (result.opened.quantity, result.opened.extra_cost) == (D("-5"), D("1.00000000"))
    assert result.cash_delta == D("87")


def test_closing_a_lot_in_thirds_uses_up_its_commission_exactly():
    lots = apply_fill((), buy("b1", "3", "10", commission="1")).lots
    costs = []
    for number in range(3):
        result = apply_fill(lots, sell(f"s{number}", "1", "10", minute=number + 1))
        lots = result.lots
        costs.append(result.closures[0].cost)
    assert costs == [D("10.33333333"), D("10.33333334"), D("10.33333333")]
    assert sum(costs) == D("31")
    assert lots == ()


def test_other_symbols_pass_through():
    other = OpenLot("X", "XYZ", START, D("4"), D("9"))
    result = apply_fill((*TWO_LOTS, other), sell("s1", "20", "8"))
    assert result.lots == (other,)


def test_three_for_one_split_keeps_the_cost():
    lots = apply_fill((), buy("b1", "10", "9", commission="1")).lots
    split = apply_split(lots, Split("ABC", D(3), D(1), START))
    assert [(lot.quantity, lot.price, lot.cost) for lot in split] == [(D("30"), D("3"), D("91"))]


def test_a_reverse_split_that_does_not_divide_keeps_the_cost_and_the_fraction():
    lots = apply_fill((), buy("b1", "10", "1")).lots
    (lot,) = apply_split(lots, Split("ABC", D(1), D(3), START))
    assert (lot.quantity, lot.price, lot.cost) == (D("3.333333333"), D("3.000000000"), D("10"))


@pytest.mark.parametrize(("numerator", "denominator"), [("0", "1"), ("1", "0"), ("-2", "1")])
def test_a_split_needs_a_positive_ratio(numerator, denominator):
    with pytest.raises(LotError):
        apply_split(TWO_LOTS, Split("ABC", D(numerator), D(denominator), START))


def test_a_split_that_leaves_no_share_is_refused():
    lots = (OpenLot("L1", "ABC", START, D("0.000000001"), D("5")),)
    with pytest.raises(LotError, match="cost would be lost"):
        apply_split(lots, Split("ABC", D(1), D(10), START))


def test_a_symbol_change_keeps_dates_and_costs():
    renamed = apply_symbol_change(TWO_LOTS, SymbolChange("ABC", "NEW", START))
    assert [(lot.id, lot.symbol, lot.opened_at, lot.cost) for lot in renamed] == [
        ("L1", "NEW", TWO_LOTS[0].opened_at, D("50")),
        ("L2", "NEW", TWO_LOTS[1].opened_at, D("70")),
    ]


def test_replay_applies_corporate_actions_in_time():
    fills = [buy("b1", "10", "9"), sell("s1", "30", "4", minute=2, symbol="NEW")]
    actions = [
        Split("ABC", D(3), D(1), START + dt.timedelta(minutes=1)),
        SymbolChange("ABC", "NEW", START + dt.timedelta(minutes=1)),
    ]
    result = replay_fills((), fills, actions=actions)
    assert result.lots == ()
    assert result.realised_pnl == D("30")


def test_replay_counts_a_repeated_execution_once():
    fill = buy("b1", "10", "9")
    assert replay_fills((), [fill, fill]).cash_delta == D("-90")


def test_replay_refuses_one_execution_with_two_contents():
    with pytest.raises(LotError, match="b1"):
        replay_fills((), [buy("b1", "10", "9"), buy("b1", "11", "9")])


@pytest.mark.parametrize(
    ("field", "value"),
    [("quantity", "0"), ("quantity", "-1"), ("quantity", "NaN"), ("price", "-1"), ("price", "Infinity")],
)
def test_a_fill_refuses_impossible_numbers(field, value):
    numbers = {"quantity": "1", "price": "1", field: value}
    with pytest.raises(LotError, match=field):
        make_fill("e1", Side.BUY, numbers["quantity"], numbers["price"])


def test_a_fill_needs_a_time_zone():
    with pytest.raises(LotError, match="time zone"):
        Fill("e1", "ABC", Side.BUY, D(1), D(1), D(0), dt.datetime(2025, 3, 3))  # noqa: DTZ001


quantities = st.decimals("0.000000001", "5000", places=9, allow_nan=False)
prices = st.decimals("0.0001", "2000", places=6, allow_nan=False)
commissions = st.decimals("0", "20", places=4, allow_nan=False)


@st.composite
def histories(draw, *, same_time: bool = False) -> list[Fill]:
    rows = draw(
        st.lists(st.tuples(st.sampled_from(Side), quantities, prices, commissions), min_size=1, max_size=12)
    )
    return [
        Fill(
            f"e{n:03}",
            "ABC",
            side,
            quantity,
            price,
            commission,
            START + dt.timedelta(minutes=0 if same_time else n),
        )
        for n, (side, quantity, price, commission) in enumerate(rows)
    ]


@given(histories(), prices)
def test_realised_plus_unrealised_equals_cash_plus_market_value(fills, mark):
    result = replay_fills((), fills)
    unrealised = sum((lot.quantity * mark - lot.cost for lot in result.lots), D(0))
    value = sum((lot.quantity * mark for lot in result.lots), D(0))
    assert result.realised_pnl + unrealised == result.cash_delta + value


@given(histories(same_time=True), st.randoms())
def test_any_order_of_same_time_fills_conserves_quantity_and_cash(fills, random):
    expected_quantity = sum((fill.signed_quantity for fill in fills), D(0))
    expected_cash = sum((fill.cash_delta for fill in fills), D(0))
    shuffled = list(fills)
    random.shuffle(shuffled)
    lots: tuple[OpenLot, ...] = ()
    cash = D(0)
    for fill in shuffled:
        result = apply_fill(lots, fill)
        lots, cash = result.lots, cash + result.cash_delta
    assert sum((lot.quantity for lot in lots), D(0)) == expected_quantity
    assert cash == expected_cash
    assert len({lot.quantity > 0 for lot in lots}) <= 1


@given(histories(same_time=True), st.randoms())
def test_replay_does_not_depend_on_the_order_fills_arrive_in(fills, random):
    shuffled = list(fills)
    random.shuffle(shuffled)
    assert replay_fills((), shuffled) == replay_fills((), fills)


@given(histories(), st.data())
def test_replay_after_a_bust_equals_never_having_had_the_fill(fills, data):
    victim = data.draw(st.sampled_from(fills))
    without = [fill for fill in fills if fill is not victim]
    assert replay_fills((), fills, busted=frozenset({victim.exec_id})) == replay_fills((), without)
