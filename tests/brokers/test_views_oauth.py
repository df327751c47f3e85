"""Signing in at a broker, through HTTP: every way that it can end, once against the simulator."""

import http.client
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.models import Plan
from brokers.enums import Environment
from brokers.exceptions import Unavailable
from brokers.models import BrokerAccount, BrokerConnection, LinkAttempt
from brokers.simulators.testing import SimulatorServer
from tests.pages import sign_in, text_of

pytestmark = pytest.mark.django_db

START = "/brokers/scripted/link/sign-in/"
CALLBACK = "/brokers/scripted/callback/"
SIMULATED_CALLBACK = "http://testserver/brokers/alpaca/callback/"


@pytest.fixture
def browser(user, script, settings):
    settings.SITE_URL = "http://testserver"
    return sign_in(user)


def start(browser, environment="both"):
    response = browser.post(START, {"environment": environment})
    assert response.status_code == 302
    return parse_qs(urlsplit(response.url).query)


def come_back(browser, **query):
    return browser.get(CALLBACK, query)


def assert_not_linked(response, *, status, words):
    html = text_of(response)
    assert response.status_code == status
    assert words in html
    assert "Scripted was not linked" in html
    assert "Nothing was stored" in html
    assert "Start again" in html
    assert not BrokerConnection.objects.exists()


def test_consent_links_the_accounts_and_returns_to_the_list(browser):
    asked = start(browser)
    assert asked["redirect_uri"] == ["http://testserver/brokers/scripted/callback/"]

    response = come_back(browser, state=asked["state"][0], code="good-code")

    assert response.url == reverse("brokers:list")
    assert set(BrokerAccount.objects.values_list("environment", flat=True)) == {"paper", "live"}
    assert all(account.armed_at is None for account in BrokerAccount.objects.all())


def test_only_the_chosen_environment_is_linked(browser):
    asked = start(browser, environment="paper")

    come_back(browser, state=asked["state"][0], code="good-code")

    assert [account.environment for account in BrokerAccount.objects.all()] == [Environment.PAPER]


def test_starting_needs_fresh_proof(user, script):
    response = sign_in(user, proof="password", age=301).post(START, {"environment": "both"})

    assert response.url.startswith(reverse("account_reauthenticate"))
    assert not LinkAttempt.objects.exists()


def test_an_unknown_environment_is_shown_again(browser):
    assert browser.post(START, {"environment": "moon"}).status_code == 422


def test_saying_no_at_the_broker(browser):
    state = start(browser)["state"][0]

    assert_not_linked(
        come_back(browser, state=state, error="access_denied"), status=422, words="Access was not allowed"
    )


@pytest.mark.parametrize("query", [{}, {"state": "forged", "code": "good-code"}, {"code": "good-code"}])
def test_a_state_that_was_never_issued(browser, query):
    start(browser)

    assert_not_linked(come_back(browser, **query), status=400, words="This sign-in was not started here")


def test_a_replayed_state(browser):
    state = start(browser)["state"][0]
    come_back(browser, state=state, error="access_denied")

    assert_not_linked(
        come_back(browser, state=state, code="good-code"),
        status=409,
        words="This sign-in was already used",
    )


def test_a_state_of_another_person(browser, stranger):
    state = start(browser)["state"][0]

    assert_not_linked(
        come_back(sign_in(stranger), state=state, code="good-code"),
        status=403,
        words="This sign-in belongs to another browser session",
    )


def test_a_state_of_another_session_of_the_same_person(browser, user):
    state = start(browser)["state"][0]

    assert_not_linked(
        come_back(sign_in(user), state=state, code="good-code"),
        status=403,
        words="This sign-in belongs to another browser session",
    )


def test_a_state_older_than_ten_minutes(browser):
    state = start(browser)["state"][0]
    LinkAttempt.objects.update(created_at=timezone.now() - timedelta(minutes=11))

    assert_not_linked(
        come_back(browser, state=state, code="good-code"), status=422, words="The sign-in took too long"
    )


@pytest.mark.parametrize("code", ["", "bad-code"])
def test_a_code_that_the_broker_refuses(browser, code):
    state = start(browser)["state"][0]

    assert_not_linked(
        come_back(browser, state=state, code=code), status=422, words="The broker refused the sign-in"
    )


def test_a_code_used_twice(browser):
    come_back(browser, state=start(browser)["state"][0], code="good-code")
    BrokerAccount.objects.all().delete()
    BrokerConnection.objects.all().delete()

    assert_not_linked(
        come_back(browser, state=start(browser)["state"][0], code="good-code"),
        status=422,
        words="The broker refused the sign-in",
    )


def test_a_broker_that_does_not_answer(browser, script):
    state = start(browser)["state"][0]
    script.failure = Unavailable("no answer", request_id="trace-77")

    response = come_back(browser, state=state, code="good-code")

    assert_not_linked(response, status=503, words="The broker did not answer")
    assert "trace-77" in text_of(response)


def test_a_plan_that_covers_no_further_broker(browser, user):
    Plan.objects.filter(key="free").update(entitlements={"linked_brokers": 0})

    response = browser.post(START, {"environment": "both"})

    assert response.status_code == 403
    assert "Your plan covers no further broker" in text_of(response)
    assert "Compare plans" in text_of(response)


def test_words_of_the_broker_are_not_repeated_as_markup(browser):
    state = start(browser)["state"][0]

    html = text_of(come_back(browser, state=state, error="<script>alert(1)</script>"))

    assert "<script>alert" not in html


def test_at_another_address_of_the_site_the_page_leads_to_the_right_one(browser, settings):
    settings.SITE_URL = "http://localhost:8000"

    html = text_of(browser.get("/brokers/scripted/link/"))

    assert "http://localhost:8000/brokers/scripted/link/" in html
    assert "Continue to the broker" not in html


@pytest.fixture
def simulator(settings):
    settings.SITE_URL = "http://testserver"
    with SimulatorServer() as server:
        settings.ALPACA_CLIENT_ID, settings.ALPACA_CLIENT_SECRET = "site", "site-secret"
        settings.ALPACA_AUTHORIZE_URL, settings.ALPACA_TOKEN_URL = server.authorize_url, server.token_url
        settings.ALPACA_PAPER_URL, settings.ALPACA_LIVE_URL = server.paper_url, server.live_url
        settings.ALPACA_DATA_URL = server.data_url
        server.register_app("site", "site-secret", SIMULATED_CALLBACK)
        yield server


def test_sign_in_at_the_simulated_broker(user, simulator):
    customer = simulator.create_account(cash="4321.09")
    browser = sign_in(user)

    asked = browser.post("/brokers/alpaca/link/sign-in/", {"environment": "paper"}).url
    answer = allow(simulator, asked, customer.customer_id)
    assert answer.startswith(SIMULATED_CALLBACK)
    response = browser.get(answer.removeprefix("http://testserver"))

    account = BrokerAccount.objects.get(user=user)
    assert response.url == reverse("brokers:list")
    assert str(account.cash) == "4321.09"
    assert account.account_number == f"••••{customer.account_number[-4:]}"
    assert browser.get(answer.removeprefix("http://testserver")).status_code == 409


def test_without_a_registration_the_page_says_what_to_do_instead(user, settings):
    settings.ALPACA_CLIENT_ID = ""

    answer = sign_in(user).post("/brokers/alpaca/link/sign-in/", {"environment": "paper"})

    assert answer.status_code == 503
    assert answer.context["failure"].code == "link_not_configured"
    assert "You can link with an API key pair" in text_of(answer)


def test_own_keys_at_the_simulated_broker(user, simulator):
    customer = simulator.create_account(cash="77.10")
    keys = {"environment": "paper", "key_id": customer.key_id, "secret": customer.secret}

    response = sign_in(user).post("/brokers/alpaca/link/keys/", keys)

    assert response.url == reverse("brokers:list")
    assert str(BrokerAccount.objects.get(user=user).cash) == "77.1"


def allow(server, address, customer_id):
    """Press Allow on the consent page and return where it leads."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    body = urlencode(query | {"customer": customer_id, "paper": "on", "decision": "allow"})
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(
            "POST",
            urlsplit(address).path,
            body,
            {"Content-Type": "application/x-www-form-urlencoded"},
        )
        return connection.getresponse().getheader("Location")
    finally:
        connection.close()
