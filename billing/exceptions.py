"""What can go wrong between us and Stripe, sorted by what helps."""

from tradeplatform.common.exceptions import PlatformError


class PaymentsNotConfigured(PlatformError, code="payments_not_configured", status=404):
    """This installation takes no payments."""


class StripeUnavailable(PlatformError, code="stripe_unavailable", status=503):
    """Stripe did not answer, or not now: the same call may succeed later."""


class StripeRefused(PlatformError, code="stripe_refused", status=502):
    """Stripe refused the call: repeating it helps nobody. `code` says why if Stripe does."""


class StripeObjectMissing(StripeRefused, code="stripe_object_missing"):
    """Stripe knows no such object."""


class PriceMissing(StripeRefused, code="price_missing"):
    """The price of a plan is not at Stripe (yet)."""


class BadSignature(PlatformError, code="bad_signature", status=400):
    """A message that claims to be from Stripe is not, is too old, or was changed on its way."""
