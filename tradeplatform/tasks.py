"""Housekeeping on a schedule."""

from celery import shared_task

from tradeplatform.common.clock import utc_now
from tradeplatform.services.housekeeping import delete_old_rows as delete


@shared_task(name="tradeplatform.tasks.delete_old_rows")
def delete_old_rows() -> None:
    delete(now=utc_now())
