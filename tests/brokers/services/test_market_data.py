"""Quotes, bars, securities and sessions: one read where one is enough, and silence that says so."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.cache import cache

from brokers import calendar
from brokers.enums import ConnectionStatus, Session
from brokers.exceptions import AuthorizationExpired, Unavailable
from brokers.feeds import feed_for
from brokers.models import BrokerConnection, Instrument, LatestQuote, QuoteInterest
from brokers.services.connections import link_with_keys, open_practice_account
from brokers.services.instruments import refresh_instruments
from brokers.services.market_data import (
    describe_quotes,
    get_bars,
    get_instrument,
    get_quote,
    get_quotes,
    get_session,
    note_interest,
    quote_broker,
    search_instruments,
    store_quotes,
)
from brokers.types import MarketClock
from tests.brokers.scripted import make_asset, make_bar, make_quote

pytestmark = pytest.mark.django_db

FRESH = timedelta(seconds=5)


def now():
    return datetime.now(UTC)


def test_a_fresh_quote_is_read_once(account, script):
    script.quotes["ACME"] = make_quote("ACME")
    first = get_quote(account, "acme", max_age=FRESH, now=now())
    second = get_quote(account, "ACME", max_age=FRESH, now=now())
    assert (first.bid, first.ask, first.previous_close) == (
        Decimal("99.98"),
        Decimal("100.02"),
        Decimal("98.50"),
    )
    assert second == first
    assert script.calls["get_quote"] == 1


def test_an_old_quote_is_read_again(account, script):
    script.quotes["ACME"] = make_quote("ACME")
    get_quote(account, "ACME", max_age=FRESH, now=now())
    LatestQuote.objects.update(received_at=now() - timedelta(seconds=6))
    get_quote(account, "ACME", max_age=FRESH, now=now())
    assert script.calls["get_quote"] == 2


def test_several_quotes_take_one_read_and_unknown_ones_are_left_out(account, script):
    script.quotes = {"ACME": make_quote("ACME"), "ZETA": make_quote("ZETA", "1.00", "1.02")}
    found = get_quotes(account, ["ACME", "ZETA", "NOPE", "not a symbol"], max_age=FRESH, now=now())
    assert sorted(found) == ["ACME", "ZETA"]
    assert script.calls == {"discover_accounts": 1, "get_quotes": 1}


def test_a_failing_feed_gives_no_quote_not_an_old_one(account, script):
    script.quotes["ACME"] = make_quote("ACME")
    get_quote(account, "ACME", max_age=FRESH, now=now())
    script.failure = Unavailable("time-out")
    assert get_quote(account, "ACME", max_age=timedelta(0), now=now() + FRESH) is None


def test_a_refused_read_marks_the_link(account, script):
    script.failure = AuthorizationExpired("revoked")
    assert get_quote(account, "ACME", max_age=FRESH, now=now()) is None
    assert BrokerConnection.objects.get().status == ConnectionStatus.NEEDS_RELINK


def test_a_late_quote_does_not_replace_a_newer_one(db):
    newer = make_quote("ACME", bid="2", ask="3", as_of=now())
    older = make_quote("ACME", bid="1", ask="2", as_of=now() - timedelta(seconds=1))
    store_quotes("scripted", [newer, older], received_at=now())
    assert LatestQuote.objects.get().bid == Decimal(2)


def test_a_trade_moves_the_last_price_and_keeps_the_book(db):
    store_quotes("scripted", [make_quote("ACME")], received_at=now())
    trade = make_quote("ACME", bid=None, ask=None, size=None, last="100.01")
    store_quotes("scripted", [trade], received_at=now())
    row = LatestQuote.objects.get()
    assert (row.bid, row.ask, row.last) == (Decimal("99.98"), Decimal("100.02"), Decimal("100.01"))


def test_bars_are_cached_and_an_empty_answer_is_not(account, script):
    start, end = now() - timedelta(days=5), now()
    assert get_bars(account, "ACME", timeframe="1Day", start=start, end=end) == []
    script.bars = [make_bar(start)]
    for _ in range(2):
        assert get_bars(account, "ACME", timeframe="1Day", start=start, end=end) == script.bars
    assert script.calls["get_bars"] == 2
    with pytest.raises(ValueError, match="timeframe"):
        get_bars(account, "ACME", timeframe="2Day", start=start, end=end)


def test_an_instrument_is_looked_up_once_a_day(account, script):
    assert get_instrument(account, "acme").name == "Acme Tools"
    get_instrument(account, "ACME")
    assert script.calls["get_asset"] == 1
    Instrument.objects.update(checked_at=now() - timedelta(hours=25))
    get_instrument(account, "ACME")
    assert script.calls["get_asset"] == 2


def test_unknown_and_impossible_symbols_are_none(account, script):
    assert get_instrument(account, "NOPE") is None
    assert get_instrument(account, "NOPE") is None
    assert script.calls["get_asset"] == 1
    for text in ("", "   ", "12345", "A B", "'; DROP TABLE", "A" * 21, "ÄÖ"):
        assert get_instrument(account, text) is None
    assert script.calls["get_asset"] == 1


def test_a_symbol_that_cannot_be_checked_is_not_called_unknown(account, script):
    script.failure = Unavailable("time-out")
    with pytest.raises(Unavailable):
        get_instrument(account, "ACME")


def test_search_finds_symbols_before_names_and_looks_up_an_exact_one(account, script):
    script.assets["ACM"] = make_asset("ACM", "Short")
    script.assets["XYZ"] = make_asset("XYZ", "The acme of all")
    refresh_instruments()
    script.calls.clear()
    assert [row.symbol for row in search_instruments(account, "acm")] == ["ACM", "ACME", "XYZ"]
    script.assets["ACMEX"] = make_asset("ACMEX", "New")
    assert [row.symbol for row in search_instruments(account, "ACMEX")] == ["ACMEX"]
    assert search_instruments(account, " ") == []


def test_refreshing_marks_what_left_the_list(account, script):
    assert refresh_instruments() == {"scripted": 2}
    del script.assets["ZETA"]
    assert refresh_instruments(now=now() + timedelta(seconds=1)) == {"scripted": 1}
    assert list(Instrument.objects.values_list("symbol", "tradable")) == [("ACME", True), ("ZETA", False)]


def test_the_session_comes_from_the_brokers_clock_and_is_cached(account, script):
    script.session = Session.PRE
    for _ in range(2):
        state = get_session(account, now=now())
        assert (state.session, state.is_open, state.source) == (Session.PRE, False, "broker")
    assert script.calls["get_clock"] == 1


def test_a_cached_clock_is_not_used_beyond_the_next_change(account, script):
    moment = now()
    script.clock = MarketClock(
        now=moment,
        is_open=True,
        next_open=moment + timedelta(hours=18),
        next_close=moment + timedelta(seconds=10),
    )
    assert get_session(account, now=moment).session == Session.CORE
    get_session(account, now=moment + timedelta(seconds=11))
    assert script.calls["get_clock"] == 2


def test_without_the_brokers_clock_the_calendar_answers(account, script):
    script.failure = Unavailable("time-out")
    moment = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
    state = get_session(account, now=moment)
    assert (state.session, state.is_open, state.source) == (Session.CORE, True, "calendar")
    assert state.next_close == calendar.next_close(moment)
    get_session(account, now=moment)
    assert script.calls["get_clock"] == 1


def test_a_clock_that_cannot_be_read_again_stands_for_ten_minutes(account, script):
    moment = datetime(2026, 11, 28, 15, 0, tzinfo=UTC)  # a Saturday: the calendar would say closed
    script.clock = MarketClock(
        now=moment,
        is_open=True,
        next_open=moment + timedelta(hours=18),
        next_close=moment + timedelta(hours=1),
    )
    assert get_session(account, now=moment).is_open
    script.failure = Unavailable("time-out")
    for seconds in (31, 33, 37, 599):
        state = get_session(account, now=moment + timedelta(seconds=seconds))
        assert (state.is_open, state.source) == (True, "broker")
    assert script.calls["get_clock"] == 4
    state = get_session(account, now=moment + timedelta(seconds=601))
    assert (state.is_open, state.source) == (False, "calendar")


def test_interest_is_one_row_per_symbol_and_is_prolonged(account):
    moment = now()
    note_interest(account, ["acme", "ACME", "bad symbol"], seconds=60, now=moment)
    note_interest(account, ["ACME"], seconds=60, now=moment + timedelta(seconds=30))
    row = QuoteInterest.objects.get()
    assert (row.symbol, row.broker, row.wanted_until) == (
        "ACME",
        "scripted",
        moment + timedelta(seconds=90),
    )


def test_practice_uses_the_operators_prices_until_a_broker_is_linked(practice, user, script):
    assert feed_for(practice).key == "platform"
    assert describe_quotes(practice) == "Simulated prices."
    linked = link_with_keys(user=user, broker="scripted", environment="paper", key_id="k", secret="secret-1")
    assert feed_for(practice).key == f"connection:{linked.connection_id}"
    assert describe_quotes(practice) == "Prices from your Scripted link."


def test_without_any_source_practice_has_no_prices(user, script, settings):
    settings.PRACTICE_DATA_KEY_ID = ""
    practice = open_practice_account(user=user)
    cache.clear()
    assert quote_broker(practice) == ""
    assert get_quote(practice, "ACME", max_age=FRESH, now=now()) is None
    assert get_session(practice, now=now()).source == "calendar"
    with pytest.raises(Unavailable):
        get_instrument(practice, "ACME")
    assert describe_quotes(practice) == "No source of prices is set up for this account."
