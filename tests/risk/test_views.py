"""The risk page: limits, headroom, the stop button and what was decided."""

import pytest
from django.test import Client

from orders.exceptions import OrderDenied
from risk.models import TradingHalt
from risk.services.halts import halt_trading
from risk.services.limits import set_limit
from tests.orders.conftest import accept_everything, account, book, plans, stranger, user  # noqa: F401
from tests.orders.helpers import place, send
from tests.pages import text_of

pytestmark = pytest.mark.django_db
PAGE = "/risk/"


@pytest.fixture
def browser(user):  # noqa: F811
    client = Client()
    client.force_login(user)
    return client


def test_limits_say_their_value_where_it_comes_from_and_its_version(browser, user, account):  # noqa: F811
    set_limit(
        scope="user", scope_key=str(user.pk), name="max_daily_trades", value="4", author=user, reason="Calm"
    )

    text = text_of(browser.get(PAGE))

    assert "Opening orders per trade date" in text
    assert "you, for all your accounts" in text
    assert "0 of 4" in text
    assert "the platform&#x27;s default" in text


def test_headroom_counts_what_was_placed(browser, user, account, book):  # noqa: F811
    send(place(user, account).order)

    response = browser.get(PAGE)

    assert {row.label: row.text for row in response.context["headroom"]}[
        "Opening orders per trade date"
    ] == "1 of 10"


def test_decisions_are_listed_with_their_reasons_and_paged(browser, user, account, book):  # noqa: F811
    place(user, account)
    with pytest.raises(OrderDenied):
        place(user, account, quantity="9000", symbol="BIGX")

    rows = browser.get(PAGE).context["decisions"]

    assert [row.verdict for row in rows] == ["Refused", "Allowed"]
    assert rows[0].reasons
    assert rows[0].checks >= 30


def test_the_button_stops_one_account_or_all(browser, user, account):  # noqa: F811
    one = browser.post("/risk/halt/", {"scope": f"account:{account.pk}", "reason": "Odd fills"})
    every = browser.post("/risk/halt/", {"scope": "all", "reason": "Leaving", "cancel_open": "on"})

    assert (one.status_code, every.status_code) == (302, 302)
    halts = {halt.scope: halt for halt in TradingHalt.objects.all()}
    assert (halts["account"].scope_key, halts["account"].cancel_open) == (str(account.pk), False)
    assert (halts["user"].scope_key, halts["user"].cancel_open) == (str(user.pk), True)
    text = text_of(browser.get(PAGE))
    assert "Odd fills" in text
    assert "All your accounts" in text


def test_a_halt_needs_a_reason_and_an_account_of_ones_own(browser, account):  # noqa: F811
    nameless = browser.post("/risk/halt/", {"scope": "all", "reason": ""})
    foreign = browser.post(
        "/risk/halt/", {"scope": "account:00000000-0000-0000-0000-000000000000", "reason": "x"}
    )

    assert (nameless.status_code, foreign.status_code) == (422, 422)
    assert not TradingHalt.objects.exists()


def test_resuming_needs_a_reason_and_the_person_who_stopped(browser, user, account, stranger):  # noqa: F811
    found = halt_trading(scope="account", scope_key=str(account.pk), reason="Odd", actor=user)
    address = f"/risk/halts/{found.pk}/resume/"

    other = Client()
    other.force_login(stranger)
    assert other.post(address, {"reason": "mine"}).status_code == 404
    browser.post(address, {"reason": ""})
    found.refresh_from_db()
    assert found.lifted_at is None

    browser.post(address, {"reason": "All clear"})
    found.refresh_from_db()
    assert (found.lifted_by, found.lift_reason) == (user.email, "All clear")


def test_a_halt_of_the_platform_is_shown_but_not_theirs_to_lift(browser, user, account):  # noqa: F811
    found = halt_trading(scope="platform", reason="Incident", actor="system:test")

    text = text_of(browser.get(PAGE))
    browser.post(f"/risk/halts/{found.pk}/resume/", {"reason": "Please"})

    assert "The whole platform" in text
    assert "Only a risk admin can lift this one" in text
    found.refresh_from_db()
    assert found.lifted_at is None


def test_someone_without_an_account_is_told_what_to_do(browser):
    text = text_of(browser.get(PAGE))

    assert "No account yet" in text


def test_the_api_halts_lists_and_resumes(browser, user, account):  # noqa: F811
    made = browser.post(
        "/api/v1/halts/",
        {"scope": "account", "account": str(account.pk), "reason": "Bot ran wild", "cancel_open": True},
        content_type="application/json",
    )

    assert made.status_code == 201
    document = made.json()
    assert (document["scope"], document["scope_key"]) == ("account", str(account.pk))
    assert [halt["id"] for halt in browser.get("/api/v1/halts/").json()] == [document["id"]]

    lifted = browser.delete(
        f"/api/v1/halts/{document['id']}/", {"reason": "Fixed"}, content_type="application/json"
    )
    assert lifted.status_code == 200
    assert lifted.json()["lifted_by"] == user.email
    assert browser.get("/api/v1/halts/").json() == []


def test_the_api_refuses_other_peoples_accounts_and_unknown_scopes(stranger, account):  # noqa: F811
    other = Client()
    other.force_login(stranger)

    foreign = other.post(
        "/api/v1/halts/",
        {"scope": "account", "account": str(account.pk), "reason": "x"},
        content_type="application/json",
    )
    platform = other.post(
        "/api/v1/halts/", {"scope": "platform", "reason": "x"}, content_type="application/json"
    )

    assert (foreign.status_code, platform.status_code) == (404, 422)
    assert not TradingHalt.objects.exists()
