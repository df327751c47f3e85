"""A cache in memory whose entries age by the simulated clock, so that a replay sees the same hits."""

from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from tradeplatform.common.clock import monotonic


class SimulatedCache(BaseCache):
    """Knows what the platform uses: get, set, add, incr, decr, delete and clear."""

    def __init__(self, name: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._entries: dict[str, tuple[float | None, Any]] = {}

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        until, value = self._entries.get(key, (0.0, default))
        if until is not None and until <= monotonic():
            return default
        return value

    def set(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        seconds = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        self._entries[key] = (None if seconds is None else monotonic() + seconds, value)

    def add(self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        missing = object()
        if self.get(key, missing) is not missing:
            return False
        self.set(key, value, timeout)
        return True

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        until, _ = self._entries.get(key, (None, 0))
        value = int(self.get(key, 0)) + delta
        self._entries[key] = (until, value)
        return value

    def delete(self, key: str, version: int | None = None) -> bool:
        return self._entries.pop(key, None) is not None

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        if key not in self._entries:
            return False
        self.set(key, self._entries[key][1], timeout)
        return True

    def clear(self) -> None:
        self._entries.clear()
