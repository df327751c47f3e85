"""Background work of the book: thin shells over the services."""

import datetime as dt
from uuid import UUID

import structlog
from celery import shared_task
from django.db.models import Q

from brokers.models import BrokerAccount
from brokers.selectors import streaming_accounts
from portfolios.services.benchmarks import refresh_benchmark as refresh
from portfolios.services.snapshots import close_trade_date
from portfolios.services.sync import sync_book
from tradeplatform.common.clock import utc_now
from tradeplatform.common.tasks import enqueue_on_commit

logger = structlog.get_logger(__name__)

STALE_AFTER = dt.timedelta(minutes=2)


@shared_task
def sync_account_book(account_id: str, read_activities: bool = False) -> str:
    """Sync one account's book; returns the outcome."""
    return sync_book(account_id=UUID(account_id), read_activities=read_activities).outcome.value


@shared_task
def sync_active_accounts() -> int:
    """Queue a sync for each working account that nothing has synced lately; returns how many.

    The order reconciler syncs books together with the orders in flight. This is the net under it.
    """
    stale = Q(synced_at=None) | Q(synced_at__lt=utc_now() - STALE_AFTER) | Q(portfolio=None)
    return _queue_syncs(list(streaming_accounts().filter(stale)), read_activities=False)


@shared_task
def end_of_day() -> int:
    """Name the closes of the ended trade date, then sync every account with its dividends and fees.

    Safe to run as often as wanted: a trade date is closed once, an activity is booked once.
    """
    closed = close_trade_date(now=utc_now())
    _queue_syncs(list(streaming_accounts()), read_activities=True)
    return closed


@shared_task
def refresh_benchmark() -> int:
    """Store missing benchmark closes through the first account whose feed has them."""
    now = utc_now()
    for account in streaming_accounts().order_by("created_at")[:10]:
        stored = refresh(account=account, now=now)
        if stored:
            return stored
    logger.info("benchmark_not_refreshed")
    return 0


def _queue_syncs(accounts: list[BrokerAccount], *, read_activities: bool) -> int:
    for account in accounts:
        enqueue_on_commit(sync_account_book, str(account.pk), read_activities)
    return len(accounts)
