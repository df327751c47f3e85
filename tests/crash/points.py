"""Places where a process can die: around every commit and around every call to the broker.

A `Crash` is no Exception, so no handler of the platform can catch it: like a killed process, it leaves the
open transaction to be rolled back and everything in memory to be forgotten.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from tests.orders.scripted_broker import ScriptedAdapter

BROKER_CALLS = (
    "place_order",
    "replace_order",
    "cancel_order",
    "find_order",
    "get_order_status",
    "list_orders",
    "list_executions",
    "get_account_info",
    "get_positions",
)
TIMINGS = ("before", "during", "after")


class Crash(BaseException):
    """The process died here."""


@dataclass
class Points:
    """Counts the points that a run passes; dies at one of them if told to."""

    die_at: int | None = None
    timing: str = "before"
    names: list[str] = field(default_factory=list)
    step: str = ""
    has_died: bool = False

    def pass_point(self, name: str) -> int:
        self.names.append(f"{self.step}: {name}")
        return len(self.names) - 1

    def maybe_die(self, number: int, timing: str) -> None:
        if not self.has_died and number == self.die_at and timing == self.timing:
            self.has_died = True
            raise Crash(self.names[number])


@contextmanager
def armed(points: Points) -> Iterator[None]:
    """Put the points into the database connection and the scripted broker."""
    commit, hooks = connection.commit, connection.run_and_clear_commit_hooks
    calls = {name: getattr(ScriptedAdapter, name) for name in BROKER_CALLS}
    current: list[int] = []

    def commit_or_die() -> None:
        number = points.pass_point("commit")
        try:
            points.maybe_die(number, "before")
        except Crash:
            # The database rolls back when the process is gone; Django's cleanup must find it so.
            connection.rollback()
            raise
        commit()
        current.append(number)
        points.maybe_die(number, "during")

    def run_hooks_or_die() -> None:
        hooks()
        if current:
            points.maybe_die(current.pop(), "after")

    connection.commit = commit_or_die
    connection.run_and_clear_commit_hooks = run_hooks_or_die
    for name, call in calls.items():
        setattr(ScriptedAdapter, name, _wrap(points, name, call))
    try:
        yield
    finally:
        del connection.commit
        del connection.run_and_clear_commit_hooks
        for name, call in calls.items():
            setattr(ScriptedAdapter, name, call)


def _wrap(points: Points, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Die before the request leaves, after the broker took it, or after its answer was read."""

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        number = points.pass_point(name)
        points.maybe_die(number, "before")
        try:
            return call(self, *args, **kwargs)
        finally:
            # A refusal is an answer, too.
            points.maybe_die(number, "during")
            points.maybe_die(number, "after")

    return wrapped


def forget_open_transaction() -> None:
    """Do to the connection what the end of its process would: roll back and start afresh."""
    if connection.connection is not None:
        connection.connection.rollback()
    connection.in_atomic_block = False
    connection.savepoint_ids = []
    connection.atomic_blocks = []
    connection.needs_rollback = False
    connection.closed_in_transaction = False
    connection.run_on_commit = []
    connection.set_autocommit(True)
