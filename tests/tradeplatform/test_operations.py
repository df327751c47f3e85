"""The operations dashboard: right to the digit on a hand-made set, for staff only, and quick on many rows."""

import datetime as dt
import re
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing.services import ensure_plans, grant_plan
from brokers.models import AccountStream, BrokerAccount, BrokerConnection, BrokerEvent, StreamProcess
from orders.enums import OrderOrigin, OrderStatus, OutboxStatus
from orders.latency import percentile, read_latencies
from orders.models import Execution, Order, OrderEvent, OutboxMessage
from portfolios.models import Break, EquitySnapshot, Portfolio
from risk.models import TradingHalt
from tests.orders.conftest import make_account
from tests.orders.scripted_broker import reset_book
from tradeplatform.common.builds import announce_build
from tradeplatform.models import ProcessHeartbeat, Role, User
from tradeplatform.operations import WINDOWS, Operations, read_operations
from tradeplatform.services.people import create_user
from tradeplatform.services.roles import ensure_roles

pytestmark = pytest.mark.django_db
D = Decimal
PASSWORD = "correct-horse-battery"
# A Tuesday, 11:00 in New York.
NOW = dt.datetime(2026, 11, 24, 16, 0, tzinfo=dt.UTC)
DAY = WINDOWS["24h"]
SCRIPTED = ("scripted", "paper")


@pytest.fixture(autouse=True)
def broker(settings: Any) -> None:
    settings.BROKER_ADAPTERS = {
        **settings.BROKER_ADAPTERS,
        "scripted": "tests.orders.scripted_broker.ScriptedAdapter",
    }
    cache.clear()
    reset_book()
    ensure_plans()
    ensure_roles()


@pytest.fixture
def user() -> User:
    return User.objects.create_user("owner@example.com", PASSWORD, date_joined=ago(days=30))


@pytest.fixture
def account(user: User) -> BrokerAccount:
    return make_account(user)


def ago(**span: float) -> dt.datetime:
    return NOW - dt.timedelta(**span)


def order(account: BrokerAccount, status: str = OrderStatus.FILLED, **values: Any) -> Order:
    accepted = status in (OrderStatus.FILLED, OrderStatus.ACCEPTED, OrderStatus.CANCELED)
    fields = {
        "user": account.user,
        "account": account,
        "client_order_id": uuid4().hex,
        "symbol": "ACME",
        "side": "buy",
        "order_type": "limit",
        "time_in_force": "day",
        "quantity": D(10),
        "limit_price": D(10),
        "origin": OrderOrigin.PAGE,
        "status": status,
        "created_at": ago(minutes=30),
        "accepted_at": ago(minutes=29) if accepted else None,
    }
    return Order.objects.create(**fields | values)


def sent(of: Order, timings: dict[str, float], **values: Any) -> OutboxMessage:
    fields = {"status": OutboxStatus.DONE, "created_at": of.created_at, "timings": timings}
    return OutboxMessage.objects.create(order=of, account=of.account, kind="submit", **fields | values)


def fill(of: Order, *, fill_ms: int = 0, book_ms: int = 0, **values: Any) -> Execution:
    at = values.pop("transact_time", ago(minutes=20))
    received = at + dt.timedelta(milliseconds=fill_ms)
    fields = {
        "exec_id": uuid4().hex,
        "last_qty": D(10),
        "last_px": D("10.25"),
        "transact_time": at,
        "received_at": received,
        "booked_at": received + dt.timedelta(milliseconds=book_ms),
    }
    return Execution.objects.create(order=of, account=of.account, **fields | values)


def figures(window: str = "24h") -> Operations:
    return read_operations(window=WINDOWS[window], now=NOW)


def test_every_order_counts_once_and_success_leaves_out_what_was_not_to_be_sent(
    account: BrokerAccount,
) -> None:
    for _ in range(7):
        order(account)
    order(account, OrderStatus.CANCELED)
    order(account, OrderStatus.REJECTED)
    order(account, OrderStatus.UNCONFIRMED, submitted_at=ago(minutes=4), needs_person_at=ago(minutes=2))
    for kind in ("intent_expired", "withdrawn"):
        OrderEvent.objects.create(
            order=order(account, OrderStatus.NOT_SENT), kind=kind, from_status="queued", actor="system"
        )
    approval_ran_out = order(account, OrderStatus.NOT_SENT)
    OrderEvent.objects.create(
        order=approval_ran_out, kind="intent_expired", from_status="pending_approval", actor="system"
    )
    order(account, OrderStatus.DENIED)
    order(account, OrderStatus.QUEUED)
    order(account, OrderStatus.FILLED, origin=OrderOrigin.EXTERNAL)
    order(account, OrderStatus.ACCEPTED, origin=OrderOrigin.LEG)
    order(account, created_at=ago(hours=25))

    found = figures()

    (one,) = found.orders
    outcomes = one.outcomes
    assert (outcomes.accepted, outcomes.refused, outcomes.failed, outcomes.unconfirmed) == (8, 1, 1, 1)
    assert (outcomes.denied, outcomes.withdrawn, outcomes.waiting, outcomes.placed) == (1, 2, 1, 15)
    assert outcomes.success_rate == D(8) / 11
    assert found.total == type(outcomes)(
        **{name: getattr(outcomes, name) for name in outcomes.__slots__} | {"broker": "", "environment": ""}
    )
    backlog = found.backlog
    assert (backlog.unconfirmed, backlog.needs_person) == (1, 1)
    assert backlog.unconfirmed_since == ago(minutes=4)
    assert figures("7d").total.accepted == 9


def test_percentiles_are_linear_between_the_measured_values_per_broker_and_stage(
    account: BrokerAccount,
) -> None:
    for number in range(1, 11):
        placed = order(account)
        sent(placed, {"accept": number, "gate": 2.5, "queue": number * 10.0})
        fill(placed, fill_ms=number * 100, book_ms=5)
    live = make_account(account.user, environment="live", number="S2")
    sent(order(live), {"accept": 1001.0})
    sent(order(account, created_at=ago(hours=30)), {"accept": 9999.0})
    fill(order(account, origin=OrderOrigin.EXTERNAL), fill_ms=50_000)
    sent(order(account, OrderStatus.QUEUED), {}, status=OutboxStatus.READY)

    found = read_latencies(since=NOW - DAY)

    paper = found.by_group[SCRIPTED]
    accept = paper["accept"]
    assert (accept.count, accept.p50) == (10, 5.5)
    assert (accept.p95, accept.p99) == (pytest.approx(9.55), pytest.approx(9.91))
    assert (paper["gate"].p50, paper["gate"].p99) == (2.5, 2.5)
    assert paper["queue"].p95 == pytest.approx(95.5)
    assert (paper["fill"].p50, paper["fill"].p95) == (pytest.approx(550), pytest.approx(955))
    assert (paper["book"].count, paper["book"].p99) == (10, pytest.approx(5))
    assert set(paper) == {"accept", "gate", "queue", "fill", "book"}
    assert found.by_group["scripted", "live"]["accept"].p50 == 1001.0
    everything = found.by_group[None]["accept"]
    assert (everything.count, everything.p50, everything.p95) == (11, 6.0, pytest.approx(505.5))
    assert (found.orders, found.fills, found.is_sample) == (12, 10, False)


def test_percentiles_of_very_many_orders_are_those_of_the_newest(account: BrokerAccount) -> None:
    for minutes, accept in ((50, 900.0), (40, 1.0), (30, 3.0)):
        sent(order(account, created_at=ago(minutes=minutes)), {"accept": accept})

    found = read_latencies(since=NOW - DAY, sample=2)

    assert found.is_sample
    assert (found.orders, found.by_group[None]["accept"].p50) == (2, 2.0)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([7.0], 0.99, 7.0), ([1.0, 2.0], 0.5, 1.5), ([1.0, 2.0, 3.0], 0.95, 2.9)],
)
def test_a_percentile_of_few_values(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == pytest.approx(expected)


def test_doubts_name_the_time_outs_and_the_longest_that_was_settled(account: BrokerAccount) -> None:
    since = ago(minutes=10)
    for code, seconds in (("timed_out", 9), ("504", 2)):
        placed = order(account)
        sent(placed, {}, unknown_since=since, done_at=since + dt.timedelta(seconds=seconds))
        OrderEvent.objects.create(order=placed, kind="outcome_unknown", actor="x", data={"code": code})
    sent(order(account), {}, unknown_since=ago(hours=30), done_at=ago(hours=29))

    doubts = figures().orders[0].doubts

    assert (doubts.unknown, doubts.timed_out, doubts.longest) == (2, 1, dt.timedelta(seconds=9))


def test_volume_is_exact_per_trade_date_and_never_mixes_paper_with_live(account: BrokerAccount) -> None:
    live = make_account(account.user, environment="live", number="S2")
    late_in_new_york = dt.datetime(2026, 11, 24, 3, 30, tzinfo=dt.UTC)
    for one, at in ((account, ago(minutes=20)), (account, late_in_new_york), (live, ago(minutes=10))):
        placed = order(one, created_at=at)
        fill(placed, transact_time=at, last_qty=D("0.333333333"), last_px=D("3.07"))
    fill(order(account, created_at=late_in_new_york), busted_at=NOW)
    fill(order(account, origin=OrderOrigin.EXTERNAL))

    days = [
        (one.day.isoformat(), one.environment, one.orders, one.fills, one.value) for one in figures().volume
    ]

    value = D("0.333333333") * D("3.07")
    assert days == [
        ("2026-11-24", "paper", 1, 1, value),
        ("2026-11-24", "live", 1, 1, value),
        ("2026-11-23", "paper", 2, 1, value),
    ]


def test_the_backlog_says_what_waits_and_since_when(account: BrokerAccount) -> None:
    for seconds in (5, 9):
        sent(
            order(account, OrderStatus.QUEUED), {}, status=OutboxStatus.READY, created_at=ago(seconds=seconds)
        )
    sent(order(account, OrderStatus.SUBMITTING), {}, status=OutboxStatus.CLAIMED)
    BrokerEvent.objects.create(
        account=account, dedupe_key="1", kind="fill", source="stream", payload={}, received_at=ago(seconds=3)
    )

    found = figures()

    assert (found.backlog.ready, found.backlog.ready_since) == (2, ago(seconds=9))
    assert (found.backlog.claimed, found.backlog.unknown) == (1, 0)
    assert (found.inbox.waiting, found.inbox.since) == (1, ago(seconds=3))


def test_books_count_as_compared_when_the_broker_was_read_and_as_clean_without_open_breaks(
    user: User,
) -> None:
    books = [Portfolio.objects.get(account=make_account(user, number=f"S{n}")) for n in range(4)]
    EquitySnapshot.objects.all().delete()
    for book, minutes in zip(books[:3], (5, 10, 600), strict=True):
        EquitySnapshot.objects.create(
            portfolio=book, at=ago(minutes=minutes), trade_date=NOW.date(), equity=1, cash=1, source="sync"
        )
    for minutes, values in (
        (30, {"kind": "cash"}),
        (120, {"kind": "position_quantity", "symbol": "A"}),
        (3000, {"kind": "position_quantity", "symbol": "B"}),
    ):
        Break.objects.create(
            portfolio=books[0],
            ours="1",
            theirs="2",
            status="open",
            first_seen_at=ago(minutes=minutes),
            **values,
        )
    Break.objects.create(portfolio=books[1], kind="cash", ours="1", theirs="2", status="seen")
    Break.objects.create(
        portfolio=books[1], kind="cash", symbol="X", ours="1", theirs="2", status="resolved", resolved_at=NOW
    )

    accuracy = figures("1h").accuracy

    assert (accuracy.books, accuracy.compared, accuracy.with_breaks) == (4, 2, 1)
    assert accuracy.clean_share == D("0.5")
    rows = [(one.label, one.under_an_hour, one.under_a_day, one.older) for one in accuracy.breaks]
    assert rows == [("Shares", 0, 1, 1), ("Cash", 1, 0, 0)]
    assert accuracy.breaks[0].since == ago(minutes=3000)
    assert figures().accuracy.clean_share == D(2) / 3


def test_brokers_are_judged_by_their_answers_and_streams(user: User) -> None:
    answering, silent, expired = (make_account(user, number=f"S{n}") for n in range(3))
    accounts = BrokerAccount.objects
    accounts.filter(pk=answering.pk).update(synced_at=ago(minutes=1))
    accounts.filter(pk=silent.pk).update(synced_at=ago(minutes=20), restriction="Blocked")
    alive = StreamProcess.objects.create(name="alive", alive_until=NOW + dt.timedelta(seconds=5))
    dead = StreamProcess.objects.create(name="dead", alive_until=ago(minutes=20))
    AccountStream.objects.create(account=answering, holder=alive, state="live")
    AccountStream.objects.create(account=silent, holder=dead, state="live")
    BrokerConnection.objects.filter(pk=expired.connection_id).update(status="needs_relink")
    accounts.update(broker="alpaca")
    make_account(user, number="S9")

    found, without_streams = figures().brokers

    assert (found.name, without_streams.streaming) == ("Alpaca", None)
    assert (found.accounts, found.links, found.needs_relink, found.restricted) == (3, 3, 1, 1)
    assert (found.working, found.answered, found.streaming) == (2, 1, 1)
    assert found.oldest_answer == ago(minutes=20)


def test_halts_show_the_time_from_the_press_to_the_last_byte(user: User) -> None:
    pressed = ago(minutes=5)
    common = {
        "scope": "user",
        "scope_key": str(user.pk),
        "reason": "x",
        "started_by": "a",
        "started_at": pressed,
    }
    measured = {"measured_at": NOW, "in_flight": 1}
    late = TradingHalt.objects.create(
        **common,
        **measured,
        last_send_at=pressed + dt.timedelta(milliseconds=240),
        last_byte_at=pressed + dt.timedelta(milliseconds=410),
    )
    before = TradingHalt.objects.create(
        **common, **measured, last_send_at=pressed - dt.timedelta(seconds=1), lifted_at=ago(minutes=1)
    )
    TradingHalt.objects.create(**common | {"started_at": ago(days=3)}, lifted_at=ago(days=2))

    found = figures()

    assert [(halt.pk, halt.press_to_last_byte) for halt in found.halts] == [
        (late.pk, dt.timedelta(milliseconds=410)),
        (before.pk, dt.timedelta(0)),
    ]
    assert found.active_halts == 1


def test_adoption_counts_people_links_traders_and_plans(account: BrokerAccount) -> None:
    other = User.objects.create_user("new@example.com", PASSWORD, date_joined=ago(hours=2))
    User.objects.create_user("gone@example.com", PASSWORD, closed_at=NOW, is_active=False)
    grant_plan(user=other, plan_key="pro", reason="test", granted_by="a")
    live = make_account(account.user, environment="live", number="S2")
    BrokerAccount.objects.filter(pk=live.pk).update(armed_at=NOW)
    order(account)
    order(live)

    adoption = figures().adoption

    assert (adoption.people, adoption.joined, adoption.linked, adoption.traders) == (2, 1, 1, 1)
    assert (adoption.paper_accounts, adoption.live_accounts, adoption.armed_accounts) == (1, 1, 1)
    assert adoption.plans == (("Free", 1), ("Plus", 0), ("Pro", 1))


def test_processes_show_their_age_and_an_old_build(settings: Any) -> None:
    announce_build()
    for name, build, seconds in (("web@a:1", settings.BUILD_ID, 3), ("dispatcher@a:2", "old", 90)):
        ProcessHeartbeat.objects.create(
            name=name, kind=name.split("@")[0], build_id=build, started_at=NOW, beat_at=ago(seconds=seconds)
        )

    rows = [(one.kind, one.state, one.is_newest_build) for one in figures().processes]

    assert rows == [("Order dispatch", "down", False), ("Website and API", "running", True)]


def test_ended_processes_are_listed_only_while_none_of_their_kind_runs() -> None:
    for name, seconds in (("web@a:1", 1), ("web@a:2", 600), ("dispatcher@a:3", 600)):
        ProcessHeartbeat.objects.create(
            name=name, kind=name.split("@")[0], started_at=NOW, beat_at=ago(seconds=seconds)
        )

    found = figures()

    assert [one.name for one in found.listed_processes] == ["dispatcher@a:3", "web@a:1"]
    assert found.replaced_processes == 1


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.RISK_ADMIN, Role.ADMIN])
def test_staff_see_the_dashboard_empty_and_with_orders(
    client: Client, account: BrokerAccount, role: Role
) -> None:
    client.force_login(create_user(email="staff@example.com", password=PASSWORD, role=role))
    address = reverse("operations")
    empty = client.get(address)
    assert empty.status_code == 200
    assert "No order was placed in the last 24 hours" in empty.content.decode()
    now = timezone.now()
    placed = order(account, created_at=now, accepted_at=now)
    sent(placed, {"accept": 1.5, "ack": 1234.0})

    text = client.get(address, {"window": "1h"}).content.decode()

    assert "100.00%" in text
    assert "1.50\u00a0ms" in text
    assert "1.23\u00a0s" in text
    part = client.get(address, {"window": "nonsense"}, headers={"HX-Request": "true"}).content.decode()
    assert "The last 24 hours" in part
    assert "<html" not in part


def test_other_people_do_not_see_it(client: Client, user: User) -> None:
    assert client.get(reverse("operations")).status_code == 302
    client.force_login(user)
    assert client.get(reverse("operations"), follow=True).status_code == 403
    User.objects.filter(pk=user.pk).update(is_staff=True)
    assert client.get(reverse("operations")).status_code == 403


def test_the_number_of_queries_does_not_grow_with_orders_brokers_or_halts(user: User) -> None:
    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            figures("7d")
        return len(queries)

    few = count()
    for number in range(6):
        account = make_account(user, environment="live" if number % 2 else "paper", number=f"S{number}")
        for _ in range(5):
            placed = order(account)
            sent(placed, {"accept": 1.0})
            fill(placed)
        TradingHalt.objects.create(scope="user", scope_key=str(user.pk), reason="x", started_by="a")

    assert count() == few
    assert few <= 24


def test_the_admin_shows_quantities_without_the_zeros_of_nine_decimals_and_times_with_their_zone(
    client: Client, account: BrokerAccount
) -> None:
    client.force_login(create_user(email="staff@example.com", password=PASSWORD, role=Role.SUPPORT))
    made = order(account, quantity=D("2.5"))

    for page in (
        client.get(reverse("admin:orders_order_changelist"), {"o": "6"}).content.decode(),
        client.get(reverse("admin:orders_order_change", args=[made.pk])).content.decode(),
    ):
        assert re.search(r">\s*2\.5\s*<", page)
        assert "2.500000000" not in page
        assert re.search(r"\d{4}, \d\d:\d\d (UTC|E[SD]T)", page)


def test_an_empty_list_in_the_admin_asks_for_nothing_that_staff_cannot_do(client: Client) -> None:
    client.force_login(create_user(email="staff@example.com", password=PASSWORD, role=Role.SUPPORT))
    address = reverse("admin:orders_order_changelist")

    empty = client.get(address).content.decode()
    narrowed = client.get(address, {"q": "nobody"}).content.decode()

    assert "There are no orders." in empty
    assert "Add order" not in empty
    assert "No orders fit the search and the filters." in narrowed
