from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.core.cache import cache
from django.utils import timezone

from billing.services import ensure_plans
from brokers.credentials import dump_credentials
from brokers.models import BrokerAccount, BrokerConnection
from brokers.registry import manager
from portfolios.services.opening import open_book
from tests.orders.scripted_broker import ScriptedBook, reset_book
from tradeplatform.models import Disclosure, DisclosureAcceptance, User


@pytest.fixture(autouse=True)
def book(settings: object) -> Iterator[ScriptedBook]:
    """The scripted broker's private book, registered as the broker "scripted"."""
    settings.BROKER_ADAPTERS = {  # type: ignore[attr-defined]
        **getattr(settings, "BROKER_ADAPTERS", {}),
        "scripted": "tests.orders.scripted_broker.ScriptedAdapter",
    }
    cache.clear()
    yield reset_book()
    cache.clear()


@pytest.fixture(autouse=True)
def plans(db: None) -> None:
    ensure_plans()


@pytest.fixture
def user(db: None) -> User:
    person = User.objects.create_user("owner@example.com", "correct-horse-battery")
    accept_everything(person)
    return person


@pytest.fixture
def stranger(db: None) -> User:
    person = User.objects.create_user("stranger@example.com", "correct-horse-battery")
    accept_everything(person)
    return person


def accept_everything(person: User) -> None:
    for disclosure in Disclosure.objects.all():
        DisclosureAcceptance.objects.get_or_create(user=person, disclosure=disclosure)


@pytest.fixture
def account(user: User) -> BrokerAccount:
    return make_account(user)


def make_account(user: User, *, environment: str = "paper", number: str = "S1") -> BrokerAccount:
    """Link an account at the scripted broker, with its opening balances taken."""
    connection = BrokerConnection.objects.create(
        user=user,
        broker="scripted",
        kind="api_key",
        credentials=dump_credentials({"key_id": "k", "secret": "s"}),
    )
    account = BrokerAccount.objects.create(
        user=user,
        connection=connection,
        broker="scripted",
        environment=environment,
        broker_account_id=number,
        label="Scripted",
        cash=Decimal(100000),
        equity=Decimal(100000),
        buying_power=Decimal(100000),
        synced_at=timezone.now(),
    )
    reader = manager.get_reader(account, purpose="test")
    open_book(account_id=account.pk, info=reader.get_account_info(), positions=[], at=timezone.now())
    return account
