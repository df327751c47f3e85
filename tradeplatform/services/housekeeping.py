"""Deleting what is no longer needed. Orders, books and audit entries are never deleted."""

from datetime import datetime, timedelta
from importlib import import_module

import structlog
from django.conf import settings

from tradeplatform.common.heartbeats import forget_old_heartbeats
from tradeplatform.models import UserEvent

logger = structlog.get_logger(__name__)
_CHUNK = 5_000


def delete_old_rows(*, now: datetime) -> int:
    """Delete live events older than EVENT_RETENTION_DAYS, dead heartbeats and ended sessions.

    Small deletes keep the write lock short. Clients that resume from further back are told to reload.
    """
    before = now - timedelta(days=settings.EVENT_RETENTION_DAYS)
    deleted = 0
    while True:
        old = list(UserEvent.objects.filter(created_at__lt=before).values_list("pk", flat=True)[:_CHUNK])
        if not old:
            break
        deleted += UserEvent.objects.filter(pk__in=old).delete()[0]
    forget_old_heartbeats(now=now)
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    logger.info("old_rows_deleted", events=deleted)
    return deleted
