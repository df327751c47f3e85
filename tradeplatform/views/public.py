"""Pages that everybody may see."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from billing.presentation import plan_offers
from billing.selectors import public_plans
from billing.stripe_client import is_configured
from billing.stripe_pages import allow_stripe_pages
from tradeplatform.common.clock import utc_now
from tradeplatform.common.disclosures import current_disclosures
from tradeplatform.common.heartbeats import read_components
from tradeplatform.mail import latest_mail
from tradeplatform.services.order_news import read_order_news

_SEVERITY = ("ok", "degraded", "down")


@require_GET
def landing(request: HttpRequest) -> HttpResponse:
    return render(request, "public/landing.html", {"plans": public_plans()})


@require_GET
@allow_stripe_pages
def pricing(request: HttpRequest) -> HttpResponse:
    interval = "year" if request.GET.get("interval") == "year" else "month"
    user = request.user if request.user.is_authenticated else None
    context = {
        "offers": plan_offers(user, interval=interval),
        "interval": interval,
        "is_open_for_payments": is_configured(),
    }
    return render(request, "public/pricing.html", context)


@require_GET
def disclosures(request: HttpRequest) -> HttpResponse:
    return render(request, "public/disclosures.html", {"disclosures": current_disclosures()})


@require_GET
def status(request: HttpRequest) -> HttpResponse:
    now = utc_now()
    order_news = read_order_news(now=now)
    components = read_components(now=now) + ([order_news] if order_news else [])
    overall = max((one.state for one in components), key=_SEVERITY.index)
    return render(request, "public/status.html", {"components": components, "overall": overall})


@require_GET
def demo_mail(request: HttpRequest) -> HttpResponse:
    """Show the mail that demo mode would have sent. Outside demo mode there is no such page."""
    if not settings.DEMO_MODE:
        raise Http404
    return render(request, "demo/mail.html", {"mails": latest_mail(settings.DEMO_MAIL_DIR)})
