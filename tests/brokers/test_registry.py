"""Finding adapters, guarding what readers may do, and keeping to the brokers' limits."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured

from brokers import credentials, registry
from brokers.credentials import declare_process, open_credentials
from brokers.enums import ConnectionStatus
from brokers.exceptions import AuthorizationExpired, RateLimited
from brokers.models import BrokerConnection, CredentialAccess
from brokers.rate_limits import take_token
from brokers.rate_windows import take_from
from brokers.registry import BrokerManager, UnknownBroker, manager
from brokers.types import RateLimit
from tradeplatform.common.envelope import EncryptionError

LIMIT = RateLimit(requests=10, period=timedelta(seconds=60), scope="account")


def test_keys_and_classes_come_from_the_settings(script):
    assert manager.keys() == ("scripted", "paper")
    assert BrokerManager().adapter_class("paper").key == "paper"
    assert manager.capabilities("paper", "paper").display_name == "Practice account"


def test_an_unknown_key_is_a_404(script):
    with pytest.raises(UnknownBroker) as refused:
        manager.adapter_class("nobody")
    assert (refused.value.code, refused.value.http_status) == ("unknown_broker", 404)


@pytest.mark.parametrize(
    ("path", "message"),
    [("nowhere.at.All", "cannot be imported"), ("brokers.types.QuoteInfo", "is not a broker adapter")],
)
def test_a_bad_entry_says_which_one_and_why(settings, path, message):
    settings.BROKER_ADAPTERS = {"bad": path}
    with pytest.raises(ImproperlyConfigured, match=message) as refused:
        manager.adapter_class("bad")
    assert "BROKER_ADAPTERS['bad']" in str(refused.value)


@pytest.mark.django_db
@pytest.mark.parametrize("write", ["place_order", "replace_order", "cancel_order"])
def test_a_reader_refuses_to_write(account, write):
    with pytest.raises(PermissionError):
        getattr(manager.get_reader(account, purpose="test"), write)
    assert callable(getattr(manager.get_trader(account, purpose="test"), write))


@pytest.mark.django_db
def test_nothing_shows_the_credentials(account):
    trader = manager.get_trader(account, purpose="test")
    shown = repr(trader.handle) + repr(trader.handle.credentials) + repr(account.connection.credentials)
    assert "secret-1" not in shown
    assert "key-1" not in shown
    with pytest.raises(TypeError):
        __import__("pickle").dumps(account.connection.credentials)


@pytest.mark.django_db
@pytest.mark.parametrize("status", [ConnectionStatus.NEEDS_RELINK, ConnectionStatus.UNLINKED])
def test_a_link_that_does_not_work_opens_nothing(account, status):
    account.connection.status = status
    with pytest.raises(AuthorizationExpired):
        manager.get_reader(account, purpose="test")
    assert not CredentialAccess.objects.exists()


@pytest.mark.django_db
def test_a_wrong_encryption_key_is_named_and_nothing_is_read(account, settings, script):
    settings.FIELD_ENCRYPTION_KEYS = ["b3RoZXIta2V5LW90aGVyLWtleS1vdGhlci1rZXktMTI="]
    connection = BrokerConnection.objects.get(pk=account.connection_id)
    script.calls.clear()
    with pytest.raises(EncryptionError) as refused:
        open_credentials(connection, purpose="test")
    assert "Nothing was sent" in refused.value.message
    assert script.calls == {}
    assert not CredentialAccess.objects.exists()


@pytest.mark.django_db
def test_a_sending_process_may_keep_credentials_for_a_short_time(account, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(credentials, "monotonic", lambda: clock[0])
    declare_process("dispatcher", keep_seconds=30)
    connection = BrokerConnection.objects.get(pk=account.connection_id)
    for _ in range(3):
        assert open_credentials(connection, purpose="send").values["key_id"] == "key-1"
    clock[0] += 31
    open_credentials(connection, purpose="send")
    row = CredentialAccess.objects.get()
    assert (row.purpose, row.process, row.count) == ("send", "dispatcher", 2)
    with pytest.raises(ValueError, match="at most 30"):
        declare_process("dispatcher", keep_seconds=31)


@pytest.fixture
def _empty_cache():
    cache.clear()
    yield
    cache.clear()


@pytest.mark.cache
@pytest.mark.usefixtures("_empty_cache")
def test_reads_and_orders_leave_a_fifth_for_cancels():
    granted = [take_from(LIMIT, "k", priority="order", now=600.0) for _ in range(9)]
    assert granted[:8] == [0.0] * 8
    assert granted[8] > 0
    assert take_from(LIMIT, "k", priority="read", now=600.0) > 0
    assert [take_from(LIMIT, "k", priority="cancel", now=600.0) for _ in range(2)] == [0.0, 0.0]
    assert take_from(LIMIT, "k", priority="cancel", now=600.0) > 0


@pytest.mark.cache
@pytest.mark.usefixtures("_empty_cache")
def test_the_window_slides():
    for _ in range(8):
        take_from(LIMIT, "k", priority="order", now=659.0)
    wait = take_from(LIMIT, "k", priority="order", now=661.0)
    assert 0 < wait <= 59
    assert take_from(LIMIT, "k", priority="order", now=661.0 + wait + 7.5) == 0.0
    assert take_from(LIMIT, "k", priority="order", now=780.0) == 0.0


@pytest.mark.cache
@pytest.mark.usefixtures("_empty_cache")
def test_a_refused_request_is_not_counted():
    for _ in range(8):
        take_from(LIMIT, "k", priority="order", now=600.0)
    for _ in range(50):
        assert take_from(LIMIT, "k", priority="order", now=600.0) > 0
    assert take_from(LIMIT, "k", priority="cancel", now=600.0) == 0.0


@pytest.mark.django_db
def test_accounts_are_counted_apart(account, practice, script):
    for _ in range(160):
        assert take_token(account, priority="order", now=600.0) == 0.0
    assert take_token(account, priority="order", now=600.0) > 0
    assert take_token(practice, priority="order", now=600.0) == 0.0


@pytest.mark.django_db
def test_a_reader_gives_up_rather_than_wait_long(account, script, monkeypatch):
    reader = manager.get_reader(account, purpose="test")
    monkeypatch.setattr(registry, "take_from", lambda *args, **kwargs: 30.0)
    with pytest.raises(RateLimited) as refused:
        reader.get_account_info()
    assert refused.value.retry_after_seconds == 30.0
    assert "get_account_info" not in script.calls
