"""Public and settings pages answer, in the site's own look, and keep their secrets."""

import re

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.urls import reverse

from billing.services import ensure_plans
from tradeplatform.models import ApiKey, User
from tradeplatform.services.disclosures import ensure_disclosures

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def reference_data() -> None:
    ensure_plans()
    ensure_disclosures()


@pytest.fixture
def user() -> User:
    made = User.objects.create_user("owner@example.com", "practice-2026")
    EmailAddress.objects.create(user=made, email=made.email, verified=True, primary=True)
    return made


@pytest.fixture
def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize(
    "name", ["landing", "pricing", "disclosures", "status", "demo_mail", "account_login"]
)
def test_public_pages_answer_with_a_strict_policy(client, name):
    response = client.get(reverse(name))

    assert response.status_code == 200
    assert directives(response)["script-src"] == "'self'"
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["X-Request-ID"]


def directives(response) -> dict[str, str]:
    """Return the content security policy by directive."""
    parts = response.headers["Content-Security-Policy"].split(";")
    return dict(part.strip().split(" ", 1) for part in parts)


@pytest.mark.parametrize("name", ["profile", "order_defaults", "api_keys", "disclosures", "data"])
def test_settings_pages_need_a_sign_in_and_are_not_cached(client, signed_in, name):
    address = reverse(f"settings:{name}")

    assert client.get(address).status_code == 302
    response = signed_in.get(address)
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    assert "<script>" not in response.content.decode()


def test_demo_mail_does_not_exist_outside_demo_mode(client, settings):
    settings.DEMO_MODE = False

    assert client.get(reverse("demo_mail")).status_code == 404


def test_a_new_api_key_is_shown_once(signed_in):
    address = reverse("settings:api_keys")

    made = signed_in.post(address, {"name": "laptop", "scopes": ["read", "trade:paper"]}).content.decode()

    secret = re.search(r"tp_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", made).group()
    assert secret not in signed_in.get(address).content.decode()
    key = ApiKey.objects.get()
    assert key.scopes == ["read", "trade:paper"]
    assert secret not in (key.key_hash, key.prefix)
    assert secret.startswith(key.prefix)


def test_a_live_key_needs_a_second_factor(signed_in):
    response = signed_in.post(reverse("settings:api_keys"), {"name": "bot", "scopes": ["trade:live"]})

    assert response.status_code == 302
    assert response.url == reverse("mfa_index")
    assert not ApiKey.objects.exists()


def test_export_asks_for_the_password_again(signed_in):
    response = signed_in.post(reverse("settings:export"))

    assert response.status_code == 302
    assert reverse("account_reauthenticate") in response.url


def test_profile_and_order_defaults_are_saved(signed_in, user):
    signed_in.post(reverse("settings:profile"), {"display_name": "Ann", "time_zone": "Europe/Berlin"})
    signed_in.post(
        reverse("settings:order_defaults"), {"account": "", "order_type": "limit", "time_in_force": "gtc"}
    )

    user.refresh_from_db()
    assert (user.display_name, user.time_zone) == ("Ann", "Europe/Berlin")
    assert (user.order_defaults.order_type, user.order_defaults.time_in_force) == ("limit", "gtc")


def test_accepting_disclosures_is_recorded_once(signed_in, user):
    address = reverse("settings:disclosures")
    for text in signed_in.get(address).context["missing"]:
        for _ in range(2):
            signed_in.post(address, {"disclosure": text.pk})

    assert user.disclosure_acceptances.count() == 3
    assert signed_in.get(address).context["missing"] == []


def test_an_unknown_page_is_a_calm_404(client):
    response = client.get("/nothing-here/")

    assert response.status_code == 404
    assert "Page not found" in response.content.decode()


def test_an_unknown_api_address_is_a_problem(client):
    response = client.get("/api/v1/nothing/")

    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "not_found"


def test_health_and_readiness(client):
    assert client.get("/healthz").json()["status"] == "ok"
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["checks"] == {"database": "ok", "migrations": "ok", "cache": "ok"}
    assert ready.json()["status"] == "degraded"


def test_metrics_are_for_this_machine_or_the_token(client, settings):
    assert b"http_request_seconds" in client.get("/metrics").content
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.9").status_code == 403
    assert client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 403
    settings.METRICS_TOKEN = "metrics-token"
    assert client.get("/metrics").status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer metrics-token"}).status_code == 200


def test_api_schema_and_documentation(client):
    assert b"openapi" in client.get(reverse("api_schema")).content
    docs = client.get(reverse("api_docs"))
    assert docs.status_code == 200
    assert "<script>" not in docs.content.decode()
    assert directives(docs)["script-src"] == "'self'"


def test_switching_to_an_unknown_account_is_not_found(signed_in):
    address = reverse("switch_account")

    assert signed_in.post(address, {"account": "3f1d9cde-0000-4000-8000-000000000000"}).status_code == 404
    assert signed_in.post(address, {"account": "nonsense"}).status_code == 404
