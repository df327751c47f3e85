"""Django's Redis cache, with one client for each pool of connections instead of a new one for each call.

Making a client costs as much processor time as the call itself, and an order asks the cache several times.
"""

from typing import Any

from django.core.cache.backends import redis


class _Client(redis.RedisCacheClient):  # type: ignore[misc, name-defined]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clients: dict[Any, Any] = {}

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:
        django: Any = self  # The stubs leave out what this class inherits.
        pool = django._get_connection_pool(write)
        client = self._clients.get(pool)
        if client is None:
            client = self._clients[pool] = django._client(connection_pool=pool)
        return client


class RedisCache(redis.RedisCache):
    """What CACHE_URL=redis://... leads to."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = _Client
