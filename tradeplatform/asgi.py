"""ASGI entry point: event streams in production, everything in the embedded run."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")
# Each request has a thread of its own here, which must not keep its database connection.
os.environ.setdefault("DATABASE_KEEP_SECONDS", "0")

from django.core.asgi import get_asgi_application  # noqa: E402

application = get_asgi_application()
