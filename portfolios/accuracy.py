"""How well our books agree with the brokers', counted for the people who run the platform. Reads only."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet

from portfolios.enums import BreakStatus
from portfolios.models import Break, EquitySnapshot, Portfolio
from portfolios.selectors import BREAK_LABELS

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakCount:
    """Open breaks of one kind by age, and when the oldest of them was first seen."""

    kind: str
    label: str
    under_an_hour: int
    under_a_day: int
    older: int
    since: datetime

    @property
    def number(self) -> int:
        return self.under_an_hour + self.under_a_day + self.older


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Books of active accounts, how many were compared with the broker's, and the breaks that are open."""

    books: int
    compared: int
    with_breaks: int
    breaks: tuple[BreakCount, ...]

    @property
    def clean(self) -> int:
        return self.compared - self.with_breaks

    @property
    def clean_share(self) -> Decimal | None:
        """Share of the compared books without an open break; None when none was compared."""
        return Decimal(self.clean) / self.compared if self.compared else None


def read_accuracy(*, since: datetime, now: datetime) -> Accuracy:
    """Return how the books compared since a time stand now. Each reading of a broker leaves a snapshot."""
    compared = EquitySnapshot.objects.filter(portfolio=OuterRef("pk"), at__gte=since, source="sync")
    broken = _open_breaks().filter(portfolio=OuterRef("pk"))
    was_compared, has_break = Q(Exists(compared)), Q(Exists(broken))
    counts = Portfolio.objects.filter(account__is_active=True).aggregate(
        books=Count("pk"),
        compared=Count("pk", filter=was_compared),
        with_breaks=Count("pk", filter=was_compared & has_break),
    )
    return Accuracy(**counts, breaks=tuple(_count_breaks(now)))


def _count_breaks(now: datetime) -> list[BreakCount]:
    rows = (
        _open_breaks()
        .filter(portfolio__account__is_active=True)
        .values_list("kind")
        .annotate(
            under_an_hour=Count("pk", filter=Q(first_seen_at__gt=now - HOUR)),
            under_a_day=Count("pk", filter=Q(first_seen_at__lte=now - HOUR, first_seen_at__gt=now - DAY)),
            older=Count("pk", filter=Q(first_seen_at__lte=now - DAY)),
            since=Min("first_seen_at"),
        )
    )
    return [
        BreakCount(
            kind=kind,
            label=str(BREAK_LABELS.get(kind, kind.replace("_", " ").capitalize())),
            under_an_hour=new,
            under_a_day=day,
            older=older,
            since=since,
        )
        for kind, new, day, older, since in rows.order_by("since")
    ]


def _open_breaks() -> QuerySet[Break]:
    return Break.objects.filter(status=BreakStatus.OPEN, resolved_at=None, batch=None)
