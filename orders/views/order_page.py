"""One order: what it is, how far it got, why it was allowed, and what can still be done with it."""

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from brokers.enums import Environment
from brokers.registry import manager
from orders.enums import OrderStatus
from orders.exceptions import InvalidOrder
from orders.forms import ChangeForm
from orders.models import Order
from orders.presentation import (
    MESSAGES_SHOWN,
    broker_messages_of,
    can_change,
    check_rows,
    filled_percent,
    leg_label,
    notice_for,
    timeline_rows,
)
from orders.selectors import decision_of
from orders.services.cancel import cancel_order
from orders.services.preview import preview_replace
from orders.services.replace import replace_order
from orders.views.approval import approval_card
from orders.views.common import find_order, person, safe_next
from orders.views.ticket import panel_for
from orders.wire import request_of
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import PlatformError


@login_required
@require_GET
def detail(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """The order's page; live updates fetch its changing part alone."""
    order = find_order(request, order_id)
    is_part = bool(request.headers.get("HX-Request"))
    return render(request, "orders/_order.html" if is_part else "orders/detail.html", _context(order))


def _context(order: Order) -> dict[str, Any]:
    capabilities = manager.capabilities_of(order.account)
    decision = decision_of(order)
    checks = check_rows(decision)
    return {
        "order": order,
        "terms": request_of(order),
        "order_account": order.account,
        "currency": order.account.currency,
        "broker_name": capabilities.display_name,
        "is_live": order.account.environment == Environment.LIVE,
        "notice": notice_for(order),
        "approval_card": approval_card(order),
        "percent": filled_percent(order),
        "can_cancel": not order.is_closed and order.status != OrderStatus.PENDING_CANCEL,
        "can_change": can_change(order, capabilities),
        "executions": [(fill, fill.last_qty * fill.last_px) for fill in order.executions.all()],
        "legs": [(leg, leg_label(leg)) for leg in order.legs.order_by("created_at")],
        "leg_label": leg_label(order),
        "timeline": timeline_rows(order),
        "decision": decision,
        "checks": checks,
        "spoke_up": [check for check in checks if check.outcome in ("hard", "soft", "approval")],
        "not_checked": [check for check in checks if check.outcome == "not_checked"],
        "not_applicable": [check for check in checks if check.outcome == "not_applicable"],
        "passed_count": sum(check.outcome == "passed" for check in checks),
        "aliases": list(order.aliases.order_by("created_at")),
    }


@login_required
@require_GET
def broker_messages(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """What the broker said about the order, word for word."""
    order = find_order(request, order_id)
    rows = list(broker_messages_of(order)[: MESSAGES_SHOWN + 1])
    context = {
        "order": order,
        "rows": [(row, json.dumps(row.payload, indent=2, sort_keys=True)) for row in rows[:MESSAGES_SHOWN]],
        "has_more": len(rows) > MESSAGES_SHOWN,
        "shown": MESSAGES_SHOWN,
    }
    is_part = bool(request.headers.get("HX-Request"))
    return render(request, "orders/_messages.html" if is_part else "orders/messages.html", context)


@login_required
@require_POST
def cancel(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Ask for the cancellation and go back to where the button was."""
    order = find_order(request, order_id)
    try:
        order = cancel_order(user=person(request), order_id=order.pk)
    except PlatformError as error:
        messages.warning(request, error.message)
    else:
        messages.success(request, _cancel_answer(order))
    return redirect(safe_next(request, reverse("orders:detail", args=[order_id])))


def _cancel_answer(order: Order) -> str:
    match order.status:
        case OrderStatus.NOT_SENT:
            return f"The {order.symbol} order was withdrawn before it was sent. No money moved."
        case OrderStatus.UNCONFIRMED | OrderStatus.SUBMITTING:
            return (
                f"The {order.symbol} order will be canceled as soon as the broker is known to have it. Until "
                "then it may fill."
            )
        case _:
            return (
                f"Cancellation of the {order.symbol} order is requested. It can still fill until the broker "
                "confirms."
            )


@login_required
@require_GET
def change(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """The form for new terms."""
    order = find_order(request, order_id)
    capabilities = manager.capabilities_of(order.account)
    if not can_change(order, capabilities):
        messages.info(request, _why_not(order, capabilities.display_name, replaces=capabilities.replace))
        return redirect("orders:detail", order.pk)
    return _render_change(request, order, ChangeForm(order=order, capabilities=capabilities))


def _why_not(order: Order, broker_name: str, *, replaces: bool) -> str:
    if not replaces:
        return f"{broker_name} cannot change an order. Cancel it and place a new one."
    return f"This order is {order.get_status_display().lower()}, so it cannot be changed now."


def _render_change(
    request: HttpRequest,
    order: Order,
    form: ChangeForm,
    *,
    status: int = 200,
    findings: list[dict[str, Any]] | None = None,
) -> HttpResponse:
    context = {
        "order": order,
        "terms": request_of(order),
        "order_account": order.account,
        "broker_name": manager.capabilities_of(order.account).display_name,
        "is_live": order.account.environment == Environment.LIVE,
        "form": form,
        "findings": findings or [],
        "confirmed": request.POST.getlist("confirm"),
    }
    return render(request, "orders/change.html", context, status=status)


@login_required
@require_POST
def change_preview(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """What the change as typed would do, for the panel beside the form."""
    order = find_order(request, order_id)
    form = ChangeForm(request.POST, order=order, capabilities=manager.capabilities_of(order.account))
    context: dict[str, Any] = {"order_account": order.account, "form": form}
    if form.is_valid():
        try:
            shown = preview_replace(user=person(request), order_id=order.pk, changes=form.changes)
            context = {"panel": panel_for(shown), "order_account": order.account, "as_of": utc_now()}
        except PlatformError as error:
            context["problem"] = error.message
    return render(request, "orders/_preview.html", context)


@login_required
@require_POST
def replace(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """Ask the broker for the new terms; with a refusal, show the form again as typed."""
    order = find_order(request, order_id)
    form = ChangeForm(request.POST, order=order, capabilities=manager.capabilities_of(order.account))
    if not form.is_valid():
        return _render_change(request, order, form, status=422)
    confirm = frozenset(request.POST.getlist("confirm"))
    try:
        replace_order(user=person(request), order_id=order.pk, changes=form.changes, confirm=confirm)
    except InvalidOrder as error:
        form.add_order_errors(error)
        return _render_change(request, order, form, status=422)
    except PlatformError as error:
        findings = list(error.details.get("findings", []))
        if not findings:
            form.add_error(None, error.message)
        for finding in findings:
            if finding["severity"] == "hard":
                form.add_error(
                    finding["field"] if finding["field"] in form.fields else None, finding["message"]
                )
        asked = [finding for finding in findings if finding["severity"] == "soft"]
        return _render_change(request, order, form, status=error.http_status, findings=asked)
    messages.success(
        request, "The change is requested. Until the broker confirms, the order stands as it was."
    )
    return redirect("orders:detail", order.pk)
