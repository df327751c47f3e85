"""The trading calendar, against fixed dates and against an independent calendar over nine years."""

from datetime import UTC, date, datetime, timedelta

import pytest

from brokers import calendar
from brokers.enums import Session


def new_york(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=calendar.NEW_YORK).astimezone(UTC)


@pytest.mark.filterwarnings("ignore")  # the reference library uses what its own pandas deprecates
def test_every_session_of_nine_years_equals_an_independent_calendar():
    import exchange_calendars

    end = date(2027, 11, 30)
    reference = exchange_calendars.get_calendar("XNYS", start="2019-01-01", end=end.isoformat())
    expected = {
        row.open.date(): (row.open.to_pydatetime(), row.close.to_pydatetime())
        for row in reference.schedule.itertuples()
    }
    day, ours = date(2019, 1, 1), {}
    while day <= end:
        if calendar.is_trading_day(day):
            ours[day] = calendar.core_hours(day)
        day += timedelta(days=1)
    assert ours == expected


@pytest.mark.parametrize(
    ("moment", "session"),
    [
        ("2026-11-23T03:59:59", Session.OVERNIGHT),
        ("2026-11-23T04:00:00", Session.PRE),
        ("2026-11-23T09:29:59", Session.PRE),
        ("2026-11-23T09:30:00", Session.CORE),
        ("2026-11-23T15:59:59", Session.CORE),
        ("2026-11-23T16:00:00", Session.POST),
        ("2026-11-23T19:59:59", Session.POST),
        ("2026-11-23T20:00:00", Session.OVERNIGHT),
        ("2026-11-25T20:00:00", Session.CLOSED),
        ("2026-11-26T11:00:00", Session.CLOSED),
        ("2026-11-26T20:00:00", Session.OVERNIGHT),
        ("2026-11-27T12:59:59", Session.CORE),
        ("2026-11-27T13:00:00", Session.POST),
        ("2026-11-27T17:00:00", Session.CLOSED),
        ("2026-11-27T20:00:00", Session.CLOSED),
        ("2026-11-28T12:00:00", Session.CLOSED),
        ("2026-11-29T19:59:59", Session.CLOSED),
        ("2026-11-29T20:00:00", Session.OVERNIGHT),
    ],
)
def test_session_at(moment, session):
    assert calendar.session_at(new_york(moment)) == session


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-11-23T19:59:59", date(2026, 11, 23)),
        ("2026-11-23T20:00:00", date(2026, 11, 24)),
        ("2026-11-25T20:00:00", date(2026, 11, 27)),
        ("2026-11-27T20:00:00", date(2026, 11, 30)),
        ("2026-11-28T12:00:00", date(2026, 11, 30)),
    ],
)
def test_trade_date_rolls_at_eight_in_the_evening(moment, expected):
    assert calendar.trade_date(new_york(moment)) == expected


def test_next_open_and_close_skip_the_holiday_and_keep_the_early_close():
    eve = new_york("2026-11-25T18:00:00")
    assert calendar.next_open(eve) == new_york("2026-11-27T09:30:00")
    assert calendar.next_close(eve) == new_york("2026-11-27T13:00:00")
    during = new_york("2026-11-23T10:00:00")
    assert calendar.next_open(during) == new_york("2026-11-24T09:30:00")
    assert calendar.next_close(during) == new_york("2026-11-23T16:00:00")


def test_core_hours_follow_daylight_saving():
    assert calendar.core_hours(date(2026, 10, 30))[0] == datetime(2026, 10, 30, 13, 30, tzinfo=UTC)
    assert calendar.core_hours(date(2026, 11, 2))[0] == datetime(2026, 11, 2, 14, 30, tzinfo=UTC)


def test_core_hours_of_a_holiday_are_refused():
    with pytest.raises(ValueError, match="not a trading day"):
        calendar.core_hours(date(2026, 12, 25))
