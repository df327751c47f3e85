"""The billing pages. Paying, changing and cancelling happen at Stripe; these lead there and back."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from billing import stripe_client
from billing.invoices import invoices_of
from billing.models import Customer
from billing.presentation import STILL_WORKS, plan_offers, standing_view
from billing.selectors import plan_standing
from billing.services.checkout import (
    open_portal,
    refresh_from_stripe,
    running_subscriptions,
    start_checkout,
)
from billing.stripe_pages import allow_stripe_pages, is_stripe_page
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.models import User

# How long a returning person waits for Stripe's event before we ask Stripe ourselves, and how often.
_ASK_AFTER_LOOKS = 3
_ASK_EVERY_SECONDS = 5
_MAX_LOOKS = 60


def _user(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]


@login_required
@never_cache
@require_GET
@allow_stripe_pages
def overview(request: HttpRequest) -> HttpResponse:
    """Show the person's plan, until when, what it gives, how to change it, and what a lapse means."""
    user = _user(request)
    interval = "year" if request.GET.get("interval") == "year" else "month"
    context = {
        **_status(user),
        "offers": plan_offers(user, interval=interval),
        "interval": interval,
        "still_works": STILL_WORKS,
        "is_open_for_payments": stripe_client.is_configured(),
    }
    return render(request, "billing/overview.html", context)


@login_required
@never_cache
@require_GET
@allow_stripe_pages
def status_panel(request: HttpRequest) -> HttpResponse:
    """The part of the billing page that a live event fetches again."""
    return render(request, "billing/_status.html", _status(_user(request)))


def _status(user: User) -> dict[str, Any]:
    return {
        "standing": standing_view(plan_standing(user)),
        "is_customer": Customer.objects.filter(user=user).exclude(stripe_id=None).exists(),
        "running": running_subscriptions(user),
        "is_open_for_payments": stripe_client.is_configured(),
    }


@login_required
@never_cache
@require_GET
def invoices_panel(request: HttpRequest) -> HttpResponse:
    """The list of invoices, apart from the page so that a slow Stripe does not hold it up."""
    found = invoices_of(_user(request))
    return render(request, "billing/_invoices.html", {"invoices": found, "is_unavailable": found is None})


@login_required
@require_POST
@allow_stripe_pages
def checkout(request: HttpRequest) -> HttpResponse:
    """Lead to the page at Stripe where the chosen plan is paid."""
    try:
        address = start_checkout(
            user=_user(request),
            plan_key=request.POST.get("plan", ""),
            interval=request.POST.get("interval", ""),
        )
    except PlatformError as error:
        messages.error(request, error.message)
        return redirect("billing:overview")
    return _to_stripe(request, address)


@login_required
@require_POST
@allow_stripe_pages
def portal(request: HttpRequest) -> HttpResponse:
    """Lead to the page at Stripe where a subscription is changed, cancelled or its card replaced."""
    try:
        address = open_portal(user=_user(request))
    except PlatformError as error:
        messages.error(request, error.message)
        return redirect("billing:overview")
    return _to_stripe(request, address)


def _to_stripe(request: HttpRequest, address: str) -> HttpResponse:
    """Leave for Stripe, and for nowhere else: an answer that names another site is not followed."""
    if not is_stripe_page(address):
        messages.error(request, "Stripe named a page that is not its own. Nothing was charged.")
        return redirect("billing:overview")
    return HttpResponseRedirect(address)


@login_required
@never_cache
@require_GET
def done(request: HttpRequest) -> HttpResponse:
    """Where Stripe sends people back to. The plan starts with Stripe's event, usually within two seconds.

    The page looks again until it has; after a few looks it asks Stripe itself, should the event be late.
    """
    user = _user(request)
    looks = _looks(request)
    if looks >= _ASK_AFTER_LOOKS and cache.add(f"billing-look-{user.pk}", 1, _ASK_EVERY_SECONDS):
        _ask_stripe(user)
    standing = plan_standing(user)
    context = {
        "standing": standing_view(standing),
        "is_started": standing.subscription is not None and standing.plan.pk == standing.subscription.plan_id,
        "next_look": looks + 1,
        "is_waiting": looks < _MAX_LOOKS,
        "demo_mode": settings.DEMO_MODE,
    }
    template = "billing/_done.html" if request.headers.get("HX-Request") else "billing/done.html"
    return render(request, template, context)


def _looks(request: HttpRequest) -> int:
    text = request.GET.get("look", "0")
    return min(int(text), _MAX_LOOKS) if text.isdigit() else 0


def _ask_stripe(user: User) -> None:
    try:
        refresh_from_stripe(user=user)
    except PlatformError:
        # Stripe is away at the moment; the page goes on waiting for its event and says so.
        return
