"""Prometheus metrics of this process, and gauges read from the database when they are asked for."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from orders.timing import STAGE_SECONDS

REGISTRY = CollectorRegistry()
REGISTRY.register(STAGE_SECONDS)

_REQUEST_SECONDS = Histogram(
    "http_request_seconds",
    "Time to answer a request, by route and status class.",
    ["route", "method", "status"],
    registry=REGISTRY,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_ORDERS = Gauge("orders_total", "Orders by status.", ["status"], registry=REGISTRY)
_OUTBOX = Gauge("outbox_messages", "Outbox messages not done, by status.", ["status"], registry=REGISTRY)
_OUTBOX_AGE = Gauge(
    "outbox_oldest_ready_seconds", "Age of the oldest message that is ready to be sent.", registry=REGISTRY
)
_INBOX = Gauge("broker_events_not_applied", "Broker events stored but not yet applied.", registry=REGISTRY)
_FLAGGED = Gauge(
    "broker_events_flagged", "Broker messages of the last day that made no sense.", registry=REGISTRY
)
_STREAMS = Gauge(
    "broker_streams", "Accounts by the state of their event stream.", ["state"], registry=REGISTRY
)
_LATE_SENDS = Gauge(
    "halt_late_sends", "Orders that left after a halt had held for a second; always 0.", registry=REGISTRY
)
_BEAT_AGE = Gauge(
    "process_heartbeat_age_seconds", "Age of the last sign of life.", ["name"], registry=REGISTRY
)
SUPERVISOR_RESTARTS = Counter(
    "process_thread_restarts", "Background threads restarted in this process.", ["kind"], registry=REGISTRY
)


def observe_request(*, route: str, method: str, status: int, seconds: float) -> None:
    """Count one finished request."""
    _REQUEST_SECONDS.labels(route, method, f"{status // 100}xx").observe(seconds)


def set_order_counts(counts: dict[str, int]) -> None:
    _replace(_ORDERS, counts)


def set_outbox(counts: dict[str, int], *, oldest_ready_seconds: float) -> None:
    _replace(_OUTBOX, counts)
    _OUTBOX_AGE.set(oldest_ready_seconds)


def set_inbox(*, not_applied: int, flagged: int) -> None:
    _INBOX.set(not_applied)
    _FLAGGED.set(flagged)


def set_streams(counts: dict[str, int]) -> None:
    _replace(_STREAMS, counts)


def set_late_sends(number: int) -> None:
    _LATE_SENDS.set(number)


def set_heartbeat_ages(ages: dict[str, float]) -> None:
    _replace(_BEAT_AGE, ages)


def render() -> bytes:
    """Return all metrics in the Prometheus text format."""
    return generate_latest(REGISTRY)


def _replace(gauge: Gauge, values: dict[str, int] | dict[str, float]) -> None:
    gauge.clear()
    for label, value in values.items():
        gauge.labels(label).set(value)
