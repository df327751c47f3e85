"""Runs one order dispatcher in the foreground until SIGTERM or Ctrl-C."""

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from orders.dispatcher import OrderDispatcher
from tradeplatform.common.memory import spare_long_lived_objects


class Command(BaseCommand):
    help = "Send queued orders, resolve unknown outcomes and reconcile with the brokers."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        spare_long_lived_objects()
        OrderDispatcher().run(stop)
