"""Serves event streams from a process of their own, beside WSGI workers for everything else."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from tradeplatform.embedded import Background
from tradeplatform.server import serve


class Command(BaseCommand):
    help = "Serve /events/ and /api/v1/events/ by ASGI. Route these two paths here."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=settings.HOST)
        parser.add_argument("--port", type=int, default=settings.PORT + 1)

    def handle(self, *args: Any, **options: Any) -> None:
        serve(host=options["host"], port=options["port"], background=Background({}))
