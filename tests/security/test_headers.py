"""What every answer tells the browser, and what a browser on another site cannot make this site do."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from tests.security.routes import OURS, Kind, address, find_routes, names_of
from tests.security.world import World, changes, make_person, photograph, sign_in
from tradeplatform.models import Role

PAGES = [name for name in names_of(*Kind) if not OURS[name].is_api]
PRIVATE_PAGES = [name for name in names_of(Kind.OWN, Kind.OBJECT) if not OURS[name].is_api]
STRICT = {
    "default-src": {"'self'"},
    "script-src": {"'self'"},
    "style-src": {"'self'"},
    "frame-ancestors": {"'none'"},
    "base-uri": {"'none'"},
    "object-src": {"'none'"},
}
# Routes of packages that answer a browser, with an address each.
PACKAGE_PAGES = [
    found.name
    for found in find_routes()
    if found.pattern.startswith("accounts/") and "<" not in found.pattern and "(" not in found.pattern
]
ELSEWHERE = (
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example",
    "javascript:alert(1)",
    "http:evil.example",
)


def policy_of(response: Any) -> dict[str, set[str]]:
    parts = response.headers["Content-Security-Policy"].split(";")
    words = [part.split() for part in parts if part.strip()]
    return {name: set(values) for name, *values in words}


def problems_of(response: Any) -> list[str]:
    """Return what is wrong with the headers of a page, in words."""
    found = []
    policy = policy_of(response)
    if any(
        "unsafe" in value or value in ("*", "http:", "https:")
        for values in policy.values()
        for value in values
    ):
        found.append(f"loose policy {policy}")
    found += [
        f"{name} is {policy.get(name)}" for name, wanted in STRICT.items() if policy.get(name) != wanted
    ]
    expected = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    found += [
        f"{name} is {response.headers.get(name)}"
        for name, value in expected.items()
        if response.headers.get(name) != value
    ]
    return found


def test_every_page_has_a_strict_policy_for_visitors_and_for_its_owner(owner: World) -> None:
    visitor = Client(raise_request_exception=False)
    browser = sign_in(owner.user, raise_request_exception=False)
    problems = []
    for name in PAGES:
        for client in (visitor, browser):
            answer = client.get(address(name, owner))
            problems += [f"{name}: {problem}" for problem in problems_of(answer)]
            if answer.status_code >= 500 and name not in ("events", "readyz"):
                problems.append(f"{name}: {answer.status_code}")

    assert problems == []


def test_the_pages_of_packages_have_the_same_policy(owner: World) -> None:
    browser = sign_in(owner.user)

    problems = [
        f"{name}: {problem}"
        for name in PACKAGE_PAGES
        for client in (Client(), browser)
        for problem in problems_of(client.get(reverse(name)))
    ]

    assert len(PACKAGE_PAGES) > 20
    assert problems == []


def test_signed_in_pages_are_stored_nowhere(owner: World) -> None:
    browser = sign_in(owner.user)
    problems = []
    targets = {name: address(name, owner) for name in PRIVATE_PAGES}
    targets |= {name: reverse(name) for name in PACKAGE_PAGES if name != "account_logout"}
    for name, target in targets.items():
        control = browser.get(target).headers.get("Cache-Control", "")
        if "no-store" not in control:
            problems.append(f"{name}: {control!r}")

    assert problems == []


def test_errors_have_the_same_headers(owner: World) -> None:
    browser = sign_in(owner.user)
    missing = browser.get("/nothing-here/")
    forbidden = sign_in(owner.user, enforce_csrf_checks=True).post(reverse("settings:profile"))

    assert (missing.status_code, forbidden.status_code) == (404, 403)
    assert problems_of(missing) + problems_of(forbidden) == []


def test_only_the_admin_may_evaluate_and_only_there(reference_data: None) -> None:
    admin = sign_in(make_person("admin", Role.ADMIN))

    policy = policy_of(admin.get("/admin/"))

    assert policy["script-src"] == {"'self'", "'unsafe-eval'"}
    assert policy["style-src"] == {"'self'", "'unsafe-inline'"}
    assert policy["frame-ancestors"] == {"'none'"}
    assert policy_of(admin.get(reverse("dashboard")))["script-src"] == {"'self'"}
    assert policy_of(admin.get("/adminx/"))["script-src"] == {"'self'"}


def test_no_page_carries_inline_code(owner: World) -> None:
    browser = sign_in(owner.user)
    problems = []
    for name in PAGES:
        answer = browser.get(address(name, owner))
        if answer.streaming or "text/html" not in answer.headers.get("Content-Type", ""):
            continue
        text = answer.content.decode()
        problems += [
            f"{name}: {word}" for word in ("<script>", " style=", " onclick=", "javascript:") if word in text
        ]

    assert problems == []


def test_every_form_without_its_token_is_refused(owner: World) -> None:
    """Whatever route takes a POST: without the token it answers 403, and nothing has changed."""
    browser = sign_in(owner.user, enforce_csrf_checks=True)
    before = photograph()
    problems = []
    for name in PRIVATE_PAGES:
        status = browser.post(address(name, owner), {"next": "/"}).status_code
        if status != 403:
            problems.append(f"{name}: {status}")

    assert problems == []
    assert changes(before, photograph()) == []


def test_the_api_wants_the_token_from_pages_and_none_from_keys(owner: World) -> None:
    browser = sign_in(owner.user, enforce_csrf_checks=True)
    target = reverse("api_order_cancel", args=[owner.order_id])

    refused = browser.post(target)

    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    program = Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {owner.secret}"})
    assert program.post(target).status_code == 202


def test_a_foreign_origin_is_refused_even_with_the_token(owner: World) -> None:
    browser = sign_in(owner.user, enforce_csrf_checks=True)
    browser.get(reverse("settings:profile"))
    token = browser.cookies[settings.CSRF_COOKIE_NAME].value
    form = {"display_name": "x", "time_zone": "UTC", "csrfmiddlewaretoken": token}
    target = reverse("settings:profile")

    assert browser.post(target, form, headers={"Origin": "https://evil.example"}).status_code == 403
    assert browser.post(target, form, headers={"Origin": "http://testserver"}).status_code == 302


# Reading may fetch and keep what the market says; it never changes anything of a person's.
KEPT_BY_READING = (
    "brokers.LatestQuote",
    "brokers.Instrument",
    "brokers.QuoteInterest",
    "brokers.CredentialAccess",
)


def test_reading_changes_nothing(owner: World) -> None:
    browser = sign_in(owner.user)
    program = Client(headers={"Authorization": f"Bearer {owner.secret}"})
    before = photograph()
    for name in names_of(*Kind):
        client = program if OURS[name].is_api else browser
        client.get(address(name, owner), {"symbol": owner.symbol})
        client.head(address(name, owner), {"symbol": owner.symbol})

    found = [change for change in changes(before, photograph()) if not change.startswith(KEPT_BY_READING)]
    assert found == []


ACTIONS = (
    "cancel",
    "place",
    "prepare",
    "replace",
    "sync",
    "disarm",
    "revoke",
    "apply",
    "close",
    "switch",
    "sign-in",
)


def test_routes_that_act_do_not_answer_to_a_link(owner: World) -> None:
    """A route whose address names an action is for POST alone."""
    browser = sign_in(owner.user)
    acting = [
        name
        for name in PRIVATE_PAGES
        if any(word in OURS[name].pattern.rstrip("/").split("/")[-1] for word in ACTIONS)
    ]

    statuses = {name: browser.get(address(name, owner)).status_code for name in acting}

    assert len(acting) >= 10
    assert {name: status for name, status in statuses.items() if status != 405} == {}


@pytest.mark.parametrize("target", ELSEWHERE)
def test_no_form_leads_away_from_the_site(target: str, owner: World) -> None:
    browser = sign_in(owner.user)
    forms = {
        "switch_account": {"account": str(owner.account_id)},
        "settings:disclosures": {},
        "orders:cancel": {},
    }

    for name in PRIVATE_PAGES:
        form = {**forms.get(name, {}), "next": target}
        answers = [browser.get(address(name, owner), form)]
        if name in forms:
            answers.append(browser.post(address(name, owner), form))
        for answer in answers:
            location = answer.headers.get("Location", "")
            assert location.startswith("/") or not location, f"{name} leads to {location}"
            assert not location.startswith(("//", "/\\")), f"{name} leads to {location}"


@pytest.mark.parametrize("target", ELSEWHERE)
def test_the_sign_in_leads_to_this_site_only(target: str, owner: World) -> None:
    form = {"login": owner.user.email, "password": "correct-horse-battery", "next": target}
    answer = Client().post(f"{reverse('account_login')}?next={target}", form)

    assert answer.status_code == 302
    assert answer.url.startswith("/accounts/2fa/")
    assert "//evil.example" not in answer.url.replace("%2F", "/").partition("next=")[0]


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "testserver.evil.example", "a b"])
def test_a_wrong_host_is_refused(host: str, client: Client) -> None:
    assert client.get("/", headers={"Host": host}).status_code == 400


def test_a_forwarded_host_is_not_believed(client: Client) -> None:
    answer = client.get(reverse("dashboard"), headers={"X-Forwarded-Host": "evil.example"})

    assert "evil.example" not in answer.url


def test_the_session_cookie_is_for_this_site_and_no_script(owner: World) -> None:
    client = Client()
    answer = client.post(
        reverse("account_login"), {"login": owner.user.email, "password": "correct-horse-battery"}
    )

    cookie = answer.cookies[settings.SESSION_COOKIE_NAME]
    assert (bool(cookie["httponly"]), cookie["samesite"], cookie["domain"]) == (True, "Lax", "")


PROBE = """
import json, django
django.setup()
from django.conf import settings
names = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY", "SESSION_COOKIE_NAME",
         "CSRF_COOKIE_NAME", "SECURE_HSTS_SECONDS", "SECURE_SSL_REDIRECT", "DEBUG")
print(json.dumps({name: getattr(settings, name) for name in names}))
"""


def test_outside_demo_mode_cookies_are_secure_and_https_is_forced(tmp_path: Any) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "tradeplatform.settings",
        "DEMO_MODE": "off",
        "SECRET_KEY": "x" * 60,
        "FIELD_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        "VAR_DIR": str(tmp_path),
    }

    shown = json.loads(
        subprocess.run(
            [sys.executable, "-c", PROBE],
            env=environment,
            capture_output=True,
            check=True,
            timeout=300,
            text=True,
        ).stdout.splitlines()[-1]
    )

    assert shown == {
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_NAME": "__Host-sessionid",
        "CSRF_COOKIE_NAME": "__Host-csrftoken",
        "SECURE_HSTS_SECONDS": 31536000,
        "SECURE_SSL_REDIRECT": True,
        "DEBUG": False,
    }
