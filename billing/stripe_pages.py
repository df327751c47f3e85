"""Which pages of Stripe people are sent to: what the browser may be led to, and from where."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from billing import stripe_client

View = Callable[..., HttpResponse]

_STRIPE = "https://api.stripe.com"
_STRIPE_PAGES = ("https://checkout.stripe.com", "https://billing.stripe.com")


def stripe_origins() -> tuple[str, ...]:
    """Return the origins of Stripe's own pages; of the server that stands in for it, if one does.

    None when this installation takes no payments.
    """
    if not stripe_client.is_configured():
        return ()
    address = settings.STRIPE_API_URL
    return _STRIPE_PAGES if address == _STRIPE else (_origin(address),)


def is_stripe_page(address: str) -> bool:
    """Say whether an address is one of Stripe's own pages."""
    return _origin(address) in stripe_origins()


def allow_stripe_pages(view: View) -> View:
    """Decorate a page with a form that leads to Stripe: only its answer's policy names Stripe's hosts."""

    @wraps(view)
    def allowing(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        if origins := stripe_origins():
            response._csp_update = {"form-action": list(origins)}  # type: ignore[attr-defined]
        return response

    return allowing


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
