"""Resting practice orders through the trading day: auctions, expiry, pauses of the service."""

from datetime import datetime
from decimal import Decimal

import pytest
import time_machine
from django.core.cache import cache
from django.db import DatabaseError

from brokers import calendar
from brokers.adapters.paper import driver
from brokers.enums import OrderType, Side, TimeInForce
from brokers.exceptions import Rejected
from brokers.services.connections import open_practice_account
from brokers.types import MarketClock
from tests.brokers.adapters.paper.conftest import Desk

pytestmark = pytest.mark.django_db

D = Decimal


class Day:
    """Moves the wall clock and the feed's clock together along the real calendar."""

    def __init__(self, traveller, desk):
        self.traveller = traveller
        self.desk = desk

    def go(self, text: str) -> None:
        moment = datetime.fromisoformat(text).replace(tzinfo=calendar.NEW_YORK)
        self.traveller.move_to(moment)
        session = calendar.session_at(moment)
        self.desk.script.clock = MarketClock(
            now=moment,
            is_open=session == "core",
            next_open=calendar.next_open(moment),
            next_close=calendar.next_close(moment),
            session=session,
        )
        cache.clear()
        self.desk.set_quote("ACME")

    def tick(self, text: str) -> None:
        self.go(text)
        self.desk.tick()


@pytest.fixture
def day(user, script):
    monday = datetime(2026, 11, 23, 8, 0, tzinfo=calendar.NEW_YORK)
    with time_machine.travel(monday, tick=False) as traveller:
        desk = Desk(open_practice_account(user=user, cash=D(10_000)), script)
        day = Day(traveller, desk)
        day.go("2026-11-23T08:00:00")
        yield day


def test_an_opening_order_fills_in_the_auction_only(day):
    order = day.desk.place(time_in_force=TimeInForce.OPG)
    day.tick("2026-11-23T09:29:59")
    assert day.desk.look(order).status == "open"
    day.tick("2026-11-23T09:30:01")
    assert day.desk.look(order).status == "filled"


def test_an_opening_order_that_does_not_fill_in_the_auction_is_canceled(day):
    order = day.desk.place(kind=OrderType.LIMIT, limit_price=D("90.00"), time_in_force=TimeInForce.OPG)
    day.tick("2026-11-23T09:30:01")
    assert day.desk.look(order).status == "canceled"


def test_a_closing_order_fills_as_the_core_session_ends(day):
    day.go("2026-11-23T15:00:00")
    order = day.desk.place(time_in_force=TimeInForce.CLS)
    day.tick("2026-11-23T15:59:59")
    assert day.desk.look(order).status == "open"
    day.tick("2026-11-23T16:00:01")
    assert day.desk.look(order).status == "filled"


@pytest.mark.parametrize(
    ("moment", "time_in_force"),
    [("2026-11-23T09:28:00", TimeInForce.OPG), ("2026-11-23T15:50:00", TimeInForce.CLS)],
)
def test_auction_orders_that_come_too_late_are_refused(day, moment, time_in_force):
    day.go(moment)
    with pytest.raises(Rejected) as refused:
        day.desk.place(time_in_force=time_in_force)
    assert refused.value.code == "auction_closed"


def test_a_day_order_expires_at_the_close_and_a_gtc_order_lives_on(day):
    day.go("2026-11-23T10:00:00")
    today = day.desk.place(kind=OrderType.LIMIT, limit_price=D("90.00"), quantity="1")
    lasting = day.desk.place(
        kind=OrderType.LIMIT, limit_price=D("90.00"), quantity="1", time_in_force=TimeInForce.GTC
    )
    day.tick("2026-11-23T16:00:01")
    assert (day.desk.look(today).status, day.desk.look(lasting).status) == ("expired", "open")
    day.tick("2026-11-25T12:00:00")
    assert day.desk.look(lasting).status == "open"


def test_an_extended_day_order_lives_through_the_evening(day):
    day.go("2026-11-23T10:00:00")
    order = day.desk.place(kind=OrderType.LIMIT, limit_price=D("90.00"), extended_hours=True)
    day.tick("2026-11-23T16:00:01")
    assert day.desk.look(order).status == "open"
    day.tick("2026-11-23T20:00:01")
    assert day.desk.look(order).status == "expired"


def test_a_regular_order_of_the_evening_waits_for_the_next_session(day):
    day.go("2026-11-23T17:00:00")
    order = day.desk.place()
    day.tick("2026-11-23T20:00:01")
    assert day.desk.look(order).status == "open"
    day.tick("2026-11-24T09:30:01")
    assert day.desk.look(order).status == "filled"


def test_a_pause_over_the_close_is_made_up_for(day):
    day.go("2026-11-23T10:00:00")
    order = day.desk.place(kind=OrderType.LIMIT, limit_price=D("90.00"))
    day.tick("2026-11-24T11:00:00")
    assert day.desk.look(order).status == "expired"


def test_a_stop_is_not_elected_outside_the_core_session(day):
    day.go("2026-11-23T10:00:00")
    day.desk.buy()
    order = day.desk.place(
        side=Side.SELL, kind=OrderType.STOP, stop_price=D("95.00"), time_in_force=TimeInForce.GTC
    )
    day.go("2026-11-23T17:00:00")
    day.desk.set_quote("ACME", bid="89.90", ask="90.10", last="90.00")
    day.desk.tick()
    assert day.desk.look(order).status == "open"
    day.go("2026-11-24T10:00:00")
    day.desk.set_quote("ACME", bid="89.90", ask="90.10", last="90.00")
    day.desk.tick()
    assert (day.desk.look(order).status, day.desk.look(order).avg_px) == ("filled", D("89.90"))


def test_the_days_result_starts_from_the_equity_at_the_roll(day):
    day.go("2026-11-23T10:00:00")
    day.desk.broker.get_account_info()
    day.desk.buy("10")
    day.tick("2026-11-23T20:30:00")
    day.desk.set_quote("ACME", bid="109.98", ask="110.02", last="110.00")
    info = day.desk.broker.get_account_info()
    assert info.last_equity == D("10099.80")
    day.desk.set_quote("ACME", bid="119.98", ask="120.02", last="120.00")
    later = day.desk.broker.get_account_info()
    assert (later.equity, later.last_equity) == (D("10199.80"), D("10099.80"))


def test_one_book_that_fails_does_not_stop_the_others(day, user, monkeypatch):
    day.go("2026-11-23T10:00:00")
    other = Desk(open_practice_account(user=user, cash=D(10_000)), day.desk.script)
    orders = [desk.place(kind=OrderType.LIMIT, limit_price=D("95.00")) for desk in (day.desk, other)]
    real, broken = driver.drive_book, day.desk.book.pk

    def drive(book_id, *args, **kwargs):
        if book_id == broken:
            raise DatabaseError("disk full")
        return real(book_id, *args, **kwargs)

    monkeypatch.setattr(driver, "drive_book", drive)
    day.desk.set_quote("ACME", bid="94.00", ask="94.10", last="94.05")
    day.desk.tick()
    assert day.desk.look(orders[0]).status == "open"
    assert other.look(orders[1]).status == "filled"


def test_books_without_anything_to_do_are_not_locked(day, django_assert_max_num_queries):
    day.go("2026-11-23T10:00:00")
    day.desk.place(kind=OrderType.LIMIT, limit_price=D("90.00"))
    day.desk.tick()
    with django_assert_max_num_queries(4) as queries:
        day.desk.tick()
    assert not any("UPDATE" in query["sql"] for query in queries.captured_queries)
