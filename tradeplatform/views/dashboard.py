"""The dashboard: one account at a glance, kept up to date by live events."""

import datetime as dt
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_GET

from brokers.enums import ConnectionStatus
from brokers.models import BrokerAccount, BrokerConnection
from brokers.registry import manager
from brokers.selectors import connections_for
from brokers.services.market_data import describe_quotes, get_session
from orders.enums import OrderStatus
from orders.selectors import approvals_waiting_for, open_orders_for, orders_for
from portfolios.models import Portfolio
from portfolios.selectors import differing_books_for, equity_curve, holdings_view, portfolio_of
from tradeplatform.common.clock import utc_now
from tradeplatform.models import User

OPEN_ORDERS_SHOWN = 12
ACTIVITY_SHOWN = 8
FEWEST_DAYS = 3
CURVES = {"day": ("Today", None), "quarter": ("3 months", 92), "all": ("All", 0)}
PARTS = {
    "book": "dashboard/_book.html",
    "orders": "dashboard/_orders.html",
    "notices": "dashboard/_notices.html",
    "curve": "dashboard/_curve.html",
}


@login_required
@require_GET
def dashboard(request: HttpRequest) -> HttpResponse:
    """The whole page, or the part of it that a live update asks for (`?part=`)."""
    user: User = request.user  # type: ignore[assignment]
    account: BrokerAccount | None = request.accounts.current  # type: ignore[attr-defined]
    if account is None:
        return render(request, "dashboard/welcome.html", {"onboarding_url": _address_of("onboarding")})
    part = request.GET.get("part", "")
    now = utc_now()
    portfolio = portfolio_of(account)
    sources = {
        "book": lambda: _book(account, portfolio, now),
        "orders": lambda: _orders(user, account),
        "notices": lambda: _notices(user),
        "curve": lambda: _curve(portfolio, request.GET.get("curve", ""), now),
    }
    context: dict[str, Any] = {"account": account, "currency": account.currency, "now": now}
    for name in [part] if part in PARTS else PARTS:
        context |= sources[name]()
    return render(request, PARTS.get(part, "dashboard/dashboard.html"), context)


def _book(account: BrokerAccount, portfolio: Portfolio | None, now: dt.datetime) -> dict[str, Any]:
    return {
        "portfolio": portfolio,
        "view": holdings_view(portfolio, now=now) if portfolio else None,
        "session": get_session(account, now=now),
        "source": describe_quotes(account),
        "broker_name": manager.capabilities_of(account).display_name,
    }


def _orders(user: User, account: BrokerAccount) -> dict[str, Any]:
    waiting = list(open_orders_for(user, account_id=account.pk)[: OPEN_ORDERS_SHOWN + 1])
    return {
        "open_orders": waiting[:OPEN_ORDERS_SHOWN],
        "approvals": list(approvals_waiting_for(user)[: OPEN_ORDERS_SHOWN + 1]),
        "has_more_orders": len(waiting) > OPEN_ORDERS_SHOWN,
        "unconfirmed": [order for order in waiting if order.status == OrderStatus.UNCONFIRMED],
        "activity": list(orders_for(user).filter(account=account)[:ACTIVITY_SHOWN]),
    }


def _notices(user: User) -> dict[str, Any]:
    links = list(connections_for(user).filter(status=ConnectionStatus.NEEDS_RELINK))
    return {
        "broken_links": [(link, _broker_name(link)) for link in links],
        "differing_books": differing_books_for(user),
        "brokers_url": _address_of("brokers:list"),
    }


def _broker_name(link: BrokerConnection) -> str:
    account = next(iter(link.accounts.all()), None)
    return manager.capabilities_of(account).display_name if account else link.broker


def _curve(portfolio: Portfolio | None, asked: str, now: dt.datetime) -> dict[str, Any]:
    """Return the curve asked for; without a wish the last months, or today while the book is young."""
    data: dict[str, Any] | None = None
    chosen = asked if asked in CURVES else "quarter"
    if portfolio is not None:
        data = _read_curve(portfolio, chosen, now)
        if not asked and len(data["series"][0]["points"]) < FEWEST_DAYS:
            chosen = "day"
            data = _read_curve(portfolio, chosen, now)
    choices = [(name, label) for name, (label, _) in CURVES.items()]
    return {"curve": data, "curve_chosen": chosen, "curve_choices": choices}


def _read_curve(portfolio: Portfolio, name: str, now: dt.datetime) -> dict[str, Any]:
    days = CURVES[name][1]
    since = now.date() - dt.timedelta(days=days) if days else None
    return equity_curve(portfolio, since=since, intraday=days is None)


def _address_of(route: str) -> str:
    try:
        return reverse(route)
    except NoReverseMatch:
        return ""
