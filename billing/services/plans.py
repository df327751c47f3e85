"""Creating and changing the plans, and giving them to people."""

from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from billing.entitlements import Feature, problems_in
from billing.models import Plan, PlanGrant
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import InvalidRequest, NotFoundError
from tradeplatform.models import User

LONGEST_TRIAL_DAYS = 365

_PLANS: tuple[dict[str, Any], ...] = (
    {
        "key": "free",
        "name": "Free",
        "tagline": "Practise with real prices and no money.",
        "monthly_price": Decimal(0),
        "yearly_price": Decimal(0),
        "is_default": True,
        "entitlements": {
            Feature.LIVE_TRADING: False,
            Feature.LINKED_BROKERS: 1,
            Feature.API_LIVE_TRADING: False,
        },
        "feature_lines": [
            "Practice account with $100,000 of play money",
            "One linked broker for paper trading",
            "Every check before an order, explained",
            "Portfolio, performance and imports",
            "API for paper trading",
        ],
    },
    {
        "key": "plus",
        "name": "Plus",
        "tagline": "Trade live through the broker you already have.",
        "monthly_price": Decimal(29),
        "yearly_price": Decimal(290),
        "trial_days": 14,
        "entitlements": {
            Feature.LIVE_TRADING: True,
            Feature.LINKED_BROKERS: 1,
            Feature.API_LIVE_TRADING: False,
        },
        "feature_lines": [
            "Everything in Free",
            "Live trading at one broker",
            "No fee per trade from us",
        ],
    },
    {
        "key": "pro",
        "name": "Pro",
        "tagline": "Several brokers, and live orders through the API.",
        "monthly_price": Decimal(99),
        "yearly_price": Decimal(990),
        "entitlements": {
            Feature.LIVE_TRADING: True,
            Feature.LINKED_BROKERS: None,
            Feature.API_LIVE_TRADING: True,
        },
        "feature_lines": [
            "Everything in Plus",
            "Live trading at any number of brokers",
            "Live orders through the API",
        ],
    },
)


def ensure_plans() -> int:
    """Create the plans that do not exist yet and return how many; existing ones are left as edited."""
    known = set(Plan.objects.values_list("key", flat=True))
    new = [
        Plan(position=position, **values)
        for position, values in enumerate(_PLANS)
        if values["key"] not in known
    ]
    Plan.objects.bulk_create(new)
    return len(new)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChanges:
    """A plan as an admin wants it."""

    name: str
    tagline: str
    monthly_price: Decimal
    yearly_price: Decimal
    trial_days: int
    entitlements: dict[str, Any]
    feature_lines: list[str]
    is_public: bool
    position: int


def update_plan(*, plan_key: str, changes: PlanChanges, actor: str) -> Plan:
    """Change a plan from now on, for everybody who has it; the change is on record with both sides.

    Prices count for new subscriptions. Raises NotFoundError or InvalidRequest.
    """
    _check_changes(changes)
    with transaction.atomic():
        plan = Plan.objects.select_for_update().filter(key=plan_key).first()
        if plan is None:
            raise NotFoundError(f"There is no plan {plan_key!r}.", code="plan_unknown")
        if plan.is_default and (changes.monthly_price or changes.yearly_price):
            raise InvalidRequest(
                "Everybody starts on this plan, so it costs nothing.",
                fields={"monthly_price": ["The plan that everybody starts on is free."]},
            )
        wanted = asdict(changes)
        altered = {
            name: {"before": str(getattr(plan, name)), "after": str(value)}
            for name, value in wanted.items()
            if getattr(plan, name) != value
        }
        if not altered:
            return plan
        for name, value in wanted.items():
            setattr(plan, name, value)
        plan.save()
        record_audit(actor=actor, action="plan_changed", object_type="plan", object_id=plan.key, data=altered)
    return plan


def _check_changes(changes: PlanChanges) -> None:
    problems: dict[str, list[str]] = {}
    if wrong := problems_in(changes.entitlements):
        problems["entitlements"] = wrong
    if not changes.name.strip():
        problems["name"] = ["Give the plan a name."]
    for name in ("monthly_price", "yearly_price"):
        value = getattr(changes, name)
        if value < 0 or value != value.quantize(Decimal("0.01")):
            problems[name] = ["An amount of whole cents, zero or more."]
    if bool(changes.monthly_price) != bool(changes.yearly_price):
        problems["yearly_price"] = ["Give both prices, or neither."]
    if not 0 <= changes.trial_days <= LONGEST_TRIAL_DAYS:
        problems["trial_days"] = [f"From 0 to {LONGEST_TRIAL_DAYS} days."]
    if not all(isinstance(line, str) and line.strip() for line in changes.feature_lines):
        problems["feature_lines"] = ["Each line is a sentence."]
    if problems:
        raise InvalidRequest("The plan was not changed.", fields=problems)


def end_grant(*, grant_id: int, actor: str) -> PlanGrant:
    """End a running grant now; one that has ended stays as it is. Raises NotFoundError."""
    with transaction.atomic():
        grant = PlanGrant.objects.select_for_update(of=("self",)).filter(pk=grant_id).first()
        if grant is None:
            raise NotFoundError("There is no such grant.")
        now = utc_now()
        if grant.ends_at is None or grant.ends_at > now:
            grant.ends_at = now
            grant.save(update_fields=["ends_at"])
            record_audit(
                actor=actor,
                action="plan_grant_ended",
                object_type="user",
                object_id=grant.user_id,
                data={"plan": grant.plan.key, "grant": grant.pk},
            )
    return grant


def grant_plan(
    *, user: User, plan_key: str, reason: str, granted_by: str, ends_at: datetime | None = None
) -> PlanGrant:
    """Give a person a plan from now on, with the reason on record; earlier grants stay as history."""
    plan = Plan.objects.filter(key=plan_key).first()
    if plan is None:
        raise NotFoundError(f"There is no plan {plan_key!r}.", code="plan_unknown")
    if not reason.strip():
        raise InvalidRequest("Give a reason for the plan.", fields={"reason": ["Give a reason."]})
    if ends_at is not None and ends_at <= utc_now():
        raise InvalidRequest("The end must be in the future.", fields={"ends_at": ["Choose a later time."]})
    with transaction.atomic():
        grant = PlanGrant.objects.create(
            user=user, plan=plan, reason=reason.strip()[:200], granted_by=granted_by, ends_at=ends_at
        )
        record_audit(
            actor=granted_by,
            action="plan_granted",
            object_type="user",
            object_id=user.pk,
            data={
                "plan": plan.key,
                "reason": grant.reason,
                "ends_at": ends_at.isoformat() if ends_at else None,
            },
        )
    return grant
