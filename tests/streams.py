"""A client for event streams."""

from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient


class StreamClient(AsyncClient):
    """Closes the database connection of the thread that served the synchronous part of a request.

    Django's test client leaves it open for the test; but that thread is not the test's, and the connection
    would keep the test database from being dropped.
    """

    async def request(self, **request: Any) -> Any:
        try:
            return await super().request(**request)
        finally:
            await sync_to_async(connections.close_all)()
