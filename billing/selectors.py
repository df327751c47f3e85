"""Which plan a person has, why, until when, and what it gives."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from billing.entitlements import Feature, gives, limit_in
from billing.life_cycle import GIVING, Stage, SubscriptionState, standing_of
from billing.models import Customer, Plan, PlanGrant, Subscription
from tradeplatform.common.clock import utc_now
from tradeplatform.common.prepared import PreparedQuery, slot
from tradeplatform.models import User


def _running_grants() -> QuerySet[PlanGrant]:
    now = slot(PlanGrant, "starts_at", name="now")
    running = Q(starts_at__lte=now) & (Q(ends_at=None) | Q(ends_at__gt=now))
    return PlanGrant.objects.filter(running, user_id=slot(PlanGrant, "user")).select_related("plan")[:1]


def _known_subscriptions() -> QuerySet[Subscription]:
    found = Subscription.objects.filter(customer__user_id=slot(Customer, "user"), plan__isnull=False)
    return found.select_related("plan")


_NEWEST_GRANT = PreparedQuery(_running_grants)
_SUBSCRIPTIONS = PreparedQuery(_known_subscriptions)
_DEFAULT_PLAN = PreparedQuery(lambda: Plan.objects.filter(is_default=True).order_by())


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStanding:
    """The plan that counts now and how it came about.

    `subscription` is the one that counts or, when none gives a plan, the newest one; `until` belongs to the
    stage (see billing.life_cycle.Standing).
    """

    plan: Plan
    stage: Stage
    until: datetime | None = None
    grant: PlanGrant | None = None
    subscription: Subscription | None = None

    def limit(self, feature: Feature) -> int | None:
        """Return how many of a feature the plan gives: None without limit."""
        return limit_in(self.plan.entitlements, feature)

    @property
    def is_reduce_only(self) -> bool:
        """Whether a plan with live trading was lost, so that live accounts can only be reduced."""
        lost = self.subscription is not None and self.subscription.plan
        return bool(
            lost
            and gives(lost.entitlements, Feature.LIVE_TRADING)
            and not gives(self.plan.entitlements, Feature.LIVE_TRADING)
        )


def state_of(subscription: Subscription) -> SubscriptionState:
    """Return what decides about a stored subscription."""
    return SubscriptionState(
        status=subscription.status,
        current_period_end=subscription.current_period_end,
        trial_end=subscription.trial_end,
        ends_at=subscription.ends_at,
        ended_at=subscription.ended_at,
        past_due_since=subscription.past_due_since,
        ended_by_failed_payment=subscription.ended_by_failed_payment,
        is_refunded=subscription.is_refunded,
        is_disputed=subscription.is_disputed,
    )


def plan_standing(user: User, *, now: datetime | None = None) -> PlanStanding:
    """Return which plan counts for a person: the newest running grant, else their best subscription that
    gives one, else the default plan.
    """
    now = now or utc_now()
    grant = _NEWEST_GRANT.first(user=user.pk, now=now)
    if grant is not None:
        return PlanStanding(plan=grant.plan, stage=Stage.GRANTED, until=grant.ends_at, grant=grant)
    counted = _best(_SUBSCRIPTIONS.all(user=user.pk), now)
    if counted is None or counted.plan is None:
        return PlanStanding(plan=default_plan(), stage=Stage.NONE)
    standing = standing_of(state_of(counted), now)
    return PlanStanding(
        plan=counted.plan if standing.gives_plan else default_plan(),
        stage=standing.stage,
        until=standing.until,
        subscription=counted,
    )


def has_subscription(user: User) -> bool:
    """Say whether the person has or had a subscription to one of our plans."""
    return Subscription.objects.filter(customer__user=user, plan__isnull=False).exists()


def default_plan() -> Plan:
    """Return the plan of everybody who has no other."""
    plan = _DEFAULT_PLAN.first()
    if plan is None:
        raise Plan.DoesNotExist("There is no default plan.")
    return plan


def _best(subscriptions: Iterable[Subscription], now: datetime) -> Subscription | None:
    """Return the subscription that counts: giving before not, then the greater plan, then the newer."""

    def worth(one: Subscription) -> tuple[bool, int, datetime]:
        is_giving = standing_of(state_of(one), now).gives_plan
        return is_giving, one.plan.position if is_giving and one.plan else 0, one.created_at

    return max(subscriptions, key=worth, default=None)


def plan_for(user: User) -> Plan:
    """Return the plan that counts for a person now."""
    return plan_standing(user).plan


def has_feature(user: User, feature: Feature) -> bool:
    """Say whether the person's plan includes a feature; a number counts as yes above zero."""
    return gives(plan_for(user).entitlements, feature)


def feature_limit(user: User, feature: Feature) -> int | None:
    """Return how many of a feature the plan gives: None without limit, 0 or 1 for a yes-or-no feature."""
    return limit_in(plan_for(user).entitlements, feature)


def public_plans() -> list[Plan]:
    """Return the plans of the pricing page in their order."""
    return list(Plan.objects.filter(is_public=True))


def plans_with(feature: Feature, *, used: int = 0) -> list[Plan]:
    """Return the public plans that give a feature of which `used` are taken already."""
    return [plan for plan in public_plans() if gives(plan.entitlements, feature, used=used)]


def count_people_by_plan() -> list[tuple[Plan, int]]:
    """Return every plan with the number of people who have it, in the plans' order."""
    now = utc_now()
    running = Q(starts_at__lte=now) & (Q(ends_at=None) | Q(ends_at__gt=now))
    granted = PlanGrant.objects.filter(running, user=OuterRef("pk")).order_by("-starts_at").values("plan")[:1]
    paid = Subscription.objects.filter(
        customer__user=OuterRef("pk"), plan__isnull=False, stage__in=[stage.value for stage in GIVING]
    )
    best = paid.order_by("-plan__position").values("plan")[:1]
    people = User.objects.filter(is_active=True, closed_at=None)
    counts = dict(
        people.annotate(given=Coalesce(Subquery(granted), Subquery(best)))
        .order_by()
        .values_list("given")
        .annotate(number=Count("pk"))
    )
    without = counts.get(None, 0)
    return [
        (plan, counts.get(plan.pk, 0) + (without if plan.is_default else 0)) for plan in Plan.objects.all()
    ]
