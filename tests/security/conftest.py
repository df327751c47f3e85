"""The owner's world, a stranger's world, staff, and the scripted broker behind them."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache

from billing.services import ensure_plans
from tests.orders.scripted_broker import ScriptedBook, reset_book
from tests.security.world import World, make_world
from tradeplatform.services.disclosures import ensure_disclosures
from tradeplatform.services.roles import ensure_roles


@pytest.fixture(autouse=True)
def patient_clock(settings: Any) -> None:
    """Accept the code of the step before, so that a test may run across the border of two steps."""
    settings.MFA_TOTP_TOLERANCE = 1


@pytest.fixture
def broker_book(settings: Any) -> Iterator[ScriptedBook]:
    """The scripted broker's private book, registered beside the real adapters."""
    settings.BROKER_ADAPTERS = {
        **settings.BROKER_ADAPTERS,
        "scripted": "tests.orders.scripted_broker.ScriptedAdapter",
    }
    cache.clear()
    yield reset_book()
    cache.clear()


@pytest.fixture
def reference_data(db: None) -> None:
    ensure_plans()
    ensure_roles()
    ensure_disclosures()


@pytest.fixture
def owner(reference_data: None, broker_book: ScriptedBook) -> World:
    return make_world("owner", broker_book)


@pytest.fixture
def stranger(owner: World, broker_book: ScriptedBook) -> World:
    return make_world("stranger", broker_book)
