import datetime as dt
from decimal import Decimal as D

import pytest

from portfolios.imports import quirks
from portfolios.imports.types import CostBasis, CostBasisKind

TOTAL, PER_SHARE = CostBasisKind.TOTAL, CostBasisKind.PER_SHARE
UNCLEAR = CostBasis(CostBasisKind.UNCLEAR, None)


def test_a_portfolio_row_without_buy_price_gives_cost_per_share():
    assert quirks.read_position_cost_basis(D("5.25"), quantity=D("6"), buy_price=None) == CostBasis(
        PER_SHARE, D("31.50")
    )


def test_a_portfolio_row_with_buy_price_gives_total_cost():
    assert quirks.read_position_cost_basis(D("31.5"), quantity=D("6"), buy_price=D("5.25")) == CostBasis(
        TOTAL, D("31.5")
    )


def test_a_portfolio_row_with_cut_shares_still_gives_total_cost():
    # 5.36 shares were bought for 13.40, the row says 5.0 shares.
    assert quirks.read_position_cost_basis(D("13.4"), quantity=D("5.0"), buy_price=D("2.5")) == CostBasis(
        TOTAL, D("13.4")
    )


@pytest.mark.parametrize(("value", "kind"), [("31.5", TOTAL), ("5.25", PER_SHARE)])
def test_a_purchase_tells_by_its_price_which_cost_it_gives(value, kind):
    found = quirks.read_buy_cost_basis(D(value), quantity=D("6"), price=D("5.25"))
    assert found == CostBasis(kind, D("31.5"))


@pytest.mark.parametrize(("value", "kind"), [("14.1", TOTAL), ("1.41", PER_SHARE)])
def test_a_sale_tells_by_its_pnl_which_cost_it_gives(value, kind):
    found = quirks.read_sell_cost_basis(D(value), quantity=D("10"), price=D("1.1"), pnl=D("-3.1"))
    assert found == CostBasis(kind, D("14.1"))


def test_a_sale_without_pnl_and_a_cost_that_fits_nothing_are_unclear():
    assert quirks.read_sell_cost_basis(D("14.1"), quantity=D("10"), price=D("1.1"), pnl=None) == UNCLEAR
    assert quirks.read_buy_cost_basis(D("99"), quantity=D("6"), price=D("5.25")) == UNCLEAR


def test_one_share_costs_the_same_either_way():
    assert quirks.read_buy_cost_basis(D("5"), quantity=D("1"), price=D("5")) == CostBasis(TOTAL, D("5"))


def test_an_empty_cost_is_none():
    assert quirks.read_position_cost_basis(None, quantity=D("6"), buy_price=None) is None
    assert quirks.read_buy_cost_basis(None, quantity=D("6"), price=D("5")) is None
    assert quirks.read_sell_cost_basis(None, quantity=D("6"), price=D("5"), pnl=D("1")) is None


@pytest.mark.parametrize(
    ("value", "stop"), [("0.0", None), (None, None), ("4.5", D("4.5")), ("999", D("999"))]
)
def test_a_stop_of_zero_is_none_and_a_high_one_is_kept(value, stop):
    assert quirks.read_stop_loss(None if value is None else D(value)) == stop


@pytest.mark.parametrize(
    ("action", "sold"),
    [("SELL - Stop Loss Triggered", True), ("sell", True), ("HOLD", False), ("", False), ("NO DATA", False)],
)
def test_only_sell_rows_are_sold(action, sold):
    assert quirks.is_sold_row(action) is sold


@pytest.mark.parametrize(
    ("ticker", "total"), [("TOTAL", True), (" total ", True), ("TOT", False), ("", False)]
)
def test_the_total_row_is_known_by_its_ticker(ticker, total):
    assert quirks.is_total_row(ticker) is total


@pytest.mark.parametrize(
    ("ours", "theirs", "cut"),
    [
        ("5.36", "5.0", True),
        ("0.36", "0", True),
        ("5.0", "5", False),
        ("5.36", "6", False),
        ("6", "5", False),
    ],
)
def test_cut_shares_are_the_whole_part_of_ours(ours, theirs, cut):
    assert quirks.looks_cut_to_whole_shares(D(ours), D(theirs)) is cut


def test_a_trade_logged_early_leaves_yesterdays_quantity():
    assert quirks.looks_logged_early({}, "ABXQ", D("20"), D("0"))
    assert quirks.looks_logged_early({"ABXQ": D("6")}, "ABXQ", D("3"), D("6"))
    assert not quirks.looks_logged_early({"ABXQ": D("6")}, "ABXQ", D("3"), D("5"))
    assert not quirks.looks_logged_early({"ABXQ": D("6")}, "ABXQ", D("6"), D("6"))


def test_trades_get_the_close_in_new_york_and_keep_their_order():
    assert quirks.trade_moment(dt.date(2025, 7, 1), 0) == dt.datetime(2025, 7, 1, 20, 0, tzinfo=dt.UTC)
    assert quirks.trade_moment(dt.date(2025, 12, 1), 3) == dt.datetime(
        2025, 12, 1, 21, 0, 0, 3, tzinfo=dt.UTC
    )


def test_a_holiday_is_a_day_like_any_other():
    assert quirks.trade_moment(dt.date(2025, 7, 4), 0) == dt.datetime(2025, 7, 4, 20, 0, tzinfo=dt.UTC)
