"""Revenue and churn, from the subscriptions as Stripe last told them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Q

from billing.life_cycle import WITHDRAWN, Stage
from billing.models import PlanGrant, Subscription

WINDOW = timedelta(days=30)
MONTHS_SHOWN = 12
# Paid for, or owed within the grace: a trial brings nothing yet.
PAYING = (Stage.ACTIVE, Stage.ENDING, Stage.PAST_DUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFigures:
    """One plan's paying subscriptions; `monthly` counts a twelfth of what is paid by the year."""

    name: str
    currency: str
    monthly_payers: int
    yearly_payers: int
    monthly: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthFigures:
    """What began and ended in one calendar month (UTC)."""

    month: str
    begun: int
    ended: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """`churn_percent` is the share of those who had a subscription a window ago and have it no more; None
    while nobody had one.
    """

    plans: tuple[PlanFigures, ...]
    revenue: tuple[tuple[str, Decimal], ...]
    paying: int
    on_trial: int
    in_grace: int
    ending: int
    on_hold: int
    granted: int
    begun: int
    ended: int
    churn_percent: Decimal | None
    months: tuple[MonthFigures, ...]


def read_figures(*, now: datetime) -> Figures:
    """Return the figures of this moment and of the last thirty days."""
    known = list(Subscription.objects.filter(plan__isnull=False).select_related("plan"))
    started = [one for one in known if one.stage != Stage.INCOMPLETE]
    stages = [one.stage for one in started]
    since = now - WINDOW
    plans = tuple(_plan_figures([one for one in started if one.stage in PAYING]))
    running = Q(starts_at__lte=now) & (Q(ends_at=None) | Q(ends_at__gt=now))
    return Figures(
        plans=plans,
        revenue=_sum_by_currency(plans),
        paying=sum(stage in PAYING for stage in stages),
        on_trial=stages.count(Stage.TRIAL),
        in_grace=stages.count(Stage.PAST_DUE),
        ending=stages.count(Stage.ENDING),
        on_hold=stages.count(Stage.DISPUTED),
        granted=PlanGrant.objects.filter(running).values("user").distinct().count(),
        begun=sum(one.created_at > since for one in started),
        ended=sum(_is_over(one) and _over_since(one) > since for one in started),
        churn_percent=_churn(started, since),
        months=tuple(_months(started, now)),
    )


def _plan_figures(paying: Iterable[Subscription]) -> Iterable[PlanFigures]:
    groups: dict[tuple[str, str], list[Subscription]] = defaultdict(list)
    for one in paying:
        groups[(one.plan.name if one.plan else "", one.currency)].append(one)
    for (name, currency), found in sorted(groups.items()):
        yearly = [one for one in found if one.interval == Subscription.Interval.YEAR]
        yield PlanFigures(
            name=name,
            currency=currency,
            monthly_payers=len(found) - len(yearly),
            yearly_payers=len(yearly),
            monthly=sum((_per_month(one) for one in found), Decimal(0)).quantize(Decimal("0.01")),
        )


def _per_month(one: Subscription) -> Decimal:
    return one.amount / 12 if one.interval == Subscription.Interval.YEAR else one.amount


def _sum_by_currency(plans: Iterable[PlanFigures]) -> tuple[tuple[str, Decimal], ...]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for plan in plans:
        sums[plan.currency] += plan.monthly
    return tuple(sorted(sums.items()))


def _is_over(one: Subscription) -> bool:
    return one.stage in WITHDRAWN and one.stage != Stage.DISPUTED


def _over_since(one: Subscription) -> datetime:
    """Return since when a subscription is over, as far as Stripe says; else when we saw it."""
    return one.ended_at or one.ends_at or one.synced_at


def _churn(started: list[Subscription], since: datetime) -> Decimal | None:
    before = [one for one in started if one.created_at <= since]
    had = [one for one in before if not _is_over(one) or _over_since(one) > since]
    if not had:
        return None
    lost = sum(_is_over(one) for one in had)
    return (Decimal(100) * lost / len(had)).quantize(Decimal("0.1"))


def _months(started: list[Subscription], now: datetime) -> Iterable[MonthFigures]:
    year, month = now.year, now.month
    for _ in range(MONTHS_SHOWN):
        key = (year, month)
        begun = sum((one.created_at.year, one.created_at.month) == key for one in started)
        over = [_over_since(one) for one in started if _is_over(one)]
        yield MonthFigures(
            month=f"{year}-{month:02}",
            begun=begun,
            ended=sum((at.year, at.month) == key for at in over),
        )
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
