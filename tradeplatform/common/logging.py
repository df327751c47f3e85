"""Structured logs without secrets: JSON lines in production, readable lines in demo mode."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

HIDDEN = "[hidden]"

_SECRET_NAMES = frozenset(
    {
        "password", "passwd", "secret", "client_secret", "secret_key", "private_key", "token", "access_token",
        "refresh_token", "id_token", "authorization", "credentials", "credential", "cookie", "set-cookie",
        "csrftoken", "sessionid", "session_key", "api_key", "apikey", "key_secret", "apca-api-key-id",
        "apca-api-secret-key", "recovery_code", "otp", "totp_secret", "code_verifier",
    }
)  # fmt: skip
_NAMES = "|".join(sorted(map(re.escape, _SECRET_NAMES), key=len, reverse=True))
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\btp_[0-9a-f]{8}_[A-Za-z0-9_-]{10,}"), HIDDEN),
    (re.compile(r"\btpenc1\.[A-Za-z0-9_.-]+"), HIDDEN),
    (re.compile(r"\bgAAAAA[A-Za-z0-9_=-]{20,}"), HIDDEN),
    (re.compile(r"\b[PAC]K[A-Z0-9]{16,24}\b"), HIDDEN),
    (re.compile(r"\b(?:[sr]k_(?:test|live)|whsec)_[A-Za-z0-9_]{8,}"), HIDDEN),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"([?&](?:code|state|token|key)=)[^&\s\"'#]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (
        re.compile(rf"\b({_NAMES})(['\"]?\s*[:=]\s*)(['\"]?)(?!\[hidden\])[^\s'\"&,;}})]+", re.IGNORECASE),
        rf"\1\2\3{HIDDEN}",
    ),
)


def scrub_text(text: str) -> str:
    """Replace everything in a text that has the shape of a secret."""
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def scrub_value(value: Any, *, name: str = "") -> Any:
    """Replace secrets in a log value, looking into mappings and lists."""
    if name.lower() in _SECRET_NAMES:
        return HIDDEN
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, bytes):
        return scrub_text(value.decode("utf-8", "replace"))
    if isinstance(value, Mapping):
        return {key: scrub_value(inner, name=str(key)) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [scrub_value(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return scrub_text(str(value))


def drop_copies(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Processor that leaves out uvicorn's second, coloured copy of its message."""
    event.pop("color_message", None)
    return event


def scrub_secrets(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Processor that runs last before rendering, so that formatted tracebacks are scrubbed too."""
    for key in list(event):
        if not key.startswith("_"):
            event[key] = scrub_value(event[key], name=key)
    return event


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
]


def build_logging(*, as_json: bool, level: str) -> dict[str, Any]:
    """Return the LOGGING setting; loggers of libraries pass through the same processors."""
    renderer: Any = (
        structlog.processors.JSONRenderer(default=str)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    drop_copies,
                    scrub_secrets,
                    renderer,
                ],
                "foreign_pre_chain": [*_SHARED, structlog.stdlib.ExtraAdder()],
            }
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django.server": {"handlers": [], "propagate": False},
            "uvicorn": {"handlers": [], "propagate": True, "level": "INFO"},
            "uvicorn.access": {"handlers": [], "propagate": False},
            "celery": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "WARNING"},
            "websockets": {"level": "WARNING"},
        },
    }


def configure_structlog() -> None:
    """Join structlog to the standard library's logging; settings call this once."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
