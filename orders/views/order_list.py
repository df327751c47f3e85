"""The list of a person's orders, and the same list as a file."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from brokers.selectors import accounts_for
from orders.filters import OrderFilter
from orders.models import Order
from orders.representation import decimal_text, time_text
from orders.selectors import orders_for
from orders.views.common import person
from tradeplatform.common.clock import utc_now

PAGE_SIZE = 40
# A cell that starts like this is run as a formula by spreadsheet programs.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = (
    "placed_at_utc",
    "account",
    "environment",
    "symbol",
    "side",
    "order_type",
    "time_in_force",
    "quantity",
    "amount",
    "limit_price",
    "stop_price",
    "trail_amount",
    "trail_percent",
    "extended_hours",
    "status",
    "filled_quantity",
    "average_price",
    "currency",
    "reason",
    "note",
    "closed_at_utc",
    "order_id",
    "client_order_id",
    "broker_order_id",
)


@login_required
@require_GET
def order_list(request: HttpRequest) -> HttpResponse:
    """Orders that fit the filters, newest first; live updates fetch the table alone."""
    found = _filtered(request)
    page = Paginator(found.qs, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "filter": found,
        "form": found.form,
        "page": page,
        "is_narrowed": any(request.GET.get(name) for name in found.filters if name != "group")
        or request.GET.get("group") in ("open", "closed", "approval"),
        "has_account": accounts_for(person(request), include_inactive=True).exists(),
    }
    is_part = bool(request.headers.get("HX-Request"))
    return render(request, "orders/_table.html" if is_part else "orders/list.html", context)


def _filtered(request: HttpRequest) -> OrderFilter:
    data = request.GET.copy()
    data.setdefault("group", "all")
    user = person(request)
    return OrderFilter(data, queryset=orders_for(user), user=user)


@login_required
@require_GET
def export(request: HttpRequest) -> HttpResponse:
    """The filtered list as CSV: UTF-8, UTC times, plain decimals, no cell that a spreadsheet would run."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows(_rows(_filtered(request).qs.iterator(chunk_size=1000)))
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="orders-{utc_now():%Y-%m-%d}.csv"'
    return response


def _rows(orders: Iterator[Order]) -> Iterator[list[str]]:
    for order in orders:
        yield [_safe_cell(value) for value in _values(order)]


def _values(order: Order) -> list[Any]:
    return [
        time_text(order.created_at),
        order.account.label,
        order.account.environment,
        order.symbol,
        order.side,
        order.order_type,
        order.time_in_force,
        decimal_text(order.quantity),
        decimal_text(order.notional),
        decimal_text(order.limit_price),
        decimal_text(order.stop_price),
        decimal_text(order.trail_amount),
        decimal_text(order.trail_percent),
        "yes" if order.extended_hours else "no",
        order.status,
        decimal_text(order.cum_qty),
        decimal_text(order.avg_px),
        order.account.currency,
        order.reject_reason,
        order.note,
        time_text(order.closed_at),
        str(order.pk),
        order.client_order_id,
        order.broker_order_id,
    ]


def _safe_cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_STARTS) else text
