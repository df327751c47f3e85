"""Threads that start at the same moment, and ways to take a protection out to see what it is for."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from types import ModuleType, TracebackType
from typing import Any, TypeVar
from uuid import UUID

import pytest
from django.db import connection
from django.db.models.query import QuerySet
from django.utils import timezone

from brokers.models import BrokerAccount
from tradeplatform.common.prepared import PreparedQuery

T = TypeVar("T")
# Long after anything but a hang.
DEADLINE_SECONDS = 300


class Crowd:
    """A fixed number of threads, each with a database connection of its own that it keeps."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pool = ThreadPoolExecutor(size)

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Looked up inside the thread: every thread has its own.
        self.together([lambda: connection.close()] * self.size)
        self.pool.shutdown()

    def together(self, jobs: Sequence[Callable[[], T]]) -> list[T | Exception]:
        """Run the jobs at the same moment, one per thread; return results and exceptions in their order."""
        start = threading.Barrier(len(jobs))

        def run(job: Callable[[], T]) -> T | Exception:
            start.wait(DEADLINE_SECONDS)
            try:
                return job()
            except Exception as error:
                return error

        futures = [self.pool.submit(run, job) for job in jobs]
        return [future.result(DEADLINE_SECONDS) for future in futures]


class StoppedClock:
    """A clock that a slow machine cannot move: quotes and decisions do not grow old while a crowd waits.

    It stands a little ahead, so that what a test stores with the machine's own time is in force.
    """

    def __init__(self) -> None:
        self.stopped_at = timezone.now() + timedelta(minutes=5)

    def now(self) -> datetime:
        return self.stopped_at

    def monotonic(self) -> float:
        return self.stopped_at.timestamp()


def take_row_locks_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every SELECT FOR UPDATE read without locking, the statements that are compiled once included."""
    run = PreparedQuery.all

    def read_only(self: QuerySet[Any], **options: Any) -> QuerySet[Any]:
        return self.all()

    def compile_anew(self: PreparedQuery[Any], **values: Any) -> list[Any]:
        return run(PreparedQuery(self._build), **values)

    monkeypatch.setattr(QuerySet, "select_for_update", read_only)
    monkeypatch.setattr(PreparedQuery, "all", compile_anew)


def take_account_lock_out(monkeypatch: pytest.MonkeyPatch, service: ModuleType) -> None:
    """Let one service read the account without locking it; everything else keeps its locks."""

    def read_only(account_id: UUID) -> BrokerAccount:
        return BrokerAccount.objects.get(pk=account_id)

    monkeypatch.setattr(service, "lock_account", read_only)


def split(outcomes: Sequence[Any], *expected: type[Exception]) -> tuple[list[Any], list[Exception]]:
    """Return successes and expected refusals; any other exception fails the test."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    for failure in failures:
        if not isinstance(failure, expected):
            raise AssertionError(f"unexpected {failure!r}") from failure
    return [outcome for outcome in outcomes if not isinstance(outcome, Exception)], failures
