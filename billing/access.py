"""The one question that services ask of a plan, and the one refusal that answers it."""

from django.conf import settings
from django.urls import reverse

from billing.entitlements import TEXTS, Feature, gives
from billing.life_cycle import Stage
from billing.selectors import PlanStanding, plan_standing, plans_with
from tradeplatform.common.exceptions import PermissionRefused
from tradeplatform.models import User

_WHY = {
    Stage.LAPSED: "Your {plan} plan has lapsed because a payment failed",
    Stage.CANCELED: "Your {plan} plan has ended",
    Stage.REFUNDED: "Your payment for {plan} was refunded, so the plan has ended",
    Stage.DISPUTED: "Your payment for {plan} is disputed at your bank, so the plan is on hold",
    Stage.INCOMPLETE: "The first payment for {plan} has not been made",
}


class PlanRequired(PermissionRefused, code="plan_required"):
    """The person's plan does not give what was asked for. `details` name the plans that do, and the page."""


def require_entitlement(
    *,
    user: User,
    feature: Feature,
    meaning: str,
    used: int = 0,
    standing: PlanStanding | None = None,
) -> None:
    """Refuse with PlanRequired unless the person's plan gives a feature now.

    `used` is how many of a counted feature are taken already. `meaning` is the sentence that tells what the
    refusal means for the caller's business ("Nothing was sent."). Callers that ask several questions read
    the `standing` once.
    """
    standing = standing or plan_standing(user)
    if not gives(standing.plan.entitlements, feature, used=used):
        raise _refusal(standing, feature, meaning, used)


def _refusal(standing: PlanStanding, feature: Feature, meaning: str, used: int) -> PlanRequired:
    plans = plans_with(feature, used=used)
    sentences = [
        f"{_why(standing)} does not include {TEXTS[feature].name}.",
        f"{_names([plan.name for plan in plans])} {'does' if len(plans) == 1 else 'do'}." if plans else "",
        meaning,
    ]
    return PlanRequired(
        " ".join(filter(None, sentences)),
        details={
            "feature": feature.value,
            "plan": standing.plan.key,
            "plans_with_it": [plan.key for plan in plans],
            "link": f"{settings.SITE_URL}{reverse('billing:overview')}",
        },
    )


def _why(standing: PlanStanding) -> str:
    """Begin the sentence: what became of the plan that was lost, if one was."""
    text = _WHY.get(standing.stage)
    lost = standing.subscription.plan if standing.subscription else None
    return f"{text.format(plan=lost.name)}, and your plan now" if text and lost else "Your plan"


def _names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
