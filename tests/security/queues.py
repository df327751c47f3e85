"""Everything that this process hands to other processes: queued tasks, and PostgreSQL's notifications."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import psycopg
import pytest
from celery.app.task import Task
from django.db import connection

from orders.doorbell import CHANNEL


@contextmanager
def recorded_messages(messages: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add each message to the list as text; no task is really queued."""

    def record(task: Task, *args: object, **options: object) -> None:
        messages.append(f"task {task.name}: {args!r} {options!r}")

    heard = _notifications(messages) if connection.vendor == "postgresql" else nullcontext()
    with monkeypatch.context() as patch, heard:
        patch.setattr(Task, "apply_async", record)
        yield


@contextmanager
def _notifications(messages: list[str]) -> Iterator[None]:
    known = ("dbname", "user", "password", "host", "port")
    parameters = {name: value for name, value in connection.get_connection_params().items() if name in known}
    with psycopg.connect(**parameters, autocommit=True) as listening:
        listening.execute(f"LISTEN {CHANNEL}")
        yield
        messages += [f"notification {one.channel}: {one.payload}" for one in listening.notifies(timeout=0)]
