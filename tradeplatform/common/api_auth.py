"""Who calls the API: a bearer key, or the site's own pages with session and CSRF token."""

from datetime import timedelta
from typing import Any

from django.db.models import Q
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from tradeplatform.common.api_keys import KEY_PATTERN, hash_key
from tradeplatform.common.clock import utc_now
from tradeplatform.common.prepared import PreparedQuery, slot
from tradeplatform.models import ApiKey, User

_USE_NOTED_EVERY = timedelta(minutes=1)
_LIVE_KEY = PreparedQuery(
    lambda: (
        ApiKey.objects.select_related("user")
        .filter(key_hash=slot(ApiKey, "key_hash"), revoked_at=None, user__is_active=True)
        .order_by()
    )
)


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer tp_...`; the key itself becomes `request.auth`."""

    keyword = b"bearer"

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != self.keyword:
            return None
        key = find_api_key(b" ".join(parts[1:]).decode("latin-1"))
        if key is None:
            raise AuthenticationFailed("This API key is not valid. It may have been revoked.")
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


def find_api_key(secret: str) -> ApiKey | None:
    """Return the live key with this secret, of an active user, and note its use (once a minute)."""
    if not KEY_PATTERN.fullmatch(secret):
        return None
    key = _LIVE_KEY.first(key_hash=hash_key(secret))
    if key is not None:
        _note_use(key)
    return key


def _note_use(key: ApiKey) -> None:
    now = utc_now()
    if key.last_used_at is None or key.last_used_at < now - _USE_NOTED_EVERY:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=now - _USE_NOTED_EVERY)
        ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes the bearer key in the API's schema."""

    target_class = "tradeplatform.common.api_auth.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A key made under Settings, API keys. Scopes: read, trade:paper, trade:live.",
        }
