"""What every part does first."""

import os
from pathlib import Path

import django

from benchmarks.measure import Row, percentile
from benchmarks.servers import Processes


def begin() -> Processes:
    """Set Django up on the part's own database and return the starter of its processes."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")
    django.setup()
    from django.conf import settings

    # People are only made here, never logged in with a password: a slow hash would take minutes.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return Processes({}, Path(os.environ["BENCH_LOGS"]))


def size(name: str, default: int) -> int:
    """Return a size from the environment, such as BENCH_POSTS."""
    return int(os.environ.get(f"BENCH_{name}", default))


def stage_medians(part: str, newest: int) -> list[Row]:
    """Return the median of each stage as it was kept with the newest orders."""
    from orders.models import OutboxMessage
    from orders.timing import merge_timings

    kept = OutboxMessage.objects.order_by("-id").values_list("timings", flat=True)[:newest]
    return [
        Row(part, f"stage {stage} p50", percentile(values, 0.5), "ms")
        for stage, values in merge_timings(kept).items()
        if values
    ]
