"""The Celery application, and what runs on a schedule."""

import os
from datetime import timedelta
from typing import Any

from celery import Celery
from celery.schedules import crontab
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")

QUEUES = ("orders", "sync", "default")
# Times are UTC. New York's evening and morning are each there twice, for summer and winter time: the tasks
# may run as often as wanted.
SCHEDULE: dict[str, dict[str, Any]] = {
    "sync-books": {"task": "portfolios.tasks.sync_active_accounts", "schedule": timedelta(seconds=60)},
    "end-of-day": {"task": "portfolios.tasks.end_of_day", "schedule": crontab(minute="15", hour="0,1")},
    "morning-after": {"task": "portfolios.tasks.end_of_day", "schedule": crontab(minute="30", hour="10,11")},
    "refresh-benchmark": {"task": "portfolios.tasks.refresh_benchmark", "schedule": timedelta(hours=1)},
    "refresh-instruments": {
        "task": "brokers.tasks.refresh_instruments",
        "schedule": crontab(minute="0", hour="9"),
    },
    "drop-spent-rows": {"task": "brokers.tasks.drop_spent_rows", "schedule": timedelta(minutes=10)},
    "waiting-stripe-events": {"task": "billing.tasks.process_waiting", "schedule": timedelta(seconds=10)},
    "watch-plans": {"task": "billing.tasks.watch_plans", "schedule": timedelta(seconds=60)},
    "compare-with-stripe": {
        "task": "billing.tasks.compare_with_stripe",
        "schedule": crontab(minute="40", hour="3"),
    },
    "delete-old-rows": {"task": "tradeplatform.tasks.delete_old_rows", "schedule": timedelta(hours=1)},
}

app = Celery("tradeplatform")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_queues = [Queue(name) for name in QUEUES]
app.conf.beat_schedule = SCHEDULE
app.autodiscover_tasks()
