"""Errors of the API as application/problem+json (RFC 9457).

Every body has `type`, `title`, `status`, `code` and `detail`; refusals of the risk gate add `findings`,
bad input adds `fields` (field name to a list of messages), other details keep their own names.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, JsonResponse
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import set_rollback

from tradeplatform.common.exceptions import PlatformError

CONTENT_TYPE = "application/problem+json"
_RESERVED = frozenset({"type", "title", "status", "code", "detail"})


def problem_body(
    *, status: int, code: str, detail: str, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the body of a problem answer; `extra` cannot overwrite the standard members."""
    body: dict[str, Any] = {
        "type": f"urn:tradeplatform:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    body.update({name: value for name, value in (extra or {}).items() if name not in _RESERVED})
    return body


def problem_json(
    *, status: int, code: str, detail: str, extra: Mapping[str, Any] | None = None
) -> JsonResponse:
    """Return a problem answer from a plain Django view."""
    return JsonResponse(
        problem_body(status=status, code=code, detail=detail, extra=extra),
        status=status,
        content_type=CONTENT_TYPE,
    )


def problem_exception_handler(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Turn an exception of an API view into a problem answer; None lets Django answer 500."""
    if isinstance(error, PlatformError):
        return _respond(
            error.http_status, error.code, error.message, error.details, headers=_retry_header(error)
        )
    if isinstance(error, Http404):
        return _respond(404, "not_found", "There is no such object.")
    if isinstance(error, PermissionDenied):
        return _respond(403, "permission_refused", "You may not do this.")
    if isinstance(error, drf.ValidationError):
        return _respond(422, "invalid_request", _summary(error), {"fields": _fields(error.detail)})
    if isinstance(error, drf.APIException):
        return _respond(error.status_code, _code_of(error), str(error.detail), headers=_headers_of(error))
    return None


def _respond(
    status: int,
    code: str,
    detail: str,
    extra: Mapping[str, Any] | None = None,
    *,
    headers: dict[str, str] | None = None,
) -> Response:
    set_rollback()
    body = problem_body(status=status, code=code, detail=detail, extra=extra)
    return Response(body, status=status, headers=headers, content_type=CONTENT_TYPE)


def _code_of(error: drf.APIException) -> str:
    codes = error.get_codes()
    return codes if isinstance(codes, str) else error.default_code


def _headers_of(error: drf.APIException) -> dict[str, str]:
    headers: dict[str, str] = {}
    if auth_header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    return headers


def _retry_header(error: PlatformError) -> dict[str, str]:
    """A refusal that names a time after which to ask again says so in the standard header too."""
    seconds = error.details.get("retry_after_seconds")
    return {"Retry-After": str(math.ceil(seconds))} if seconds else {}


def _summary(error: drf.ValidationError) -> str:
    names = [name for name in _fields(error.detail) if name != "non_field_errors"]
    return f"Nothing was done: check {', '.join(names)}." if names else "Nothing was done: check the request."


def _fields(detail: Any, prefix: str = "") -> dict[str, list[str]]:
    """Flatten nested error details to dotted field names."""
    if isinstance(detail, Mapping):
        flat: dict[str, list[str]] = {}
        for name, inner in detail.items():
            flat.update(_fields(inner, f"{prefix}.{name}" if prefix else str(name)))
        return flat
    if isinstance(detail, list) and any(isinstance(item, (Mapping, list)) for item in detail):
        flat = {}
        for position, inner in enumerate(detail):
            flat.update(_fields(inner, f"{prefix}.{position}" if prefix else str(position)))
        return flat
    messages = detail if isinstance(detail, list) else [detail]
    return {prefix or "non_field_errors": [str(message) for message in messages]} if messages else {}
