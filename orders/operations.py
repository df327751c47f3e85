"""What became of everybody's orders, counted for those who run the platform.

Orders placed elsewhere and the exits that belong to another order are left out: this is about what was asked
of the platform. Every count reads a stretch of time through an index, never all orders.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import Count, Exists, F, Max, Min, OuterRef, QuerySet, Sum
from django.db.models.functions import TruncDate

from brokers.calendar import NEW_YORK
from brokers.exceptions import TIMED_OUT
from orders.enums import OrderOrigin, OrderStatus, OutboxKind, OutboxStatus
from orders.models import Execution, Order, OrderEvent, OutboxMessage
from orders.state_machine import Trigger

ZERO = Decimal(0)
_GROUP = ("account__broker", "account__environment")
_WAITING = (OrderStatus.PENDING_APPROVAL, OrderStatus.QUEUED, OrderStatus.SUBMITTING)
_NEVER_ARRIVED = (Trigger.INTENT_EXPIRED, Trigger.FOUND_ABSENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What became of the orders placed at one broker. Each order is counted in exactly one of the fields.

    `failed` orders were to be sent and never arrived, `refused` ones were refused by the broker, `denied`
    ones by our own checks. `withdrawn` ones were taken back in time, `waiting` ones are on their way.
    """

    broker: str
    environment: str
    accepted: int = 0
    refused: int = 0
    failed: int = 0
    unconfirmed: int = 0
    denied: int = 0
    withdrawn: int = 0
    waiting: int = 0

    @property
    def placed(self) -> int:
        return self.settled + self.denied + self.withdrawn + self.waiting

    @property
    def settled(self) -> int:
        """Orders that were to reach the broker and whose way there is over, or in doubt."""
        return self.accepted + self.refused + self.failed + self.unconfirmed

    @property
    def success_rate(self) -> Decimal | None:
        """Share of the settled orders that the broker took; None when there are none."""
        return Decimal(self.accepted) / self.settled if self.settled else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """Orders of one broker whose outcome was unknown for a while; `longest` of those that are settled."""

    broker: str
    environment: str
    unknown: int = 0
    timed_out: int = 0
    longest: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits just now. Times are the oldest of their kind, None when there is none."""

    unconfirmed: int
    unconfirmed_since: datetime | None
    needs_person: int
    ready: int
    ready_since: datetime | None
    claimed: int
    unknown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DayVolume:
    """Orders placed and value executed on one trade date, in one environment and currency."""

    day: date
    environment: str
    currency: str
    orders: int = 0
    fills: int = 0
    value: Decimal = ZERO


def count_outcomes(*, since: datetime) -> list[Outcomes]:
    """Return what became of the orders placed since a time, by broker and environment."""
    counts: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    rows = (
        _asked_of_us(since)
        .values_list(*_GROUP, "status")
        .annotate(number=Count("pk"), accepted=Count("accepted_at"))
    )
    for broker, environment, status, number, accepted in rows:
        counts[broker, environment]["accepted"] += accepted
        counts[broker, environment][_outcome_of(status)] += number - accepted
    lost = _asked_of_us(since).filter(status=OrderStatus.NOT_SENT).filter(_never_arrived())
    for broker, environment, number in lost.values_list(*_GROUP).annotate(number=Count("pk")):
        counts[broker, environment]["failed"] += number
        counts[broker, environment]["withdrawn"] -= number
    return [
        Outcomes(broker=broker, environment=environment, **found)
        for (broker, environment), found in sorted(counts.items())
    ]


def _outcome_of(status: str) -> str:
    """Name what became of an order that the broker has not acknowledged."""
    if status in _WAITING:
        return "waiting"
    return {
        OrderStatus.DENIED: "denied",
        OrderStatus.NOT_SENT: "withdrawn",
        OrderStatus.REJECTED: "refused",
        OrderStatus.UNCONFIRMED: "unconfirmed",
    }.get(OrderStatus(status), "accepted")


def count_doubts(*, since: datetime) -> list[Doubts]:
    """Return how often a broker's answer stayed away since a time, by broker and environment."""
    rows = OutboxMessage.objects.filter(kind=OutboxKind.SUBMIT, unknown_since__gte=since)
    timed_out = OrderEvent.objects.filter(
        order=OuterRef("order"), kind=Trigger.OUTCOME_UNKNOWN, data__code=TIMED_OUT
    )
    found = rows.values_list(*_GROUP).annotate(
        number=Count("pk"),
        timed_out=Count("pk", filter=Exists(timed_out)),
        longest=Max(F("done_at") - F("unknown_since")),
    )
    return [
        Doubts(broker=broker, environment=environment, unknown=number, timed_out=late, longest=longest)
        for broker, environment, number, late, longest in found.order_by(*_GROUP)
    ]


def read_backlog() -> Backlog:
    """Return what waits to be sent or to be known."""
    unconfirmed = Order.objects.filter(status=OrderStatus.UNCONFIRMED).aggregate(
        number=Count("pk"), since=Min("submitted_at"), person=Count("needs_person_at")
    )
    unfinished = (OutboxStatus.READY, OutboxStatus.CLAIMED, OutboxStatus.UNKNOWN)
    rows = {
        status: OutboxMessage.objects.filter(status=status).aggregate(
            number=Count("pk"), since=Min("created_at")
        )
        for status in unfinished
    }
    return Backlog(
        unconfirmed=unconfirmed["number"],
        unconfirmed_since=unconfirmed["since"],
        needs_person=unconfirmed["person"],
        ready=rows[OutboxStatus.READY]["number"],
        ready_since=rows[OutboxStatus.READY]["since"],
        claimed=rows[OutboxStatus.CLAIMED]["number"],
        unknown=rows[OutboxStatus.UNKNOWN]["number"],
    )


def count_traders(*, since: datetime) -> int:
    """Return how many people have placed an order since a time."""
    return _asked_of_us(since).aggregate(number=Count("user_id", distinct=True))["number"] or 0


def daily_volume(*, since: datetime) -> list[DayVolume]:
    """Return orders and executed value per trade date, oldest first; days without either are absent."""
    found: dict[tuple[date, str, str], dict[str, Any]] = defaultdict(dict)
    key = ("day", "account__environment", "account__currency")
    placed = _asked_of_us(since).annotate(day=TruncDate("created_at", tzinfo=NEW_YORK))
    for *group, number in placed.values_list(*key).annotate(number=Count("pk")):
        found[group[0], group[1], group[2]]["orders"] = number
    for *group, number, value in _executed_by_day(since):
        found[group[0], group[1], group[2]] |= {"fills": number, "value": value}
    return [
        DayVolume(day=day, environment=environment, currency=currency, **figures)
        for (day, environment, currency), figures in sorted(found.items())
    ]


def _executed_by_day(since: datetime) -> list[tuple[Any, ...]]:
    key = ("day", "account__environment", "account__currency")
    fills = (
        Execution.objects.filter(transact_time__gte=since, busted_at=None, corrected_at=None)
        .exclude(order__origin=OrderOrigin.EXTERNAL)
        .annotate(day=TruncDate("transact_time", tzinfo=NEW_YORK))
        .order_by()
    )
    if connection.vendor == "postgresql":
        value = Sum(F("last_qty") * F("last_px"))
        return list(fills.values_list(*key).annotate(number=Count("pk"), value=value))
    # Exact decimals are text there; the database would add them up as floats.
    sums: dict[tuple[Any, ...], list[Any]] = defaultdict(lambda: [0, ZERO])
    for *group, last_qty, last_px in fills.values_list(*key, "last_qty", "last_px").iterator():
        entry = sums[tuple(group)]
        entry[0] += 1
        entry[1] += last_qty * last_px
    return [(*group, *entry) for group, entry in sums.items()]


def _asked_of_us(since: datetime) -> QuerySet[Order]:
    ours = Order.objects.filter(created_at__gte=since).order_by()
    return ours.exclude(origin__in=[OrderOrigin.EXTERNAL, OrderOrigin.LEG])


def _never_arrived() -> Exists:
    """Tell an order that was lost on the way from one whose approval ran out."""
    ends = OrderEvent.objects.filter(order=OuterRef("pk"), kind__in=[str(kind) for kind in _NEVER_ARRIVED])
    return Exists(ends.exclude(from_status=OrderStatus.PENDING_APPROVAL))
