"""With the cache away nothing is found, nothing is kept, and the API goes on answering."""

from typing import Any

import pytest
from django.core.cache import cache

from tests.tradeplatform.test_api_foundation import client_with
from tradeplatform.common.cache import count_cached, keep_cached, read_cached
from tradeplatform.models import User


@pytest.fixture
def no_cache(settings: Any) -> None:
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
            "OPTIONS": {"socket_connect_timeout": 1},
        }
    }


@pytest.mark.cache
def test_what_is_kept_is_found_and_counted_from_one() -> None:
    keep_cached("name", "value", seconds=60)

    assert read_cached("name") == "value"
    assert read_cached("other") is None
    assert [count_cached("calls", seconds=60) for _ in range(3)] == [1, 2, 3]
    cache.delete("calls")
    assert count_cached("calls", seconds=60) == 1


def test_without_the_cache_nothing_is_found_kept_or_counted(no_cache: None) -> None:
    keep_cached("name", "value", seconds=60)

    assert read_cached("name") is None
    assert count_cached("calls", seconds=60) is None


@pytest.mark.django_db
def test_without_the_cache_the_api_counts_no_calls_and_answers(no_cache: None, settings: Any) -> None:
    settings.API_CALLS_PER_MINUTE = 1
    user = User.objects.create_user("trader@example.com", "correct-horse-battery")
    client, _ = client_with(user, "read", "trade:paper")

    answers = [client.get("/api/v1/halts/") for _ in range(3)]
    halted = client.post("/api/v1/halts/", {"scope": "user", "reason": "Enough"}, format="json")

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[-1].headers["RateLimit-Remaining"] == "1"
    assert halted.status_code == 201
