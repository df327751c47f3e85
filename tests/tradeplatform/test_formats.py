"""Amounts, quantities, percentages and times are written one way, and never guessed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from tradeplatform.templatetags import formats


@pytest.mark.parametrize(
    ("value", "currency", "text"),
    [
        (Decimal("1234.56"), "USD", "$1,234.56"),
        (Decimal("-3.1"), "USD", "\u2212$3.10"),
        (Decimal("0"), "USD", "$0.00"),
        (Decimal("-0.001"), "USD", "$0.00"),
        (1000000, "EUR", "€1,000,000.00"),
        (Decimal("1234.5"), "JPY", "¥1,234"),
        (Decimal("12.5"), "CHF", "CHF\u00a012.50"),
        (Decimal("0.125"), "USD", "$0.12"),
    ],
)
def test_money_carries_its_currency_and_rounds_half_to_even(
    value: Decimal | int, currency: str, text: str
) -> None:
    assert formats.money(value, currency) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("12", "+$12.00"), ("-12", "\u2212$12.00"), ("0", "$0.00"), ("0.004", "$0.00")],
)
def test_signed_money_shows_the_sign_of_what_is_shown(value: str, text: str) -> None:
    assert formats.signed_money(Decimal(value), "USD") == text


@pytest.mark.parametrize("value", [1.5, "1.5", True])
def test_inexact_amounts_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        formats.money(value, "USD")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_amounts_that_are_no_numbers_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="finite"):
        formats.money(Decimal(value), "USD")


def test_an_amount_without_a_currency_is_refused() -> None:
    with pytest.raises(ValueError, match="currency"):
        formats.money(Decimal("1"), "")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("192.4", "$192.40"),
        ("0.0123", "$0.0123"),
        ("1200", "$1,200.00"),
        ("1E+3", "$1,000.00"),
        ("0.12345678", "$0.123457"),
    ],
)
def test_prices_keep_the_places_they_have(value: str, text: str) -> None:
    assert formats.price(Decimal(value), "USD") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("1250.000", "1,250"), ("0.500", "0.5"), ("100", "100"), ("1E+2", "100"), ("-3.10", "\u22123.1")],
)
def test_quantities_lose_only_trailing_zeros(value: str, text: str) -> None:
    assert formats.quantity(Decimal(value)) == text


def test_percentages_are_made_from_fractions() -> None:
    assert formats.percent(Decimal("0.12345")) == "12.34%"
    assert formats.signed_percent(Decimal("0.0797")) == "+7.97%"
    assert formats.signed_percent(Decimal("-0.0278")) == "\u22122.78%"


@pytest.mark.parametrize(
    ("value", "name"),
    [(Decimal("1"), "gain"), (Decimal("-1"), "loss"), (Decimal("0"), "flat"), (None, "flat")],
)
def test_tone_follows_the_sign(value: Decimal | None, name: str) -> None:
    assert formats.tone(value) == name


@pytest.mark.parametrize("show", [formats.quantity, formats.percent, formats.local_time, formats.age])
def test_what_is_not_known_is_a_dash(show: object) -> None:
    assert "—" in show(None)  # type: ignore[operator]


def test_times_name_their_zone_and_stay_exact_for_machines() -> None:
    moment = datetime(2026, 7, 1, 13, 30, 5, tzinfo=UTC)
    with timezone.override(ZoneInfo("America/New_York")):
        html = formats.local_time(moment, "seconds")
    assert html == '<time datetime="2026-07-01T13:30:05.000Z">1 Jul 2026, 09:30:05 EDT</time>'


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        formats.local_time(datetime(2026, 7, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(seconds=-1), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=23), "23 h"),
        (timedelta(days=3, hours=5), "3 d"),
    ],
)
def test_ages_use_the_largest_whole_unit(span: timedelta, text: str) -> None:
    assert formats.age(span) == text
