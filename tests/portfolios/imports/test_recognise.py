import random

import pytest

from portfolios.imports.decode import UnreadableFile
from portfolios.imports.recognise import recognise
from portfolios.imports.types import FileKind, ProblemCode

DAILY = (
    "Date,Ticker,Shares,Cost Basis,Stop Loss,Current Price,Total Value,PnL,Action,Cash Balance,Total Equity"
)
ORDER_LOG = "Date,Ticker,Shares,Side,Reason,Timestamp,OrderStatus,OrderId,ClientOrderId,BudgetVirtualEquity"
JOURNAL = (
    "date,ticker,action,order_type,shares,limit_price,executed_price,stop_loss,cost_basis,PnL,"
    "rationale,confidence,status,reason"
)
HISTORY = "date,ticker,shares,avg_cost,stop_loss,market_price,market_value,unrealized_pnl"
HOLDINGS = "ticker,shares,buy_price,cost_basis,stop_loss,market_price,market_value,unrealized_pnl"
HEADERS = [
    (DAILY, FileKind.DAILY_UPDATES),
    (DAILY.replace("Shares,", "Shares,Buy Price,"), FileKind.DAILY_UPDATES),
    (f"{DAILY},Buy Price", FileKind.DAILY_UPDATES),
    (f"Timestamp,{DAILY}", FileKind.DAILY_UPDATES),
    ("Timestamp,Ticker,Shares,Current Price,Cash Balance,Total Equity", FileKind.DAILY_UPDATES),
    ("Date,Ticker,Shares Bought,Buy Price,Cost Basis,PnL,Reason,Shares Sold,Sell Price", FileKind.TRADE_LOG),
    ("Date,Ticker,Shares Bought,Buy Price,Cost Basis,PnL,Reason", FileKind.TRADE_LOG),
    (ORDER_LOG, FileKind.ORDER_LOG),
    (JOURNAL, FileKind.ORDER_JOURNAL),
    (HISTORY, FileKind.POSITION_HISTORY),
    (HOLDINGS, FileKind.HOLDINGS),
    ("date,equity,cash,positions_value,daily_return_pct,overall_return_pct", FileKind.EQUITY_HISTORY),
    ("Stock,Quantity,Buy_Price,Current_Price", FileKind.HOLDINGS),
    ("Ticker,Shares,Cost Basis,Current Price,Total Value", FileKind.HOLDINGS),
]


@pytest.mark.parametrize(("header", "kind"), HEADERS)
def test_each_variant_is_recognised(header, kind):
    assert recognise(tuple(header.split(","))).kind == kind


@pytest.mark.parametrize(("header", "kind"), HEADERS)
def test_order_case_and_spacing_of_columns_do_not_matter(header, kind):
    names = [f"  {name.upper().replace('_', ' ')} " for name in header.split(",")]
    random.Random(7).shuffle(names)
    assert recognise(tuple(names)).kind == kind


def test_columns_are_found_by_name():
    index = recognise(("Notes", "Stock", "Quantity", "Buy_Price", "Current_Price")).index
    assert (index["ticker"], index["shares"], index["buy_price"], index["current_price"]) == (1, 2, 3, 4)


def test_unknown_columns_are_named_with_what_is_known():
    with pytest.raises(UnreadableFile) as caught:
        recognise(("Name", "E-mail", ""))
    assert caught.value.code == ProblemCode.COLUMNS_UNKNOWN
    assert "Found: Name, E-mail." in caught.value.message
    assert "trade log (date, buy_price, shares_bought, ticker)" in caught.value.message
    assert "holdings (shares, ticker, one of buy_price / cost_basis)" in caught.value.message


def test_a_very_long_header_is_cut_in_the_message():
    with pytest.raises(UnreadableFile) as caught:
        recognise(tuple("x" * 500 + str(n) for n in range(50)))
    assert len(caught.value.message) < 1200


def test_two_columns_of_one_meaning_are_refused():
    with pytest.raises(UnreadableFile) as caught:
        recognise(("Date", "Ticker", "Symbol", "Shares", "Side"))
    assert caught.value.code == ProblemCode.COLUMN_TWICE
    assert "“Ticker” and “Symbol”" in caught.value.message
