"""The three first steps: which comes when, what each records, and that they can be taken up again."""

import pytest
from django.test import Client
from django.urls import reverse

from billing.services import ensure_plans
from brokers.models import BrokerAccount
from brokers.services.connections import open_practice_account
from orders.models import Order
from risk.models import RiskLimit
from tests.pages import sign_in, text_of
from tradeplatform.common.disclosures import accept_disclosures, current_disclosures
from tradeplatform.models import DisclosureAcceptance, User
from tradeplatform.services.disclosures import ensure_disclosures

pytestmark = pytest.mark.django_db


@pytest.fixture
def user():
    ensure_plans()
    ensure_disclosures()
    return User.objects.create_user("new@example.com", "a-long-password")


@pytest.fixture
def browser(user):
    return sign_in(user, proof="")


def required_texts():
    return [text for text in current_disclosures() if text.required_for in ("trading", "extended")]


def accept_all(user):
    accept_disclosures(user=user, disclosure_ids=[text.pk for text in required_texts()], ip_address=None)


def page():
    return reverse("onboarding")


def test_first_the_texts_are_shown_with_a_box_each(browser):
    html = text_of(browser.get(page()))

    assert html.count('name="disclosure"') == len(required_texts()) == 2
    for text in required_texts():
        assert text.title in html
        assert "Trading securities can lose money" in html
    assert "step 1 of 3" in html


def test_ticking_every_box_records_the_versions(browser, user):
    response = browser.post(page(), {"disclosure": [text.pk for text in required_texts()]})

    assert response.url == page()
    recorded = DisclosureAcceptance.objects.filter(user=user)
    assert {one.disclosure_id for one in recorded} == {text.pk for text in required_texts()}
    assert {one.ip_address for one in recorded} == {"127.0.0.1"}


@pytest.mark.parametrize("ticked", [0, 1])
def test_a_missing_tick_records_nothing(browser, ticked):
    response = browser.post(page(), {"disclosure": [text.pk for text in required_texts()[:ticked]]})

    assert response.status_code == 422
    assert not DisclosureAcceptance.objects.exists()


def test_an_invented_text_is_refused(browser):
    ids = [text.pk for text in required_texts()]

    response = browser.post(page(), {"disclosure": [*ids, 99_999, "x"]})

    assert response.status_code == 422
    assert not DisclosureAcceptance.objects.exists()


def test_then_comes_the_account(browser, user):
    accept_all(user)

    html = text_of(browser.get(page()))

    assert "step 2 of 3" in html
    assert "Open the practice account" in html
    assert "/link/?next=%2Fonboarding%2F" in html


def test_a_practice_account_opens_in_one_click(browser, user):
    accept_all(user)

    response = browser.post(page(), {"step": "account", "cash": "100000", "label": "Practice account"})

    assert response.url == page()
    assert str(BrokerAccount.objects.get(user=user).cash) == "100000"


def test_impossible_play_money_is_shown_again(browser, user):
    accept_all(user)

    response = browser.post(page(), {"step": "account", "cash": "1", "label": "Practice account"})

    assert response.status_code == 422
    assert "Choose between 100 and 10,000,000 USD." in text_of(response)
    assert not BrokerAccount.objects.exists()


def test_at_last_the_limits_and_a_filled_in_ticket(browser, user):
    accept_all(user)
    open_practice_account(user=user)

    html = text_of(browser.get(page()))

    assert "step 3 of 3" in html
    assert "15% of equity" in html
    assert "20% of equity" in html
    assert "symbol=SPY&amp;side=buy&amp;size=1" in html
    assert reverse("dashboard") in html


def test_own_limits_can_be_tightened(browser, user):
    accept_all(user)
    open_practice_account(user=user)

    browser.post(page(), {"step": "limits", "position": "12.5", "orders": "4"})

    values = dict(RiskLimit.objects.filter(scope="user", scope_key=str(user.pk)).values_list("name", "value"))
    assert values == {"max_position_size": "0.125", "max_daily_trades": "4"}
    assert "12.5" in text_of(browser.get(page()))


def test_unchanged_limits_record_nothing(browser, user):
    accept_all(user)
    open_practice_account(user=user)

    browser.post(page(), {"step": "limits", "position": "20", "orders": "10"})

    assert not RiskLimit.objects.exists()


@pytest.mark.parametrize(
    ("position", "orders"), [("25", "10"), ("20", "11"), ("0", "5"), ("x", "5"), ("NaN", "5"), ("10", "2.5")]
)
def test_looser_or_impossible_limits_are_shown_again(browser, user, position, orders):
    accept_all(user)
    open_practice_account(user=user)

    response = browser.post(page(), {"step": "limits", "position": position, "orders": orders})

    assert response.status_code == 422
    assert not RiskLimit.objects.exists()


def test_whoever_has_placed_an_order_is_done(browser, user):
    accept_all(user)
    account = open_practice_account(user=user)
    Order.objects.create(
        user=user,
        account=account,
        client_order_id="c-1",
        symbol="SPY",
        side="buy",
        order_type="market",
        time_in_force="day",
        quantity=1,
        status="filled",
    )

    assert browser.get(page()).url == reverse("dashboard")


def test_a_newer_text_is_asked_for_again(browser, user):
    accept_all(user)
    old = required_texts()[0]
    type(old).objects.create(
        kind=old.kind, version=2, title=old.title, required_for=old.required_for, body="New words"
    )

    assert "New words" in text_of(browser.get(page()))


def test_visitors_are_asked_to_sign_in(db):
    assert Client().get(page()).url.startswith(reverse("account_login"))


def test_wrong_methods_are_refused(browser):
    assert browser.delete(page()).status_code == 405
