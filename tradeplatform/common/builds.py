"""Which build of the program is the newest one here: an old process must not go on sending orders.

`prepare`, the step before every start of a release, names its build the newest, a rollback to an older one
included. A process that meets a build nobody has named yet names it too. An old process that is merely
restarted changes nothing.
"""

import threading

from django.conf import settings
from django.db import IntegrityError, transaction

from tradeplatform.common.clock import monotonic, utc_now
from tradeplatform.common.heartbeats import BUILD
from tradeplatform.common.prepared import PreparedQuery
from tradeplatform.models import ProcessHeartbeat

LOOK_EVERY_SECONDS = 1.0
_NEWEST = PreparedQuery(
    lambda: (
        ProcessHeartbeat.objects.filter(kind=BUILD)
        .order_by("-started_at")
        .values_list("build_id", flat=True)[:1]
    )
)

_lock = threading.Lock()
_seen: dict[str, tuple[float, bool]] = {}


def announce_build() -> None:
    """Name this build the newest; the step before the start of a release calls it."""
    ProcessHeartbeat.objects.update_or_create(
        name=_name(settings.BUILD_ID),
        defaults={
            "kind": BUILD,
            "build_id": settings.BUILD_ID,
            "started_at": utc_now(),
            "beat_at": utc_now(),
        },
    )
    _forget()


def record_build() -> None:
    """Name this build if nobody has; every process calls it when it starts."""
    if ProcessHeartbeat.objects.filter(name=_name(settings.BUILD_ID)).exists():
        return
    try:
        with transaction.atomic():
            announce_build()
    except IntegrityError:
        _forget()


def newest_build() -> str | None:
    """Return the id of the newest build, None while no process has ever named one."""
    return _NEWEST.first()


def is_newest_build() -> bool:
    """Tell whether this process runs the newest build. Read from the database at most once a second."""
    now = monotonic()
    with _lock:
        known = _seen.get(settings.BUILD_ID)
    if known is not None and 0 <= now - known[0] < LOOK_EVERY_SECONDS:
        return known[1]
    answer = newest_build() in (None, settings.BUILD_ID)
    with _lock:
        _seen[settings.BUILD_ID] = (now, answer)
    return answer


def _forget() -> None:
    with _lock:
        _seen.clear()


def _name(build_id: str) -> str:
    return f"{BUILD}:{build_id}"[:80]
