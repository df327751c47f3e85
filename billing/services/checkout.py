"""The ways to Stripe's own pages: paying for a plan, changing or cancelling it, ending it for good.

Card data is typed at Stripe and never reaches us. What a page at Stripe led to is learned from Stripe itself.
"""

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from billing import stripe_client
from billing.exceptions import PaymentsNotConfigured, PriceMissing, StripeObjectMissing
from billing.life_cycle import Stage
from billing.models import Customer, Plan, Subscription
from billing.selectors import plan_standing
from billing.services.catalogue import sync_plans_to_stripe
from billing.services.customers import ACTOR, sync_customer
from billing.stripe_objects import INTERVALS, lookup_key_for, smallest_units
from tradeplatform.common.audit import record_audit
from tradeplatform.common.exceptions import ConflictError, InvalidRequest, NotFoundError
from tradeplatform.models import User

_OVER = ("canceled", "incomplete_expired")


def start_checkout(*, user: User, plan_key: str, interval: str) -> str:
    """Return the address of the page at Stripe where this person pays for a plan.

    Raises PaymentsNotConfigured, NotFoundError, InvalidRequest, ConflictError (`plan_granted`: paying would
    change nothing; `already_subscribed`: a running subscription is changed, not doubled), StripeUnavailable
    or StripeRefused.
    """
    _check_configured()
    plan = _sellable(plan_key, interval)
    if plan_standing(user).stage is Stage.GRANTED:
        raise ConflictError(
            "An administrator gave you a plan, which counts whatever you pay. Nothing was charged. Ask the "
            "administrator to end it first.",
            code="plan_granted",
        )
    customer_id = ensure_customer(user=user)
    sync_customer(stripe_id=customer_id)
    if running_subscriptions(user):
        raise ConflictError(
            "You have a subscription already, so no second one was started and nothing was charged. Change "
            "or cancel the one you have under Manage.",
            code="already_subscribed",
        )
    try:
        page = _open_page(user, customer_id, plan, interval)
    except PriceMissing:
        # The first sale of a new installation, or a plan that was edited a moment ago.
        sync_plans_to_stripe()
        page = _open_page(user, customer_id, plan, interval)
    record_audit(
        actor=user.email,
        action="checkout_started",
        object_type="user",
        object_id=user.pk,
        data={"plan": plan.key, "interval": interval},
    )
    return page.url


def _open_page(user: User, customer_id: str, plan: Plan, interval: str) -> stripe_client.CheckoutPage:
    price = plan.yearly_price if interval == "year" else plan.monthly_price
    return stripe_client.create_checkout(
        customer_id=customer_id,
        lookup_key=lookup_key_for(plan.key, interval),
        unit_amount=smallest_units(price, plan.currency),
        trial_days=0 if _had_subscription(user) else plan.trial_days,
        reference=str(user.pk),
        success_url=f"{settings.SITE_URL}{reverse('billing:done')}?session_id={{CHECKOUT_SESSION_ID}}",
        cancel_url=f"{settings.SITE_URL}{reverse('billing:overview')}",
    )


def open_portal(*, user: User) -> str:
    """Return the address of the page at Stripe where this person changes, cancels or pays.

    Raises PaymentsNotConfigured, NotFoundError (never a customer), StripeUnavailable or StripeRefused.
    """
    _check_configured()
    customer = Customer.objects.filter(user=user).exclude(stripe_id=None).first()
    if customer is None or customer.stripe_id is None:
        raise NotFoundError("There is nothing to manage yet: you have never had a subscription here.")
    return stripe_client.create_portal(
        customer_id=customer.stripe_id,
        return_url=f"{settings.SITE_URL}{reverse('billing:overview')}",
    )


def refresh_from_stripe(*, user: User) -> None:
    """Read this person's subscriptions from Stripe now, without waiting for its event."""
    customer = Customer.objects.filter(user=user).exclude(stripe_id=None).first()
    if customer is not None and customer.stripe_id is not None:
        sync_customer(stripe_id=customer.stripe_id)


def end_subscriptions(*, user: User) -> int:
    """End every running subscription of a person at once, for the closing of their account.

    Returns how many were ended. Raises StripeUnavailable or StripeRefused: then some may still run.
    """
    running = running_subscriptions(user)
    for subscription in running:
        try:
            stripe_client.cancel_now(subscription.stripe_id)
        except StripeObjectMissing:
            continue
    if running:
        refresh_from_stripe(user=user)
    return len(running)


def running_subscriptions(user: User) -> list[Subscription]:
    """Return the subscriptions that Stripe still bills or would bill."""
    return list(
        Subscription.objects.filter(customer__user=user, ended_at=None)
        .exclude(status__in=_OVER)
        .exclude(status="incomplete")
        .select_related("plan")
    )


def ensure_customer(*, user: User) -> str:
    """Return the person's customer id at Stripe, creating the customer if there is none.

    Two at once create one: Stripe gives the same customer for the same reference.
    """
    customer, _ = Customer.objects.get_or_create(user=user)
    if customer.stripe_id:
        return customer.stripe_id
    stripe_id = stripe_client.create_customer(email=user.email, reference=str(customer.reference))
    with transaction.atomic():
        locked = Customer.objects.select_for_update().get(pk=customer.pk)
        if locked.stripe_id is None:
            locked.stripe_id = stripe_id
            locked.save(update_fields=["stripe_id"])
            record_audit(
                actor=ACTOR,
                action="customer_created",
                object_type="user",
                object_id=user.pk,
                data={"customer": stripe_id},
            )
    return locked.stripe_id


def _check_configured() -> None:
    if not stripe_client.is_configured():
        raise PaymentsNotConfigured(
            "This installation takes no payments. An administrator can give you a plan."
        )


def _sellable(plan_key: str, interval: str) -> Plan:
    plan = Plan.objects.filter(key=plan_key, is_public=True, is_default=False).first()
    if plan is None:
        raise NotFoundError("There is no such plan to buy.")
    if interval not in INTERVALS:
        message = "Choose monthly or yearly."
        raise InvalidRequest(message, fields={"interval": [message]})
    return plan


def _had_subscription(user: User) -> bool:
    """A trial is given once."""
    return Subscription.objects.filter(customer__user=user).exclude(status__startswith="incomplete").exists()
