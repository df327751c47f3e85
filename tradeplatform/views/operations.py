"""The operations dashboard, for staff. It reads and changes nothing."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_GET

from tradeplatform.common.clock import utc_now
from tradeplatform.models import Role, User
from tradeplatform.operations import DEFAULT_WINDOW, WINDOWS, read_operations

_TITLES = {"1h": "1 hour", "24h": "24 hours", "7d": "7 days"}


def may_see_operations(request: HttpRequest) -> bool:
    """Support staff, risk admins and admins may."""
    user = request.user
    return isinstance(user, User) and user.is_active and user.is_staff and user.role != Role.USER


@require_GET
def operations(request: HttpRequest) -> HttpResponse:
    """Show the figures of the chosen window; the page asks for the figures alone to stay fresh."""
    if not may_see_operations(request):
        raise PermissionDenied
    window = request.GET.get("window", DEFAULT_WINDOW)
    window = window if window in WINDOWS else DEFAULT_WINDOW
    figures = read_operations(window=WINDOWS[window], now=utc_now())
    context = {
        **admin.site.each_context(request),
        "title": "Operations",
        "is_fullwidth": "1",
        "figures": figures,
        "window": window,
        "window_title": _TITLES[window],
        "windows": _TITLES,
    }
    part = "HX-Request" in request.headers
    return TemplateResponse(request, "operations/_figures.html" if part else "operations/page.html", context)


dashboard = admin.site.admin_view(operations)
