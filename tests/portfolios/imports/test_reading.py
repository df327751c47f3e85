import datetime as dt
from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from brokers.enums import Side
from portfolios.imports import read_import
from portfolios.imports.types import CostBasisKind, FileKind, ProblemCode, Severity

TRADE_HEADER = "Date,Ticker,Shares Bought,Buy Price,Cost Basis,PnL,Reason,Shares Sold,Sell Price"
DAILY_HEADER = (
    "Date,Ticker,Shares,Buy Price,Cost Basis,Stop Loss,Current Price,Total Value,PnL,Action,"
    "Cash Balance,Total Equity"
)


def read_text(*lines: str, name: str = "file.csv"):
    return read_import([(name, "\n".join(lines).encode())])


def codes(reading) -> list[tuple[ProblemCode, int | None]]:
    return [(problem.code, problem.line) for problem in reading.problems]


def test_a_purchase_and_a_sale_of_a_trade_log():
    reading = read_text(
        TRADE_HEADER,
        "2025-07-01,ABXQ,6.0,5.25,31.5,0.0,MANUAL BUY - New position,,",
        "2025-07-02,abxq,,,15.75,2.25,MANUAL SELL LIMIT - ,3.0,6.0",
    )
    bought, sold = reading.trades
    assert (bought.on, bought.symbol, bought.side, bought.quantity, bought.price, bought.line) == (
        dt.date(2025, 7, 1),
        "ABXQ",
        Side.BUY,
        D("6.0"),
        D("5.25"),
        2,
    )
    assert (sold.symbol, sold.side, sold.quantity, sold.price, sold.pnl, sold.sequence) == (
        "ABXQ",
        Side.SELL,
        D("3.0"),
        D("6.0"),
        D("2.25"),
        1,
    )
    assert reading.files[0].kind == FileKind.TRADE_LOG
    assert reading.files[0].rows_read == 2
    assert reading.problems == ()


def test_an_early_log_with_crlf_gives_cost_per_share(sample):
    reading = read_import([sample("early-trade-log-crlf.csv"), sample("early-portfolio-crlf.csv")])
    assert [trade.cost_basis.kind for trade in reading.trades] == [CostBasisKind.PER_SHARE] * 2
    assert [trade.cost_basis.total for trade in reading.trades] == [D("31.5"), D("28.5")]
    assert reading.trades[1].reason == "MANUAL SELL - Rotated, into ABXQ"
    assert reading.positions[0].cost_basis.total == D("31.5")
    assert reading.positions[0].buy_price is None
    assert (reading.totals[0].cash, reading.totals[0].equity) == (D("68.5"), D("100.3"))
    assert reading.problems == ()


def test_bad_rows_are_named_by_line_and_the_others_read():
    reading = read_text(
        TRADE_HEADER,
        "2025-07-01,ABXQ,-6,5.25,31.5,0,x,,",
        "2025-07-01,ABXQ,NaN,5.25,31.5,0,x,,",
        "2025-07-01,ABXQ,6,Infinity,31.5,0,x,,",
        "2025-07-01,=cmd|' /C calc'!A0,6,5.25,31.5,0,x,,",
        "2025-07-01,ABXQ,=1+1,5.25,31.5,0,x,,",
        "31/12/2025,ABXQ,6,5.25,31.5,0,x,,",
        "2025-07-01,ABXQ,,,,0,x,,",
        "2025-07-01,ABXQ,6,,31.5,0,x,,",
        "2025-07-01,ABXQ,6,0,31.5,0,x,,",
        "2025-07-01,ABXQ,6,5.25,31.5,0,x,3,6",
        "2025-07-01,ABXQ,6,5.25,31.5,0,x,,,surplus",
        "2025-07-01,ABXQ,6,5.25,31.5,0,=HYPERLINK(1),,",
    )
    assert codes(reading) == [(ProblemCode.CELL_INVALID, line) for line in range(2, 13)]
    assert {problem.severity for problem in reading.problems} == {Severity.ERROR}
    assert all(problem.message.endswith("The row was left out.") for problem in reading.problems)
    (kept,) = reading.trades
    assert (kept.line, kept.reason) == (13, "=HYPERLINK(1)")
    assert reading.has_errors


def test_short_rows_have_empty_cells():
    assert read_text(TRADE_HEADER, "2025-07-01,ABXQ,6,5.25").trades[0].cost_basis is None


def test_a_trade_log_without_sell_columns_holds_purchases():
    reading = read_text(
        "Date,Ticker,Shares Bought,Buy Price,Cost Basis,PnL,Reason",
        "2025-09-05,ABXQ,3.0,647.24,1941.72,0.0,AUTO BUY - signal",
    )
    assert [(t.side, t.quantity, t.cost_basis.total) for t in reading.trades] == [
        (Side.BUY, D(3), D("1941.72"))
    ]


def test_an_unclear_cost_is_a_warning_and_the_trade_is_kept():
    reading = read_text(TRADE_HEADER, "2025-07-01,ABXQ,6.0,5.25,77,0.0,x,,")
    assert codes(reading) == [(ProblemCode.COST_BASIS_UNCLEAR, 2)]
    assert len(reading.trades) == 1
    assert not reading.has_errors


def test_daily_rows_with_stop_no_data_and_sold():
    reading = read_text(
        DAILY_HEADER,
        "2025-07-01,ABXQ,6.0,5.25,31.5,0.0,5.3,31.8,0.3,HOLD,, ",
        "2025-07-01,CDXQ,10.0,1.41,14.1,1.1,,,,NO DATA,,",
        "2025-07-01,EFXQ,5.0,2.5,12.5,2.0,2.0,10.0,-2.5,SELL - Stop Loss Triggered,,",
        "2025-07-01,TOTAL,,,,,,31.8,-0.2,,54.4,86.2",
    )
    held, no_data, sold = reading.positions
    assert (held.stop_loss, held.price, held.is_sold) == (None, D("5.3"), False)
    assert (no_data.price, no_data.value, no_data.quantity, no_data.is_sold) == (None, None, D("10.0"), False)
    assert (sold.is_sold, sold.stop_loss) == (True, D("2.0"))
    assert [(t.value, t.cash, t.equity, t.lists_positions) for t in reading.totals] == [
        (D("31.8"), D("54.4"), D("86.2"), True)
    ]
    assert reading.problems == ()


def test_a_tracker_run_twice_a_day_counts_its_last_rows():
    reading = read_text(
        "Timestamp,Ticker,Shares,Current Price,Cash Balance,Total Equity",
        "2025-07-01 10:00:00,ABXQ,6,5.00,,",
        "2025-07-01 10:00:00,TOTAL,,,50,80",
        "2025-07-01 16:00:00,ABXQ,5,5.30,,",
        "2025-07-01 16:00:00,TOTAL,,,54.4,86.2",
    )
    assert [(row.quantity, row.line) for row in reading.positions] == [(D("5"), 4)]
    assert [(row.cash, row.line) for row in reading.totals] == [(D("54.4"), 5)]
    assert codes(reading) == [(ProblemCode.REPEATED_DAILY_ROW, 4), (ProblemCode.REPEATED_DAILY_ROW, 5)]


def test_an_order_journal_gives_its_executed_orders():
    reading = read_text(
        "date,ticker,action,order_type,shares,limit_price,executed_price,stop_loss,cost_basis,PnL,rationale,"
        "confidence,status,reason",
        "2025-07-01,ABXQ,b,LIMIT,6,5.50,5.25,4.5,31.5,,thesis,0.7,FILLED,",
        "2025-07-02,ABXQ,u,UPDATE,0,,,5.0,,,raise stop,0.7,FILLED,",
        "2025-07-02,CDXQ,b,LIMIT,6,5.50,,,,,thesis,0.7,FAILED,limit not met",
        "2025-07-03,ABXQ,s,MARKET,6,,6.0,,31.5,4.5,,0.7,FILLED,",
        "2025-07-03,ABXQ,x,MARKET,6,,6.0,,31.5,4.5,,0.7,FILLED,",
    )
    assert [(t.side, t.quantity, t.price, t.stop_loss, t.reason) for t in reading.trades] == [
        (Side.BUY, D(6), D("5.25"), D("4.5"), "thesis"),
        (Side.SELL, D(6), D("6.0"), None, ""),
    ]
    assert codes(reading) == [(ProblemCode.NOT_EXECUTED, 4), (ProblemCode.CELL_INVALID, 6)]
    assert "“FAILED”" in reading.problems[0].message


def test_an_order_log_without_prices_is_read_but_says_it_cannot_be_booked():
    reading = read_text(
        "Date,Ticker,Shares,Side,Reason,Timestamp,OrderStatus,OrderId,ClientOrderId,BudgetVirtualEquity",
        "2025-07-01,ABXQ,6,buy,signal,2025-07-01T14:00:00,OrderStatus.FILLED,o-1,c-1,100",
        "2025-07-01,ABXQ,6,sell,signal,2025-07-01T15:00:00,OrderStatus.CANCELED,o-2,c-2,100",
    )
    assert [(t.side, t.price, t.broker_order_id) for t in reading.trades] == [(Side.BUY, None, "o-1")]
    assert codes(reading) == [(ProblemCode.NO_PRICE, 2), (ProblemCode.NOT_EXECUTED, 3)]


def test_equity_and_position_histories():
    equity = read_text(
        "date,equity,cash,positions_value,daily_return_pct,overall_return_pct", "2025-07-01,100,54.4,45.6,,"
    )
    assert [(t.cash, t.equity, t.value, t.lists_positions) for t in equity.totals] == [
        (D("54.4"), D("100"), D("45.6"), False)
    ]
    history = read_text(
        "date,ticker,shares,avg_cost,stop_loss,market_price,market_value,unrealized_pnl",
        "2025-07-01,ABXQ,6,5.25,0,5.3,31.8,0.3",
    )
    assert [(p.quantity, p.buy_price, p.price, p.stop_loss) for p in history.positions] == [
        (D("6"), D("5.25"), D("5.3"), None)
    ]


def test_holdings_in_their_three_forms():
    full = read_text(
        "ticker,shares,buy_price,cost_basis,stop_loss,market_price,market_value,unrealized_pnl",
        "ABXQ,6,5.25,31.5,4.5,5.3,31.8,0.3",
    )
    stock = read_text("Stock,Quantity,Buy_Price,Current_Price", 'ABXQ,"1,000",$5.25,5.30')
    plain = read_text(
        "Ticker,Shares,Cost Basis,Current Price,Total Value", "ABXQ,6,5.25,5.3,31.8", "TOTAL,,,,31.8"
    )
    assert [(h.quantity, h.buy_price, h.cost_basis.total) for h in full.holdings] == [
        (D(6), D("5.25"), D("31.5"))
    ]
    assert [(h.quantity, h.buy_price, h.cost_basis) for h in stock.holdings] == [(D(1000), D("5.25"), None)]
    assert [(h.buy_price, h.cost_basis.total) for h in plain.holdings] == [(None, D("31.50"))]


def test_keys_are_stable_and_number_identical_rows():
    line = "2025-07-01,ABXQ,6.0,5.25,31.5,0.0,x,,"
    first = read_text(TRADE_HEADER, line, line)
    keys = [trade.source_key for trade in first.trades]
    assert len(set(keys)) == 2
    assert [t.source_key for t in read_text(TRADE_HEADER, line, line, name="other.csv").trades] == keys
    grown = read_text(TRADE_HEADER, "2025-07-01,ABXQ,6,5.2500,31.50,0,another reason,,", line, line)
    assert [t.source_key for t in grown.trades][:2] == keys


def test_the_same_file_twice_counts_once():
    data = f"{TRADE_HEADER}\n2025-07-01,ABXQ,6.0,5.25,31.5,0.0,x,,\n".encode()
    once, twice = read_import([("a.csv", data)]), read_import([("a.csv", data), ("b.csv", data)])
    assert [t.source_key for t in twice.trades] == [t.source_key for t in once.trades]
    assert twice.file_hash == once.file_hash
    assert codes(twice) == [(ProblemCode.ALREADY_IN_OTHER_FILE, None)]


def test_an_older_and_a_newer_log_overlap():
    old, new = "2025-07-01,ABXQ,6.0,5.25,31.5,0.0,x,,", "2025-07-02,CDXQ,6.0,5.25,31.5,0.0,x,,"
    reading = read_import(
        [
            ("new.csv", "\n".join([TRADE_HEADER, old, new]).encode()),
            ("old.csv", f"{TRADE_HEADER}\n{old}".encode()),
        ]
    )
    assert [trade.symbol for trade in reading.trades] == ["ABXQ", "CDXQ"]


def test_trades_of_several_files_are_booked_by_day_then_as_written():
    reading = read_import(
        [
            (
                "late.csv",
                f"{TRADE_HEADER}\n2025-07-02,BBXQ,1,1,1,0,x,,\n2025-07-01,CCXQ,1,1,1,0,x,,".encode(),
            ),
            ("early.csv", f"{TRADE_HEADER}\n2025-07-01,AAXQ,1,1,1,0,x,,".encode()),
        ]
    )
    assert [(t.symbol, t.sequence) for t in reading.trades] == [("CCXQ", 0), ("AAXQ", 1), ("BBXQ", 2)]


def test_an_unreadable_file_does_not_stop_the_others():
    good = f"{TRADE_HEADER}\n2025-07-01,ABXQ,6.0,5.25,31.5,0.0,x,,".encode()
    reading = read_import(
        [("picture.png", b"\x89PNG\x00"), ("notes.csv", b"Name,Mail\na,b"), ("log.csv", good)]
    )
    assert [file.kind for file in reading.files] == [
        FileKind.UNREADABLE,
        FileKind.UNREADABLE,
        FileKind.TRADE_LOG,
    ]
    assert [(p.code, p.file) for p in reading.problems] == [
        (ProblemCode.FILE_NOT_TEXT, "picture.png"),
        (ProblemCode.COLUMNS_UNKNOWN, "notes.csv"),
    ]
    assert len(reading.trades) == 1


def test_latin_1_text_is_read_with_a_warning():
    data = f"{TRADE_HEADER}\n2025-07-01,ABXQ,6.0,5.25,31.5,0.0,café,,".encode("latin-1")
    reading = read_import([("a.csv", data)])
    assert reading.trades[0].reason == "café"
    assert codes(reading) == [(ProblemCode.ENCODING_ASSUMED, None)]


def test_semicolons_separate_cells_but_decimal_commas_are_refused():
    header = TRADE_HEADER.replace(",", ";")
    reading = read_text(header, "2025-07-01;ABXQ;6;5.25;31.5;0;x;;", "2025-07-01;ABXQ;6;1,234;31.5;0;x;;")
    assert [trade.price for trade in reading.trades] == [D("5.25")]
    assert codes(reading) == [(ProblemCode.CELL_INVALID, 3)]


def test_no_files_give_an_empty_reading():
    reading = read_import([])
    assert (reading.files, reading.trades, reading.problems) == ((), (), ())


@given(st.binary(max_size=300))
def test_any_bytes_are_answered_not_raised(data):
    reading = read_import([("any.csv", data)])
    assert reading.trades == ()
    assert reading.problems


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=12))
def test_any_cells_under_a_known_header_are_answered_not_raised(cells):
    row = ",".join(cell.replace(",", " ").replace('"', "'") for cell in cells)
    reading = read_text(TRADE_HEADER, row)
    assert all(trade.quantity > 0 and trade.price > 0 for trade in reading.trades)
