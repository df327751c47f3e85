"""Who may do what: sign-up, second factors, fresh proof, keys and their scopes, roles in the admin."""

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.contrib import admin
from django.core import mail
from django.core.cache import cache
from django.test import Client, RequestFactory
from django.urls import NoReverseMatch, reverse

from brokers.models import BrokerAccount, BrokerConnection, LinkAttempt
from orders.models import Order, OutboxMessage
from risk.models import RiskLimit, TradingHalt
from tests.brokers import scripted
from tests.orders.helpers import draft
from tests.security.routes import METHODS, OURS, Kind, address, names_of
from tests.security.world import (
    OUR_APPS,
    PASSWORD,
    World,
    changes,
    code_now,
    give_proof,
    make_person,
    photograph,
    sign_in,
    with_key,
)
from tradeplatform.models import ApiKey, Role, User
from tradeplatform.services.api_keys import create_api_key, revoke_api_key
from tradeplatform.services.people import close_account, create_user

PROFILE = "/settings/"


def log_in(client: Client, email: str, password: str = PASSWORD) -> Any:
    return client.post(reverse("account_login"), {"login": email, "password": password})


def is_signed_in(client: Client) -> bool:
    return client.get(PROFILE).status_code == 200


# --- Signing up and signing in ---------------------------------------------------------------------------


def sign_up(client: Client) -> str:
    """Fill in the sign-up form and return the code from the letter."""
    form = {"email": "new@example.com", "password1": PASSWORD, "password2": PASSWORD}
    answer = client.post(reverse("account_signup"), form)
    assert answer.url == reverse("account_email_verification_sent")
    found = re.search(r"^\s{4}(\S+)\s*$", mail.outbox[-1].body, re.MULTILINE)
    assert found, mail.outbox[-1].body
    return found.group(1)


def test_a_sign_up_is_finished_by_the_code_from_the_letter(client: Client, reference_data: None) -> None:
    code = sign_up(client)
    assert not is_signed_in(client)

    client.post(reverse("account_email_verification_sent"), {"code": code})

    assert is_signed_in(client)
    assert EmailAddress.objects.get(email="new@example.com").verified


def test_a_wrong_code_finishes_nothing(client: Client, reference_data: None) -> None:
    code = sign_up(client)

    for wrong in ("", "000000", code[:-1]):
        client.post(reverse("account_email_verification_sent"), {"code": wrong})

    assert not is_signed_in(client)
    assert not EmailAddress.objects.filter(verified=True).exists()


def test_guessing_codes_ends_the_sign_up(client: Client, reference_data: None) -> None:
    code = sign_up(client)
    for number in range(10):
        client.post(reverse("account_email_verification_sent"), {"code": f"WRONG{number}"})

    client.post(reverse("account_email_verification_sent"), {"code": code})

    assert not is_signed_in(client)


def test_a_sign_up_does_not_tell_who_has_an_account(client: Client, reference_data: None) -> None:
    create_user(email="new@example.com", password=PASSWORD)
    form = {"email": "new@example.com", "password1": PASSWORD, "password2": PASSWORD}

    answer = client.post(reverse("account_signup"), form)

    assert answer.url == reverse("account_email_verification_sent")
    assert User.objects.count() == 1


def test_an_app_is_enrolled_and_asked_for_from_then_on(client: Client, reference_data: None) -> None:
    person = create_user(email="new@example.com", password=PASSWORD)
    log_in(client, person.email)
    assert leads_to_proof(client.get(reverse("mfa_activate_totp")))
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD})
    page = client.get(reverse("mfa_activate_totp"))
    secret = page.context["form"].secret

    client.post(reverse("mfa_activate_totp"), {"code": code_now(secret)})

    assert Authenticator.objects.filter(user=person, type=Authenticator.Type.TOTP).count() == 1
    assert "mfa.totp.secret" not in client.session
    cache.clear()
    other = Client()
    assert log_in(other, person.email).url.startswith(reverse("mfa_authenticate"))
    assert not is_signed_in(other)
    assert other.post(reverse("mfa_authenticate"), {"code": "000000"}).status_code == 200
    assert not is_signed_in(other)
    other.post(reverse("mfa_authenticate"), {"code": code_now(secret)})
    assert is_signed_in(other)


def test_a_code_of_the_app_opens_one_session_only(reference_data: None) -> None:
    person = make_person("someone")
    code = code_now()
    first, second = Client(), Client()
    for client in (first, second):
        log_in(client, person.email)
        client.post(reverse("mfa_authenticate"), {"code": code})

    assert is_signed_in(first)
    assert not is_signed_in(second)


def test_a_recovery_code_works_once(reference_data: None) -> None:
    person = make_person("someone")
    code = RecoveryCodes.activate(person).get_unused_codes()[0]
    first, second = Client(), Client()
    for client in (first, second):
        log_in(client, person.email)
        client.post(reverse("mfa_authenticate"), {"code": code})

    assert is_signed_in(first)
    assert not is_signed_in(second)


def test_passkeys_can_be_added_and_signed_in_with(reference_data: None) -> None:
    browser = sign_in(make_person("someone"))

    assert browser.get(reverse("mfa_list_webauthn")).status_code == 200
    assert browser.get(reverse("mfa_add_webauthn")).status_code == 200
    options = Client().get(reverse("mfa_login_webauthn"), headers={"X-Requested-With": "XMLHttpRequest"})
    assert options.status_code == 200
    assert "challenge" in options.content.decode()


def test_guessing_passwords_is_slowed_down(client: Client, reference_data: None) -> None:
    person = create_user(email="new@example.com", password=PASSWORD)
    for number in range(20):
        log_in(client, person.email, f"wrong-password-{number}")

    log_in(client, person.email)

    assert not is_signed_in(client)


def test_a_closed_account_opens_nothing(owner: World) -> None:
    browser, program = sign_in(owner.user), with_key(owner.secret)
    Order.objects.update(status="canceled")
    close_account(user=owner.user)
    fresh = Client()
    log_in(fresh, "owner@example.com")

    assert not is_signed_in(browser)
    assert not is_signed_in(fresh)
    assert program.get(reverse("api_account_list")).status_code == 401


def test_a_person_made_inactive_is_out_at_once(owner: World) -> None:
    browser, program = sign_in(owner.user), with_key(owner.secret)
    User.objects.filter(pk=owner.user.pk).update(is_active=False)

    assert not is_signed_in(browser)
    statuses = {name: program.get(address(name, owner)).status_code for name in API_ROUTES}
    assert set(statuses.values()) == {401}, statuses
    # The session does not count on the API either.
    assert browser.get(reverse("api_account_list")).status_code == 401


# --- Fresh proof before sensitive steps --------------------------------------------------------------------

KEYS = {
    "environment": "paper",
    "key_id": "key-1",
    "secret": "secret-1",
    "label": "",
    "words": "close my account",
}
SIGN_IN = {"environment": "paper"}
# Route and form.
SENSITIVE = {
    "brokers:link_keys": KEYS,
    "brokers:oauth_start": SIGN_IN,
    "brokers:relink": {"key_id": "key-1", "secret": "secret-1"},
    "brokers:arm": {"understood": "on"},
    "settings:api_keys": {"name": "bot", "scopes": ["trade:live"]},
    "settings:export": {},
    "settings:close": {"words": "close my account"},
    "account_change_password": {"oldpassword": PASSWORD, "password1": "x" * 12, "password2": "x" * 12},
    "account_email": {"action_add": "1", "email": "other@example.com"},
    "mfa_deactivate_totp": {},
    "mfa_generate_recovery_codes": {},
    "mfa_add_webauthn": {},
}
PROOF_PAGES = ("account_reauthenticate", "mfa_reauthenticate", "mfa_reauthenticate_webauthn")
# The person gives the old password in the form itself, which is the proof.
PROVES_ITSELF = ("account_change_password",)


@pytest.fixture
def keyed_broker(settings: Any, owner: World) -> World:
    """The owner's world with a broker that is linked by keys or a sign-in; the live account uses it."""
    settings.BROKER_ADAPTERS = {**settings.BROKER_ADAPTERS, "keyed": scripted.PATH}
    scripted.reset_script()
    BrokerConnection.objects.filter(user=owner.user).update(broker="keyed", kind="api_key")
    BrokerAccount.objects.filter(user=owner.user).update(broker="keyed")
    return owner


def target_of(name: str, world: World) -> str:
    if name == "brokers:arm":
        return reverse(name, args=[world.live_account_id])
    if name in ("brokers:link_keys", "brokers:oauth_start"):
        return reverse(name, args=["keyed"])
    try:
        return address(name, world)
    except KeyError:
        return reverse(name)


def leads_to_proof(answer: Any) -> bool:
    pages = {reverse(page) for page in PROOF_PAGES}
    return answer.status_code == 302 and answer.url.partition("?")[0] in pages


@pytest.mark.parametrize("age", [None, 301, 86_400])
def test_sensitive_steps_without_fresh_proof_only_ask_for_it(age: float | None, keyed_broker: World) -> None:
    browser = sign_in(keyed_broker.user, proof_age=age)
    factors = Authenticator.objects.count()
    problems = []
    before = photograph()
    for name, form in SENSITIVE.items():
        if name in PROVES_ITSELF:
            continue
        answer = browser.post(target_of(name, keyed_broker), form)
        if not leads_to_proof(answer):
            problems.append(f"{name}: {answer.status_code} {answer.headers.get('Location')}")

    assert problems == []
    assert changes(before, photograph()) == []
    assert Authenticator.objects.count() == factors
    assert not EmailAddress.objects.filter(email="other@example.com").exists()


@pytest.mark.parametrize(
    "name", ["brokers:link_keys", "brokers:arm", "settings:api_keys", "settings:export", "settings:close"]
)
def test_a_password_is_no_proof_for_someone_with_a_second_factor(name: str, keyed_broker: World) -> None:
    browser = sign_in(keyed_broker.user, proof_age=None)
    give_proof(browser, methods=("password",))
    before = photograph()

    answer = browser.post(target_of(name, keyed_broker), SENSITIVE[name])

    assert answer.url.partition("?")[0] == reverse("mfa_reauthenticate")
    assert changes(before, photograph()) == []


def test_with_fresh_proof_the_sensitive_steps_work(keyed_broker: World) -> None:
    browser = sign_in(keyed_broker.user)
    answers = {
        name: browser.post(target_of(name, keyed_broker), SENSITIVE[name])
        for name in (
            "brokers:link_keys",
            "brokers:oauth_start",
            "brokers:arm",
            "settings:api_keys",
            "settings:export",
        )
    }

    assert not any(leads_to_proof(answer) for answer in answers.values())
    assert BrokerAccount.objects.filter(broker_account_id="acct-paper-1").exists()
    assert LinkAttempt.objects.count() == 1
    assert BrokerAccount.objects.get(pk=keyed_broker.live_account_id).armed_at is not None
    assert ApiKey.objects.filter(name="bot", scopes=["trade:live"]).exists()
    assert answers["settings:export"].headers["Content-Type"] == "application/zip"


def test_without_a_second_factor_arming_and_live_keys_lead_to_setting_one_up(keyed_broker: World) -> None:
    Authenticator.objects.all().delete()
    browser = sign_in(keyed_broker.user, proof_age=None)
    give_proof(browser, methods=("password",))
    for name in ("brokers:arm", "settings:api_keys"):
        assert browser.post(target_of(name, keyed_broker), SENSITIVE[name]).url == reverse("mfa_index")

    assert BrokerAccount.objects.get(pk=keyed_broker.live_account_id).armed_at is None
    assert not ApiKey.objects.filter(name="bot").exists()


def test_exits_need_no_proof(keyed_broker: World) -> None:
    """Stopping must never be held up: disarming, unlinking, revoking, cancelling."""
    BrokerAccount.objects.filter(pk=keyed_broker.live_account_id).update(armed_at="2026-01-01T00:00Z")
    browser = sign_in(keyed_broker.user, proof_age=None)
    browser.post(reverse("brokers:disarm", args=[keyed_broker.live_account_id]))
    browser.post(reverse("settings:api_key_revoke", args=[keyed_broker.key_id]))
    browser.post(reverse("brokers:unlink", args=[keyed_broker.connection_id]))

    assert BrokerAccount.objects.get(pk=keyed_broker.live_account_id).armed_at is None
    assert ApiKey.objects.get(pk=keyed_broker.key_id).revoked_at is not None
    assert not BrokerConnection.objects.get(pk=keyed_broker.connection_id).credentials


# --- Keys --------------------------------------------------------------------------------------------------

API_ROUTES = [name for name in names_of(Kind.OWN, Kind.OBJECT) if OURS[name].is_api and name != "api_events"]
# What a key without any trading scope may send: nothing of it is stored or sent to a broker.
READING_POSTS = {"api_order_preview"}


def ask(client: Client, method: str, target: str, world: World) -> Any:
    if method == "get":
        return client.get(target)
    body = draft(account=str(world.account_id))
    return getattr(client, method)(
        target, body, content_type="application/json", headers={"Idempotency-Key": "scopes"}
    )


def test_a_reading_key_writes_nothing(owner: World) -> None:
    _, made = create_api_key(user=owner.user, name="reader", scopes=["read"])
    client = with_key(made.secret)
    problems = []
    before = photograph()
    for name in API_ROUTES:
        for method in METHODS:
            answer = ask(client, method, address(name, owner), owner)
            exists = hasattr(OURS[name].view.cls, method)
            reads = method == "get" or (method == "post" and name in READING_POSTS)
            if answer.status_code not in ({200} if exists and reads else {403, 405}):
                problems.append(f"{method} {name}: {answer.status_code}")

    assert problems == []
    touched = [
        change for change in changes(before, photograph()) if change.startswith(("orders.", "portfolios."))
    ]
    assert touched == []


@pytest.mark.parametrize(
    ("scopes", "paper", "live"),
    [
        (["read"], 403, 403),
        (["trade:paper"], 201, 403),
        (["trade:live"], 403, 422),
        (["read", "trade:paper", "trade:live"], 201, 422),
    ],
)
def test_a_key_moves_only_the_money_that_it_names(
    scopes: list[str], paper: int, live: int, owner: World
) -> None:
    """422 on the live account: the key would do, but nobody armed the account."""
    _, made = create_api_key(user=owner.user, name="trader", scopes=scopes)
    client = with_key(made.secret)
    statuses = {}
    for account in (owner.account_id, owner.live_account_id):
        body = draft(account=str(account), symbol="OTHER")
        answer = client.post(
            reverse("api_order_list"),
            body,
            content_type="application/json",
            headers={"Idempotency-Key": str(account)},
        )
        statuses[account] = (answer.status_code, answer.json().get("code"))

    assert statuses[owner.account_id][0] == paper, statuses
    assert statuses[owner.live_account_id][0] in (live, 403), statuses
    if live == 422:
        assert statuses[owner.live_account_id][1] != "scope_missing"
    else:
        assert statuses[owner.live_account_id] == (403, "scope_missing")
    assert set(Order.objects.filter(account=owner.live_account_id).values_list("status", flat=True)) <= {
        "denied"
    }
    assert not OutboxMessage.objects.filter(account=owner.live_account_id).exists()


def test_a_revoked_key_opens_nothing(owner: World) -> None:
    revoke_api_key(user=owner.user, key_id=owner.key_id)
    client = with_key(owner.secret)
    before = photograph()

    statuses = {
        (name, method): ask(client, method, address(name, owner), owner).status_code
        for name in API_ROUTES
        for method in METHODS
    }

    assert set(statuses.values()) == {401}, statuses
    assert changes(before, photograph()) == []


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic {}", "Bearer {}x", "Bearer x{}", "bearer {} {}"]
)
def test_only_the_whole_key_as_bearer_counts(header: str, owner: World) -> None:
    client = Client(headers={"Authorization": header.format(owner.secret, owner.secret)})

    assert client.get(reverse("api_account_list")).status_code == 401


def test_a_key_in_the_address_is_not_read(owner: World) -> None:
    answer = Client().get(reverse("api_account_list"), {"key": owner.secret, "token": owner.secret})

    assert answer.status_code == 401


# --- Roles in the admin ------------------------------------------------------------------------------------

# Everything that staff may do beyond reading. A model or right that is missing here fails the tests.
RIGHTS = {
    Role.SUPPORT: {},
    Role.RISK_ADMIN: {"risklimit": {"add"}, "tradinghalt": {"add", "change"}},
    Role.ADMIN: {
        "break": {"change"},
        "user": {"change"},
        "disclosure": {"add", "change"},
        "plan": {"change"},
        "plangrant": {"add"},
        "risklimit": {"add"},
        "tradinghalt": {"add", "change"},
    },
}
# What only admins may look at.
ADMINS_ONLY = {"linkattempt"}
OUR_ADMINS = {
    model._meta.model_name: model_admin
    for model, model_admin in admin.site._registry.items()
    if model._meta.app_label in OUR_APPS
}


def rights_of(person: User) -> dict[str, set[str]]:
    request = RequestFactory().get("/admin/")
    request.user = User.objects.get(pk=person.pk)
    found = {}
    for name, model_admin in OUR_ADMINS.items():
        checks = {
            "add": model_admin.has_add_permission(request),
            "change": model_admin.has_change_permission(request),
            "delete": model_admin.has_delete_permission(request),
        }
        if rights := {right for right, given in checks.items() if given}:
            found[name] = rights
    return found


@pytest.mark.parametrize("role", RIGHTS)
def test_each_role_has_exactly_its_rights(role: Role, reference_data: None) -> None:
    assert rights_of(make_person("staff", role)) == RIGHTS[role]


def admin_address(name: str, page: str, *args: Any) -> str | None:
    model = OUR_ADMINS[name].model
    try:
        return reverse(f"admin:{model._meta.app_label}_{name}_{page}", args=args)
    except NoReverseMatch:
        return None


@pytest.mark.parametrize("role", RIGHTS)
def test_staff_read_every_page_and_write_only_where_they_may(role: Role, owner: World) -> None:
    person = make_person("staff", role)
    browser = sign_in(person, raise_request_exception=False)
    problems = []
    before = photograph()
    for name, model_admin in OUR_ADMINS.items():
        listed = browser.get(admin_address(name, "changelist"))
        hidden = name in ADMINS_ONLY and role is not Role.ADMIN
        if listed.status_code != (403 if hidden else 200):
            problems.append(f"list of {name}: {listed.status_code}")
        rights = RIGHTS[role].get(name, set())
        row = model_admin.model._default_manager.first()
        for page, right in (("change", "change"), ("delete", "delete"), ("add", "add")):
            target = admin_address(name, page, *([] if page == "add" else [row.pk if row else 0]))
            if right in rights or (page != "add" and row is None):
                continue
            status = browser.post(target, {"post": "yes"}).status_code
            if status != 403:
                problems.append(f"{page} {name}: {status}")

    assert problems == []
    assert changes(before, photograph()) == []


@pytest.mark.parametrize("caller", ["visitor", "person"])
def test_the_admin_is_closed_to_everybody_else(caller: str, owner: World) -> None:
    browser = Client() if caller == "visitor" else sign_in(owner.user)
    statuses = {
        name: browser.get(admin_address(name, page)).status_code
        for name in OUR_ADMINS
        for page in ("changelist",)
    }

    assert set(statuses.values()) <= {302, 403}, statuses
    for name in OUR_ADMINS:
        assert (
            "owner-mark" not in browser.get(admin_address(name, "changelist"), follow=True).content.decode()
        )


def test_a_risk_admin_sets_limits_and_stops_trading(owner: World) -> None:
    browser = sign_in(make_person("staff", Role.RISK_ADMIN))
    limit = {
        "scope": "platform",
        "scope_key": "",
        "name": "max_daily_trades",
        "value": "5",
        "reason": "test",
    }
    halt = {"scope": "user", "scope_key": str(owner.user.pk), "kind": "halted", "reason": "test"}

    for name, form in (("risklimit", limit), ("tradinghalt", halt)):
        answer = browser.post(admin_address(name, "add"), form)
        assert answer.status_code == 302, answer.context["adminform"].form.errors

    assert RiskLimit.objects.get().author == "staff@example.com"
    assert TradingHalt.objects.filter(started_by="staff@example.com").count() == 1


def test_nobody_gives_themselves_a_role(owner: World) -> None:
    browser = sign_in(owner.user)
    form = {"display_name": "x", "time_zone": "UTC", "role": "admin", "is_staff": "1", "is_superuser": "1"}
    browser.post(reverse("settings:profile"), form)
    risk = sign_in(make_person("staff", Role.RISK_ADMIN))
    risk.post(admin_address("user", "change", owner.user.pk), {"role": "admin", "is_active": "on"})

    person = User.objects.get(pk=owner.user.pk)
    assert (person.role, person.is_staff, person.is_superuser) == ("user", False, False)
