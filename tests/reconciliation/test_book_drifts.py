"""Every kind of drift of the book: found at the second look, named, explained, never healed by itself."""

import datetime as dt

import pytest

from portfolios.comparison import DifferenceKind
from portfolios.models import Break, LedgerEntry, Portfolio, Position
from portfolios.services import broker_reading, sync
from portfolios.services.breaks import resolve_break
from portfolios.services.rebuild import check_book
from portfolios.services.sync import sync_book
from tests.portfolios.builders import OPENED, held, make_account, make_book, make_user
from tests.portfolios.fake_broker import FakeBroker
from tests.reconciliation.injectors import HELD, INJECTORS, broker_holds
from tradeplatform.common.exceptions import InvalidRequest

pytestmark = pytest.mark.django_db
NAMED = pytest.mark.parametrize("injector", INJECTORS, ids=lambda one: one.name)


class Clock:
    def __init__(self):
        self.now = OPENED + dt.timedelta(hours=1)

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    moved = Clock()
    monkeypatch.setattr(sync, "utc_now", moved)
    monkeypatch.setattr(broker_reading, "utc_now", moved)
    return moved


@pytest.fixture
def account(settings, clock):
    settings.BROKER_ADAPTERS = {"fake": "tests.portfolios.fake_broker.FakeBroker"}
    FakeBroker.reset()
    found = make_account(make_user(), broker="fake")
    positions = tuple(held(symbol, str(size), str(price)) for symbol, (size, price) in HELD.items())
    make_book(found, positions=positions)
    broker_holds()
    yield found
    FakeBroker.reset()


def look_twice(account, clock):
    """Look, wait ten seconds, look again."""
    sync_book(account_id=account.pk)
    clock.now += dt.timedelta(seconds=10)
    sync_book(account_id=account.pk)


def state_of(account):
    portfolio = Portfolio.objects.get(account=account)
    rows = Position.objects.filter(portfolio=portfolio).values_list("symbol", "quantity", "avg_price")
    return portfolio.cash, sorted(rows), LedgerEntry.objects.count()


@NAMED
def test_each_drift_opens_with_its_class_and_changes_nothing(injector, account, clock):
    injector.inject(account)
    before = state_of(account)

    look_twice(account, clock)

    opened = {(row.kind, row.symbol): row for row in Break.objects.filter(status="open")}
    assert {key: row.drift for key, row in opened.items()} == {
        key: str(drift) for key, drift in injector.drifts.items()
    }
    assert all(row.owner == "owner@example.com" for row in opened.values())
    assert state_of(account) == before
    assert check_book(Portfolio.objects.get(account=account)) == []


@NAMED
def test_one_look_is_not_enough(injector, account, clock):
    injector.inject(account)

    sync_book(account_id=account.pk)
    clock.now += dt.timedelta(seconds=9)
    sync_book(account_id=account.pk)

    assert not Break.objects.filter(status="open").exists()


@NAMED
def test_a_drift_that_vanishes_is_closed_with_a_record(injector, account, clock):
    injector.inject(account)
    look_twice(account, clock)
    positions = Position.objects.exclude(quantity=0)
    FakeBroker.reset()
    broker_holds(Portfolio.objects.get(account=account).cash)
    FakeBroker.positions = tuple(held(row.symbol, str(row.quantity), str(row.avg_price)) for row in positions)
    clock.now += dt.timedelta(seconds=60)

    sync_book(account_id=account.pk)

    assert set(Break.objects.values_list("status", flat=True)) == {"resolved"}


def test_an_agreed_book_has_no_break(account, clock):
    look_twice(account, clock)

    assert not Break.objects.exists()


def test_an_answer_of_another_account_is_used_for_nothing(account, clock):
    injector = next(one for one in INJECTORS if one.name == "re-keyed account")
    injector.inject(account)

    look_twice(account, clock)

    account.refresh_from_db()
    assert account.cash != 5
    found = Break.objects.get()
    assert (found.ours, found.theirs) == ("A1", "OTHER")
    with pytest.raises(InvalidRequest):
        resolve_break(break_id=found.pk, resolution="take it", actor="owner@example.com", adopt=True)


def test_a_position_break_says_in_words_why_it_is_likely(account, clock):
    next(one for one in INJECTORS if one.name == "lost fill").inject(account)

    look_twice(account, clock)

    found = Break.objects.get(kind=DifferenceKind.POSITION_QUANTITY)
    assert found.cause == "The broker lists a purchase of 8 ABCD at 7 (e1)."
