"""The scheduler as a process of its own. Run exactly one."""

import signal
import threading
from typing import Any

from celery.beat import Service
from django.conf import settings
from django.core.management.base import BaseCommand

from tradeplatform.celery import app
from tradeplatform.embedded import run_heartbeat


class Command(BaseCommand):
    help = "Queue periodic work."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        scheduler = Service(app, max_interval=5, schedule_filename=settings.CELERY_BEAT_SCHEDULE_FILENAME)

        def end(*_: Any) -> None:
            stop.set()
            scheduler.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        threading.Thread(target=run_heartbeat, args=(stop, ("beat",)), daemon=True).start()
        scheduler.start()
