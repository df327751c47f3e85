import datetime as dt
from decimal import Decimal as D

import pytest

from portfolios.imports import read_import
from portfolios.imports.replay import drop_false_repeats, replay_trades, to_fill
from portfolios.imports.types import CashAdjustment, ProblemCode, TradeRow

HEADER = "Date,Ticker,Shares Bought,Buy Price,Cost Basis,PnL,Reason,Shares Sold,Sell Price"


def make_trades(*lines: str) -> tuple[TradeRow, ...]:
    """Rows like ``1 buy 6 @ 5.25``: day of July 2025, side, shares, price."""
    rows = []
    for line in lines:
        day, side, shares, _, price = line.split()
        rows.append(
            f"2025-07-{int(day):02},ABXQ,{shares},{price},,0,x,,"
            if side == "buy"
            else f"2025-07-{int(day):02},ABXQ,,,,,x,{shares},{price}"
        )
    reading = read_import([("log.csv", "\n".join([HEADER, *rows]).encode())])
    assert reading.problems == ()
    return reading.trades


def dropped_lines(*lines: str) -> list[tuple[int, int]]:
    return [(item.trade.line, item.repeats_line) for item in drop_false_repeats(make_trades(*lines)).dropped]


def test_a_repeat_that_oversells_is_dropped_and_named():
    report = drop_false_repeats(
        make_trades("1 buy 8 @ 2", "2 sell 2 @ 2.25", "2 sell 2 @ 2.25", "3 sell 6 @ 2")
    )
    (dropped,) = report.dropped
    assert (dropped.trade.line, dropped.repeats_line) == (4, 3)
    assert dropped.message == (
        "Line 4: sale of 2 ABXQ at 2.25 on 2025-07-02 repeats line 3 cell by cell, "
        "and with both the log sells more than was held. Left out."
    )
    assert [trade.line for trade in report.trades] == [2, 3, 5]
    assert report.problems == ()


def test_three_copies_lose_two_when_a_later_sale_needs_the_shares():
    assert dropped_lines("1 buy 6 @ 5", "2 sell 3 @ 6", "2 sell 3 @ 6", "2 sell 3 @ 6", "3 sell 3 @ 6.1") == [
        (4, 3),
        (5, 3),
    ]


def test_a_repeat_that_can_be_real_is_kept_and_named():
    report = drop_false_repeats(
        make_trades("1 buy 8 @ 2", "2 sell 2 @ 2.25", "2 sell 2 @ 2.25", "3 sell 4 @ 2")
    )
    assert report.dropped == ()
    assert [(problem.code, problem.line) for problem in report.problems] == [(ProblemCode.POSSIBLE_REPEAT, 4)]


def test_a_repeated_purchase_is_never_dropped():
    report = drop_false_repeats(make_trades("1 buy 8 @ 2", "1 buy 8 @ 2"))
    assert len(report.trades) == 2
    assert [problem.code for problem in report.problems] == [ProblemCode.POSSIBLE_REPEAT]


def test_overselling_without_a_repeat_drops_nothing():
    assert dropped_lines("1 buy 5 @ 2", "2 sell 6 @ 2") == []


def test_a_similar_row_is_no_repeat():
    assert dropped_lines("1 buy 3 @ 2", "2 sell 3 @ 2", "2 sell 3 @ 2.01") == []


def test_repeats_that_cannot_cover_the_shortfall_are_kept():
    assert dropped_lines("1 buy 10 @ 2", "2 sell 1 @ 2", "2 sell 1 @ 2", "3 sell 50 @ 2") == []


def test_after_a_missing_purchase_only_further_overselling_drops_repeats():
    # The log began late: being 3 short is a fact of the file, selling 3 more by a repeated row is not.
    assert dropped_lines("1 sell 3 @ 2", "1 sell 3 @ 2") == [(3, 2)]


def test_only_as_many_repeats_go_as_are_needed():
    lines = ["1 buy 4 @ 2", "2 sell 1 @ 2", "2 sell 1 @ 2", "2 sell 1 @ 2", "3 sell 2 @ 2"]
    assert dropped_lines(*lines) == [(5, 3)]


def test_replay_gives_cash_shares_and_realised_pnl_day_by_day():
    book = replay_trades(make_trades("1 buy 6 @ 5", "1 buy 2 @ 7", "3 sell 7 @ 8"), opening_cash=D("100"))
    assert [(day.on.day, day.cash, day.quantities) for day in book.days] == [
        (1, D("56"), {"ABXQ": D("8")}),
        (3, D("112"), {"ABXQ": D("1")}),
    ]
    assert book.realised_pnl == D("19")
    assert [(lot.quantity, lot.price) for lot in book.lots] == [(D("1"), D("7"))]
    assert book.problems == ()


def test_cash_adjustments_count_from_their_day():
    adjustments = [CashAdjustment(dt.date(2025, 7, 2), D("-9.30"), "fee")]
    book = replay_trades(
        make_trades("1 buy 6 @ 5", "3 sell 6 @ 5"), opening_cash=D("100"), adjustments=adjustments
    )
    assert [(day.on.day, day.cash) for day in book.days] == [(1, D("70")), (2, D("60.70")), (3, D("90.70"))]


def test_selling_more_than_held_goes_short_and_is_reported():
    book = replay_trades(make_trades("1 buy 5 @ 2", "2 sell 6 @ 3"), opening_cash=D("0"))
    assert [(problem.code, problem.line) for problem in book.problems] == [(ProblemCode.OVERSOLD, 3)]
    assert "Sells 6 ABXQ while the log has 5 held by then." in book.problems[0].message
    assert book.days[-1].quantities == {"ABXQ": D("-1")}
    assert book.cash == D("8")


def test_a_trade_becomes_a_fill_with_its_key_and_moment():
    (trade,) = make_trades("1 buy 6 @ 5.25")
    fill = to_fill(trade)
    assert (fill.exec_id, fill.quantity, fill.price, fill.commission) == (
        trade.source_key,
        D(6),
        D("5.25"),
        D(0),
    )
    assert fill.occurred_at == dt.datetime(2025, 7, 1, 20, 0, tzinfo=dt.UTC)


def test_a_trade_without_price_is_no_fill():
    reading = read_import([("o.csv", b"Date,Ticker,Shares,Side\n2025-07-01,ABXQ,6,buy")])
    with pytest.raises(ValueError, match="without a price"):
        to_fill(reading.trades[0])
    assert replay_trades(reading.trades, opening_cash=D("5")).cash == D("5")
