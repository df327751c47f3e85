"""Numbers and times as people read them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from risk.wording import as_typed, decimals, exact_seconds, moment, need, percent, plain, room, seconds

D = Decimal


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (D("1.500"), "1.5"),
        (D("1E+3"), "1000"),
        (D("-0.00"), "0"),
        (D("0.1234567891"), "0.123456789"),
        (D("NaN"), "NaN"),
        (D("1E+999999"), "1E+999999"),
        (D("1E-999999"), "0"),
        (7, "7"),
        (None, ""),
    ],
)
def test_plain_numbers(number: Decimal | int | None, text: str) -> None:
    assert plain(number) == text


def test_amounts_are_rounded_so_that_the_difference_stays_visible() -> None:
    assert need(D("1000.001"), "USD") == "$1,000.01"
    assert room(D("1000.009"), "USD") == "$1,000.00"
    assert room(D("-5.001"), "USD") == "-$5.01"
    assert need(D("12.5"), "CHF") == "CHF 12.50"


def test_shares() -> None:
    assert percent(D("0.2")) == "20%"
    assert percent(D("0.200001"), up=True) == "20.01%"


def test_times() -> None:
    assert moment(datetime(2026, 7, 1, 13, 30, tzinfo=UTC)) == "Wed 1 Jul 09:30 ET"
    assert moment(datetime(2026, 12, 1, 14, 30, tzinfo=UTC)) == "Tue 1 Dec 09:30 ET"


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(0), "0 s"),
        (timedelta(milliseconds=5001), "6 s"),
        (timedelta(seconds=119), "119 s"),
        (timedelta(seconds=120), "2 min"),
        (timedelta(hours=30), "30 h"),
    ],
)
def test_spans(span: timedelta, text: str) -> None:
    assert seconds(span) == text


def test_exact_values() -> None:
    assert exact_seconds(timedelta(seconds=5, microseconds=120)) == "5.00012"
    assert exact_seconds(timedelta(seconds=-2)) == "-2"
    assert as_typed(D("1" * 200)) == "1" * 27 + "..."


@pytest.mark.parametrize(
    ("number", "places"),
    [("1.500", 1), ("100", 0), ("1E+5", 0), ("0.000", 0), ("1E-999999", 999999), ("-0.25", 2)],
)
def test_decimals_needed(number: str, places: int) -> None:
    assert decimals(D(number)) == places
