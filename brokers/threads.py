"""Database work of asyncio services, on a few threads whose connections do not grow old."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from tradeplatform.common.database import renew_connections

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseThreads:
    """Runs synchronous functions that use the ORM away from the event loop."""

    def __init__(self, *, workers: int = 4) -> None:
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="brokers-db")
        self._opened: set[BaseDatabaseWrapper] = set()

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` on a thread and return its result."""

        def call() -> T:
            renew_connections()
            try:
                return function(*args, **kwargs)
            finally:
                renew_connections()
                self._opened.update(connections.all(initialized_only=True))

        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """Let running calls finish, drop those that have not begun, and close what they left open."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for connection in self._opened:
            connection.inc_thread_sharing()
            connection.close()
        self._opened.clear()
