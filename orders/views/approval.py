"""What a person sees of an order that waits for their approval. Answering it is for a view above this app,
because approving with real money asks for the second factor."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from brokers.enums import Environment, Side
from brokers.models import BrokerAccount
from brokers.registry import manager
from brokers.services.market_data import get_quote, note_interest
from orders.enums import OrderStatus
from orders.models import Approval, Order
from orders.services.approval_request import open_approval
from orders.views.common import find_order
from orders.views.market import QUOTE_MAX_AGE
from orders.wire import request_of
from tradeplatform.common.clock import utc_now

# htmx takes this status as "swap, and do not ask again".
STOP_POLLING = 286


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalCard:
    """An open request as the page shows it. `price_now` is the side of the quote that the order would meet;
    `moved` the share by which it differs from the price then; None where a price is not known."""

    approval: Approval
    price_now: Decimal | None
    moved: Decimal | None
    quote_field: str
    left: timedelta


def approval_card(order: Order) -> ApprovalCard | None:
    """Return the open request to approve the order; None when it does not wait for one. May read a price."""
    if order.status != OrderStatus.PENDING_APPROVAL:
        return None
    approval = open_approval(order)
    if approval is None:
        return None
    now = utc_now()
    then, price = approval.reference_price, _price_now(order)
    return ApprovalCard(
        approval=approval,
        price_now=price,
        moved=(price - then) / then if price is not None and then else None,
        quote_field="ask" if order.side == Side.BUY else "bid",
        left=max(approval.expires_at - now, timedelta(0)),
    )


def _price_now(order: Order) -> Decimal | None:
    now = utc_now()
    note_interest(order.account, [order.symbol], now=now)
    quote = get_quote(order.account, order.symbol, max_age=QUOTE_MAX_AGE, now=now)
    if quote is None:
        return None
    return (quote.ask if order.side == Side.BUY else quote.bid) or quote.last


def approval_context(order: Order) -> dict[str, Any]:
    """Return what `orders/_approval.html` needs."""
    account: BrokerAccount = order.account
    return {
        "order": order,
        "terms": request_of(order),
        "order_account": account,
        "currency": account.currency,
        "broker_name": manager.capabilities_of(account).display_name,
        "is_live": account.environment == Environment.LIVE,
        "approval_card": approval_card(order),
    }


@login_required
@require_GET
def approval(request: HttpRequest, order_id: UUID) -> HttpResponse:
    """The card alone, fetched again and again while it is open, for the price and the time left."""
    context = approval_context(find_order(request, order_id))
    if context["approval_card"] is None:
        return HttpResponse(status=STOP_POLLING)
    return render(request, "orders/_approval.html", context)
