"""The dashboard: figures of the chosen account, what needs attention, and a constant number of queries."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing.services import ensure_plans
from brokers.models import BrokerAccount, BrokerConnection, LatestQuote
from orders.models import Order, OrderDefaults
from portfolios.models import Break, EquitySnapshot, Portfolio, Position
from tests.orders.conftest import make_account
from tests.orders.helpers import place
from tests.orders.scripted_broker import reset_book
from tradeplatform.models import EventCursor, User

pytestmark = pytest.mark.django_db
D = Decimal
MOST_QUERIES = 32


@pytest.fixture(autouse=True)
def broker(settings: Any) -> None:
    settings.BROKER_ADAPTERS = {
        **settings.BROKER_ADAPTERS,
        "scripted": "tests.orders.scripted_broker.ScriptedAdapter",
    }
    cache.clear()
    reset_book()
    ensure_plans()


@pytest.fixture
def user() -> User:
    return User.objects.create_user("owner@example.com", "correct-horse-battery")


@pytest.fixture
def page(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def hold(account: BrokerAccount, symbol: str, quantity: str, price: str) -> None:
    portfolio = Portfolio.objects.get(account=account)
    Position.objects.create(portfolio=portfolio, symbol=symbol, quantity=D(quantity), avg_price=D(price))


def quote(symbol: str, last: str, previous: str) -> None:
    now = timezone.now()
    LatestQuote.objects.create(
        broker="scripted",
        symbol=symbol,
        last=D(last),
        previous_close=D(previous),
        as_of=now,
        received_at=now,
    )


def test_a_new_person_is_led_to_their_first_account(page: Client) -> None:
    assert "Choose where to trade" in text_of(page.get(reverse("dashboard")))


def test_visitors_are_asked_to_sign_in(client: Client) -> None:
    answer = client.get(reverse("dashboard"))
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("account_login"))


def test_it_only_reads(page: Client) -> None:
    assert page.post(reverse("dashboard")).status_code == 405


def test_figures_are_valued_at_the_newest_prices(page: Client, user: User) -> None:
    account = make_account(user)
    hold(account, "ACME", "100", "9")
    quote("ACME", "12.50", "12.00")
    shown = text_of(page.get(reverse("dashboard")))
    assert "$101,250.00" in shown  # 100,000 cash and 100 shares at 12.50
    assert "+$50.00" in shown
    assert 'data-live-quote="ACME"' in shown
    assert "PAPER" in shown


def test_open_orders_can_be_canceled_from_here(page: Client, user: User) -> None:
    account = make_account(user)
    order = place(user, account).order
    shown = text_of(page.get(reverse("dashboard")))
    assert reverse("orders:cancel", args=[order.pk]) in shown
    answer = page.post(reverse("orders:cancel", args=[order.pk]), {"next": reverse("dashboard")})
    assert answer["Location"] == reverse("dashboard")
    assert reverse("orders:cancel", args=[order.pk]) not in text_of(page.get(reverse("dashboard")))


def test_what_needs_attention_is_said_with_a_way_out(page: Client, user: User) -> None:
    account = make_account(user)
    BrokerConnection.objects.update(status="needs_relink", status_reason="The broker withdrew our access.")
    order = place_unconfirmed(user, account)
    Break.objects.create(
        portfolio=Portfolio.objects.get(account=account), kind="cash", ours="1", theirs="2", status="open"
    )
    shown = text_of(page.get(reverse("dashboard")))
    assert "Scripted broker needs to be linked again" in shown
    assert "The broker withdrew our access." in shown
    assert "Your book and the broker differ" in shown
    assert f"{Portfolio.objects.get(account=account).name}: 1 difference is open" in shown
    assert reverse("portfolios:differences", args=[Portfolio.objects.get(account=account).pk]) in shown
    assert "An order is unconfirmed" in shown
    assert reverse("orders:detail", args=[order.pk]) in shown


def place_unconfirmed(user: User, account: BrokerAccount) -> Order:
    return Order.objects.create(
        user=user,
        account=account,
        client_order_id="c-1",
        symbol="ACME",
        side="buy",
        order_type="market",
        time_in_force="day",
        quantity=D(1),
        origin="page",
        status="unconfirmed",
    )


def test_a_halt_is_shown_above_everything(page: Client, user: User) -> None:
    from risk.services.halts import halt_trading

    account = make_account(user)
    halt_trading(scope="account", scope_key=str(account.pk), reason="Prices look wrong.", actor="system:test")
    shown = text_of(page.get(reverse("dashboard")))
    assert "Trading is halted" in shown
    assert "Prices look wrong." in shown


def test_the_default_account_comes_first_and_the_choice_stays(page: Client, user: User) -> None:
    first, second = make_account(user), make_account(user, environment="live", number="S2")
    assert page.get(reverse("dashboard")).context["account"] == first
    OrderDefaults.objects.create(user=user, account=second)
    assert page.get(reverse("dashboard")).context["account"] == second
    page.post(reverse("switch_account"), {"account": str(first.pk)})
    assert page.get(reverse("dashboard")).context["account"] == first


def test_a_strangers_account_cannot_be_chosen(page: Client, user: User) -> None:
    stranger = User.objects.create_user("stranger@example.com", "correct-horse-battery")
    theirs = make_account(stranger)
    assert page.post(reverse("switch_account"), {"account": str(theirs.pk)}).status_code == 404
    assert "Choose where to trade" in text_of(page.get(reverse("dashboard")))


@pytest.mark.parametrize("part", ["book", "orders", "notices", "curve"])
def test_live_updates_fetch_one_part(page: Client, user: User, part: str) -> None:
    make_account(user)
    shown = page.get(reverse("dashboard"), {"part": part}).content.decode()
    assert "<html" not in shown
    assert 'id="' in shown


def test_the_curve_follows_the_chosen_range(page: Client, user: User) -> None:
    account = make_account(user)
    portfolio = Portfolio.objects.get(account=account)
    # The one of the opening: its date is the exchange's, and may be another than today's.
    EquitySnapshot.objects.all().delete()
    now = timezone.now()
    for days in range(200):
        at = now - dt.timedelta(days=days)
        EquitySnapshot.objects.update_or_create(
            portfolio=portfolio,
            at=at,
            defaults={"trade_date": at.date(), "equity": D(100), "cash": D(100)},
        )

    def points(**query: str) -> int:
        context = page.get(reverse("dashboard"), {"part": "curve", **query}).context
        return len(context["curve"]["series"][0]["points"])

    assert points(curve="all") == 200
    assert points(curve="quarter") == points() == 93
    assert points(curve="day") >= 1


def count_queries(page: Client) -> int:
    page.get(reverse("dashboard"))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        page.get(reverse("dashboard"))
    return len(queries)


def test_the_number_of_queries_does_not_grow_with_the_account(page: Client, user: User) -> None:
    account = make_account(user)
    hold(account, "ACME", "1", "10")
    quote("ACME", "10", "10")
    place_unconfirmed(user, account)
    few = count_queries(page)
    for number in range(40):
        hold(account, f"S{number}", "1", "10")
        quote(f"S{number}", "10", "10")
    Order.objects.bulk_create(
        Order(
            user=user,
            account=account,
            client_order_id=f"x-{number}",
            symbol="ACME",
            side="buy",
            order_type="limit",
            time_in_force="day",
            quantity=D(1),
            limit_price=D(1),
            origin="page",
            status="accepted",
        )
        for number in range(60)
    )
    assert count_queries(page) == few
    assert few <= MOST_QUERIES


def test_the_page_names_the_event_its_stream_goes_on_from(page: Client, user: User) -> None:
    account = make_account(user)
    place(user, account)
    last = EventCursor.objects.get(user=user).last_sequence
    assert last > 0
    assert f'data-live-from="{last}"' in text_of(page.get(reverse("dashboard")))


def test_times_are_shown_in_the_persons_zone(page: Client, user: User) -> None:
    account = make_account(user)
    order = place(user, account).order
    Order.objects.filter(pk=order.pk).update(created_at=dt.datetime(2026, 7, 1, 14, 0, tzinfo=dt.UTC))
    for zone, shown in (("Asia/Tokyo", "1 Jul 2026, 23:00 JST"), ("UTC", "1 Jul 2026, 14:00 UTC")):
        User.objects.filter(pk=user.pk).update(time_zone=zone)
        assert shown in text_of(page.get(reverse("orders:list")))


def test_a_time_zone_that_no_longer_exists_breaks_no_page(page: Client, user: User) -> None:
    User.objects.filter(pk=user.pk).update(time_zone="Mars/Olympus")
    assert page.get(reverse("dashboard")).status_code == 200
