"""A person's invoices, read from Stripe and kept for a minute. Stripe away is not an error of the page."""

from django.core.cache import cache

from billing import stripe_client
from billing.models import Customer
from billing.stripe_objects import InvoiceLine
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.models import User

_KEPT_SECONDS = 60


def invoices_of(user: User) -> list[InvoiceLine] | None:
    """Return the person's invoices, newest first; None when Stripe cannot be asked now."""
    customer = Customer.objects.filter(user=user).exclude(stripe_id=None).first()
    if customer is None or customer.stripe_id is None or not stripe_client.is_configured():
        return []
    key = f"billing-invoices-{customer.pk}"
    kept: list[InvoiceLine] | None = cache.get(key)
    if kept is not None:
        return kept
    try:
        found = stripe_client.list_invoices(customer.stripe_id)
    except PlatformError:
        return None
    cache.set(key, found, _KEPT_SECONDS)
    return found


def forget_invoices(customer_id: int) -> None:
    """Read a customer's invoices anew at the next look: something happened at Stripe."""
    cache.delete(f"billing-invoices-{customer_id}")
