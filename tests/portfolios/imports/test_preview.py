import datetime as dt
from decimal import Decimal as D

import pytest

from portfolios.imports import build_preview, read_import, sample_files
from portfolios.imports.samples import SAMPLE_OPENING_CASH
from portfolios.imports.types import BreakKind, CashAdjustment, ProblemCode

EARLY = "The daily file still shows the quantity before this day's trades."
CUT = "The daily file may have cut the fraction of a share off."


@pytest.fixture
def quirks(sample):
    return read_import([sample("quirks-daily.csv"), sample("quirks-trade-log.csv")])


def test_the_quirks_sample_gives_exactly_these_breaks(quirks):
    preview = build_preview(quirks, D("100.00"))
    assert [(b.on.day, b.kind, b.symbol, b.ours, b.theirs, b.explanation) for b in preview.breaks] == [
        (2, BreakKind.CASH, "", D("41.0"), D("54.4"), ""),
        (2, BreakKind.POSITION, "EFXQ", D("5.36"), D("0"), EARLY),
        (3, BreakKind.POSITION, "EFXQ", D("5.36"), D("5"), CUT),
        (4, BreakKind.POSITION, "EFXQ", D("5.36"), D("5"), CUT),
        (7, BreakKind.CASH, "", D("88.3"), D("88.8"), ""),
        (7, BreakKind.POSITION, "EFXQ", D("5.36"), D("5"), CUT),
    ]
    assert (preview.days_checked, preview.cash_break_days, preview.position_break_days) == (5, 2, 4)


def test_the_quirks_sample_ends_with_exactly_this_book(quirks):
    preview = build_preview(quirks, D("100.00"))
    assert (preview.final_cash, preview.logged_cash, preview.realised_pnl) == (
        D("88.3"),
        D("88.8"),
        D("1.70"),
    )
    assert [(p.symbol, p.quantity, p.average_price, p.cost) for p in preview.final_positions] == [
        ("EFXQ", D("5.36"), D("2.5"), D("13.4"))
    ]
    assert [item.trade.line for item in preview.dropped_repeats] == [7, 8]
    assert [trade.line for trade in preview.trades] == [2, 3, 4, 5, 6, 9]
    assert preview.problems == ()


def test_equity_is_ours_where_every_price_is_known(quirks):
    preview = build_preview(quirks, D("100.00"))
    assert [(day.on.day, day.cash, day.ours, day.logged) for day in preview.equity_by_day] == [
        (1, D("54.4"), D("100.2"), D("100.2")),
        (2, D("41.0"), None, D("87.4")),
        (3, D("52.0"), D("100.436"), D("99.5")),
        (4, D("70.0"), D("101.936"), D("101.0")),
        (7, D("88.3"), D("102.772"), D("102.3")),
    ]


def test_an_adjustment_settles_the_cash_it_names(quirks):
    fee = CashAdjustment(dt.date(2025, 7, 7), D("0.50"), "interest")
    preview = build_preview(quirks, D("100.00"), adjustments=[fee])
    assert preview.final_cash == D("88.80")
    assert [b.on.day for b in preview.breaks if b.kind == BreakKind.CASH] == [2]


def test_a_difference_that_stays_points_to_its_first_day(quirks):
    preview = build_preview(quirks, D("99.00"))
    notes = [(b.on.day, b.explanation) for b in preview.breaks if b.kind == BreakKind.CASH]
    assert notes == [
        (1, ""),
        (2, ""),
        (3, ""),
        (4, "The difference is the same as on 2025-07-03."),
        (7, ""),
    ]


def test_the_tolerance_is_half_a_cent(quirks):
    assert build_preview(quirks, D("100.005")).cash_break_days == 2
    assert build_preview(quirks, D("100.0051")).cash_break_days == 5


def test_reading_and_preview_do_not_depend_on_the_order_of_files(sample, quirks):
    swapped = read_import([sample("quirks-trade-log.csv"), sample("quirks-daily.csv")])
    first, second = build_preview(quirks, D("100")), build_preview(swapped, D("100"))
    assert first.breaks == second.breaks
    assert first.file_hash == second.file_hash
    assert [t.source_key for t in first.trades] == [t.source_key for t in second.trades]


def test_daily_rows_alone_are_shown_but_not_checked(sample):
    preview = build_preview(read_import([sample("quirks-daily.csv")]), D("100"))
    assert (preview.breaks, preview.days_checked) == ((), 0)
    assert [p.code for p in preview.problems] == [ProblemCode.NOTHING_TO_CHECK]
    assert preview.equity_by_day[-1].logged == D("102.3")


def test_an_equity_history_checks_cash_only(sample):
    history = b"date,equity,cash\n2025-07-01,100,54.40\n2025-07-03,99,50.00"
    preview = build_preview(read_import([sample("quirks-trade-log.csv"), ("h.csv", history)]), D("100"))
    assert [(b.on.day, b.kind, b.ours, b.theirs) for b in preview.breaks] == [
        (3, BreakKind.CASH, D("52.0"), D("50.00"))
    ]


HOLDINGS = b"Ticker,Shares,Cost Basis,Current Price,Total Value\nEFXQ,5.36,2.5,2.7,14.47\nGHXQ,2,10,11,22"


def test_holdings_beside_a_log_are_compared_to_its_end(sample):
    preview = build_preview(read_import([sample("quirks-trade-log.csv"), ("h.csv", HOLDINGS)]), D("100"))
    assert [(b.on, b.symbol, b.ours, b.theirs) for b in preview.breaks] == [
        (dt.date(2025, 7, 7), "GHXQ", D("0"), D("2"))
    ]
    assert preview.opening_holdings == ()


def test_holdings_alone_become_opening_positions_of_a_day():
    preview = build_preview(read_import([("h.csv", HOLDINGS)]), D("100"), as_of=dt.date(2025, 7, 7))
    assert [(p.symbol, p.quantity, p.average_price) for p in preview.final_positions] == [
        ("EFXQ", D("5.36"), D("2.5")),
        ("GHXQ", D("2"), D("10")),
    ]
    assert len(preview.opening_holdings) == 2
    assert (preview.final_cash, preview.problems) == (D("100"), ())


def test_holdings_alone_need_a_day():
    preview = build_preview(read_import([("h.csv", HOLDINGS)]), D("100"))
    assert preview.final_positions == ()
    assert [p.code for p in preview.problems] == [ProblemCode.HOLDINGS_NOT_DATED]


def test_holdings_without_a_cost_open_at_zero_and_say_so():
    reading = read_import([("h.csv", b"Ticker,Shares,Cost Basis\nEFXQ,5,")])
    preview = build_preview(reading, D("0"), as_of=dt.date(2025, 7, 7))
    assert [(p.quantity, p.cost) for p in preview.final_positions] == [(D("5"), D("0"))]
    assert [p.code for p in preview.problems] == [ProblemCode.NO_PRICE]


@pytest.mark.parametrize("cash", ["NaN", "Infinity"])
def test_opening_cash_must_be_a_number(quirks, cash):
    with pytest.raises(ValueError, match="finite"):
        build_preview(quirks, D(cash))


def test_the_sample_offered_for_download_shows_a_repeat_and_a_break():
    preview = build_preview(read_import(sample_files()), D(SAMPLE_OPENING_CASH))
    assert [item.trade.line for item in preview.dropped_repeats] == [7]
    assert [(b.on.day, b.kind, b.ours, b.theirs) for b in preview.breaks] == [
        (7, BreakKind.CASH, D("871.000"), D("870.5"))
    ]
    assert preview.realised_pnl == D("-4.0")
    assert [(day.ours, day.logged) for day in preview.equity_by_day][:4] == [
        (D("1006.5"), D("1006.5")),
        (D("1007"), D("1007.0")),
        (D("1005"), D("1005.0")),
        (D("1014"), D("1014.0")),
    ]
    assert preview.problems == ()
