"""Listens for PostgreSQL's NOTIFY and rings the dispatcher's bell."""

import threading
import time
from uuid import UUID

import psycopg
import structlog
from django.db import connection

from orders.doorbell import CHANNEL, Bell

logger = structlog.get_logger(__name__)


class NotifyListener(threading.Thread):
    """One connection of its own that waits for notifications; a lost one is opened again.

    What is missed meanwhile is found by the dispatcher's poll.
    """

    def __init__(self, bell: Bell) -> None:
        super().__init__(name="notify-listener", daemon=True)
        self.bell = bell
        self.stopping = threading.Event()

    def stop(self) -> None:
        self.stopping.set()
        self.join(timeout=3)

    def run(self) -> None:
        parameters = connection.get_connection_params()
        parameters.pop("cursor_factory", None)
        parameters.pop("context", None)
        while not self.stopping.is_set():
            try:
                with psycopg.connect(**parameters, autocommit=True) as listening:
                    listening.execute(f"LISTEN {CHANNEL}")
                    self._listen(listening)
            except psycopg.Error as error:
                logger.warning("notify_listener_lost", error=type(error).__name__)
                time.sleep(1)

    def _listen(self, listening: psycopg.Connection[tuple[object, ...]]) -> None:
        while not self.stopping.is_set():
            for notice in listening.notifies(timeout=1.0):
                try:
                    self.bell.put(UUID(notice.payload))
                except ValueError:
                    logger.warning("notify_unreadable")
