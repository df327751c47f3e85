"""Serves the whole site from one process, background work included."""

import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tradeplatform.embedded import build_background
from tradeplatform.server import serve
from tradeplatform.services.demo_history import furnish_when_ready


class Command(BaseCommand):
    help = "Serve pages, API and event streams, with worker, scheduler, dispatcher and streams as threads."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.HOST)
        parser.add_argument("--port", type=int, default=settings.PORT)

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.EMBEDDED:
            raise CommandError(
                "CELERY_BROKER_URL names a real queue: run the processes of the Procfile instead."
            )
        if settings.DEMO_MODE:
            threading.Thread(target=furnish_when_ready, name="demo", daemon=True).start()
        serve(host=options["host"], port=options["port"], background=build_background())
