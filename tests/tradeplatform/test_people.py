"""Creating people, keys, exports, closing, roles, sessions and second factors."""

import io
import json
import zipfile

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from allauth.mfa.utils import decrypt
from django.apps import apps
from django.test import Client
from django.urls import reverse

from billing.services import ensure_plans, grant_plan
from brokers.enums import LinkKind
from brokers.models import BrokerConnection
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import ConflictError, InvalidRequest, NotFoundError, PermissionRefused
from tradeplatform.models import ApiKey, AuditEntry, Role, User
from tradeplatform.services.api_keys import create_api_key, revoke_api_key
from tradeplatform.services.export import export_user_data, tables_of
from tradeplatform.services.people import close_account, create_user
from tradeplatform.services.roles import apply_role, ensure_roles

pytestmark = pytest.mark.django_db
PASSWORD = "practice-2026-x"  # noqa: S105


@pytest.fixture(autouse=True)
def reference_data() -> None:
    ensure_plans()
    ensure_roles()


@pytest.fixture
def user() -> User:
    return create_user(email="Owner@Example.com", password=PASSWORD)


def test_a_created_user_can_sign_in_at_once(client, user):
    response = client.post(
        reverse("account_login"), {"login": "owner@example.com", "password": PASSWORD, "next": "/settings/"}
    )

    assert response.status_code == 302
    assert client.get("/settings/").status_code == 200
    assert EmailAddress.objects.get(user=user).verified


@pytest.mark.parametrize(("email", "password"), [("nonsense", PASSWORD), ("a@example.com", "short")])
def test_bad_people_are_refused(email, password):
    with pytest.raises(InvalidRequest):
        create_user(email=email, password=password)
    assert not User.objects.exists()


def test_an_address_is_taken_once_whatever_its_case(user):
    with pytest.raises(ConflictError):
        create_user(email="OWNER@example.com", password=PASSWORD)


def test_roles_reach_exactly_what_they_should():
    support = create_user(email="s@example.com", password=PASSWORD, role=Role.SUPPORT)
    risk_admin = create_user(email="r@example.com", password=PASSWORD, role=Role.RISK_ADMIN)

    assert support.has_perm("orders.view_order")
    assert not support.has_perm("risk.add_risklimit")
    assert risk_admin.has_perm("risk.add_risklimit")
    assert not risk_admin.has_perm("risk.delete_risklimit")
    assert not risk_admin.has_perm("tradeplatform.change_user")
    assert not support.has_perm("tradeplatform.view_userevent")

    apply_role(support, Role.USER, actor="admin@example.com")
    fresh = User.objects.get(pk=support.pk)
    assert not fresh.is_staff
    assert not fresh.has_perm("orders.view_order")


def test_keys_are_made_with_known_scopes_and_revoked_for_good(user):
    key, made = create_api_key(user=user, name=" laptop ", scopes=["read"])

    assert made.secret not in repr(made)
    assert key.name == "laptop"
    for scopes in ([], ["admin"], ["read", "admin"]):
        with pytest.raises(InvalidRequest):
            create_api_key(user=user, name="x", scopes=scopes)
    stranger = create_user(email="stranger@example.com", password=PASSWORD)
    with pytest.raises(NotFoundError):
        revoke_api_key(user=stranger, key_id=key.pk)
    assert revoke_api_key(user=user, key_id=key.pk).revoked_at is not None


def test_live_keys_need_the_plan(user):
    with pytest.raises(PermissionRefused):
        create_api_key(user=user, name="bot", scopes=["trade:live"])
    grant_plan(user=user, plan_key="pro", reason="test", granted_by="admin@example.com")

    assert create_api_key(user=user, name="bot", scopes=["trade:live"])[0].scopes == ["trade:live"]


def test_the_export_has_everything_of_the_person_and_no_secret(user):
    stranger = create_user(email="stranger@example.com", password=PASSWORD)
    create_api_key(user=stranger, name="stranger-key", scopes=["read"])
    BrokerConnection.objects.create(
        user=user, broker="alpaca", kind=LinkKind.values[0], credentials="canary-secret", status_reason="=1+1"
    )

    content = b"".join(export_user_data(user=user, now=utc_now()))

    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    text = "".join(archive.read(name).decode() for name in archive.namelist())
    assert "canary-secret" not in text
    assert "tpenc1" not in text
    assert user.password not in text
    assert "stranger" not in text
    assert json.loads(archive.read("profile.jsonl"))["email"] == "owner@example.com"
    assert "'=1+1" in archive.read("broker_links.csv").decode()


def test_every_model_that_belongs_to_people_is_exported(user):
    exported = {table.rows.model for table in tables_of(user)}
    ours = ("tradeplatform", "billing", "brokers", "portfolios", "risk", "orders")
    # Bookkeeping of the machinery, and the practice broker's own side of what is exported as orders.
    not_personal = {
        "EventCursor", "LinkAttempt", "QuoteInterest", "OutboxMessage", "OrderAlias", "IdempotencyRecord",
        "AccountStream",
        "PracticeBook", "PracticeExecution", "PracticeOrder", "PracticePosition", "PracticeEvent",
    }  # fmt: skip
    owned = {
        model
        for model in apps.get_models()
        if model._meta.app_label in ours
        and not model._meta.proxy
        and {"user", "portfolio", "account", "order"} & {field.name for field in model._meta.fields}
        and model.__name__ not in not_personal
    }

    assert {model.__name__ for model in owned - exported} == set()


def test_closing_erases_the_person_and_keeps_the_records(user):
    link = BrokerConnection.objects.create(
        user=user, broker="alpaca", kind=LinkKind.values[0], credentials="canary-secret"
    )
    create_api_key(user=user, name="k", scopes=["read"])
    client = Client()
    client.force_login(user)

    close_account(user=user)

    user.refresh_from_db()
    link.refresh_from_db()
    assert not user.is_active
    assert "owner" not in user.email
    assert not user.has_usable_password()
    assert not link.credentials
    assert ApiKey.objects.get().revoked_at is not None
    assert AuditEntry.objects.filter(action="account_closed").exists()
    assert client.get("/settings/").status_code == 302


def test_authenticator_secrets_are_encrypted_at_rest(user):
    TOTP.activate(user, "JBSWY3DPEHPK3PXP")

    stored = Authenticator.objects.get(user=user).data["secret"]
    assert stored.startswith("tpenc1.")
    assert decrypt(stored) == "JBSWY3DPEHPK3PXP"


def test_an_idle_session_ends(client, user, settings):
    client.force_login(user)
    assert client.get("/settings/").status_code == 200
    session = client.session
    session["session_seen_at"] -= settings.SESSION_IDLE_SECONDS + 1
    session.save()

    assert client.get("/settings/").url == reverse("account_login")
    assert client.get("/settings/").status_code == 302


def test_staff_sessions_end_sooner(client, settings):
    admin = create_user(email="admin@example.com", password=PASSWORD, role=Role.ADMIN)
    client.force_login(admin)
    client.get("/settings/")
    session = client.session
    session["session_seen_at"] -= settings.STAFF_SESSION_IDLE_SECONDS + 1
    session.save()

    assert client.get("/settings/").status_code == 302


def test_the_admin_shows_people_to_admins_only(client, user):
    client.force_login(user)
    assert client.get("/admin/", follow=True).status_code == 403
    admin = create_user(email="admin@example.com", password=PASSWORD, role=Role.ADMIN)
    create_api_key(user=user, name="k", scopes=["read"])
    client.force_login(admin)

    response = client.get("/admin/")
    assert response.status_code == 200
    assert "'unsafe-eval'" in response.headers["Content-Security-Policy"]
    assert client.get("/admin/tradeplatform/user/").status_code == 200
    page = client.get("/admin/tradeplatform/apikey/").content.decode()
    assert ApiKey.objects.get().key_hash not in page
    for hidden in ("mfa/authenticator", "usersessions/usersession", "tradeplatform/userevent"):
        assert client.get(f"/admin/{hidden}/").status_code == 404
