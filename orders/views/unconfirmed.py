"""Orders whose outcome the machine could not find out, and the page where a person settles one."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from brokers.registry import manager
from orders.enums import OrderStatus, OutboxKind
from orders.forms import SettleForm
from orders.models import Order, OutboxMessage
from orders.presentation import timeline_rows
from orders.selectors import orders_for
from orders.services.settle import find_candidates, settle_unconfirmed
from orders.views.common import find_order, person
from orders.wire import request_of
from tradeplatform.common.exceptions import PlatformError


@login_required
@require_GET
def unconfirmed(request: HttpRequest) -> HttpResponse:
    """The person's unconfirmed orders, those that wait for them first."""
    found = orders_for(person(request)).filter(status=OrderStatus.UNCONFIRMED)
    orders = sorted(found, key=lambda order: (order.needs_person_at is None, order.created_at))
    return render(request, "orders/unconfirmed.html", {"orders": orders})


@login_required
@require_http_methods(["GET", "POST"])
def settle(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """What we know, what the broker says, the choices and what each of them does."""
    order = find_order(request, order_id)
    if order.status != OrderStatus.UNCONFIRMED:
        state = order.get_status_display().lower()
        messages.info(request, f"This order is {state}: nothing is left to settle.")
        return redirect("orders:detail", order.pk)
    form = SettleForm(request.POST or None)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            user = person(request)
            try:
                settled = settle_unconfirmed(
                    user=user, order_id=order.pk, choice=form.choice, actor=user.email
                )
                messages.success(request, _answer(settled))
                return redirect("orders:detail", order.pk)
            except PlatformError as error:
                form.add_error(None, error.message)
                status = error.http_status
    return render(request, "orders/settle.html", _context(request, order, form), status=status)


def _context(request: HttpRequest, order: Order, form: SettleForm) -> dict[str, Any]:
    candidates, problem = [], ""
    try:
        candidates = find_candidates(user=person(request), order_id=order.pk)
    except PlatformError as error:
        problem = error.message
    message = OutboxMessage.objects.filter(order=order, kind=OutboxKind.SUBMIT).order_by("-id").first()
    return {
        "order": order,
        "terms": request_of(order),
        "order_account": order.account,
        "currency": order.account.currency,
        "broker_name": manager.capabilities_of(order.account).display_name,
        "message": message,
        "timeline": timeline_rows(order),
        "candidates": candidates,
        "problem": problem,
        "form": form,
    }


def _answer(order: Order) -> str:
    if order.status == OrderStatus.NOT_SENT:
        return "The order is closed as never sent. What was set aside for it is free again."
    return "The broker's order is yours now, with everything that has filled. You can cancel it from here."
