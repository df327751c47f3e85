"""Errors that services raise on purpose, with a stable code for clients and a sentence for people."""

from collections.abc import Mapping
from typing import Any


class PlatformError(Exception):
    """Base of every refusal. `message` says what happened, what it means for the money and what to do.

    `code` is stable and machine-readable, `http_status` is what API and pages answer with, and `details`
    is extra JSON-ready data for the answer. Never put a secret into any of them. A subclass names its own
    code and status; what it does not name is its base's.
    """

    default_code = "refused"
    default_status = 422

    def __init_subclass__(cls, *, code: str = "", status: int = 0) -> None:
        cls.default_code = code or cls.default_code
        cls.default_status = status or cls.default_status

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        http_status: int | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.http_status = http_status or self.default_status
        self.details: dict[str, Any] = dict(details or {})


class NotFoundError(PlatformError, code="not_found", status=404):
    """The object does not exist, or is not the caller's: both look the same from outside."""


class PermissionRefused(PlatformError, code="permission_refused", status=403):
    """The caller is known, and may not do this."""


class ConflictError(PlatformError, code="conflict", status=409):
    """The object is not in a state in which this can be done."""


class InvalidRequest(PlatformError, code="invalid_request", status=422):
    """The input is wrong; `fields` maps each field to its messages."""

    def __init__(
        self,
        message: str,
        *,
        fields: Mapping[str, list[str]] | None = None,
        code: str | None = None,
        http_status: int | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        merged = dict(details or {})
        if fields:
            merged["fields"] = {name: list(messages) for name, messages in fields.items()}
        super().__init__(message, code=code, http_status=http_status, details=merged)
