"""The authorization-code flow and the probe of what a fresh token covers."""

from urllib.parse import parse_qs, urlsplit

import pytest

from brokers.adapters.alpaca.adapter import AlpacaAdapter
from brokers.enums import Environment, LinkKind
from brokers.exceptions import AuthorizationExpired, Rejected, Unavailable, Unsupported
from tests.brokers.adapters.alpaca import payloads
from tests.brokers.adapters.alpaca.conftest import TOKEN
from tests.brokers.adapters.alpaca.scripted_server import answer, hang_up, html

BOTH = [Environment.PAPER, Environment.LIVE]


@pytest.fixture
def flow(server, settings):
    settings.ALPACA_AUTHORIZE_URL = "https://broker.test/oauth/authorize"
    settings.ALPACA_CLIENT_ID = "our-client"
    settings.ALPACA_CLIENT_SECRET = "our-secret"
    return AlpacaAdapter.oauth_flow()


@pytest.mark.parametrize(("environment", "env"), [(Environment.PAPER, ["paper"]), (None, None)])
def test_consent_address(flow, environment, env):
    url = flow.build_authorize_url(
        state="s t", redirect_uri="https://us.test/back?x=1", environment=environment
    )

    parts = urlsplit(url)
    query = parse_qs(parts.query)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://broker.test/oauth/authorize"
    assert query["response_type"] == ["code"]
    assert query["client_id"] == ["our-client"]
    assert query["redirect_uri"] == ["https://us.test/back?x=1"]
    assert query["state"] == ["s t"]
    assert query["scope"] == ["account:write trading data"]
    assert query.get("env") == env
    assert "our-secret" not in url


def test_code_becomes_a_token(flow, server):
    server.script = [answer({"access_token": "tok", "token_type": "bearer", "scope": "trading"})]

    credentials = flow.exchange_code(code="abc", redirect_uri="https://us.test/back")

    assert credentials.kind is LinkKind.OAUTH2
    assert dict(credentials.values) == {"access_token": "tok"}
    method, path, headers, body = server.requests[0]
    assert (method, path) == ("POST", "/oauth/token")
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(body.decode()) == {
        "grant_type": ["authorization_code"],
        "code": ["abc"],
        "client_id": ["our-client"],
        "client_secret": ["our-secret"],
        "redirect_uri": ["https://us.test/back"],
    }


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (answer({"error": "invalid_grant", "error_description": "code used"}, 400), Rejected),
        (answer({"message": "invalid client"}, 401), Rejected),
        (answer({"code": 42210000, "message": "redirect_uri"}, 422), Rejected),
        (answer({}, 429), Unavailable),
        (html(502), Unavailable),
        (html(400), Unavailable),
        (hang_up, Unavailable),
        (answer({}), Unavailable),
        (answer({"access_token": ""}), Unavailable),
        (answer({"access_token": "t", "token_type": "mac"}), Unavailable),
    ],
)
def test_failures_hold_no_secret(flow, server, script, failure):
    server.script = [script]

    with pytest.raises(failure) as caught:
        flow.exchange_code(code="abc", redirect_uri="https://us.test/back")

    assert "our-secret" not in str(caught.value)
    assert len(server.requests) == 1


class TestDiscovery:
    def test_each_environment_is_asked_once(self, server):
        server.script = [answer(payloads.account()), answer({"message": "forbidden."}, 403)]

        found = AlpacaAdapter.discover_accounts(TOKEN, environments=BOTH)

        assert [(row.environment, row.info.account_number) for row in found] == [
            (Environment.PAPER, "PA3FUGVIWV6I")
        ]

    def test_none_at_all_is_a_refusal(self, server):
        server.script = [answer({}, 401), answer({"message": "forbidden."}, 403)]

        with pytest.raises(AuthorizationExpired):
            AlpacaAdapter.discover_accounts(TOKEN, environments=BOTH)

    @pytest.mark.parametrize("script", [answer({}, 500), answer({}, 429), hang_up])
    def test_an_unsure_probe_is_no_answer(self, server, script):
        server.script = [answer(payloads.account()), script]

        with pytest.raises(Unavailable):
            AlpacaAdapter.discover_accounts(TOKEN, environments=BOTH)


def test_without_a_registration_there_is_no_sign_in(settings):
    settings.ALPACA_CLIENT_ID = ""
    with pytest.raises(Unsupported, match="ALPACA_CLIENT_ID"):
        AlpacaAdapter.oauth_flow()
