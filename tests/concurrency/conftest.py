"""A scripted broker and roomy limits for many orders at once; only with PostgreSQL's row locks."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.db import connection

from billing.services import ensure_plans
from tests.orders.approvals import set_platform_limit
from tests.orders.conftest import accept_everything
from tests.orders.scripted_broker import ScriptedBook, reset_book
from tradeplatform.models import User


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name != "concurrency":
            continue
        item.add_marker(pytest.mark.services)
        item.add_marker(pytest.mark.django_db(transaction=True))
        item.add_marker(
            pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL's row locks")
        )


@pytest.fixture
def book(settings: Any, transactional_db: None) -> Iterator[ScriptedBook]:
    settings.BROKER_ADAPTERS = {
        **settings.BROKER_ADAPTERS,
        "scripted": "tests.orders.scripted_broker.ScriptedAdapter",
    }
    cache.clear()
    ensure_plans()
    for name in ("orders_per_minute", "max_daily_trades"):
        set_platform_limit(name, "1000")
    yield reset_book()
    cache.clear()


def make_user() -> User:
    person = User.objects.create_user(f"{uuid4().hex}@example.com", "correct-horse-battery")
    accept_everything(person)
    return person
