"""How news of orders reaches this installation, as one line of the status page."""

from datetime import datetime

from brokers.enums import StreamState
from brokers.selectors import stream_counts
from tradeplatform.common.heartbeats import Component

NAME = "Order news from brokers"
# A few connections are always being made anew; above this share it is worth telling people.
WORTH_TELLING = 0.05


def read_order_news(*, now: datetime) -> Component | None:
    """Judge all accounts' streams together; None while nobody has linked an account."""
    counts = stream_counts()
    total = sum(counts.values())
    if not total:
        return None
    unserved = counts[StreamState.WAITING]
    late = counts[StreamState.INTERRUPTED]
    if unserved == total:
        return Component(NAME, "down", "Nobody listens; orders are compared every minute instead", now)
    if (unserved + late) / total > WORTH_TELLING:
        share = round(100 * (unserved + late) / total)
        return Component(NAME, "degraded", f"{share} % of accounts are asked instead of told", now)
    return Component(NAME, "ok", "News arrives as it happens", now)
