"""What a caller of the API may do."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from tradeplatform.common.exceptions import PermissionRefused
from tradeplatform.models import ApiKey, User


def HasScope(*scopes: str) -> type[BasePermission]:  # noqa: N802 - reads as a permission class
    """Return a permission class: signed in, and with any one of the scopes if the caller is a key.

    The site's own pages (session) need no scope; the services decide what their user may do.
    """

    class ScopePermission(BasePermission):
        message = f"This API key needs the scope {' or '.join(scopes)}."
        code = "scope_missing"

        def has_permission(self, request: Request, view: Any) -> bool:
            if not request.user or not request.user.is_authenticated:
                return False
            return not isinstance(request.auth, ApiKey) or bool(set(scopes) & set(request.auth.scopes))

    return ScopePermission


def require_scope(request: Request, scope: str) -> None:
    """Raise PermissionRefused if the caller is a key without this scope."""
    if isinstance(request.auth, ApiKey) and scope not in request.auth.scopes:
        raise PermissionRefused(f"This API key needs the scope {scope}.", code="scope_missing")


def caller_of(request: Request) -> User:
    """Return the signed-in user behind the request; the view's permissions made sure that there is one."""
    if not isinstance(request.user, User):
        raise PermissionRefused("Sign in or send an API key.", code="not_authenticated", http_status=401)
    return request.user
