"""The buttons of an order that waits for approval. With real money, approving needs the second factor."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from billing.access import PlanRequired
from orders.exceptions import ConfirmationRequired
from orders.models import Order
from orders.services.approve import approve_order, reject_order
from orders.views.approval import approval_context
from orders.views.common import factor_wanted, find_order, person
from tradeplatform.common.exceptions import PlatformError


@login_required
@require_POST
def approve(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Approve the hash that the page showed, and go back to the order."""
    order = find_order(request, order_id)
    if (wanted := factor_wanted(request, order.account)) is not None:
        return wanted
    try:
        approve_order(
            user=person(request),
            order_id=order.pk,
            order_hash=request.POST.get("order_hash", ""),
            approval_id=_approval_id(request),
            confirm=frozenset(request.POST.getlist("confirm")),
        )
    except ConfirmationRequired as question:
        return _ask(request, order, question)
    except PlanRequired:
        # Has a page of its own, which leads to the plans.
        raise
    except PlatformError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "Approved. The order goes out now; this page follows it by itself.")
    return redirect("orders:detail", order.pk)


@login_required
@require_POST
def reject(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Reject the hash that the page showed; the order is withdrawn."""
    order = find_order(request, order_id)
    try:
        reject_order(user=person(request), order_id=order.pk, order_hash=request.POST.get("order_hash", ""))
    except PlatformError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"The {order.symbol} order is rejected. Nothing was sent; no money moved.")
    return redirect("orders:detail", order.pk)


def _approval_id(request: HttpRequest) -> UUID | None:
    try:
        return UUID(request.POST.get("approval", ""))
    except ValueError:
        return None


def _ask(request: HttpRequest, order: Order, question: ConfirmationRequired) -> HttpResponse:
    findings = question.details["findings"]
    asked = [finding for finding in findings if finding["severity"] == "soft" and not finding["confirmed"]]
    already = [finding for finding in findings if finding["severity"] == "soft" and finding["confirmed"]]
    context = {**approval_context(order), "asked": asked + already}
    return render(request, "orders/approve.html", context, status=question.http_status)
