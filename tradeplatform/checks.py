"""System checks that turn configuration mistakes into named messages before anything is served."""

import os
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.utils.module_loading import import_string

_LOCAL_CACHES = ("locmem", "dummy")


def _error(number: int, message: str, hint: str) -> Error:
    return Error(message, hint=hint, id=f"tradeplatform.E{number:03}")


@register
def check_clock(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Times are stored and compared in UTC everywhere."""
    if settings.USE_TZ and settings.TIME_ZONE == "UTC":
        return []
    return [
        _error(1, "TIME_ZONE must be UTC and USE_TZ on.", "People choose their time zone in their settings.")
    ]


@register
def check_secrets(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """The built-in keys are public; they protect nothing but a demonstration."""
    if settings.DEMO_MODE:
        return []
    problems: list[CheckMessage] = []
    if settings.SECRET_KEY == settings.DEMO_SECRET_KEY or len(settings.SECRET_KEY) < 40:
        problems.append(
            _error(2, "SECRET_KEY is the demonstration key or too short.", "Make one: manage.py generate_key")
        )
    if settings.DEMO_FIELD_KEY in settings.FIELD_ENCRYPTION_KEYS:
        problems.append(
            _error(
                3,
                "FIELD_ENCRYPTION_KEYS holds the demonstration key, which everybody knows.",
                "Make one: manage.py generate_key",
            )
        )
    return problems


@register
def check_addresses(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Outside demo mode tokens and passwords travel encrypted only."""
    if settings.DEMO_MODE:
        return []
    problems: list[CheckMessage] = []
    if not settings.SITE_URL.startswith("https://"):
        problems.append(_error(4, "SITE_URL must start with https:// outside demo mode.", "Set SITE_URL."))
    for name in sorted(
        name for name in dir(settings) if name.startswith("ALPACA_") and name.endswith("_URL")
    ):
        if not str(getattr(settings, name)).startswith(("https://", "wss://")):
            problems.append(
                _error(5, f"{name} must be https:// or wss:// outside demo mode.", f"Set {name}.")
            )
    return problems


@register
def check_adapters(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Every entry of BROKER_ADAPTERS can be imported. Adapters load their SDKs only when used."""
    problems: list[CheckMessage] = []
    for key, path in settings.BROKER_ADAPTERS.items():
        try:
            import_string(path)
        except ImportError as error:
            problems.append(
                _error(
                    6, f"The adapter of broker {key!r} cannot be imported: {error}", "See BROKER_ADAPTERS."
                )
            )
    return problems


@register
def check_var_directory(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Databases, mail of the demo mode and collected files live there."""
    if settings.VAR_DIR.is_dir() and os.access(settings.VAR_DIR, os.W_OK):
        return []
    return [_error(7, "VAR_DIR cannot be written.", "Set VAR_DIR to a directory of the user who runs this.")]


@register
def check_shared_services(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """With a real queue there are several processes, and they must share rate limits."""
    backend = settings.CACHES["default"]["BACKEND"]
    if settings.EMBEDDED or not any(kind in backend for kind in _LOCAL_CACHES):
        return []
    message = "CACHE_URL is local to one process, but CELERY_BROKER_URL says that there are several."
    hint = "Set CACHE_URL, for instance redis://127.0.0.1:6379/1. Sign-in attempts are counted there."
    return [CheckWarning(message, hint=hint, id="tradeplatform.W008")]
