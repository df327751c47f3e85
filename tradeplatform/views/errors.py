"""Answers when something goes wrong: pages for people, problem+json below /api/."""

import sys
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from billing.access import PlanRequired
from tradeplatform.common.api_errors import problem_json
from tradeplatform.common.database import note_unwritable
from tradeplatform.common.exceptions import PlatformError

_TEXTS = {
    400: ("bad_request", "Bad request", "The request could not be understood. Nothing was changed."),
    403: ("permission_refused", "Not allowed", "You may not do this. Nothing was changed."),
    404: ("not_found", "Not found", "There is nothing at this address, or it is not yours."),
    500: (
        "internal_error",
        "Something broke on our side",
        "Look at your orders before you repeat anything: an order you just placed may have been recorded. "
        "The page can be tried again safely.",
    ),
    503: (
        "database_unwritable",
        "Nothing can be stored right now",
        "The platform's database cannot be written, so nothing new is sent to any broker, exits included. "
        "What is open at your broker stays open. The stop button on the Risk page still works; to cancel or "
        "close something now, use your broker's own site or app.",
    ),
}
_OWN_PAGES = frozenset({403, 404, 500})


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form whose protection token is missing or old."""
    text = "This page was open for too long, or another site sent you here. Nothing was changed."
    if _is_api(request):
        return problem_json(status=403, code="csrf_failed", detail=text)
    return _page(request, 403, "Please load the page again", text)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer an error that nobody caught. A database that takes no writes has an answer of its own."""
    if note_unwritable(sys.exc_info()[1]):
        return _answer(request, 503)
    return _answer(request, 500)


def refused(request: HttpRequest, error: PlatformError) -> HttpResponse:
    """Answer a refusal that no view dealt with: its own sentence under its own status."""
    if _is_api(request):
        return problem_json(
            status=error.http_status, code=error.code, detail=error.message, extra=error.details
        )
    if isinstance(error, PlanRequired):
        return _page(request, error.http_status, "Your plan does not include this", error.message, plan=True)
    return _page(request, error.http_status, "This could not be done", error.message)


def _answer(request: HttpRequest, status: int) -> HttpResponse:
    code, title, text = _TEXTS[status]
    if _is_api(request):
        return problem_json(status=status, code=code, detail=text)
    if status in _OWN_PAGES:
        return render(request, f"{status}.html", status=status)
    return _page(request, status, title, text)


def _page(request: HttpRequest, status: int, title: str, text: str, *, plan: bool = False) -> HttpResponse:
    context: dict[str, Any] = {"error_title": title, "error_text": text, "error_status": status}
    context["needs_plan"] = plan
    return render(request, "errors/error.html", context, status=status)


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")
