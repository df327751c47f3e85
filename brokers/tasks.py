"""Periodic work of this app; each task is a shell over a service."""

from datetime import timedelta

from celery import shared_task

from brokers.adapters.paper.driver import drop_old_events
from brokers.models import LinkAttempt
from brokers.services.instruments import refresh_instruments as refresh
from brokers.services.market_data import drop_old_interest
from tradeplatform.common.clock import utc_now

ATTEMPTS_KEPT = timedelta(days=7)


@shared_task(soft_time_limit=600, time_limit=660)
def refresh_instruments() -> dict[str, int]:
    """Read the lists of securities of all brokers in use; daily, before the market opens."""
    return refresh()


@shared_task
def drop_spent_rows() -> None:
    """Delete rows that served their purpose: old sign-in attempts, interest, practice stream messages."""
    now = utc_now()
    LinkAttempt.objects.filter(created_at__lt=now - ATTEMPTS_KEPT).delete()
    drop_old_interest(now=now - timedelta(minutes=5))
    drop_old_events(now)
