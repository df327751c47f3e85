"""The figures of the operations dashboard: how well the whole platform works, over a stretch of time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q

from billing.selectors import count_people_by_plan
from brokers.availability import Availability, Inbox, read_availability, read_inbox
from brokers.enums import Environment, LinkKind
from brokers.models import BrokerAccount
from brokers.presentation import broker_name
from orders.latency import Group, Latencies, Percentiles, read_latencies
from orders.operations import (
    Backlog,
    DayVolume,
    Doubts,
    Outcomes,
    count_doubts,
    count_outcomes,
    count_traders,
    daily_volume,
    read_backlog,
)
from orders.timing import STAGES, TITLES
from portfolios.accuracy import Accuracy, read_accuracy
from risk.models import TradingHalt
from risk.selectors import recent_halts
from tradeplatform.common.builds import newest_build
from tradeplatform.common.heartbeats import BUILD, COMPONENTS, DOWN_AFTER, LATE_AFTER
from tradeplatform.models import ProcessHeartbeat, User

WINDOWS = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}
DEFAULT_WINDOW = "24h"
VOLUME_DAYS = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOrders:
    """What became of one broker's orders, and how often its answer stayed away."""

    name: str
    outcomes: Outcomes
    doubts: Doubts


@dataclass(frozen=True, slots=True)
class StageRow:
    title: str
    figures: Percentiles


@dataclass(frozen=True, slots=True)
class StageTable:
    """Percentiles of one broker's orders; the first table is of all of them."""

    name: str
    environment: str
    rows: tuple[StageRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    people: int
    joined: int
    linked: int
    traders: int
    paper_accounts: int
    live_accounts: int
    armed_accounts: int
    plans: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process by its signs of life; `has_substitute` says that one of its kind is running."""

    name: str
    kind: str
    build: str
    is_newest_build: bool
    state: str
    has_substitute: bool
    started_at: datetime
    beat_at: datetime

    @property
    def is_replaced(self) -> bool:
        return self.state == "down" and self.has_substitute


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Everything that the dashboard shows, as of `at`."""

    at: datetime
    since: datetime
    orders: tuple[BrokerOrders, ...]
    total: Outcomes
    backlog: Backlog
    inbox: Inbox
    latencies: Latencies
    stages: tuple[StageTable, ...]
    brokers: tuple[Availability, ...]
    accuracy: Accuracy
    volume: tuple[DayVolume, ...]
    halts: tuple[TradingHalt, ...]
    adoption: Adoption
    processes: tuple[Process, ...]

    @property
    def busiest_day(self) -> int:
        return max((one.orders for one in self.volume), default=0)

    @property
    def listed_processes(self) -> list[Process]:
        """Those that run and those that are missed."""
        return [one for one in self.processes if not one.is_replaced]

    @property
    def replaced_processes(self) -> int:
        return len(self.processes) - len(self.listed_processes)

    @property
    def active_halts(self) -> int:
        return sum(halt.lifted_at is None for halt in self.halts)


def read_operations(*, window: timedelta, now: datetime) -> Operations:
    """Read all figures for the stretch of time that ends now."""
    since = now - window
    orders = _orders(since)
    latencies = read_latencies(since=since)
    return Operations(
        at=now,
        since=since,
        orders=orders,
        total=_total(orders),
        backlog=read_backlog(),
        inbox=read_inbox(),
        latencies=latencies,
        stages=_stage_tables(latencies),
        brokers=tuple(read_availability(now=now)),
        accuracy=read_accuracy(since=since, now=now),
        volume=tuple(reversed(daily_volume(since=now - VOLUME_DAYS))),
        halts=tuple(recent_halts(since=since)),
        adoption=_adoption(since),
        processes=tuple(_processes(now)),
    )


def _orders(since: datetime) -> tuple[BrokerOrders, ...]:
    doubts = {(one.broker, one.environment): one for one in count_doubts(since=since)}
    outcomes = {(one.broker, one.environment): one for one in count_outcomes(since=since)}
    return tuple(
        BrokerOrders(
            name=broker_name(broker),
            outcomes=outcomes.get((broker, environment), Outcomes(broker=broker, environment=environment)),
            doubts=doubts.get((broker, environment), Doubts(broker=broker, environment=environment)),
        )
        for broker, environment in sorted(outcomes.keys() | doubts.keys())
    )


def _total(orders: tuple[BrokerOrders, ...]) -> Outcomes:
    fields = ("accepted", "refused", "failed", "unconfirmed", "denied", "withdrawn", "waiting")
    sums = {name: sum(getattr(one.outcomes, name) for one in orders) for name in fields}
    return Outcomes(broker="", environment="", **sums)


def _stage_tables(latencies: Latencies) -> tuple[StageTable, ...]:
    groups: list[Group] = sorted(latencies.by_group, key=lambda group: group or ("", ""))
    return tuple(_stage_table(group, latencies) for group in groups)


def _stage_table(group: Group, latencies: Latencies) -> StageTable:
    stages = latencies.by_group[group]
    rows = tuple(StageRow(TITLES[stage], stages[stage]) for stage in STAGES if stage in stages)
    if group is None:
        return StageTable("All brokers", "", rows)
    return StageTable(broker_name(group[0]), group[1], rows)


def _adoption(since: datetime) -> Adoption:
    people = User.objects.filter(is_active=True, closed_at=None)
    accounts = BrokerAccount.objects.filter(is_active=True, user__in=people)
    own = ~Q(connection__kind=LinkKind.BUILT_IN)
    live = Q(environment=Environment.LIVE)
    counts = accounts.aggregate(
        linked=Count("user", filter=own, distinct=True),
        paper_accounts=Count("pk", filter=~live),
        live_accounts=Count("pk", filter=live),
        armed_accounts=Count("pk", filter=live & Q(armed_at__isnull=False)),
    )
    return Adoption(
        **people.aggregate(people=Count("pk"), joined=Count("pk", filter=Q(date_joined__gte=since))),
        **counts,
        traders=count_traders(since=since),
        plans=tuple((plan.name, number) for plan, number in count_people_by_plan()),
    )


def _processes(now: datetime) -> list[Process]:
    newest = newest_build()
    rows = list(ProcessHeartbeat.objects.exclude(kind=BUILD).order_by("kind", "-beat_at"))
    alive = {row.kind for row in rows if now - row.beat_at <= LATE_AFTER}
    return [
        Process(
            name=row.name,
            kind=COMPONENTS.get(row.kind, row.kind.capitalize()),
            build=row.build_id,
            is_newest_build=newest in (None, row.build_id),
            state=_state(now - row.beat_at),
            has_substitute=row.kind in alive,
            started_at=row.started_at,
            beat_at=row.beat_at,
        )
        for row in rows
    ]


def _state(silence: timedelta) -> str:
    if silence > DOWN_AFTER:
        return "down"
    return "late" if silence > LATE_AFTER else "running"
