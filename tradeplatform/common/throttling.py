"""How often a caller may use the API, told in the answer's headers."""

import time
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from tradeplatform.common.cache import count_cached
from tradeplatform.models import ApiKey

_WINDOW_SECONDS = 60


class CallerThrottle(BaseThrottle):
    """Counts calls per key (else per user, else per address) in one-minute windows.

    The middleware writes what `request.rate_limit` holds (limit, remaining, seconds to the next window)
    into RateLimit-Limit, RateLimit-Remaining and RateLimit-Reset.
    """

    setting = "API_CALLS_PER_MINUTE"

    def allow_request(self, request: Request, view: Any) -> bool:
        now = time.time()
        limit: int = getattr(settings, self.setting)
        window, elapsed = divmod(now, _WINDOW_SECONDS)
        self._seconds_left = _WINDOW_SECONDS - int(elapsed)
        key = f"throttle:{self.setting}:{self._caller(request)}:{int(window)}"
        # While the cache is away nothing is counted and everything passes: an exit must not wait for it.
        used = count_cached(key, seconds=2 * _WINDOW_SECONDS) or 0
        request._request.rate_limit = (limit, max(0, limit - used), self._seconds_left)  # type: ignore[attr-defined]
        return bool(used <= limit)

    def wait(self) -> float:
        return self._seconds_left

    def _caller(self, request: Request) -> str:
        if isinstance(request.auth, ApiKey):
            return f"key:{request.auth.pk}"
        if request.user and request.user.is_authenticated:
            return f"user:{request.user.pk}"
        return f"address:{self.get_ident(request)}"
