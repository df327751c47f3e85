"""The shared cache as a help that may be away: then nothing is found in it and nothing is kept.

An exit or a halt must not fail because Redis is down. What guards a login (allauth's attempt limits) uses
Django's cache directly and does fail then: nobody guesses passwords meanwhile.
"""

from typing import Any

import structlog
from django.core.cache import cache

logger = structlog.get_logger(__name__)


def read_cached(key: str) -> Any:
    """Return what is kept under the key, None if nothing is or the cache is away."""
    try:
        return cache.get(key)
    except Exception as error:  # each cache backend raises errors of its own
        _note(error)
        return None


def keep_cached(key: str, value: Any, *, seconds: int) -> None:
    """Keep a value for so long, if the cache is there."""
    try:
        cache.set(key, value, timeout=seconds)
    except Exception as error:  # each cache backend raises errors of its own
        _note(error)


def count_cached(key: str, *, seconds: int) -> int | None:
    """Count one more under a key that is forgotten after `seconds`; None while the cache is away."""
    try:
        for _ in range(2):
            try:
                return int(cache.incr(key))
            except ValueError:
                # The first one, or its entry was evicted. It is made only now, which spares a call.
                cache.add(key, 0, timeout=seconds)
        return 1
    except Exception as error:  # each cache backend raises errors of its own
        _note(error)
        return None


def _note(error: Exception) -> None:
    logger.warning("cache_away", error=type(error).__name__)
