"""Reads the figures that monitoring watches."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, QuerySet, Sum

from brokers.models import BrokerEvent, FlaggedEvent
from brokers.selectors import stream_counts
from orders.enums import OutboxStatus
from orders.models import Order, OutboxMessage
from risk.models import TradingHalt
from tradeplatform import metrics
from tradeplatform.common.heartbeats import BUILD
from tradeplatform.models import ProcessHeartbeat

LATELY = timedelta(days=1)


def collect_gauges(*, now: datetime) -> None:
    """Read orders, outbox, inbox and heartbeats into this process's gauges."""
    metrics.set_order_counts(_count_by_status(Order.objects.all()))
    waiting = OutboxMessage.objects.exclude(status__in=[OutboxStatus.DONE, OutboxStatus.DROPPED])
    ready = waiting.filter(status=OutboxStatus.READY, not_before__lte=now)
    oldest = ready.aggregate(oldest=Min("not_before"))["oldest"]
    metrics.set_outbox(
        _count_by_status(waiting), oldest_ready_seconds=(now - oldest).total_seconds() if oldest else 0.0
    )
    metrics.set_inbox(
        not_applied=BrokerEvent.objects.filter(applied_at=None).count(),
        flagged=FlaggedEvent.objects.exclude(problem="").filter(received_at__gte=now - LATELY).count(),
    )
    metrics.set_streams(stream_counts())
    metrics.set_late_sends(TradingHalt.objects.aggregate(late=Sum("late_sends"))["late"] or 0)
    beats = ProcessHeartbeat.objects.exclude(kind=BUILD).values_list("name", "beat_at")
    metrics.set_heartbeat_ages({name: (now - beat_at).total_seconds() for name, beat_at in beats})


def _count_by_status(rows: QuerySet[Any]) -> dict[str, int]:
    return dict(rows.order_by().values_list("status").annotate(number=Count("pk")))
