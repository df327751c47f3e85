"""Commands: what they print is what scripts rely on."""

import io

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from allauth.mfa.utils import decrypt
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from brokers.enums import LinkKind
from brokers.models import BrokerConnection
from tradeplatform.common.api_auth import find_api_key
from tradeplatform.common.api_keys import KEY_PATTERN
from tradeplatform.common.crypto import decrypt_field
from tradeplatform.common.envelope import key_ring
from tradeplatform.models import AuditEntry, User
from tradeplatform.services.demo import ADMIN_LOGIN, DEMO_LOGIN
from tradeplatform.services.prepare import prepare_installation

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_create_user_and_key():
    run("create_user", "owner@example.com", "--password", "practice-2026-x", "--plan", "pro")

    secret = run("create_api_key", "owner@example.com", "--scopes", "read,trade:paper").strip()

    assert KEY_PATTERN.fullmatch(secret)
    assert find_api_key(secret).scopes == ["read", "trade:paper"]
    assert User.objects.get().plan_grants.get().plan.key == "pro"


def test_create_user_leaves_nothing_when_the_plan_is_unknown():
    with pytest.raises(CommandError, match="no plan"):
        run("create_user", "owner@example.com", "--password", "practice-2026-x", "--plan", "gold")

    assert not User.objects.exists()


def test_admins_are_staff():
    run("create_user", "root@example.com", "--password", "practice-2026-x", "--admin")

    admin = User.objects.get()
    assert (admin.is_staff, admin.is_superuser, admin.role) == (True, True, "admin")


@pytest.mark.parametrize(
    "arguments",
    [
        ("create_api_key", "nobody@example.com"),
        ("link_account", "nobody@example.com", "alpaca", "paper", "--key-id", "k", "--secret", "s"),
        ("set_limit", "user:nobody@example.com", "max_daily_trades", "5", "--reason", "r"),
        ("set_limit", "planet:earth", "max_daily_trades", "5", "--reason", "r"),
    ],
)
def test_unknown_people_are_named(arguments):
    with pytest.raises(CommandError):
        run(*arguments)


def test_rotation_moves_everything_and_proves_it(settings):
    user = User.objects.create_user("owner@example.com", "x")
    link = BrokerConnection.objects.create(
        user=user, broker="alpaca", kind=LinkKind.values[0], credentials="canary-secret"
    )
    totp = TOTP.activate(user, "JBSWY3DPEHPK3PXP").instance
    old_id = key_ring().active_id
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.FIELD_ENCRYPTION_KEYS]

    printed = run("rotate_credentials")

    assert f"Moved to key {key_ring().active_id}: 2" in printed
    assert f"Values under key {old_id}: 0" in printed
    settings.FIELD_ENCRYPTION_KEYS = settings.FIELD_ENCRYPTION_KEYS[:1]
    link.refresh_from_db()
    totp.refresh_from_db()
    assert decrypt_field(link, "credentials", purpose="test") == "canary-secret"
    assert decrypt(totp.data["secret"]) == "JBSWY3DPEHPK3PXP"
    assert "Moved to key" in run("rotate_credentials")
    assert "canary-secret" not in str(list(AuditEntry.objects.values()))


def test_rotation_names_what_it_cannot_read(settings):
    user = User.objects.create_user("owner@example.com", "x")
    BrokerConnection.objects.create(user=user, broker="alpaca", kind=LinkKind.values[0], credentials="secret")
    lost = key_ring().active_id
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    with pytest.raises(CommandError, match=lost):
        run("rotate_credentials")


def test_preparing_twice_changes_nothing():
    list(prepare_installation())
    before = (User.objects.count(), AuditEntry.objects.count())

    assert list(prepare_installation()) == []
    assert (User.objects.count(), AuditEntry.objects.count()) == before
    assert set(User.objects.values_list("email", flat=True)) == {DEMO_LOGIN.email, ADMIN_LOGIN.email}
    demo = User.objects.get(email=DEMO_LOGIN.email)
    assert demo.broker_accounts.count() == 1


def test_demo_people_do_not_exist_outside_demo_mode(settings):
    settings.DEMO_MODE = False

    list(prepare_installation())

    assert not User.objects.exists()


def test_generated_keys_fit_the_ring(settings):
    printed = dict(line.split("=", 1) for line in run("generate_key").splitlines())
    settings.FIELD_ENCRYPTION_KEYS = [printed["FIELD_ENCRYPTION_KEYS"]]

    assert len(key_ring().active_id) == 8
    assert len(printed["SECRET_KEY"]) >= 50
