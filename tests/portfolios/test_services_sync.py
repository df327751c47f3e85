"""Opening and syncing against a scripted broker: two looks, explanations, resolutions, adoption."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from brokers.enums import ConnectionStatus, Side
from brokers.exceptions import AuthorizationExpired, Unavailable
from brokers.models import BrokerAccount
from brokers.types import BrokerActivity
from portfolios.comparison import InFlightOrder
from portfolios.models import Break, EquitySnapshot, LedgerEntry, Lot, Portfolio, Position
from portfolios.services import broker_reading, sync
from portfolios.services.booking import book_fill
from portfolios.services.breaks import explain_break, resolve_break
from portfolios.services.opening import open_book, open_linked_account
from portfolios.services.rebuild import check_book
from portfolios.services.snapshots import take_snapshot
from portfolios.services.sync import SyncOutcome, SyncReport, sync_book
from tests.portfolios.builders import OPENED, fill, held, info, make_account, make_book, make_user
from tests.portfolios.fake_broker import FakeBroker
from tradeplatform.common.exceptions import ConflictError, InvalidRequest, NotFoundError
from tradeplatform.models import AuditEntry, UserEvent

pytestmark = pytest.mark.django_db


class Clock:
    """Time of the services under test, moved by hand."""

    def __init__(self) -> None:
        self.now = OPENED + dt.timedelta(hours=1)

    def __call__(self) -> dt.datetime:
        return self.now

    def move(self, seconds: int) -> None:
        self.now += dt.timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sync, "utc_now", clock)
    monkeypatch.setattr(broker_reading, "utc_now", clock)
    return clock


@pytest.fixture(autouse=True)
def fake_broker(settings: Any) -> Iterator[type[FakeBroker]]:
    settings.BROKER_ADAPTERS = {"fake": "tests.portfolios.fake_broker.FakeBroker"}
    FakeBroker.reset()
    yield FakeBroker
    FakeBroker.reset()


@pytest.fixture
def account() -> BrokerAccount:
    return make_account(make_user(), broker="fake")


def look(account: BrokerAccount, *in_flight: InFlightOrder) -> SyncReport:
    return sync_book(account_id=account.pk, in_flight=in_flight)


def test_linking_turns_what_is_held_into_opening_balances(account: BrokerAccount, clock: Clock) -> None:
    FakeBroker.account = info("250.55", "1000.55")
    FakeBroker.positions = (
        held("ABCD", "10", "70", market_price=Decimal(75), previous_close=Decimal(74)),
        held("WXYZ", "-2", "5.5"),
    )

    portfolio = open_linked_account(account.pk)

    assert portfolio is not None
    assert (portfolio.cash, portfolio.opened_at) == (Decimal("250.55"), clock.now)
    lots = {lot.symbol: (lot.remaining, lot.price) for lot in Lot.objects.all()}
    assert lots == {"ABCD": (Decimal(10), Decimal(70)), "WXYZ": (Decimal(-2), Decimal("5.5"))}
    assert Position.objects.get(symbol="ABCD").market_price == 75
    assert EquitySnapshot.objects.get().equity == Decimal("1000.55")
    assert check_book(portfolio) == []


def test_a_book_is_opened_once(account: BrokerAccount, clock: Clock) -> None:
    first = open_linked_account(account.pk)
    FakeBroker.account = info("9999")

    again = open_book(account_id=account.pk, info=info("9999"), positions=(), at=clock.now)

    assert again == first
    assert again.cash == 1000
    assert LedgerEntry.objects.count() == 1


def test_a_new_link_of_the_same_account_continues_its_book(account: BrokerAccount, clock: Clock) -> None:
    earlier = make_book(account)
    BrokerAccount.objects.filter(pk=account.pk).update(is_active=False)
    linked_again = make_account(account.user, broker="fake")

    look(linked_again)

    assert Portfolio.objects.get().pk == earlier.pk
    assert Portfolio.objects.get().account_id == linked_again.pk
    assert Portfolio.objects.get().opened_at == OPENED


def test_fills_booked_before_the_opening_are_not_counted_twice(account: BrokerAccount, clock: Clock) -> None:
    with transaction.atomic():
        book_fill(account=account, fill=fill("e1", Side.BUY, "4", "10", minute=2))
    FakeBroker.account = info("960")
    FakeBroker.positions = (held("ABCD", "10", "10"),)

    portfolio = open_linked_account(account.pk)

    assert portfolio is not None
    fresh = Portfolio.objects.get(pk=portfolio.pk)
    assert fresh.cash == 960
    assert Position.objects.get().quantity == 10
    assert LedgerEntry.objects.get(kind="opening_lot").quantity == 6
    assert check_book(fresh) == []


def test_an_unreadable_answer_opens_nothing_and_counts_as_nothing(
    account: BrokerAccount, clock: Clock
) -> None:
    FakeBroker.failure = Unavailable("No answer")
    assert open_linked_account(account.pk) is None
    assert not Portfolio.objects.exists()

    make_book(account, positions=(held("ABCD", "10", "7"),))
    report = look(account)

    assert report.outcome == SyncOutcome.UNREADABLE
    assert "No answer" in report.reason
    assert not Break.objects.exists()
    assert Position.objects.get().quantity == 10


def test_an_expired_link_is_marked_for_linking_again(account: BrokerAccount, clock: Clock) -> None:
    make_book(account)
    FakeBroker.failure = AuthorizationExpired("Token revoked")

    assert look(account).outcome == SyncOutcome.UNREADABLE

    account.connection.refresh_from_db()
    assert account.connection.status == ConnectionStatus.NEEDS_RELINK


def test_sync_opens_a_book_that_was_never_opened(account: BrokerAccount, clock: Clock) -> None:
    assert look(account).outcome == SyncOutcome.OPENED
    assert Portfolio.objects.get().cash == 1000
    assert look(account).outcome == SyncOutcome.COMPARED


def test_an_unlinked_account_is_left_alone(account: BrokerAccount) -> None:
    BrokerAccount.objects.filter(pk=account.pk).update(is_active=False)
    assert look(account).outcome == SyncOutcome.INACTIVE


def test_a_difference_opens_at_the_second_look_and_not_before_ten_seconds(
    account: BrokerAccount, clock: Clock
) -> None:
    make_book(account)
    FakeBroker.account = info("1000.02")

    assert look(account).seen == 1
    clock.move(9)
    assert look(account).opened == 0
    clock.move(1)
    report = look(account)

    assert report.opened == 1
    found = Break.objects.get()
    assert (found.kind, found.ours, found.theirs, found.status) == ("cash", "1000", "1000.02", "open")
    assert (found.times_seen, found.owner) == (3, "owner@example.com")
    assert UserEvent.objects.filter(kind="break").count() == 1


def test_a_cent_of_cash_and_equal_shares_agree(account: BrokerAccount, clock: Clock) -> None:
    make_book(account, positions=(held("ABCD", "10", "7"),))
    FakeBroker.account = info("1000.01")
    FakeBroker.positions = (held("ABCD", "10.000000000", "7.01"),)

    look(account)

    assert not Break.objects.exists()


@pytest.mark.parametrize(
    ("theirs", "kind"),
    [
        (held("ABCD", "10.000000001", "7"), "position_quantity"),
        (held("ABCD", "10", "7.02"), "average_price"),
        (held("WXYZ", "1", "7"), "unknown_position"),
    ],
)
def test_every_kind_of_difference_has_its_name(
    account: BrokerAccount, clock: Clock, theirs: Any, kind: str
) -> None:
    make_book(account, positions=(held("ABCD", "10", "7"),))
    FakeBroker.positions = (theirs,)

    look(account)

    kinds = set(Break.objects.values_list("kind", flat=True))
    assert kinds == ({kind, "missing_position"} if kind == "unknown_position" else {kind})


def test_a_broker_that_averages_entries_instead_of_lots_agrees(account: BrokerAccount, clock: Clock) -> None:
    make_book(account)
    with transaction.atomic():
        book_fill(account=account, fill=fill("e1", Side.BUY, "10", "10", minute=1))
        book_fill(account=account, fill=fill("e2", Side.BUY, "10", "20", minute=2))
        book_fill(account=account, fill=fill("e3", Side.SELL, "10", "20", minute=3))
    position = Position.objects.get()
    assert (position.avg_price, position.entry_price) == (Decimal(20), Decimal(15))
    FakeBroker.account = info("900")

    for average in ("15", "20", "17"):
        FakeBroker.positions = (held("ABCD", "10", average),)
        assert look(account).seen == 0
    FakeBroker.positions = (held("ABCD", "10", "14.90"),)
    assert look(account).seen == 1


def test_an_order_in_flight_explains_a_difference_and_keeps_it_from_opening(
    account: BrokerAccount, clock: Clock
) -> None:
    make_book(account)
    FakeBroker.account, FakeBroker.positions = info("900"), (held("ABCD", "10", "10"),)
    order = InFlightOrder("c-1", "ABCD", Side.BUY, Decimal(10), Decimal(10))

    assert look(account, order).explained == 2
    assert not Break.objects.exists()

    look(account)
    clock.move(30)
    look(account, order)

    assert set(Break.objects.values_list("status", flat=True)) == {"seen"}
    assert all("c-1" in row.explanation for row in Break.objects.all())


def test_a_difference_that_vanishes_is_resolved_with_a_record(account: BrokerAccount, clock: Clock) -> None:
    make_book(account)
    FakeBroker.account = info("990")
    look(account)
    clock.move(60)
    look(account)
    FakeBroker.account = info("1000")
    clock.move(60)

    assert look(account).resolved == 1

    found = Break.objects.get()
    assert found.status == "resolved"
    assert found.resolution == "Agreed again at 2026-03-02 16:02:00 UTC."
    assert AuditEntry.objects.filter(action="break_resolved", actor="system:book").count() == 1


def test_nothing_is_compared_when_a_fill_was_booked_while_reading(
    account: BrokerAccount, clock: Clock
) -> None:
    make_book(account)

    def book_meanwhile() -> None:
        with transaction.atomic():
            book_fill(account=account, fill=fill("e1", Side.BUY, "1", "10", minute=70))

    FakeBroker.while_reading = book_meanwhile

    assert look(account).outcome == SyncOutcome.MOVED
    assert not Break.objects.exists()


def test_a_dividend_explains_the_cash_at_the_second_look(account: BrokerAccount, clock: Clock) -> None:
    make_book(account, positions=(held("ABCD", "10", "7"),))
    FakeBroker.positions = (held("ABCD", "10", "7"),)
    FakeBroker.account = info("1002.50")
    FakeBroker.activities = (
        BrokerActivity(
            activity_id="d1",
            kind="dividend",
            symbol="ABCD",
            amount=Decimal("2.50"),
            quantity=None,
            occurred_at=OPENED + dt.timedelta(minutes=30),
        ),
    )
    look(account)
    assert FakeBroker.activity_reads == 0
    clock.move(60)

    report = look(account)

    assert (report.opened, report.resolved) == (0, 1)
    assert Portfolio.objects.get().cash == Decimal("1002.5")
    assert FakeBroker.activity_reads == 1


def test_sync_stores_prices_and_the_equity_curve(account: BrokerAccount, clock: Clock) -> None:
    make_book(account, positions=(held("ABCD", "10", "7"),))
    FakeBroker.account = info("1000", "1080")
    FakeBroker.positions = (held("ABCD", "10", "7", market_price=Decimal(8), previous_close=Decimal("7.5")),)

    look(account)
    clock.move(30)
    FakeBroker.account = info("1000", "1081")
    look(account)
    clock.move(30)
    look(account)
    clock.move(299)
    look(account)
    clock.move(1)
    look(account)

    assert Position.objects.get().market_price == 8
    assert Position.objects.get().previous_close == Decimal("7.5")
    equities = list(EquitySnapshot.objects.values_list("equity", flat=True))
    # Opening; first look; too soon after 30 s; changed after 60 s; unchanged again only after 5 minutes.
    assert equities == [Decimal(1000), Decimal(1080), Decimal(1081), Decimal(1081)]


def test_deposits_between_snapshots_are_flows(account: BrokerAccount, clock: Clock) -> None:
    portfolio = make_book(account)
    LedgerEntry.objects.create(
        portfolio=portfolio,
        kind="transfer",
        source_key="activity:t1",
        amount=Decimal(500),
        occurred_at=clock.now - dt.timedelta(minutes=1),
    )

    snapshot = take_snapshot(
        portfolio=portfolio, equity=Decimal(1500), cash=Decimal(1500), at=clock.now, force=True
    )

    assert snapshot is not None
    assert snapshot.net_flow == 500


def open_break(account: BrokerAccount, clock: Clock) -> Break:
    look(account)
    clock.move(60)
    look(account)
    return Break.objects.filter(status="open").latest("id")


def test_resolving_with_a_reason_leaves_the_book_and_the_difference_returns(
    account: BrokerAccount, clock: Clock
) -> None:
    make_book(account)
    FakeBroker.account = info("990")
    found = open_break(account, clock)

    done = resolve_break(
        break_id=found.pk, resolution="Known wire fee", actor="owner@example.com", owner=account.user
    )

    assert (done.status, done.resolution) == ("resolved", "Known wire fee")
    assert Portfolio.objects.get().cash == 1000
    entry = AuditEntry.objects.get(action="break_resolved")
    assert (entry.actor, entry.data["theirs"]) == ("owner@example.com", "990")
    assert look(account).seen == 1


@pytest.mark.parametrize(
    ("cash", "theirs", "quantity", "average", "realised"),
    [
        ("990", (held("ABCD", "10", "7"),), "10", "7", "0"),
        ("1000", (held("ABCD", "12", "8"),), "12", "7.166666667", "0"),
        ("1000", (held("ABCD", "4", "7"),), "4", "7", "0"),
        ("1000", (), "0", "0", "0"),
        ("1000", (held("ABCD", "-3", "9"),), "-3", "9", "0"),
        ("1000", (held("ABCD", "10", "7.50"),), "10", "7.5", "0"),
    ],
)
def test_adopting_the_broker_value_books_a_correction_and_ends_the_difference(
    account: BrokerAccount,
    clock: Clock,
    cash: str,
    theirs: Any,
    quantity: str,
    average: str,
    realised: str,
) -> None:
    make_book(account, positions=(held("ABCD", "10", "7"),))
    FakeBroker.account, FakeBroker.positions = info(cash), theirs
    found = open_break(account, clock)

    resolve_break(break_id=found.pk, resolution="Broker is right", actor="a@example.com", adopt=True)

    portfolio = Portfolio.objects.get()
    position = Position.objects.get()
    assert portfolio.cash == Decimal(cash)
    assert (position.quantity, position.avg_price) == (Decimal(quantity), Decimal(average))
    assert portfolio.realised_pnl == Decimal(realised)
    entry = LedgerEntry.objects.get(kind="correction")
    assert entry.note == "Broker is right"
    assert check_book(portfolio) == []


def test_a_stale_break_cannot_be_adopted(account: BrokerAccount, clock: Clock) -> None:
    make_book(account)
    FakeBroker.account = info("990")
    found = open_break(account, clock)
    with transaction.atomic():
        book_fill(account=account, fill=fill("e1", Side.BUY, "1", "10", minute=90))

    with pytest.raises(ConflictError) as caught:
        resolve_break(break_id=found.pk, resolution="x", actor="a@example.com", adopt=True)

    assert caught.value.code == "book_moved"
    assert Portfolio.objects.get().cash == 990
    assert not LedgerEntry.objects.filter(kind="correction").exists()


def test_resolving_needs_a_reason_and_happens_once(account: BrokerAccount, clock: Clock) -> None:
    make_book(account)
    FakeBroker.account = info("990")
    found = open_break(account, clock)

    with pytest.raises(InvalidRequest):
        resolve_break(break_id=found.pk, resolution="  ", actor="a@example.com")
    resolve_break(break_id=found.pk, resolution="ok", actor="a@example.com")
    with pytest.raises(ConflictError):
        resolve_break(break_id=found.pk, resolution="ok", actor="a@example.com")


def test_a_stranger_finds_no_break(account: BrokerAccount, clock: Clock) -> None:
    make_book(account)
    FakeBroker.account = info("990")
    found = open_break(account, clock)
    stranger = make_user("stranger@example.com")

    with pytest.raises(NotFoundError):
        resolve_break(break_id=found.pk, resolution="mine", actor="s", owner=stranger)
    with pytest.raises(NotFoundError):
        explain_break(break_id=found.pk, explanation="mine", actor="s", owner=stranger)

    found.refresh_from_db()
    assert found.status == "open"


def test_an_explanation_stays_with_the_break(account: BrokerAccount, clock: Clock) -> None:
    make_book(account)
    FakeBroker.account = info("990")
    found = open_break(account, clock)

    explain_break(break_id=found.pk, explanation="Wire fee, asked the broker", actor="owner@example.com")

    found.refresh_from_db()
    assert (found.status, found.explanation) == ("open", "Wire fee, asked the broker")
