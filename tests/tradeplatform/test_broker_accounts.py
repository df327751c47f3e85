"""Sync, unlink, arm and disarm: what they say, what they need, and what they leave alone."""

import uuid

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse

from billing.models import Plan
from brokers.enums import ConnectionStatus, Environment
from brokers.exceptions import AuthorizationExpired, Unavailable
from brokers.models import BrokerAccount
from brokers.services.connections import finish_oauth_link, open_practice_account, start_oauth_link
from tests.brokers.conftest import account, script, stranger, user  # noqa: F401 - fixtures
from tests.pages import sign_in, text_of
from tradeplatform.common.disclosures import accept_disclosures, current_disclosures
from tradeplatform.models import AuditEntry, DisclosureAcceptance
from tradeplatform.services.disclosures import ensure_disclosures

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(user, script):  # noqa: F811
    return sign_in(user)


@pytest.fixture
def live(user, script):  # noqa: F811
    """A linked live account of somebody who may trade live."""
    Plan.objects.filter(key="free").update(entitlements={"linked_brokers": 1, "live_trading": True})
    ensure_disclosures()
    accept_disclosures(user=user, disclosure_ids=[text.pk for text in current_disclosures()], ip_address=None)
    url = start_oauth_link(
        user=user,
        broker="scripted",
        environment=Environment.LIVE,
        session_key="s",
        redirect_uri="https://site.test/",
    )
    state = url.split("state=")[1].split("&")[0]
    return finish_oauth_link(
        user=user,
        broker="scripted",
        session_key="s",
        state=state,
        code="good-code",
        redirect_uri="https://site.test/",
    )[0]


def page(name, key):
    return reverse(f"brokers:{name}", args=[key])


def arm(browser, live):
    return browser.post(page("arm", live.pk), {"understood": "on"}, follow=False)


def test_sync_reads_the_account_again(browser, account, script):  # noqa: F811
    before = script.calls.get("get_account_info", 0)

    response = browser.post(page("sync", account.pk), follow=True)

    assert script.calls["get_account_info"] > before
    assert "is up to date with the broker" in text_of(response)


@pytest.mark.parametrize(
    ("failure", "words", "status"),
    [
        (Unavailable("down"), "did not answer", ConnectionStatus.ACTIVE),
        (AuthorizationExpired("401"), "no longer accepts", ConnectionStatus.NEEDS_RELINK),
    ],
)
def test_a_sync_that_fails_says_what_it_means(browser, account, script, failure, words, status):  # noqa: F811
    script.failure = failure

    response = browser.post(page("sync", account.pk), follow=True)

    account.connection.refresh_from_db()
    assert words in text_of(response)
    assert account.connection.status == status


def test_unlinking_says_what_happens_and_then_deletes_the_access(browser, account):  # noqa: F811
    address = page("unlink", account.connection_id)

    html = text_of(browser.get(address))
    assert "Money and positions stay at the broker" in html
    assert "There are open orders" not in html
    browser.post(address)

    account.refresh_from_db()
    account.connection.refresh_from_db()
    assert (account.is_active, account.connection.status) == (False, ConnectionStatus.UNLINKED)
    assert not account.connection.credentials
    assert browser.get(address).status_code == 404


def test_unlinking_warns_of_open_orders(browser, account, user):  # noqa: F811
    from orders.models import Order

    Order.objects.create(
        user=user,
        account=account,
        client_order_id="c-1",
        symbol="ACME",
        side="buy",
        order_type="limit",
        time_in_force="day",
        quantity=1,
        limit_price=5,
        status="accepted",
    )

    html = text_of(browser.get(page("unlink", account.connection_id)))

    assert "1 order is not finished" in html
    assert "does not cancel it" in html


def test_closing_a_practice_account_has_its_own_words(browser, user):  # noqa: F811
    practice = open_practice_account(user=user)

    html = text_of(browser.get(page("unlink", practice.connection_id)))

    assert "Close this practice account?" in html
    assert "at the broker, untouched" not in html


def test_arming_without_a_second_factor_leads_to_setting_one_up(browser, live):
    response = arm(browser, live)

    live.refresh_from_db()
    assert response.url == reverse("mfa_index")
    assert live.armed_at is None


def test_a_fresh_second_factor_arms_the_account(user, live):  # noqa: F811
    response = arm(sign_in(user, proof="mfa"), live)

    live.refresh_from_db()
    assert response.url == reverse("brokers:list")
    assert live.armed_at is not None
    assert AuditEntry.objects.filter(action="account_armed", object_id=str(live.pk)).count() == 1


def test_an_old_second_factor_is_not_enough(user, live):  # noqa: F811
    arm(sign_in(user, proof="mfa", age=301), live)

    live.refresh_from_db()
    assert live.armed_at is None


def test_arming_needs_the_box_ticked(user, live):  # noqa: F811
    response = sign_in(user, proof="mfa").post(page("arm", live.pk))

    live.refresh_from_db()
    assert response.status_code == 422
    assert live.armed_at is None


def test_arming_needs_a_plan_with_live_trading(user, live):  # noqa: F811
    Plan.objects.filter(key="free").update(entitlements={"linked_brokers": 1})

    response = arm(sign_in(user, proof="mfa"), live)

    assert response.status_code == 422
    assert "does not include live trading" in text_of(response)


def test_arming_needs_the_disclosures(user, live):  # noqa: F811
    DisclosureAcceptance.objects.filter(user=user).delete()

    response = arm(sign_in(user, proof="mfa"), live)

    assert response.status_code == 422
    assert "Read and accept first" in text_of(response)


def test_arming_needs_a_working_link(user, live):  # noqa: F811
    live.connection.status = ConnectionStatus.NEEDS_RELINK
    live.connection.save()

    response = arm(sign_in(user, proof="mfa"), live)

    assert response.status_code == 422
    live.refresh_from_db()
    assert live.armed_at is None


def test_a_paper_account_is_not_armed(user, account):  # noqa: F811
    browser = sign_in(user, proof="mfa")

    assert "Nothing to arm" in text_of(browser.get(page("arm", account.pk)))
    assert arm(browser, account).status_code == 422
    account.refresh_from_db()
    assert account.armed_at is None


def test_disarming_takes_one_click_and_no_proof(user, live):  # noqa: F811
    arm(sign_in(user, proof="mfa"), live)

    sign_in(user, proof="").post(page("disarm", live.pk))

    live.refresh_from_db()
    assert live.armed_at is None
    assert AuditEntry.objects.filter(action="account_disarmed").count() == 1


def test_the_page_lists_what_is_missing(browser, live):
    html = text_of(browser.get(page("arm", live.pk)))

    assert "Your plan includes live trading" in html
    assert "Set it up" in html


def test_strangers_find_nothing(live, stranger):  # noqa: F811
    browser = sign_in(stranger, proof="mfa")
    for name in ("sync", "disarm", "arm"):
        assert browser.post(page(name, live.pk), {"understood": "on"}).status_code == 404, name
    assert browser.get(page("arm", live.pk)).status_code == 404
    assert browser.get(page("unlink", live.connection_id)).status_code == 404
    assert browser.post(page("unlink", live.connection_id)).status_code == 404
    live.refresh_from_db()
    assert live.is_active
    assert BrokerAccount.objects.get().armed_at is None


@pytest.mark.parametrize("name", ["sync", "disarm", "arm", "unlink"])
def test_visitors_are_asked_to_sign_in(db, name):
    assert Client().post(page(name, uuid.uuid4())).url.startswith(reverse("account_login"))


@pytest.mark.parametrize("name", ["sync", "disarm"])
def test_wrong_methods_are_refused(browser, account, name):  # noqa: F811
    assert browser.get(page(name, account.pk)).status_code == 405


def test_removing_the_last_second_factor_disarms_live_accounts_and_says_so(user, live):  # noqa: F811
    for kind in (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN, Authenticator.Type.RECOVERY_CODES):
        Authenticator.objects.create(user=user, type=kind, data={"secret": "x", "seed": "x", "name": "key"})
    browser = sign_in(user, proof="mfa")
    arm(browser, live)
    key = Authenticator.objects.get(user=user, type=Authenticator.Type.WEBAUTHN)

    browser.post(reverse("mfa_remove_webauthn", args=[key.pk]))
    live.refresh_from_db()
    assert live.armed_at is not None
    response = browser.post(reverse("mfa_deactivate_totp"), follow=True)

    live.refresh_from_db()
    assert live.armed_at is None
    assert "Your live account was disarmed" in text_of(response)
    assert AuditEntry.objects.filter(action="account_disarmed", object_id=live.pk).count() == 1
