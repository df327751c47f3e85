import datetime as dt
from decimal import Decimal as D

import pytest

from portfolios.imports.cells import (
    CellError,
    quantise_money,
    quantise_price,
    quantise_quantity,
    read_date,
    read_number,
    read_ticker,
    require_positive,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("6.0", D("6.0")),
        (" 1,234,567.89 ", D("1234567.89")),
        ("$1,234.50", D("1234.50")),
        ("$ 5", D("5")),
        (".5", D("0.5")),
        ("5.", D("5")),
        ("+3", D("3")),
        ("1e-05", D("0.00001")),
        ("1.409999966621399", D("1.409999966621399")),
        ("-0", D("0")),
    ],
)
def test_numbers_are_read_exactly(text, value):
    assert read_number(text, "Shares") == value


@pytest.mark.parametrize(
    ("text", "value"), [("-1.5", "-1.5"), ("(1,500.25)", "-1500.25"), ("-$5", "-5"), ("($5)", "-5")]
)
def test_signed_cells_take_negative_amounts(text, value):
    assert read_number(text, "PnL", signed=True) == D(value)


@pytest.mark.parametrize("text", ["-1.5", "(2)", "-$5"])
def test_other_cells_refuse_negative_amounts(text):
    with pytest.raises(CellError, match="Shares is negative"):
        read_number(text, "Shares")


@pytest.mark.parametrize("text", ["", " ", "-", "NO DATA", "no data", "N/A", "None"])
def test_empty_and_no_data_cells_hold_nothing(text):
    assert read_number(text, "Shares") is None


@pytest.mark.parametrize("text", ["NaN", "nan", "inf", "-Infinity"])
def test_nan_and_infinity_are_refused(text):
    with pytest.raises(CellError, match="no amount"):
        read_number(text, "PnL", signed=True)


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "=1+2", "@SUM(A1)", "+A1", "-cmd|x"])
def test_formulas_are_refused_as_numbers(text):
    with pytest.raises(CellError, match="formula"):
        read_number(text, "Shares")


@pytest.mark.parametrize(
    "text",
    ["ten", "1,23", "12,34.5", "1 000", "1.2.3", "1_000", "٣", "0x10", ".", "$", "1e999", "--5", "9" * 50],
)
def test_anything_else_is_no_number(text):
    with pytest.raises(CellError, match="not a number"):
        read_number(text, "Shares")


@pytest.mark.parametrize("text", ["1000000000000", "1e20"])
def test_absurd_amounts_are_refused(text):
    with pytest.raises(CellError, match="too large"):
        read_number(text, "Shares")


def test_a_comma_is_refused_where_it_could_be_a_decimal_point():
    with pytest.raises(CellError, match="comma"):
        read_number("1,234", "Shares", comma_groups=False)


@pytest.mark.parametrize(
    ("raw", "price"),
    [
        ("1.409999966621399", "1.4100"),
        ("5.78000020980835", "5.7800"),
        ("577.1199951171875", "577.1200"),
        ("4.947142857142857", "4.9471"),
        ("0.12345678901", "0.123457"),
        ("0.25", "0.25"),
        ("1.234567", "1.234567"),
    ],
)
def test_binary_noise_in_prices_is_rounded_away(raw, price):
    assert str(quantise_price(D(raw))) == price


def test_quantities_keep_nine_decimals_and_amounts_lose_their_noise():
    assert quantise_quantity(D("5.360000000000001")) == D("5.36")
    assert quantise_quantity(D("0.123456789")) == D("0.123456789")
    assert quantise_money(D("-0.5400000000000009")) == D("-0.54")
    assert quantise_money(D("84.48")) == D("84.48")


@pytest.mark.parametrize(
    "text",
    [
        "2025-07-04",
        "2025/07/04",
        "2025-07-04 16:00:00",
        "2025-07-04T16:00:00Z",
        "7/4/2025",
        "07/04/25",
        "07-04-2025",
        "Jul 4, 2025",
        "July 4, 2025",
        "7/4/2025 4:00 PM",
    ],
)
def test_dates_are_read_in_iso_and_us_forms(text):
    assert read_date(text) == dt.date(2025, 7, 4)


@pytest.mark.parametrize(
    "text", ["31/12/2025", "2025-02-30", "20250704", "yesterday", "=TODAY()", "0001-01-01", "7/4/1901"]
)
def test_other_dates_are_refused(text):
    with pytest.raises(CellError, match="Date is not a date we read"):
        read_date(text)


def test_an_empty_date_is_refused():
    with pytest.raises(CellError, match="Date is empty"):
        read_date(" ")


@pytest.mark.parametrize(
    ("text", "symbol"),
    [("abeo", "ABEO"), (" $TLSA ", "TLSA"), ("BRK.B", "BRK.B"), ("2330.TW", "2330.TW"), ("BF-B", "BF-B")],
)
def test_tickers_are_read_in_capitals(text, symbol):
    assert read_ticker(text) == symbol


@pytest.mark.parametrize(
    "text", ["=cmd|'/C calc'!A0", "@AAPL", "-cmd", "two words", "<b>", "ABCDEFGHIJKL", "A;DROP", ""]
)
def test_anything_else_is_no_ticker(text):
    with pytest.raises(CellError, match="Ticker"):
        read_ticker(text)


def test_required_numbers_must_be_there_and_above_zero():
    assert require_positive(D("2"), "Shares") == D("2")
    with pytest.raises(CellError, match="Shares is empty"):
        require_positive(None, "Shares")
    with pytest.raises(CellError, match="Shares is zero"):
        require_positive(D("0.0"), "Shares")
