"""The broker pages: what they show, who may see them, and that secrets never come back."""

import uuid

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse

from brokers.enums import ConnectionStatus, Environment, LinkKind
from brokers.exceptions import Unavailable
from brokers.models import BrokerAccount, BrokerConnection, LinkAttempt
from brokers.services.connections import mark_needs_relink, open_practice_account
from tests.pages import sign_in, text_of

pytestmark = pytest.mark.django_db

KEYS = {"environment": "paper", "key_id": "key-1", "secret": "secret-1", "label": "Mine"}


@pytest.fixture
def browser(user, script):
    return sign_in(user)


def page(name, *args):
    return reverse(f"brokers:{name}", args=args)


def test_the_list_shows_accounts_with_balances_and_masked_number(browser, account):
    html = text_of(browser.get(page("list")))

    assert "Scripted paper" in html
    assert "$1,500.75" in html
    assert "$2,000.50" in html
    assert "••••6789" in html
    assert "123456789" not in html
    assert "PAPER" in html


def test_the_list_of_a_newcomer_says_what_to_do(browser):
    html = text_of(browser.get(page("list")))

    assert "No account is linked yet" in html
    assert page("open_practice") in html


def test_what_a_broker_can_do_comes_from_its_capabilities(browser):
    html = text_of(browser.get(page("list")))

    assert "Link Scripted" in html
    assert "Intraday margin" in html
    assert "Trailing stop" in html, "the practice account has it"
    assert "Practice account" in html


def test_the_panel_is_the_accounts_alone(browser, account):
    html = text_of(browser.get(page("accounts_panel")))

    assert "Scripted paper" in html
    assert "<html" not in html


def test_a_link_that_stopped_working_says_what_it_means(browser, account):
    mark_needs_relink(connection_id=account.connection_id, reason="The broker answered 401.")

    html = text_of(browser.get(page("list")))

    assert "Needs linking again" in html
    assert "The broker answered 401." in html
    assert page("relink", account.connection_id) in html


def test_another_persons_accounts_are_not_listed(account, stranger):
    assert "Scripted paper" not in text_of(sign_in(stranger).get(page("list")))


@pytest.mark.parametrize("proof", [("", 0), ("password", 301)])
def test_the_forms_ask_who_is_there_first(user, script, proof):
    response = sign_in(user, proof=proof[0], age=proof[1]).get(page("link", "scripted"))

    assert response.status_code == 302
    assert response.url.startswith(reverse("account_reauthenticate"))
    assert "next=%2Fbrokers%2Fscripted%2Flink%2F" in response.url


def test_whoever_has_a_second_factor_is_asked_for_it(user, script):
    Authenticator.objects.create(user=user, type=Authenticator.Type.TOTP, data={"secret": "x"})

    response = sign_in(user, proof="password").get(page("link", "scripted"))

    assert response.url.startswith(reverse("mfa_reauthenticate"))
    assert sign_in(user, proof="mfa").get(page("link", "scripted")).status_code == 200


def test_keys_sent_without_fresh_proof_are_neither_used_nor_kept(user, script):
    browser = sign_in(user, proof="")

    response = browser.post(page("link_keys", "scripted"), KEYS)

    assert response.url.startswith(reverse("account_reauthenticate"))
    assert script.calls == {}
    assert "secret-1" not in str(dict(browser.session))


def test_own_keys_link_an_account(browser, user):
    response = browser.post(page("link_keys", "scripted"), KEYS, follow=True)

    account = BrokerAccount.objects.get(user=user)
    assert response.redirect_chain == [(page("list"), 302)]
    assert (account.label, account.environment) == ("Mine", Environment.PAPER)
    assert account.connection.kind == LinkKind.API_KEY
    assert "Mine is ready" in text_of(response)


def test_refused_keys_say_so_and_the_secret_is_not_written_back(browser):
    response = browser.post(page("link_keys", "scripted"), KEYS | {"secret": "wrong-secret-value"})

    html = text_of(response)
    assert response.status_code == 422
    assert "refused these credentials" in html
    assert "wrong-secret-value" not in html
    assert 'value="key-1"' in html
    assert not BrokerConnection.objects.exists()


def test_keys_are_not_stored_while_the_broker_does_not_answer(browser, script):
    script.failure = Unavailable("no answer")

    response = browser.post(page("link_keys", "scripted"), KEYS)

    assert response.status_code == 503
    assert "nothing was linked" in text_of(response)
    assert not BrokerConnection.objects.exists()


@pytest.mark.parametrize("change", [{"key_id": ""}, {"secret": " "}, {"environment": "moon"}])
def test_unusable_key_forms_are_shown_again(browser, script, change):
    response = browser.post(page("link_keys", "scripted"), KEYS | change)

    assert response.status_code == 422
    assert script.calls == {}


def test_an_unknown_broker_is_not_found(browser):
    assert browser.get(page("link", "nobody")).status_code == 404
    assert browser.post(page("oauth_start", "nobody")).status_code == 404
    assert browser.get(page("oauth_callback", "nobody")).status_code == 404


def test_the_built_in_account_has_its_own_form(browser):
    assert browser.get(page("link", "paper")).url == page("open_practice")


def test_a_practice_account_opens_with_the_chosen_money_and_name(browser, user):
    browser.post(page("open_practice"), {"cash": "2500", "label": "Play"})

    account = BrokerAccount.objects.get(user=user)
    assert (account.label, str(account.cash), account.connection.kind) == ("Play", "2500", LinkKind.BUILT_IN)


@pytest.mark.parametrize("cash", ["", "-5", "99.99", "10000000.01", "NaN", "Infinity", "1e40", "a", "1.005"])
def test_impossible_play_money_is_refused(browser, cash):
    response = browser.post(page("open_practice"), {"cash": cash, "label": "Play"})

    assert response.status_code == 422
    assert not BrokerAccount.objects.exists()


def test_the_way_back_is_kept_across_linking_but_only_on_this_site(browser):
    onboarding = reverse("onboarding")
    browser.get(page("open_practice"), {"next": onboarding})
    assert browser.post(page("open_practice"), {"cash": "500", "label": "A"}).url == onboarding

    browser.get(page("open_practice"), {"next": "https://elsewhere.test/"})
    assert browser.post(page("open_practice"), {"cash": "500", "label": "B"}).url == page("list")


def test_an_account_is_renamed(browser, account):
    browser.post(page("rename", account.pk), {"label": "  Growth  "})

    account.refresh_from_db()
    assert account.label == "Growth"


def test_an_empty_name_is_refused(browser, account):
    response = browser.post(page("rename", account.pk), {"label": "  "})

    account.refresh_from_db()
    assert response.status_code == 422
    assert account.label == "Scripted paper"


def test_new_keys_repair_a_link(browser, account):
    mark_needs_relink(connection_id=account.connection_id, reason="401")

    browser.post(page("relink", account.connection_id), {"key_id": "key-9", "secret": "secret-1"})

    account.connection.refresh_from_db()
    assert account.connection.status == ConnectionStatus.ACTIVE


def test_keys_of_another_account_do_not_repair_a_link(browser, account):
    response = browser.post(page("relink", account.connection_id), {"key_id": "key-2", "secret": "secret-2"})

    assert response.status_code == 409
    assert "another account" in text_of(response)


def test_a_practice_account_cannot_be_linked_again(browser, user):
    account = open_practice_account(user=user)

    assert browser.get(page("relink", account.connection_id)).status_code == 404


def test_the_access_log_names_purpose_and_process(browser, account):
    from brokers.services.accounts import sync_account

    sync_account(account.pk, purpose="read balances")

    html = text_of(browser.get(page("access_log", account.connection_id)))

    assert "Read balances" in html
    assert "web" in html
    assert "secret-1" not in html


def test_an_unused_link_has_an_empty_access_log(browser, account):
    assert "Not used yet" in text_of(browser.get(page("access_log", account.connection_id)))


def test_strangers_find_nothing(account, stranger):
    browser = sign_in(stranger)
    for name, key in (("rename", account.pk), ("access_log", account.connection_id)):
        assert browser.get(page(name, key)).status_code == 404
    assert browser.get(page("relink", account.connection_id)).status_code == 404
    assert browser.post(page("rename", account.pk), {"label": "Stolen"}).status_code == 404
    assert browser.get(page("access_log", uuid.uuid4())).status_code == 404


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("list", ()),
        ("accounts_panel", ()),
        ("open_practice", ()),
        ("link", ("scripted",)),
        ("oauth_callback", ("scripted",)),
        ("rename", (uuid.uuid4(),)),
        ("relink", (uuid.uuid4(),)),
        ("access_log", (uuid.uuid4(),)),
    ],
)
def test_visitors_are_asked_to_sign_in(db, script, name, key):
    response = Client().get(page(name, *key))

    assert response.status_code == 302
    assert response.url.startswith(reverse("account_login"))


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("get", "link_keys"),
        ("get", "oauth_start"),
        ("post", "oauth_callback"),
        ("post", "link"),
    ],
)
def test_wrong_methods_are_refused(browser, method, name):
    assert getattr(browser, method)(page(name, "scripted")).status_code == 405
    assert not LinkAttempt.objects.exists()
