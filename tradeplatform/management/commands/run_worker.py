"""A worker as a process of its own. Run any number."""

import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from brokers.credentials import declare_process
from tradeplatform.celery import QUEUES, app
from tradeplatform.embedded import run_heartbeat


class Command(BaseCommand):
    help = "Run background tasks from the queue."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queues", default=",".join(QUEUES))
        parser.add_argument("--concurrency", type=int, default=4)

    def handle(self, *args: Any, **options: Any) -> None:
        declare_process("worker")
        stop = threading.Event()
        threading.Thread(target=run_heartbeat, args=(stop, ("worker",)), daemon=True).start()
        try:
            app.worker_main(
                [
                    "--quiet",
                    "worker",
                    "--loglevel=WARNING",
                    "--pool=threads",
                    f"--concurrency={options['concurrency']}",
                    f"--queues={options['queues']}",
                    "--without-gossip",
                    "--without-mingle",
                ]
            )
        finally:
            stop.set()
