"""People, links and a scripted broker for the tests of this app."""

from decimal import Decimal

import pytest
from django.core.cache import cache

from billing.models import Plan
from brokers.credentials import declare_process
from brokers.enums import Environment
from brokers.services.connections import link_with_keys, open_practice_account
from tests.brokers import scripted
from tradeplatform.models import User

ADAPTERS = {
    "scripted": scripted.PATH,
    "paper": "brokers.adapters.paper.adapter.PaperAdapter",
}


@pytest.fixture
def script(settings):
    """The scripted broker, configured beside the practice account, with empty caches."""
    settings.BROKER_ADAPTERS = ADAPTERS
    settings.PRACTICE_DATA_BROKER = "scripted"
    settings.PRACTICE_DATA_KEY_ID = "data-key"
    settings.PRACTICE_DATA_SECRET = "data-secret"
    settings.PRACTICE_DATA_LABEL = "Simulated prices"
    cache.clear()
    declare_process("web")
    yield scripted.reset_script()
    cache.clear()
    declare_process("web")


@pytest.fixture
def user(db):
    Plan.objects.update_or_create(
        key="free", defaults={"name": "Free", "is_default": True, "entitlements": {"linked_brokers": 1}}
    )
    return User.objects.create_user("ann@example.com", "a-long-password")


@pytest.fixture
def stranger(user):
    return User.objects.create_user("bob@example.com", "a-long-password")


@pytest.fixture
def account(user, script):
    """A linked paper account at the scripted broker."""
    return link_with_keys(
        user=user, broker="scripted", environment=Environment.PAPER, key_id="key-1", secret="secret-1"
    )


@pytest.fixture
def practice(user, script):
    """A practice account with 10,000 dollars that trades on the operator's prices."""
    return open_practice_account(user=user, cash=Decimal(10_000))
