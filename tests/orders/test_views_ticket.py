"""The ticket, its preview, the review and placing: what a person sees and what it becomes."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.core import signing
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.services import grant_plan
from brokers.models import BrokerAccount, BrokerConnection
from orders import review as review_module
from orders.models import Order, OrderDefaults
from risk.models import RiskDecisionRecord
from tests.orders.conftest import make_account
from tests.orders.helpers import D, place
from tests.orders.scripted_broker import ScriptedBook
from tests.pages import sign_in
from tradeplatform.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def ticket(account: BrokerAccount, **values: str) -> dict[str, str]:
    return {
        "account": str(account.pk),
        "symbol": "ACME",
        "side": "buy",
        "order_type": "limit",
        "size_mode": "shares",
        "size": "10",
        "limit_price": "10.00",
        "trail_mode": "amount",
        "time_in_force": "day",
        "exits": "none",
    } | values


def prepare(page: Client, account: BrokerAccount, **values: str) -> Any:
    return page.post(reverse("orders:prepare"), ticket(account, **values))


def review_of(page: Client, account: BrokerAccount, **values: str) -> str:
    """Fill in the ticket and return the signed draft of its review."""
    answer = prepare(page, account, **values)
    assert answer.status_code == 302, answer.content.decode()
    return parse_qs(urlsplit(answer["Location"]).query)["order"][0]


def show_review(page: Client, draft: str) -> Any:
    return page.get(reverse("orders:review"), {"order": draft})


def place_reviewed(page: Client, draft: str, *confirm: str) -> Any:
    return page.post(reverse("orders:place"), {"order": draft, "confirm": list(confirm)})


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def test_a_reviewed_order_is_placed_with_what_was_typed(page: Client, account: BrokerAccount) -> None:
    draft = review_of(page, account, note="first one")
    shown = text_of(show_review(page, draft))
    assert "Buy 10 shares of ACME at $10.00 or better, good for the day" in shown
    assert "Place paper order" in shown
    assert "$100.00 and fees" in shown
    assert Order.objects.count() == 0
    answer = place_reviewed(page, draft)
    order = Order.objects.get()
    assert answer["Location"] == reverse("orders:detail", args=[order.pk])
    assert (order.symbol, order.side, order.quantity, order.limit_price, order.note, order.status) == (
        "ACME",
        "buy",
        D("10"),
        D("10"),
        "first one",
        "queued",
    )
    assert order.account_id == account.pk


def test_placing_the_same_review_twice_is_one_order(page: Client, account: BrokerAccount) -> None:
    draft = review_of(page, account)
    first, second = place_reviewed(page, draft), place_reviewed(page, draft)
    assert Order.objects.count() == 1
    assert first["Location"] == second["Location"]


def test_coming_back_to_a_placed_review_leads_to_its_order(page: Client, account: BrokerAccount) -> None:
    draft = review_of(page, account)
    place_reviewed(page, draft)
    answer = show_review(page, draft)
    assert answer["Location"] == reverse("orders:detail", args=[Order.objects.get().pk])


def test_an_old_review_places_nothing_and_keeps_what_was_typed(
    page: Client, account: BrokerAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = review_of(page, account, size="7")
    monkeypatch.setattr(review_module, "MAX_AGE", -1)
    answer = place_reviewed(page, draft)
    assert Order.objects.count() == 0
    assert parse_qs(urlsplit(answer["Location"]).query)["size"] == ["7"]


def test_an_old_review_that_was_placed_leads_to_its_order(
    page: Client, account: BrokerAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = review_of(page, account)
    place_reviewed(page, draft)
    monkeypatch.setattr(review_module, "MAX_AGE", -1)
    assert place_reviewed(page, draft)["Location"] == reverse("orders:detail", args=[Order.objects.get().pk])


def test_somebody_elses_or_an_altered_review_places_nothing(
    page: Client, account: BrokerAccount, stranger: User
) -> None:
    draft = review_of(page, account)
    assert place_reviewed(page, f"{draft}x")["Location"] == reverse("orders:ticket")
    page.force_login(stranger)
    assert place_reviewed(page, draft)["Location"] == reverse("orders:ticket")
    assert Order.objects.count() == 0


def test_mistakes_are_marked_and_what_was_typed_stays(page: Client, account: BrokerAccount) -> None:
    answer = prepare(page, account, size="ten", limit_price="", note="keep <this>")
    assert answer.status_code == 422
    form = answer.context["form"]
    assert form.errors["limit_price"] == ["This order needs a value here."]
    answer = prepare(page, account, size="ten", note="keep <this>")
    assert answer.context["form"].errors["size"] == ["This is not a number."]
    shown = text_of(answer)
    assert 'value="ten"' in shown
    assert "keep &lt;this&gt;" in shown
    assert "Nothing was sent" in shown


@pytest.mark.parametrize("size", ["0", "-3", "NaN", "1e5", "0.1234567891", "9999999999999"])
def test_sizes_that_are_none_are_refused_at_the_field(
    page: Client, account: BrokerAccount, size: str
) -> None:
    answer = prepare(page, account, size=size)
    assert answer.status_code == 422
    assert answer.context["form"].errors["size"]


def test_the_gate_refuses_at_the_field_it_is_about(page: Client, account: BrokerAccount) -> None:
    answer = prepare(page, account, limit_price="10.001")
    assert answer.status_code == 422
    assert "steps of 0.01" in answer.context["form"].errors["limit_price"][0]
    assert RiskDecisionRecord.objects.count() == 0


def test_an_unknown_symbol_is_refused_before_review(page: Client, account: BrokerAccount) -> None:
    answer = prepare(page, account, symbol="NOPE")
    assert answer.status_code == 422
    assert "knows no security NOPE" in text_of(answer)


def test_questions_must_be_confirmed_by_name(page: Client, account: BrokerAccount) -> None:
    draft = review_of(page, account, size="1600")
    shown = show_review(page, draft)
    codes = [finding.code for finding in shown.context["panel"].asked]
    assert codes == ["E01", "E11"]
    assert text_of(shown).count('name="confirm"') == 2
    unconfirmed = place_reviewed(page, draft)
    assert Order.objects.count() == 0
    again = parse_qs(urlsplit(unconfirmed["Location"]).query)["order"][0]
    assert again != draft
    place_reviewed(page, again, *codes)
    assert Order.objects.get().confirmed_codes == codes


def test_a_denial_at_placing_shows_the_ticket_as_typed_with_the_record(
    page: Client, account: BrokerAccount
) -> None:
    draft = review_of(page, account, size="20", note="hello")
    BrokerAccount.objects.filter(pk=account.pk).update(
        buying_power=D("50"), cash=D("50"), synced_at=timezone.now()
    )
    answer = place_reviewed(page, draft)
    denied = Order.objects.get()
    assert answer.status_code == 422
    assert denied.status == "denied"
    shown = text_of(answer)
    assert reverse("orders:detail", args=[denied.pk]) in shown
    assert "refused. Nothing was sent" in shown
    assert 'value="20"' in shown
    assert 'value="hello"' in shown
    assert place_reviewed(page, draft).status_code == 422
    assert Order.objects.count() == 1


def test_a_live_account_needs_the_plan_and_says_so_with_a_way_out(page: Client, user: User) -> None:
    live = make_account(user, environment="live")
    draft = review_of(page, live, size="5")
    shown = text_of(show_review(page, draft))
    assert "Place LIVE order" in shown
    assert "with real money" in shown
    answer = place_reviewed(page, draft)
    assert answer.status_code == 403
    assert "Your plan does not include live trading" in text_of(answer)
    assert f'href="{reverse("billing:overview")}"' in text_of(answer)
    assert Order.objects.count() == 0


def test_the_ticket_of_a_live_account_warns_before_anything_is_typed(page: Client, user: User) -> None:
    make_account(user, environment="live")
    shown = text_of(page.get(reverse("orders:ticket"), {"symbol": "ACME"}))
    assert "Your plan does not include live trading" in shown
    assert "card--live" in shown


def test_a_link_that_needs_renewing_is_named_on_the_ticket(page: Client, account: BrokerAccount) -> None:
    BrokerConnection.objects.filter(pk=account.connection_id).update(status="needs_relink")
    assert "needs renewing" in text_of(page.get(reverse("orders:ticket"), {"symbol": "ACME"}))


def test_dollars_become_an_amount_on_a_market_order(page: Client, account: BrokerAccount) -> None:
    draft = review_of(page, account, order_type="market", limit_price="", size_mode="dollars", size="250.50")
    place_reviewed(page, draft)
    order = Order.objects.get()
    assert (order.notional, order.quantity, order.limit_price) == (D("250.5"), None, None)


def test_percent_of_equity_becomes_whole_shares_where_exits_hang_on_it(
    page: Client, account: BrokerAccount
) -> None:
    draft = review_of(
        page,
        account,
        size_mode="percent",
        size="1",
        exits="attached",
        take_profit_limit_price="12",
        stop_loss_stop_price="9",
    )
    assert "take the profit at $12.00 or stop the loss at $9.00" in text_of(show_review(page, draft))
    place_reviewed(page, draft)
    order = Order.objects.get()
    assert (order.order_class, order.quantity, order.take_profit_limit_price, order.stop_loss_stop_price) == (
        "bracket",
        D("100"),
        D("12"),
        D("9"),
    )


def test_fields_that_do_not_belong_to_the_type_are_left_out(page: Client, account: BrokerAccount) -> None:
    draft = review_of(
        page,
        account,
        order_type="market",
        limit_price="77",
        stop_price="66",
        trail="5",
        take_profit_limit_price="99",
    )
    place_reviewed(page, draft)
    order = Order.objects.get()
    assert (order.limit_price, order.stop_price, order.trail_amount, order.take_profit_limit_price) == (
        None,
        None,
        None,
        None,
    )


def test_exits_without_any_price_are_a_mistake(page: Client, account: BrokerAccount) -> None:
    answer = prepare(page, account, exits="attached")
    assert answer.context["form"].errors["take_profit_limit_price"] == [
        "Give a take-profit, a stop-loss or both."
    ]
    assert set(prepare(page, account, exits="pair").context["form"].errors) == {
        "take_profit_limit_price",
        "stop_loss_stop_price",
    }


def test_a_trailing_stop_carries_its_trail_in_the_chosen_unit(page: Client, account: BrokerAccount) -> None:
    answer = prepare(page, account, order_type="trailing_stop", side="buy", trail_mode="percent", trail="2")
    body = signing.loads(parse_qs(urlsplit(answer["Location"]).query)["order"][0], salt="orders.review")
    assert (body["order"]["trail_percent"], body["order"].get("trail_amount")) == ("2", None)
    assert prepare(page, account, order_type="trailing_stop").context["form"].errors["trail"]


def test_the_preview_shows_verdict_cost_and_limits(page: Client, account: BrokerAccount) -> None:
    shown = text_of(page.post(reverse("orders:preview"), ticket(account)))
    assert "Passes every check" in shown
    assert "$100.00" in shown
    assert "ACME as share of equity" in shown
    assert 'id="ticket-summary"' in shown
    assert Order.objects.count() == 0


def test_the_preview_names_what_would_refuse(page: Client, account: BrokerAccount) -> None:
    shown = text_of(page.post(reverse("orders:preview"), ticket(account, size="5000")))
    assert "Would be refused" in shown
    assert "at most 20% is allowed" in shown


def test_the_preview_waits_for_a_size_and_explains_mistakes(page: Client, account: BrokerAccount) -> None:
    assert "Give a size" in text_of(page.post(reverse("orders:preview"), ticket(account, size="")))
    shown = text_of(page.post(reverse("orders:preview"), ticket(account, size="x")))
    assert "This is not a number." in shown


def test_the_ticket_starts_with_the_persons_defaults(
    page: Client, user: User, account: BrokerAccount
) -> None:
    OrderDefaults.objects.create(user=user, order_type="limit", time_in_force="gtc")
    form = page.get(reverse("orders:ticket"), {"symbol": "ACME", "side": "sell", "size": "3"}).context["form"]
    values = {name: form[name].value() for name in ("order_type", "time_in_force", "side", "size")}
    assert values == {"order_type": "limit", "time_in_force": "gtc", "side": "sell", "size": "3"}


def test_the_ticket_offers_only_what_the_account_can_do(
    page: Client, account: BrokerAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from tests.orders.scripted_broker import ScriptedAdapter

    full = ScriptedAdapter.capabilities("paper")  # type: ignore[arg-type]
    plain = replace(
        full.order_rules[0],
        times_in_force=frozenset({"day"}),
        extended_hours_times_in_force=frozenset(),
        order_classes=frozenset({"simple"}),
    )
    monkeypatch.setattr(
        ScriptedAdapter, "capabilities", classmethod(lambda cls, env: replace(full, order_rules=(plain,)))
    )
    form = page.get(reverse("orders:ticket"), {"symbol": "ACME"}).context["form"]
    assert [value for value, _ in form.fields["order_type"].choices] == ["market"]
    assert [value for value, _ in form.fields["time_in_force"].choices] == ["day"]
    assert [value for value, _ in form.fields["exits"].choices] == ["none"]
    assert "extended_hours" not in form.fields


def test_a_search_that_names_a_symbol_leads_to_its_ticket(page: Client, account: BrokerAccount) -> None:
    answer = page.get(reverse("orders:ticket"), {"q": "acme"})
    assert answer["Location"] == "/trade/?symbol=ACME"
    assert "Nothing called “NOPE”" in text_of(page.get(reverse("orders:ticket"), {"q": "NOPE"}))
    assert "ACME" in text_of(page.get(reverse("orders:search"), {"q": "acme"}))


def test_the_quote_panel_shows_prices_or_says_why_not(page: Client, account: BrokerAccount) -> None:
    shown = text_of(page.get(reverse("orders:quote"), {"symbol": "ACME"}))
    assert "$9.99" in shown
    assert 'data-live-quote="ACME"' in shown
    assert "No such symbol here" in text_of(page.get(reverse("orders:quote"), {"symbol": "NOPE"}))


def test_candles_come_as_strings_in_the_charts_shape(
    page: Client, account: BrokerAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datetime as dt

    from brokers.types import Bar

    bar = Bar(
        start=dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC),
        open=D("10.10"),
        high=D("10.50"),
        low=D("10"),
        close=D("10.25"),
        volume=D("1200"),
    )
    monkeypatch.setattr("orders.views.market.get_bars", lambda *args, **values: [bar])
    data = json.loads(page.get(reverse("orders:bars"), {"symbol": "ACME", "timeframe": "5Min"}).content)
    point = {"open": "10.1", "high": "10.5", "low": "10", "close": "10.25", "volume": "1200"}
    assert data == {
        "currency": "USD",
        "series": [{"name": "ACME", "points": [{"time": 1795186800, **point}]}],
    }
    daily = json.loads(page.get(reverse("orders:bars"), {"symbol": "ACME", "timeframe": "1Day"}).content)
    assert daily["series"][0]["points"][0]["time"] == "2026-11-20"


def test_someone_without_an_account_is_led_to_one(page: Client) -> None:
    shown = text_of(page.get(reverse("orders:ticket")))
    assert "You need an account to trade in" in shown
    assert page.get(reverse("orders:quote"), {"symbol": "ACME"}).status_code == 404


def test_a_strangers_account_is_not_found(page: Client, account: BrokerAccount, stranger: User) -> None:
    page.force_login(stranger)
    for route in ("orders:preview", "orders:prepare"):
        assert page.post(reverse(route), ticket(account)).status_code == 404


@pytest.mark.parametrize(
    ("route", "wrong"),
    [
        ("orders:ticket", "post"),
        ("orders:review", "post"),
        ("orders:search", "post"),
        ("orders:quote", "post"),
        ("orders:chart", "post"),
        ("orders:bars", "post"),
        ("orders:preview", "get"),
        ("orders:prepare", "get"),
        ("orders:place", "get"),
    ],
)
def test_methods_and_sign_in(client: Client, user: User, route: str, wrong: str) -> None:
    answer = client.get(reverse(route))
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("account_login"))
    client.force_login(user)
    assert getattr(client, wrong)(reverse(route)).status_code == 405


def test_forms_need_their_protection_token(user: User, account: BrokerAccount) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user)
    assert strict.post(reverse("orders:place"), {"order": "x"}).status_code == 403
    assert strict.post(reverse("orders:prepare"), ticket(account)).status_code == 403


def test_a_held_position_offers_to_sell_all(page: Client, user: User, account: BrokerAccount) -> None:
    from portfolios.models import Portfolio, Position

    portfolio = Portfolio.objects.get(account=account)
    Position.objects.create(portfolio=portfolio, symbol="ACME", quantity=D("12.5"), avg_price=D("8"))
    shown = text_of(page.get(reverse("orders:ticket"), {"symbol": "ACME"}))
    assert "side=sell&amp;size=12.5" in shown
    assert "You hold" in shown


def test_open_orders_of_the_symbol_are_listed(page: Client, user: User, account: BrokerAccount) -> None:
    order = place(user, account).order
    shown = text_of(page.get(reverse("orders:ticket"), {"symbol": "ACME"}))
    assert reverse("orders:detail", args=[order.pk]) in shown
    assert reverse("orders:detail", args=[order.pk]) not in text_of(
        page.get(reverse("orders:ticket"), {"symbol": "OTHER"})
    )


def test_without_prices_the_preview_says_so(
    page: Client, account: BrokerAccount, book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders.views.ticket.get_quote", lambda *args, **values: None)
    answer = prepare(
        page, account, size_mode="dollars", size="100", order_type="stop", limit_price="", stop_price=""
    )
    assert answer.context["form"].errors["stop_price"] == ["This order needs a value here."]
    answer = prepare(
        page,
        account,
        size_mode="dollars",
        size="100",
        order_type="trailing_stop",
        limit_price="",
        trail="1",
        time_in_force="gtc",
    )
    assert "no price" in answer.context["form"].errors["size"][0]


def test_a_link_can_name_the_account_and_the_shell_follows(
    page: Client, user: User, account: BrokerAccount
) -> None:
    other = make_account(user, number="P-2")
    assert page.get(reverse("orders:ticket"), {"symbol": "ACME"}).context["order_account"] == account

    named = page.get(reverse("orders:ticket"), {"symbol": "ACME", "account": str(other.pk)})

    assert (named.context["order_account"], named.context["current_account"]) == (other, other)
    assert page.get(reverse("orders:ticket"), {"symbol": "ACME"}).context["order_account"] == other


def test_a_link_cannot_name_somebody_elses_account(
    page: Client, account: BrokerAccount, stranger: User
) -> None:
    theirs = make_account(stranger)
    for named in (str(theirs.pk), "no-account"):
        answer = page.get(reverse("orders:ticket"), {"symbol": "ACME", "account": named})
        assert answer.status_code == 404
    assert page.get(reverse("orders:ticket"), {"symbol": "ACME"}).context["order_account"] == account


def test_a_live_order_needs_a_second_factor_of_the_last_twelve_hours(page: Client, user: User) -> None:
    live = make_account(user, environment="live")
    BrokerAccount.objects.filter(pk=live.pk).update(armed_at=timezone.now())
    TOTP.activate(user, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    grant_plan(user=user, plan_key="pro", reason="test", granted_by="system:test")
    draft = review_of(page, live, size="2")

    for browser in (page, sign_in(user, proof="mfa", age=12 * 3600 + 5), sign_in(user, proof="password")):
        assert urlsplit(place_reviewed(browser, draft)["Location"]).path == reverse("mfa_reauthenticate")
        assert not Order.objects.exists()

    answer = place_reviewed(sign_in(user, proof="mfa", age=11 * 3600), draft)
    assert answer["Location"] == reverse("orders:detail", args=[Order.objects.get().pk])


def test_an_armed_account_without_any_factor_leads_to_setting_one_up(page: Client, user: User) -> None:
    live = make_account(user, environment="live")
    BrokerAccount.objects.filter(pk=live.pk).update(armed_at=timezone.now())
    draft = review_of(page, live, size="2")
    assert place_reviewed(page, draft)["Location"] == reverse("mfa_index")
    assert not Order.objects.exists()
