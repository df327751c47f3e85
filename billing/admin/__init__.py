"""Plans, grants, subscriptions and Stripe's events in the admin: thin shells over the services."""

from billing.admin.payments import (
    CustomerAdmin,
    StripeDifferenceAdmin,
    StripeEventAdmin,
    SubscriptionAdmin,
)
from billing.admin.plans import PlanAdmin, PlanGrantAdmin

__all__ = [
    "CustomerAdmin",
    "PlanAdmin",
    "PlanGrantAdmin",
    "StripeDifferenceAdmin",
    "StripeEventAdmin",
    "SubscriptionAdmin",
]
