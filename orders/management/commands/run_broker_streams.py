"""Runs the stream service: every active account's order events and the quotes that people look at."""

import asyncio
import signal
from typing import Any

from django.core.management.base import BaseCommand

from brokers.credentials import declare_process
from brokers.streams import StreamService
from orders.services.ingest import apply_or_ask
from orders.services.reconcile import backfill_account
from tradeplatform.common.heartbeats import keep_heartbeat
from tradeplatform.common.memory import spare_long_lived_objects


def build_stream_service() -> StreamService:
    """Join the brokers' streams to the orders' inbox."""
    return StreamService(apply_events=apply_or_ask, backfill=backfill_account)


class Command(BaseCommand):
    help = "Listen to the brokers' streams."

    def handle(self, *args: Any, **options: Any) -> None:
        declare_process("streams", keep_seconds=30)
        spare_long_lived_objects()
        asyncio.run(self._run())

    async def _run(self) -> None:
        service = build_stream_service()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, service.stop)
        beating = asyncio.create_task(keep_heartbeat("streams"))
        try:
            await service.run()
        finally:
            beating.cancel()
