"""Signs of life of the processes, for health pages and the supervisor."""

import asyncio
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, connection

from tradeplatform.common.clock import utc_now
from tradeplatform.models import ProcessHeartbeat

logger = structlog.get_logger(__name__)

BEAT_SECONDS = 5
LATE_AFTER = timedelta(seconds=20)
DOWN_AFTER = timedelta(seconds=60)
FORGET_AFTER = timedelta(hours=1)

# Rows of this kind name the builds of the program (`common.builds`), not processes.
BUILD = "build"
COMPONENTS: Mapping[str, str] = {
    "web": "Website and API",
    "worker": "Background work",
    "beat": "Scheduler",
    "dispatcher": "Order dispatch",
    "streams": "Broker streams",
}


@dataclass(frozen=True, slots=True)
class Component:
    """One line of the status page; `state` is ok, degraded or down."""

    name: str
    state: str
    detail: str
    checked_at: datetime


def record_heartbeat(
    *, kind: str, started_at: datetime, instance: str = "", detail: Mapping[str, Any] | None = None
) -> None:
    """Note that this process (or this part of it) is alive. Write it every `BEAT_SECONDS`."""
    name = f"{kind}@{socket.gethostname()[:40]}:{instance or os.getpid()}"
    ProcessHeartbeat.objects.update_or_create(
        name=name,
        defaults={
            "kind": kind,
            "build_id": settings.BUILD_ID,
            "started_at": started_at,
            "beat_at": utc_now(),
            "detail": dict(detail or {}),
        },
    )


async def keep_heartbeat(kind: str) -> None:
    """Note again and again that this process's event loop turns, until cancelled."""
    started_at = utc_now()
    while True:
        await asyncio.to_thread(_beat_quietly, kind, started_at)
        await asyncio.sleep(BEAT_SECONDS)


def _beat_quietly(kind: str, started_at: datetime) -> None:
    try:
        record_heartbeat(kind=kind, started_at=started_at)
    except DatabaseError as error:
        logger.warning("heartbeat_failed", kind=kind, error=type(error).__name__)
    finally:
        connection.close()


def forget_old_heartbeats(*, now: datetime) -> int:
    """Delete the rows of processes that are long gone; returns how many."""
    old = ProcessHeartbeat.objects.exclude(kind=BUILD).filter(beat_at__lt=now - FORGET_AFTER)
    return old.delete()[0]


def read_components(*, now: datetime) -> list[Component]:
    """Judge each process kind by its freshest sign of life."""
    freshest: dict[str, datetime] = {}
    held: dict[str, str] = {}
    for kind, beat_at, detail in ProcessHeartbeat.objects.values_list("kind", "beat_at", "detail"):
        if beat_at >= freshest.get(kind, beat_at):
            held[kind] = str(detail.get("held", ""))
        freshest[kind] = max(beat_at, freshest.get(kind, beat_at))
    return [_judge(name, freshest.get(kind), now, held.get(kind, "")) for kind, name in COMPONENTS.items()]


def _judge(name: str, beat_at: datetime | None, now: datetime, held: str = "") -> Component:
    if beat_at is None:
        return Component(name, "down", "Not running", now)
    age = now - beat_at
    if age > DOWN_AFTER:
        return Component(name, "down", f"No sign of life for {int(age.total_seconds())} seconds", now)
    if age > LATE_AFTER:
        return Component(name, "degraded", f"Late by {int(age.total_seconds())} seconds", now)
    if held:
        return Component(name, "degraded", held, now)
    return Component(name, "ok", "Running", now)
