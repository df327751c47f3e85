"""How long orders took in each stage: percentiles over a stretch of time, for those who run the platform.

Linear between neighbours: PostgreSQL's `percentile_cont`, and elsewhere the same sum in Python. At most
`SAMPLE` orders and as many fills are read, the newest ones; the figures say how many they are made of.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection

from orders.enums import OrderOrigin, OutboxKind
from orders.models import Execution, OutboxMessage
from orders.timing import FILL_STAGES, SENDING_STAGES, fill_timings

SAMPLE = 50_000
SHARES = (0.5, 0.95, 0.99)

# Broker and environment; None stands for all of them.
Group = tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds that half, 95 % and 99 % of `count` measured values stay under."""

    count: int
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Percentiles by group and stage; a stage that nothing was measured in is absent.

    `orders` and `fills` were read; `is_sample` says that there are more of them.
    """

    by_group: Mapping[Group, Mapping[str, Percentiles]] = field(default_factory=dict)
    orders: int = 0
    fills: int = 0
    is_sample: bool = False


def read_latencies(*, since: datetime, sample: int = SAMPLE) -> Latencies:
    """Return the percentiles of our own orders queued, and of their fills made, since a time."""
    read = _read_in_database if connection.vendor == "postgresql" else _read_here
    sent, orders = read(_SENDING, since, sample)
    filled, fills = read(_FILLING, since, sample)
    groups = {**sent, **filled}
    return Latencies(
        by_group={group: {**sent.get(group, {}), **filled.get(group, {})} for group in groups},
        orders=orders,
        fills=fills,
        is_sample=orders >= sample or fills >= sample,
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the ordered values lie, linear between two of them."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the stages of one kind of row come from, for both ways of counting."""

    stages: tuple[str, ...]
    rows: str
    values: tuple[str, ...]


_SENDING = _Source(
    stages=SENDING_STAGES,
    rows="""
        SELECT account.broker, account.environment, sent.timings
        FROM orders_outboxmessage sent
        JOIN brokers_brokeraccount account ON account.id = sent.account_id
        WHERE sent.kind = 'submit' AND sent.created_at >= %s
        ORDER BY sent.created_at DESC LIMIT %s""",
    values=tuple(f"(timings->>'{stage}')::float8" for stage in SENDING_STAGES),
)
_FILLING = _Source(
    stages=FILL_STAGES,
    rows="""
        SELECT account.broker, account.environment, fill.transact_time, fill.received_at, fill.booked_at
        FROM orders_execution fill
        JOIN orders_order placed ON placed.id = fill.order_id AND placed.origin <> 'external'
        JOIN brokers_brokeraccount account ON account.id = fill.account_id
        WHERE fill.transact_time >= %s
        ORDER BY fill.transact_time DESC LIMIT %s""",
    values=(
        "greatest(extract(epoch FROM received_at - transact_time), 0)::float8 * 1000",
        "greatest(extract(epoch FROM booked_at - received_at), 0)::float8 * 1000",
    ),
)

_Found = tuple[dict[Group, dict[str, Percentiles]], int]


def _read_in_database(source: _Source, since: datetime, sample: int) -> _Found:
    """One pass over the newest rows; only a row per group comes back."""
    shares = f"ARRAY[{', '.join(str(share) for share in SHARES)}]"
    columns = ", ".join(
        f"count({value}), percentile_cont({shares}) WITHIN GROUP (ORDER BY {value})"
        for value in source.values
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT broker, environment, count(*), {columns} FROM ({source.rows}) newest"  # noqa: S608
            " GROUP BY GROUPING SETS ((broker, environment), ())",
            [since, sample],
        )
        rows = cursor.fetchall()
    found: dict[Group, dict[str, Percentiles]] = {}
    total = 0
    for broker, environment, number, *figures in rows:
        group = (broker, environment) if broker is not None else None
        total = number if group is None else total
        pairs = zip(source.stages, zip(figures[::2], figures[1::2], strict=True), strict=True)
        found[group] = {stage: Percentiles(count, *values) for stage, (count, values) in pairs if count}
    return {group: stages for group, stages in found.items() if stages}, total


def _read_here(source: _Source, since: datetime, sample: int) -> _Found:
    """The same for databases without percentiles."""
    values: dict[Group, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    total = 0
    for broker, environment, measured in _measured(source, since, sample):
        total += 1
        for stage, milliseconds in measured.items():
            for group in ((broker, environment), None):
                values[group][stage].append(milliseconds)
    return {
        group: {stage: _summarise(stages[stage]) for stage in source.stages if stages.get(stage)}
        for group, stages in values.items()
    }, total


def _measured(
    source: _Source, since: datetime, sample: int
) -> Iterable[tuple[str, str, Mapping[str, float]]]:
    groups = ("account__broker", "account__environment")
    if source is _SENDING:
        sent = OutboxMessage.objects.filter(kind=OutboxKind.SUBMIT, created_at__gte=since)
        yield from sent.order_by("-created_at").values_list(*groups, "timings")[:sample]
        return
    fills = Execution.objects.filter(transact_time__gte=since).exclude(order__origin=OrderOrigin.EXTERNAL)
    times = ("transact_time", "received_at", "booked_at")
    rows: Iterable[Any] = fills.order_by("-transact_time").values_list(*groups, *times)[:sample]
    for broker, environment, *moments in rows:
        yield broker, environment, fill_timings(**dict(zip(times, moments, strict=True)))


def _summarise(values: list[float]) -> Percentiles:
    ordered = sorted(values)
    return Percentiles(len(ordered), *(percentile(ordered, share) for share in SHARES))
