"""Linking, repairing and unlinking: what is stored, what is refused, and that secrets stay sealed."""

from datetime import timedelta
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone

from billing.access import PlanRequired
from brokers import signals
from brokers.enums import ConnectionStatus, Environment, LinkKind
from brokers.exceptions import Unavailable
from brokers.models import BrokerAccount, BrokerConnection, CredentialAccess, LinkAttempt
from brokers.registry import manager
from brokers.services import connections, link_errors
from brokers.services.connections import (
    finish_oauth_link,
    link_with_keys,
    mark_needs_relink,
    open_practice_account,
    relink_with_keys,
    rename_account,
    start_oauth_link,
    unlink_connection,
)
from tradeplatform.common.exceptions import InvalidRequest, NotFoundError
from tradeplatform.models import AuditEntry, UserEvent

CALLBACK = "https://site.test/brokers/scripted/callback/"


def start(user, *, session="session-1", environment=None):
    url = start_oauth_link(
        user=user, broker="scripted", environment=environment, session_key=session, redirect_uri=CALLBACK
    )
    return parse_qs(urlsplit(url).query)["state"][0]


def finish(user, state, **changes):
    asked = {
        "broker": "scripted",
        "session_key": "session-1",
        "state": state,
        "code": "good-code",
        "redirect_uri": CALLBACK,
        **changes,
    }
    return finish_oauth_link(user=user, **asked)


def test_sign_in_links_every_account_that_the_token_covers(user, script):
    accounts = finish(user, start(user))
    assert [(item.environment, item.broker_account_id, item.label) for item in accounts] == [
        ("paper", "acct-paper-1", "Scripted paper"),
        ("live", "acct-live-1", "Scripted live"),
    ]
    assert {item.account_number for item in accounts} == {"••••6789"}
    assert accounts[0].cash == Decimal("1000.25")
    assert accounts[0].connection_id == accounts[1].connection_id
    assert accounts[0].connection.kind == LinkKind.OAUTH2
    assert list(AuditEntry.objects.values_list("action", "actor")) == [("broker_linked", user.email)]
    assert UserEvent.objects.get(user=user, kind="link").payload["status"] == "active"


def test_sign_in_for_one_environment_links_only_that(user, script):
    accounts = finish(user, start(user, environment=Environment.LIVE))
    assert [item.environment for item in accounts] == ["live"]


def test_state_is_random_and_stored_as_a_hash_only(user, script):
    states = {start(user), start(user)}
    assert len(states) == 2
    assert all(len(state) >= 43 for state in states)
    stored = LinkAttempt.objects.values_list("state_hash", "session_hash")
    assert not any(state in row for state in states for row in stored)
    assert not any("session-1" in row for row in stored)


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"state": "forged"}, link_errors.LinkStateUnknown, "link_state_unknown"),
        ({"state": ""}, link_errors.LinkStateUnknown, "link_state_unknown"),
        ({"session_key": "session-2"}, link_errors.LinkStateForeign, "link_state_foreign"),
        ({"error": "access_denied", "code": ""}, link_errors.LinkDenied, "link_denied"),
        ({"code": "used-code"}, link_errors.LinkCodeRefused, "link_code_refused"),
        ({"code": ""}, link_errors.LinkCodeRefused, "link_code_refused"),
        (
            {"redirect_uri": CALLBACK + "?x=1"},
            link_errors.LinkRedirectMismatch,
            "link_redirect_mismatch",
        ),
    ],
)
def test_bad_returns_are_refused_by_name_and_store_nothing(user, script, changes, error, code):
    state = start(user)
    with pytest.raises(error) as refused:
        finish(user, **{"state": state, **changes})
    assert refused.value.code == code
    assert not BrokerConnection.objects.exists()
    assert not BrokerAccount.objects.exists()


def test_another_person_cannot_finish_a_sign_in(user, stranger, script):
    state = start(user)
    with pytest.raises(link_errors.LinkStateForeign):
        finish(stranger, state)
    assert finish(user, state)


def test_a_state_works_once(user, script):
    state = start(user)
    finish(user, state)
    with pytest.raises(link_errors.LinkStateUsed):
        finish(user, state)
    assert script.calls["exchange_code"] == 1


def test_a_denied_state_cannot_be_replayed_with_a_code(user, script):
    state = start(user)
    with pytest.raises(link_errors.LinkDenied):
        finish(user, state, error="access_denied", code="")
    with pytest.raises(link_errors.LinkStateUsed):
        finish(user, state)
    assert "exchange_code" not in script.calls


def test_a_state_expires_after_ten_minutes(user, script):
    state = start(user)
    LinkAttempt.objects.update(created_at=timezone.now() - timedelta(minutes=10, seconds=1))
    with pytest.raises(link_errors.LinkStateExpired):
        finish(user, state)


def test_an_unsure_broker_links_nothing(user, script):
    state = start(user)
    script.failure = Unavailable("time-out")
    with pytest.raises(link_errors.LinkBrokerUnavailable) as refused:
        finish(user, state)
    assert refused.value.http_status == 503
    assert not BrokerConnection.objects.exists()


def test_linking_again_keeps_the_account_and_its_history(user, script):
    first = finish(user, start(user))
    script.codes["next-code"] = "token-1"
    heard = []
    receiver = lambda **kwargs: heard.append((kwargs["account_id"], kwargs["created"]))  # noqa: E731
    signals.account_linked.connect(receiver)
    again = finish(user, start(user), code="next-code")
    signals.account_linked.disconnect(receiver)
    assert [item.pk for item in again] == [item.pk for item in first]
    assert BrokerConnection.objects.count() == 1
    assert AuditEntry.objects.filter(action="broker_relinked").count() == 1
    assert heard == []  # the test's transaction never commits, and the signal waits for the commit


def test_account_linked_is_sent_after_the_commit(user, script, django_capture_on_commit_callbacks):
    heard = []
    receiver = lambda **kwargs: heard.append((kwargs["sender"], kwargs["created"]))  # noqa: E731
    signals.account_linked.connect(receiver)
    with django_capture_on_commit_callbacks(execute=True):
        finish(user, start(user))
    signals.account_linked.disconnect(receiver)
    assert heard == [(BrokerAccount, True), (BrokerAccount, True)]


def test_keys_link_one_account(user, script):
    account = link_with_keys(
        user=user,
        broker="scripted",
        environment=Environment.PAPER,
        key_id=" key-1 ",
        secret=" secret-1 ",
        label="Mine",
    )
    assert (account.label, account.environment) == ("Mine", "paper")
    reader = manager.get_reader(account, purpose="test")
    assert reader.handle.credentials.values == {"key_id": "key-1", "secret_key": "secret-1"}


def test_wrong_keys_are_refused(user, script):
    with pytest.raises(link_errors.LinkCredentialsRefused) as refused:
        link_with_keys(
            user=user, broker="scripted", environment=Environment.LIVE, key_id="key-1", secret="secret-1"
        )
    assert "live" in refused.value.message
    assert "secret-1" not in refused.value.message
    assert not BrokerConnection.objects.exists()


def test_missing_keys_are_named(user, script):
    with pytest.raises(InvalidRequest) as refused:
        link_with_keys(
            user=user, broker="scripted", environment=Environment.PAPER, key_id="", secret="secret-1"
        )
    assert list(refused.value.details["fields"]) == ["key_id"]
    assert script.calls == {}


def test_the_plan_limits_brokers_but_not_accounts_nor_practice(user, script, settings):
    settings.BROKER_ADAPTERS = {**settings.BROKER_ADAPTERS, "second": settings.BROKER_ADAPTERS["scripted"]}
    open_practice_account(user=user)
    link_with_keys(user=user, broker="scripted", environment=Environment.PAPER, key_id="k", secret="secret-1")
    link_with_keys(user=user, broker="scripted", environment=Environment.PAPER, key_id="k", secret="secret-2")
    with pytest.raises(PlanRequired):
        link_with_keys(
            user=user, broker="second", environment=Environment.PAPER, key_id="k", secret="secret-1"
        )
    with pytest.raises(PlanRequired):
        start_oauth_link(user=user, broker="second", environment=None, session_key="s", redirect_uri=CALLBACK)
    assert not LinkAttempt.objects.exists()


def test_unlinking_erases_the_credentials_and_keeps_the_records(account, user):
    connection = unlink_connection(user=user, connection_id=account.connection_id)
    account.refresh_from_db()
    connection.refresh_from_db()
    assert connection.status == ConnectionStatus.UNLINKED
    assert not connection.credentials
    assert (account.is_active, account.armed_at) == (False, None)
    assert AuditEntry.objects.filter(action="broker_unlinked").count() == 1
    unlink_connection(user=user, connection_id=account.connection_id)
    assert AuditEntry.objects.filter(action="broker_unlinked").count() == 1


def test_unlinking_and_linking_again_revives_the_account(account, user, script):
    unlink_connection(user=user, connection_id=account.connection_id)
    again = link_with_keys(
        user=user, broker="scripted", environment=Environment.PAPER, key_id="key-1", secret="secret-1"
    )
    assert (again.pk, again.is_active) == (account.pk, True)


def test_a_stranger_can_neither_unlink_nor_rename_nor_repair(account, stranger):
    with pytest.raises(NotFoundError):
        unlink_connection(user=stranger, connection_id=account.connection_id)
    with pytest.raises(NotFoundError):
        rename_account(user=stranger, account_id=account.pk, label="mine now")
    with pytest.raises(NotFoundError):
        relink_with_keys(user=stranger, connection_id=account.connection_id, key_id="k", secret="secret-1")
    account.refresh_from_db()
    assert account.connection.status == ConnectionStatus.ACTIVE


def test_an_expired_link_is_noted_once_and_repaired_by_new_keys(account, user):
    assert mark_needs_relink(connection_id=account.connection_id, reason="revoked") is True
    assert mark_needs_relink(connection_id=account.connection_id, reason="revoked") is False
    assert AuditEntry.objects.filter(action="broker_link_expired").count() == 1
    events = [event.payload["status"] for event in UserEvent.objects.filter(user=user, kind="link")]
    assert events == ["active", "needs_relink"]
    repaired = relink_with_keys(
        user=user, connection_id=account.connection_id, key_id="key-1", secret="secret-1"
    )
    assert [item.pk for item in repaired] == [account.pk]
    assert BrokerConnection.objects.get(pk=account.connection_id).status == ConnectionStatus.ACTIVE


def test_repairing_with_keys_of_another_account_changes_nothing(account, user):
    with pytest.raises(link_errors.LinkOtherAccount):
        relink_with_keys(user=user, connection_id=account.connection_id, key_id="k", secret="secret-2")
    assert BrokerAccount.objects.count() == 1


def test_opening_credentials_is_logged_by_purpose_and_hour(account):
    before = CredentialAccess.objects.count()
    manager.get_reader(account, purpose="sync")
    manager.get_reader(account, purpose="sync")
    manager.get_reader(account, purpose="quotes")
    rows = CredentialAccess.objects.values_list("purpose", "count", "process")
    assert before == 0
    assert sorted(rows) == [("quotes", 1, "web"), ("sync", 2, "web")]


@pytest.mark.parametrize("cash", ["0", "99.99", "10000001", "NaN", "Infinity", "-5"])
def test_practice_money_has_bounds(user, script, cash):
    with pytest.raises(InvalidRequest):
        open_practice_account(user=user, cash=Decimal(cash))
    assert not BrokerAccount.objects.exists()


def test_practice_accounts_are_numbered_and_limited(user, script, monkeypatch):
    monkeypatch.setattr(connections, "PRACTICE_ACCOUNTS_MAXIMUM", 2)
    labels = [open_practice_account(user=user).label for _ in range(2)]
    assert labels == ["Practice account", "Practice account 2"]
    with pytest.raises(InvalidRequest) as refused:
        open_practice_account(user=user)
    assert refused.value.code == "practice_limit_reached"
