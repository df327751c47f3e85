"""Queueing after commit. The queue is only a doorbell: rows and their pollers guarantee the work."""

from functools import partial
from typing import Any

import structlog
from celery import Task
from django.db import transaction

logger = structlog.get_logger(__name__)


def enqueue_on_commit(task: Task, *args: Any) -> None:
    """Queue `task(*args)` once the current transaction commits (at once outside a transaction).

    A queue that cannot be reached is logged and never raised: the change is stored, and whatever polls
    the rows will do the work a little later. Arguments must be plain ids, never secrets.
    """
    transaction.on_commit(partial(_enqueue, task, args))


def _enqueue(task: Task, args: tuple[Any, ...]) -> None:
    try:
        task.apply_async(args=args, retry=False)
    except Exception as error:
        logger.warning("enqueue_failed", task=task.name, error=type(error).__name__)
