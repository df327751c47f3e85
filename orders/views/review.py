"""The last look before an order goes out, and placing it exactly once."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from brokers.enums import Environment
from brokers.models import BrokerAccount
from brokers.registry import manager
from orders.enums import OrderOrigin, OrderStatus
from orders.exceptions import IdempotencyKeyReused
from orders.forms import TicketForm
from orders.models import Order
from orders.presentation import Notice, order_placed_under
from orders.review import DraftExpired, ReviewDraft, read_draft, sign_draft
from orders.services.place import place_order
from orders.services.preview import preview_order
from orders.views.common import address_of, factor_wanted, find_account, help_pages, person
from orders.views.ticket import panel_for, render_ticket, ticket_address
from risk.types import Finding, Severity
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import PlatformError

ALREADY_PLACED = "This order was placed already. It was not sent a second time."
ALREADY_REFUSED = "This order was refused earlier and was not sent. Its page says why."


@login_required
@require_GET
def review(request: HttpRequest) -> HttpResponse:
    """Say in one sentence what will be sent, what it costs at worst, and what has to be confirmed."""
    text = request.GET.get("order", "")
    try:
        draft = read_draft(person(request), text)
    except DraftExpired as expired:
        return _expired(request, expired)
    placed = order_placed_under(person(request), draft.key)
    return _lead_to(request, placed) if placed is not None else _render_review(request, draft, text)


def _lead_to(request: HttpRequest, order: Order) -> HttpResponse:
    """Lead to the order that a review has become already."""
    messages.info(request, ALREADY_REFUSED if order.status == OrderStatus.DENIED else ALREADY_PLACED)
    return redirect("orders:detail", order.pk)


def _expired(request: HttpRequest, expired: DraftExpired) -> HttpResponse:
    if expired.typed:
        messages.warning(
            request,
            "Your review was open for more than 15 minutes, so its figures are too old. Nothing was sent by "
            "it now. The ticket is as you filled it in; check Orders if you may have placed it before.",
        )
        return redirect(ticket_address(expired.typed))
    messages.error(request, "This review link cannot be read. Nothing was sent. Fill in the ticket again.")
    return redirect("orders:ticket")


def _render_review(
    request: HttpRequest,
    draft: ReviewDraft,
    text: str,
    *,
    status: int = 200,
    notice: Notice | None = None,
    confirmed: frozenset[str] = frozenset(),
) -> HttpResponse:
    account = find_account(request, draft.account_id)
    shown = preview_order(
        user=person(request), account_id=account.pk, request=draft.request, origin=OrderOrigin.PAGE
    )
    context = {
        "draft": draft,
        "draft_text": text,
        "order": draft.request,
        "order_account": account,
        "broker_name": manager.capabilities_of(account).display_name,
        "is_live": account.environment == Environment.LIVE,
        "panel": panel_for(shown),
        "notice": notice,
        "confirmed": confirmed,
        "edit_url": ticket_address(draft.typed),
        "as_of": utc_now(),
    }
    return render(request, "orders/review.html", context, status=status)


@login_required
@require_POST
def place(request: HttpRequest) -> HttpResponse:
    """Place a reviewed order and lead to its page; the same review placed again leads to the same order."""
    user, text = person(request), request.POST.get("order", "")
    try:
        draft = read_draft(user, text)
    except DraftExpired as expired:
        placed = order_placed_under(user, expired.key) if expired.key else None
        return _lead_to(request, placed) if placed else _expired(request, expired)
    account = find_account(request, draft.account_id)
    if (wanted := factor_wanted(request, account)) is not None:
        return wanted
    confirm = frozenset(request.POST.getlist("confirm"))
    try:
        result = place_order(
            user=user,
            account_id=account.pk,
            request=draft.request,
            idempotency_key=draft.key,
            origin=OrderOrigin.PAGE,
            confirm=confirm,
            note=draft.note,
        )
    except PlatformError as error:
        return _refused(request, draft, text, account, error, confirm)
    if result.replayed:
        messages.info(request, ALREADY_PLACED)
    else:
        messages.success(request, _placed_message(result.order))
    return redirect("orders:detail", result.order.pk)


def _placed_message(order: Order) -> str:
    if order.status == OrderStatus.PENDING_APPROVAL:
        return "Your order waits for your approval. Nothing has been sent; approve or reject it here."
    return "Your order is placed. This page follows it by itself."


def _refused(
    request: HttpRequest,
    draft: ReviewDraft,
    text: str,
    account: BrokerAccount,
    error: PlatformError,
    confirm: frozenset[str],
) -> HttpResponse:
    """Answer a refusal where it can be dealt with, with everything that was typed."""
    match error.code:
        case "order_denied":
            return _show_denial(request, draft, account, error)
        case "confirmation_required":
            messages.warning(
                request, "Please confirm what is asked below, then place the order. Nothing was sent yet."
            )
            return _review_again(request, draft)
        case IdempotencyKeyReused.default_code:
            return _settle_reused(request, draft)
        case _:
            notice = _notice_of(error)
            return _render_review(
                request, draft, text, status=error.http_status, notice=notice, confirmed=confirm
            )


def _review_again(request: HttpRequest, draft: ReviewDraft) -> HttpResponse:
    """Start a fresh review of the same order: a new key, because the old one has its answer."""
    fresh = sign_draft(
        user=person(request),
        account_id=draft.account_id,
        request=draft.request,
        note=draft.note,
        typed=draft.typed,
    )
    return redirect(f"{reverse('orders:review')}?order={fresh}")


def _settle_reused(request: HttpRequest, draft: ReviewDraft) -> HttpResponse:
    """The review was answered before with other confirmations: show the order, or review anew."""
    placed = order_placed_under(person(request), draft.key)
    if placed is not None:
        return _lead_to(request, placed)
    messages.warning(request, "This review was answered before. Nothing was sent. Please look once more.")
    return _review_again(request, draft)


_ACTIONS = {
    "plan_required": ("The order was not placed", "plans", "See plans"),
    "account_not_armed": ("The order was not placed", "brokers", "Arm it on the Brokers page"),
    "idempotency_in_progress": ("Your order is still being worked on", "orders", "Look at your orders"),
}


def _notice_of(error: PlatformError) -> Notice:
    title, page, link_text = _ACTIONS.get(error.code, ("The order was not placed", "", ""))
    pages = {**help_pages(), "orders": address_of("orders:list")}
    return Notice(tone="bad", title=title, text=error.message, link=pages.get(page, ""), link_text=link_text)


def _show_denial(
    request: HttpRequest, draft: ReviewDraft, account: BrokerAccount, error: PlatformError
) -> HttpResponse:
    """Show the ticket again with what the gate said at the moment of placing."""
    capabilities = manager.capabilities_of(account)
    form = TicketForm({**draft.typed, "account": account.pk}, account=account, capabilities=capabilities)
    findings = [_finding(document) for document in error.details.get("findings", [])]
    form.is_valid()
    refused = [finding for finding in findings if finding.severity is Severity.HARD]
    for finding in refused:
        form.add_error(form.field_for(finding.field) if finding.field else None, finding.message)
    order_id = str(error.details.get("order_id") or "")
    return render_ticket(request, form, account, status=422, denied_order_id=order_id)


def _finding(document: dict[str, Any]) -> Finding:
    return Finding(**{**document, "severity": Severity(document["severity"])})
