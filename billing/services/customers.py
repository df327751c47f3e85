"""Taking over what Stripe says about a customer, and what follows from it.

Stripe is asked first, outside any transaction. Then, under the lock of the customer's row, the answer is
stored unless a newer look has been stored meanwhile. So it does not matter in which order events arrive.
"""

from datetime import datetime

import structlog
from django.db import transaction

from billing import stripe_client
from billing.exceptions import StripeObjectMissing
from billing.invoices import forget_invoices
from billing.life_cycle import Stage, notices_due, standing_of
from billing.models import Customer, Plan, Subscription
from billing.selectors import plan_standing, state_of
from billing.services.notices import add_notice
from billing.stripe_objects import SubscriptionReport
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.events import publish_event

logger = structlog.get_logger(__name__)

ACTOR = "system:billing"
EVENT_KIND = "plan"


def sync_customer(*, stripe_id: str) -> Customer | None:
    """Read a customer's subscriptions from Stripe and store them; None when the customer is not ours.

    Raises StripeUnavailable or StripeRefused; nothing is changed then.
    """
    customer = Customer.objects.filter(stripe_id=stripe_id).first()
    if customer is None:
        return None
    number = _number_this_look(customer.pk)
    reports = _read(customer, stripe_id)
    stored = store_reports(customer_id=customer.pk, number=number, reports=reports)
    forget_invoices(customer.pk)
    return stored


def _read(customer: Customer, stripe_id: str) -> list[SubscriptionReport]:
    """Ask for all of the customer's subscriptions; of a customer deleted at Stripe, for each that we know.

    A key of another Stripe account finds neither. That raises, and takes nobody's plan away.
    """
    try:
        return stripe_client.read_customer(stripe_id)
    except StripeObjectMissing:
        known = list(customer.subscriptions.values_list("stripe_id", flat=True))
        if not known:
            raise
        return [stripe_client.read_subscription_alone(one) for one in known]


def _number_this_look(customer_id: int) -> int:
    with transaction.atomic():
        customer = Customer.objects.select_for_update().get(pk=customer_id)
        customer.fetch_started += 1
        customer.save(update_fields=["fetch_started"])
    return customer.fetch_started


def store_reports(*, customer_id: int, number: int, reports: list[SubscriptionReport]) -> Customer:
    """Store one look at Stripe, unless a later one is stored already."""
    with transaction.atomic():
        customer = Customer.objects.select_for_update().select_related("user").get(pk=customer_id)
        if customer.fetch_stored > number:
            return customer
        now = utc_now()
        plans = {plan.key: plan for plan in Plan.objects.all()}
        for report in reports:
            _store(customer, report, plans.get(report.plan_key), now)
        _end_missing(customer, {report.stripe_id for report in reports}, now)
        customer.fetch_stored = number
        customer.synced_at = now
        customer.save(update_fields=["fetch_stored", "synced_at"])
        _settle_locked(customer, now)
    return customer


def _store(customer: Customer, report: SubscriptionReport, plan: Plan | None, now: datetime) -> None:
    if plan is None:
        logger.warning("subscription_of_no_plan", subscription=report.stripe_id, price=report.price_id)
    state = report.state
    Subscription.objects.update_or_create(
        stripe_id=report.stripe_id,
        defaults={
            "customer": customer,
            "plan": plan,
            "price_id": report.price_id,
            "interval": report.interval,
            "amount": report.amount,
            "currency": report.currency,
            "status": state.status,
            "current_period_end": state.current_period_end,
            "trial_end": state.trial_end,
            "ends_at": state.ends_at,
            "ended_at": state.ended_at,
            "past_due_since": state.past_due_since,
            "ended_by_failed_payment": state.ended_by_failed_payment,
            "is_refunded": state.is_refunded,
            "is_disputed": state.is_disputed,
            "latest_invoice_id": report.latest_invoice_id,
            "created_at": report.created_at,
            "synced_at": now,
        },
    )


def _end_missing(customer: Customer, known: set[str], now: datetime) -> None:
    """End what Stripe no longer has at all: it keeps ended subscriptions, so these were deleted there."""
    gone = customer.subscriptions.filter(ended_at=None).exclude(stripe_id__in=known)
    gone.update(status="canceled", ended_at=now, synced_at=now)


def settle_customer(*, customer_id: int) -> None:
    """Note what time alone has changed about a customer's subscriptions: grace over, period over."""
    with transaction.atomic():
        customer = Customer.objects.select_for_update().select_related("user").get(pk=customer_id)
        _settle_locked(customer, utc_now())


def _settle_locked(customer: Customer, now: datetime) -> None:
    """Note new stages with their audit rows and the e-mails that they owe, and tell open pages last."""
    changed = [one for one in customer.subscriptions.select_related("plan") if _settle(customer, one, now)]
    if not changed:
        return
    standing = plan_standing(customer.user, now=now)
    publish_event(
        user_id=customer.user_id,
        kind=EVENT_KIND,
        payload={
            "plan": standing.plan.key,
            "stage": standing.stage.value,
            "until": standing.until.isoformat() if standing.until else None,
        },
    )


def _settle(customer: Customer, subscription: Subscription, now: datetime) -> bool:
    standing = standing_of(state_of(subscription), now)
    before = Stage(subscription.stage) if subscription.stage else None
    for kind in notices_due(before, standing, now):
        add_notice(subscription=subscription, user_id=customer.user_id, kind=kind, until=standing.until)
    if standing.stage == before:
        return False
    Subscription.objects.filter(pk=subscription.pk).update(stage=standing.stage.value)
    record_audit(
        actor=ACTOR,
        action="plan_stage_changed",
        object_type="user",
        object_id=customer.user_id,
        data={
            "subscription": subscription.stripe_id,
            "plan": subscription.plan.key if subscription.plan else "",
            "before": before.value if before else "",
            "after": standing.stage.value,
        },
    )
    return True


def settle_all() -> int:
    """Look at every subscription that is not over; return for how many customers time has brought news."""
    now = utc_now()
    running = Subscription.objects.exclude(stage__in=_RESTING)
    customers = sorted({one.customer_id for one in running.iterator() if _may_be_news(one, now)})
    for customer_id in customers:
        settle_customer(customer_id=customer_id)
    return len(customers)


def _may_be_news(subscription: Subscription, now: datetime) -> bool:
    standing = standing_of(state_of(subscription), now)
    before = Stage(subscription.stage) if subscription.stage else None
    return standing.stage != before or any(notices_due(before, standing, now))


# Time alone changes nothing about these; Stripe may, and then tells.
_RESTING = [stage.value for stage in (Stage.CANCELED, Stage.REFUNDED, Stage.INCOMPLETE)]
