"""The inbox keeps each message once; account snapshots move forward only."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from brokers.enums import ConnectionStatus
from brokers.exceptions import AuthorizationExpired, Unavailable
from brokers.models import BrokerConnection, BrokerEvent
from brokers.selectors import accesses_for, accounts_for, get_account_for, unapplied_events
from brokers.services.accounts import store_account_info, sync_account
from brokers.services.inbox import mark_applied, record_event, record_events
from brokers.types import StreamEvent
from tests.brokers.scripted import make_info
from tradeplatform.common.exceptions import NotFoundError
from tradeplatform.models import UserEvent

pytestmark = pytest.mark.django_db


def message(key: str) -> StreamEvent:
    return StreamEvent(dedupe_key=key, kind="fill", payload={"n": key}, received_at=datetime.now(UTC))


def test_a_message_is_stored_once_per_account(account, practice):
    first = record_event(account_id=account.pk, event=message("x"), source="stream")
    assert first is not None
    assert record_event(account_id=account.pk, event=message("x"), source="poll") is None
    assert record_event(account_id=practice.pk, event=message("x"), source="stream") is not None
    assert BrokerEvent.objects.get(pk=first).source == "stream"


def test_a_batch_returns_the_new_ones(account):
    ids = record_events(
        account_id=account.pk, events=[message("a"), message("b"), message("a")], source="poll"
    )
    assert len(ids) == 2
    assert [row.dedupe_key for row in unapplied_events(account.pk)] == ["a", "b"]


def test_applied_messages_leave_the_list_with_their_problem_noted(account):
    row_id = record_event(account_id=account.pk, event=message("a"), source="poll")
    assert mark_applied(row_id, at=datetime.now(UTC), problem="unknown order") is True
    assert mark_applied(row_id, at=datetime.now(UTC)) is False
    assert unapplied_events() == []
    assert BrokerEvent.objects.get(pk=row_id).problem == "unknown order"


def test_a_key_that_would_be_cut_off_is_refused(account):
    with pytest.raises(ValueError, match="too long"):
        record_event(account_id=account.pk, event=message("x" * 161), source="stream")


def test_sync_stores_the_snapshot_and_tells_the_pages_once(account, user):
    UserEvent.objects.all().delete()
    info = sync_account(account.pk, purpose="test sync")
    account.refresh_from_db()
    assert info.equity == account.equity == Decimal("1500.75")
    assert account.connection.last_ok_at is not None
    assert not UserEvent.objects.filter(kind="balance").exists()
    store_account_info(account.pk, make_info("acct-paper-1", cash=Decimal(5)), at=datetime.now(UTC))
    assert UserEvent.objects.filter(user=user, kind="balance").count() == 1


def test_an_older_snapshot_does_not_replace_a_newer_one(account):
    later = datetime.now(UTC) + timedelta(seconds=5)
    store_account_info(account.pk, make_info("acct-paper-1", cash=Decimal(7)), at=later)
    stale = make_info("acct-paper-1", cash=Decimal(3))
    assert store_account_info(account.pk, stale, at=later - timedelta(seconds=1)) is False
    account.refresh_from_db()
    assert account.cash == Decimal(7)


def test_a_failed_sync_changes_nothing(account, script):
    before = account.synced_at
    script.failure = Unavailable("time-out")
    with pytest.raises(Unavailable):
        sync_account(account.pk, purpose="test sync")
    account.refresh_from_db()
    assert account.synced_at == before


def test_a_refused_sync_marks_the_link_and_later_syncs_do_not_ask(account, script):
    script.failure = AuthorizationExpired("revoked")
    with pytest.raises(AuthorizationExpired):
        sync_account(account.pk, purpose="test sync")
    assert BrokerConnection.objects.get().status == ConnectionStatus.NEEDS_RELINK
    asked = script.calls["get_account_info"]
    with pytest.raises(AuthorizationExpired):
        sync_account(account.pk, purpose="test sync")
    assert script.calls["get_account_info"] == asked


def test_an_unlinked_account_is_not_synced(account):
    account.is_active = False
    account.save()
    assert sync_account(account.pk, purpose="test sync") is None


def test_people_see_their_own_accounts_only(account, user, stranger):
    assert list(accounts_for(user)) == [account]
    assert list(accounts_for(stranger)) == []
    assert get_account_for(user, str(account.pk)) == account
    for wrong in (account.pk, "nonsense", ""):
        with pytest.raises(NotFoundError):
            get_account_for(stranger, wrong)
    sync_account(account.pk, purpose="test sync")
    assert [row.purpose for row in accesses_for(user, account.connection)] == ["test sync"]
    assert list(accesses_for(stranger, account.connection)) == []
