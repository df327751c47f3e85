"""The simulated market agrees with itself and repeats itself."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from brokers.matching_terms import Session
from brokers.simulators.clock import SimulatedClock
from brokers.simulators.market import Market, merge_bars
from brokers.simulators.sessions import SessionModel, previous_close, trading_day
from brokers.simulators.symbols import LISTINGS

SUNDAY_NIGHT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def test_same_seed_repeats_and_another_seed_differs():
    first, again, other = Market(7), Market(7), Market(8)
    quotes = [market.quote("ABEO", SUNDAY_NIGHT) for market in (first, again, other)]
    assert quotes[0] == quotes[1]
    assert quotes[0].last != quotes[2].last


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.symbol)
def test_every_quote_is_sane(listing):
    market = Market(7)
    for hours in (0, 7, 31, 100):
        quote = market.quote(listing.symbol, SUNDAY_NIGHT + timedelta(hours=hours, seconds=hours))
        assert 0 < quote.bid <= quote.last <= quote.ask
        assert quote.bid < quote.ask
        assert quote.bid_size >= 100
        tick = Decimal("0.01") if quote.last >= 1 else Decimal("0.0001")
        assert quote.last % tick == 0


def test_minute_bars_of_a_finished_day_add_up_to_its_daily_bar():
    market, day = Market(7), date(2026, 2, 27)
    daily = market.daily_bar("ATYR", day, now=SUNDAY_NIGHT)
    minutes = market.minute_bars("ATYR", day, now=SUNDAY_NIGHT)[330:720]
    merged = merge_bars(minutes, minutes[0].at)
    assert (merged.open, merged.high, merged.low, merged.close) == (
        daily.open,
        daily.high,
        daily.low,
        daily.close,
    )


def test_price_stays_inside_its_minute_bar_and_moves():
    market = Market(7)
    at = datetime(2026, 2, 27, 15, 30, tzinfo=UTC)
    (bar,) = [row for row in market.minute_bars("AAPL", at.date(), now=at) if row.at == at]
    prices = [float(market.price("AAPL", at + timedelta(seconds=second))) for second in range(60)]
    assert bar.low - 0.01 <= min(prices) <= max(prices) <= bar.high + 0.01
    assert len(set(prices)) > 3


def test_weekends_and_holidays_have_no_bars_in_the_past():
    market = Market(7)
    for day in (date(2026, 2, 28), date(2025, 12, 25), date(2026, 4, 3)):
        assert trading_day(day) is None
        assert market.daily_bar("AAPL", day, now=datetime(2026, 6, 1, tzinfo=UTC)) is None


def test_split_divides_later_prices_and_adjusted_history():
    market, split = Market(7), Market(7)
    at = datetime(2026, 2, 26, 12, 0, tzinfo=UTC)
    split.add_split("AAPL", Decimal(4), at)
    day = date(2026, 2, 20)
    raw, adjusted = (split.daily_bar("AAPL", day, now=SUNDAY_NIGHT, adjusted=flag) for flag in (False, True))
    assert raw == market.daily_bar("AAPL", day, now=SUNDAY_NIGHT)
    assert adjusted.close == pytest.approx(raw.close / 4, abs=0.01)
    ratio = market.price("AAPL", SUNDAY_NIGHT) / split.price("AAPL", SUNDAY_NIGHT)
    assert float(ratio) == pytest.approx(4, abs=0.01)


def test_pinned_quote_holds_until_released():
    market = Market(7)
    market.pin("AAPL", bid=Decimal("9.99"), ask=Decimal("10.01"))
    assert market.quote("AAPL", SUNDAY_NIGHT).last == 10
    market.pins.clear()
    assert market.quote("AAPL", SUNDAY_NIGHT).last > 50
    with pytest.raises(ValueError, match="bid <= ask"):
        market.pin("AAPL", bid=Decimal(2), ask=Decimal(1))


def test_frozen_market_stands_still_while_the_clock_runs():
    market = Market(7)
    market.frozen_at = SUNDAY_NIGHT
    later = market.quote("AAPL", SUNDAY_NIGHT + timedelta(hours=5))
    assert later.last == market.quote("AAPL", SUNDAY_NIGHT).last


def test_clock_freezes_moves_and_survives_a_restart():
    real = [1_800_000_000.0]
    clock = SimulatedClock(source=lambda: real[0])
    clock.freeze()
    real[0] += 60
    assert clock.now().timestamp() == 1_800_000_000
    clock.advance(10)
    clock.resume()
    real[0] += 5
    assert clock.now().timestamp() == 1_800_000_015
    other = SimulatedClock(source=lambda: real[0])
    other.restore(clock.state())
    assert other.now() == clock.now()


@pytest.mark.parametrize(
    ("moment", "session"),
    [
        ("2026-03-02T08:59:00+00:00", Session.OVERNIGHT),
        ("2026-03-02T09:00:00+00:00", Session.PRE),
        ("2026-03-02T14:30:00+00:00", Session.CORE),
        ("2026-03-02T21:00:00+00:00", Session.POST),
        ("2026-03-07T15:00:00+00:00", Session.CLOSED),
        ("2026-11-27T18:00:00+00:00", Session.POST),
        ("2026-11-27T22:00:00+00:00", Session.CLOSED),
    ],
)
def test_calendar_mode_follows_new_york(moment, session):
    at = datetime.fromisoformat(moment)
    assert SessionModel("calendar").session(at) == session
    assert SessionModel("open").session(at) == Session.CORE


def test_previous_close_skips_the_weekend():
    assert previous_close(SUNDAY_NIGHT) == datetime(2026, 2, 27, 21, 0, tzinfo=UTC)
    with pytest.raises(ValueError, match="unknown session mode"):
        SessionModel().set_mode("lunch")
