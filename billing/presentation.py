"""Plans and where a person stands, in the words of the pages."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing import stripe_client
from billing.life_cycle import Stage
from billing.models import Plan
from billing.selectors import PlanStanding, plan_standing, public_plans
from billing.services.checkout import running_subscriptions
from tradeplatform.models import User

STILL_WORKS = (
    "Cancelling orders and closing or reducing positions, live accounts included",
    "Protective orders that exist: they keep firing",
    "Paper trading, your book, imports and exports",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingView:
    """Where a person stands. `until` is shown as a time where the text has a place for it."""

    plan: Plan
    stage: Stage
    label: str
    tone: str
    text: str
    until: datetime | None = None
    until_label: str = ""
    lost_plan: str = ""
    is_reduce_only: bool = False
    price: Decimal | None = None
    currency: str = ""
    interval: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    label: str
    tone: str
    text: str
    until_label: str = ""


_REDUCE_ONLY = (
    "Positions in live accounts can be closed and orders cancelled; nothing new is opened there. Nothing is "
    "sold for you."
)
_WORDS = {
    Stage.GRANTED: _Words(
        label="Granted",
        tone="info",
        text="An administrator gave you this plan. You are not charged for it.",
        until_label="Runs until",
    ),
    Stage.TRIAL: _Words(
        label="Trial",
        tone="info",
        text="Nothing is charged before the trial ends. Cancel before that and nothing ever is.",
        until_label="Trial ends",
    ),
    Stage.ACTIVE: _Words(
        label="Active", tone="good", text="Paid. It renews by itself until you cancel.", until_label="Renews"
    ),
    Stage.ENDING: _Words(
        label="Canceled",
        tone="warn",
        text="You keep everything in it until the end of what is paid. Afterwards live accounts can only be "
        "reduced; you can take the cancellation back under Manage until then.",
        until_label="Ends",
    ),
    Stage.PAST_DUE: _Words(
        label="Payment failed",
        tone="warn",
        text="Your plan goes on for 72 hours. Pay or change your card under Manage; afterwards live accounts "
        "can only be reduced.",
        until_label="Goes on until",
    ),
    Stage.LAPSED: _Words(
        label="Lapsed", tone="bad", text=f"A payment failed and was not made good in time. {_REDUCE_ONLY}"
    ),
    Stage.CANCELED: _Words(label="Ended", tone="", text=f"Your subscription has ended. {_REDUCE_ONLY}"),
    Stage.REFUNDED: _Words(
        label="Refunded",
        tone="warn",
        text=f"Your payment was returned, so the plan has ended. {_REDUCE_ONLY}",
    ),
    Stage.DISPUTED: _Words(
        label="Payment disputed",
        tone="bad",
        text=f"Your bank has been asked to take the payment back, so the plan is on hold. {_REDUCE_ONLY}",
    ),
    Stage.INCOMPLETE: _Words(
        label="Not complete", tone="warn", text="The first payment has not been made, so nothing has started."
    ),
    Stage.NONE: _Words(label="", tone="", text="You have this plan for as long as you like, without paying."),
}


def standing_view(standing: PlanStanding) -> StandingView:
    """Return where a person stands, ready for a page."""
    words = _WORDS[standing.stage]
    subscription = standing.subscription
    lost = subscription.plan if subscription and subscription.plan_id != standing.plan.pk else None
    return StandingView(
        plan=standing.plan,
        stage=standing.stage,
        label=words.label,
        tone=words.tone,
        text=words.text,
        until=standing.until if words.until_label else None,
        until_label=words.until_label,
        lost_plan=lost.name if lost else "",
        is_reduce_only=standing.is_reduce_only,
        price=subscription.amount if subscription else None,
        currency=subscription.currency if subscription else "",
        interval=subscription.interval if subscription else "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A plan on a page: its price for the chosen interval and what a person can do about it.

    `action` is one of: current, buy, manage, sign_up, ask (an administrator), none.
    """

    plan: Plan
    price: Decimal
    per: str
    saving: str
    action: str
    trial_days: int


def plan_offers(user: User | None, *, interval: str) -> list[Offer]:
    """Return the public plans as this person (None: not signed in) can have them."""
    standing = plan_standing(user) if user else None
    has_running = bool(user and running_subscriptions(user))
    had_any = bool(standing and standing.subscription)
    return [
        Offer(
            plan=plan,
            price=plan.yearly_price if interval == "year" else plan.monthly_price,
            per="a year" if interval == "year" else "a month",
            saving=_saving(plan) if interval == "year" else "",
            action=_action(plan, standing, has_running=has_running),
            trial_days=0 if had_any else plan.trial_days,
        )
        for plan in public_plans()
    ]


def _action(plan: Plan, standing: PlanStanding | None, *, has_running: bool) -> str:
    if standing is None:
        return "sign_up"
    if plan.pk == standing.plan.pk:
        return "current"
    if standing.stage is Stage.GRANTED:
        # A grant counts whatever is paid: nobody should pay for nothing.
        return "none"
    if plan.is_default:
        return "manage" if has_running else "none"
    if not stripe_client.is_configured():
        return "ask"
    return "manage" if has_running else "buy"


def _saving(plan: Plan) -> str:
    """Say how many months a year costs, where that is a whole number below twelve."""
    if not plan.monthly_price or plan.yearly_price % plan.monthly_price:
        return ""
    months = int(plan.yearly_price / plan.monthly_price)
    return f"{12 - months} months free" if months < 12 else ""
