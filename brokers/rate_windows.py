"""Requests per period and broker scope, counted in the shared cache so that all processes obey one limit.

A sliding window: the running period counts in full, the one before it in proportion to how much of it is
still inside the window. Orders and reads stop at 80 % of the broker's limit; the rest is kept for cancels,
because an exit must never wait behind a page that somebody reloads. The count is exact when the cache is
shared (Redis); with a cache per process each process counts for itself.
"""

import time
from typing import Literal

import structlog
from django.core.cache import cache

from brokers.models import BrokerAccount
from brokers.types import RateLimit

logger = structlog.get_logger(__name__)

Priority = Literal["cancel", "order", "read"]

SHARE: dict[Priority, float] = {"cancel": 1.0, "order": 0.8, "read": 0.8}


def scope_key(account: BrokerAccount, limit: RateLimit) -> str:
    """Return what the broker counts by: this account, or everything that this install sends."""
    counted = account.broker_account_id if limit.scope == "account" else "all"
    return scope_key_of(account.broker, account.environment, counted)


def scope_key_of(broker: str, environment: str, counted: str) -> str:
    """Return the cache key of one count."""
    return f"brokers:rate:{broker}:{environment}:{counted}"


def take_from(limit: RateLimit, key: str, *, priority: Priority, now: float | None = None) -> float:
    """Count one request against `limit` under `key`, unless its share is used up.

    Without the cache nothing is counted and everything passes: the broker's own refusal is the net, and an
    exit must not wait for a cache.
    """
    try:
        return _count(limit, key, priority=priority, now=now)
    except Exception as error:  # each cache backend raises errors of its own
        logger.warning("rate_not_counted", error=type(error).__name__)
        return 0.0


def _count(limit: RateLimit, key: str, *, priority: Priority, now: float | None) -> float:
    moment = time.time() if now is None else now
    period = limit.period.total_seconds()
    window = int(moment // period)
    inside = moment / period - window
    current_key, previous_key = f"{key}:{window}", f"{key}:{window - 1}"
    previous = cache.get(previous_key, 0) * (1 - inside)
    current = _raise(current_key, timeout=int(period * 3))
    allowed = limit.requests * SHARE[priority]
    if previous + current <= allowed:
        return 0.0
    cache.decr(current_key)
    return _seconds_until_room(
        previous=cache.get(previous_key, 0),
        over=previous + current - allowed,
        left=period * (1 - inside),
        period=period,
    )


def _raise(key: str, *, timeout: int) -> int:
    """Count one more; the entry is made only where there is none, which spares most calls one way."""
    try:
        return cache.incr(key)
    except ValueError:
        cache.add(key, 0, timeout=timeout)
        return cache.incr(key)


def _seconds_until_room(*, previous: int, over: float, left: float, period: float) -> float:
    """The older window leaves at `previous / period` requests a second; else wait for the next one."""
    if not previous:
        return max(left, 0.05)
    return min(max(over * period / previous, 0.05), max(left, 0.05))
