"""The one place that asks what time it is; pure code takes `now` as an argument instead.

A simulation puts its own clock here, and every service then lives in its time.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from django.utils import timezone


class Clock(Protocol):
    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return timezone.now()

    def monotonic(self) -> float:
        return time.monotonic()


_clock: Clock = SystemClock()


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return _clock.now()


def monotonic() -> float:
    """Return seconds that only grow, for measuring how long something took."""
    return _clock.monotonic()


@contextmanager
def use_clock(clock: Clock) -> Iterator[None]:
    """Make `clock` the time of this process until the block ends. For simulations and tests."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield
    finally:
        _clock = before
