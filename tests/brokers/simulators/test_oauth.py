"""Linking through the consent page, as a browser and a backend do it."""

import http.client
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.brokers.simulators.conftest import Api

CALLBACK = "https://platform.example/callback"


@pytest.fixture
def customer(server, account):
    server.register_app("app", "s3cret", CALLBACK)
    return account


def request(server, method, path, form=None, content_type="application/x-www-form-urlencoded"):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, urlencode(form) if form else None, {"Content-Type": content_type})
        response = connection.getresponse()
        return response.status, response.getheader("Location"), response.read().decode()
    finally:
        connection.close()


def ask(**changes):
    values = {
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": CALLBACK,
        "state": "xyz",
        "scope": "account:write trading data",
    }
    return {name: value for name, value in (values | changes).items() if value is not None}


def show(server, **changes):
    return request(server, "GET", f"/alpaca/oauth/authorize?{urlencode(ask(**changes))}")


def decide(server, account, /, **form):
    body = ask() | {"customer": account.customer_id, "paper": "on", "decision": "allow"} | form
    status, location, text = request(server, "POST", "/alpaca/oauth/authorize", body)
    return status, parse_qs(urlsplit(location).query) if location else text


def exchange(server, code, /, **changes):
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": "app",
        "client_secret": "s3cret",
        "redirect_uri": CALLBACK,
    }
    return Api(server, host="oauth", headers={"Content-Type": "application/x-www-form-urlencoded"}).call(
        "POST", "/token", urlencode(form | changes)
    )


def test_page_names_the_application_and_says_it_is_a_simulator(server, customer):
    status, _, page = show(server)
    assert status == 200
    assert "Alpaca simulator" in page
    assert "Place, replace and cancel orders" in page
    assert customer.account_number in page


def test_page_escapes_what_the_request_brings(server, customer):
    _, _, page = show(server, state='"><script>alert(1)</script>')
    assert "<script>" not in page


def test_allow_gives_a_code_that_buys_one_token(server, customer):
    status, answer = decide(server, customer)
    assert (status, answer["state"]) == (302, ["xyz"])
    (code,) = answer["code"]
    status, granted = exchange(server, code)
    assert status == 200
    assert granted["token_type"] == "bearer"
    assert granted["scope"] == "account:write trading data"
    assert set(granted) == {"access_token", "token_type", "scope"}
    bearer = Api(server, headers={"Authorization": f"Bearer {granted['access_token']}"})
    assert bearer.call("GET", "/v2/account")[1]["id"] == customer.account_id
    assert exchange(server, code)[0] == 422
    server.revoke(token=granted["access_token"])
    assert bearer.call("GET", "/v2/account")[0] == 401


def test_both_environments_open_the_missing_live_account(server, customer):
    _, answer = decide(server, customer, live="on")
    token = exchange(server, answer["code"][0])[1]["access_token"]
    live = Api(server, host="live", headers={"Authorization": f"Bearer {token}"})
    assert live.call("GET", "/v2/account")[1]["cash"] == "25000"


def test_requested_environment_wins_over_the_boxes(server, customer):
    _, answer = decide(server, customer, env="live")
    token = exchange(server, answer["code"][0])[1]["access_token"]
    assert Api(server, headers={"Authorization": f"Bearer {token}"}).call("GET", "/v2/account")[0] == 403


def test_new_customer_can_be_created_on_the_page(server, customer):
    _, answer = decide(server, customer, customer="new", name="Fresh", email="fresh@example.com")
    token = exchange(server, answer["code"][0])[1]["access_token"]
    found = Api(server, headers={"Authorization": f"Bearer {token}"}).call("GET", "/v2/account")[1]
    assert (found["cash"], found["id"] != customer.account_id) == ("100000", True)


def test_denial_and_wrong_requests_go_back_as_errors(server, customer):
    assert decide(server, customer, decision="deny")[1]["error"] == ["access_denied"]
    for changes, error in (
        ({"scope": "everything"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"env": "mars"}, "invalid_request"),
    ):
        status, location, _ = show(server, **changes)
        assert (status, parse_qs(urlsplit(location).query)["error"]) == (302, [error])


def test_unknown_client_or_address_is_never_redirected(server, customer):
    for changes in ({"client_id": "other"}, {"redirect_uri": "https://platform.example/other"}):
        status, location, _ = show(server, **changes)
        assert (status, location) == (400, None)


def test_no_environment_chosen_shows_the_page_again(server, customer):
    status, page = decide(server, customer, paper="")
    assert status == 422
    assert "Choose the paper account" in page


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"client_id": "other"}, 401),
        ({"client_secret": "wrong"}, 401),
        ({"redirect_uri": "https://platform.example/other"}, 422),
        ({"grant_type": "password"}, 422),
        ({"code": "made-up"}, 422),
    ],
)
def test_token_refusals(server, customer, changes, status):
    code = decide(server, customer)[1]["code"][0]
    assert exchange(server, code, **changes)[0] == status
    assert exchange(server, code)[0] == 200


def test_json_body_is_refused_by_the_token_endpoint(server, customer):
    assert Api(server, host="oauth").call("POST", "/token", {"grant_type": "authorization_code"})[0] == 400


def test_both_environments_are_ticked_when_the_application_leaves_the_choice(server, customer):
    status, _, text = show(server)
    assert status == 200
    assert 'name="paper" value="on" checked' in text
    assert 'name="live" value="on" checked' in text
    assert 'type="checkbox"' not in show(server, env="paper")[2]
