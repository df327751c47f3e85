"""Holdings, lots, performance, realised results, activity and the exports of one book."""

import datetime as dt
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import slugify
from django.views.decorators.http import require_GET

from brokers.calendar import trade_date
from brokers.models import BrokerAccount
from brokers.services.market_data import describe_quotes, note_interest
from portfolios.exports import export_csv
from portfolios.models import Portfolio
from portfolios.presentation import (
    OVERVIEW_TILES,
    RANGES,
    WHOLE_HISTORY,
    allocation_bars,
    performance_tiles,
    range_start,
)
from portfolios.selectors import (
    allocation_of,
    entries_of,
    equity_curve,
    holdings_view,
    lots_view,
    performance_of,
    portfolio_of,
    portfolios_for,
    realised_by_month,
    realised_by_symbol,
)
from portfolios.views.common import find_portfolio, person, shell
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import NotFoundError

BENCHMARK = "SPY"
ENTRIES_PER_PAGE = 50
QUOTES_WANTED_SECONDS = 60


@login_required
@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    """The book of the account that is looked at, or the one asked for; without any, what to do."""
    asked = request.GET.get("portfolio", "")
    if asked:
        try:
            return redirect("portfolios:detail", UUID(asked))
        except ValueError as error:
            raise Http404("There is no such portfolio.") from error
    account: BrokerAccount | None = request.accounts.current  # type: ignore[attr-defined]
    others = portfolios_for(person(request))
    portfolio = portfolio_of(account) if account else others.first()
    if portfolio is None:
        return render(request, "portfolios/empty.html", {"account": account, "others": others})
    return _render_holdings(request, portfolio)


@login_required
@require_GET
def detail(request: HttpRequest, portfolio_id: UUID) -> HttpResponse:
    return _render_holdings(request, find_portfolio(request, portfolio_id))


@login_required
@require_GET
def holdings_panel(request: HttpRequest, portfolio_id: UUID) -> HttpResponse:
    """The figures that move with prices and fills, fetched again while the page is open."""
    portfolio = find_portfolio(request, portfolio_id)
    return render(request, "portfolios/_holdings.html", {"portfolio": portfolio, **_holdings(portfolio)})


@login_required
@require_GET
def performance(request: HttpRequest, portfolio_id: UUID) -> HttpResponse:
    """Every performance figure over a range, and equity against the benchmark."""
    portfolio = find_portfolio(request, portfolio_id)
    chosen = _range(request)
    since = range_start(chosen, last=_last_day(portfolio))
    view = performance_of(portfolio, benchmark=BENCHMARK, since=since)
    context = {
        **shell(request, portfolio, active="performance"),
        "view": view,
        "tiles": performance_tiles(view),
        "curve": equity_curve(portfolio, since=since, benchmark=BENCHMARK),
        "range": chosen,
        "ranges": [(name, label) for name, (label, _) in RANGES.items()],
    }
    return render(request, "portfolios/performance.html", context)


@login_required
@require_GET
def realised(request: HttpRequest, portfolio_id: UUID) -> HttpResponse:
    portfolio = find_portfolio(request, portfolio_id)
    context = {
        **shell(request, portfolio, active="realised"),
        "by_symbol": realised_by_symbol(portfolio),
        "by_month": realised_by_month(portfolio),
    }
    return render(request, "portfolios/realised.html", context)


@login_required
@require_GET
def activity(request: HttpRequest, portfolio_id: UUID) -> HttpResponse:
    """The ledger, newest first: every change of cash or shares with its reason."""
    portfolio = find_portfolio(request, portfolio_id)
    pages = Paginator(entries_of(portfolio), ENTRIES_PER_PAGE)
    context = {
        **shell(request, portfolio, active="activity"),
        "page": pages.get_page(request.GET.get("page")),
    }
    return render(request, "portfolios/activity.html", context)


@login_required
@require_GET
def lots(request: HttpRequest, portfolio_id: UUID, symbol: str) -> HttpResponse:
    """The open lots of one symbol: what was bought when, at what price, and what is left of it."""
    portfolio = find_portfolio(request, portfolio_id)
    now = utc_now()
    rows = lots_view(portfolio, now=now, symbol=symbol)
    held = next((row for row in holdings_view(portfolio, now=now).rows if row.symbol == symbol), None)
    closed = [row for row in realised_by_symbol(portfolio) if row.label == symbol]
    if not rows and not closed:
        raise Http404("This book never held that symbol.")
    context = {
        **shell(request, portfolio, active="detail"),
        "symbol": symbol,
        "lots": rows,
        "holding": held,
        "closed": closed[0] if closed else None,
        "entries": entries_of(portfolio).filter(symbol=symbol)[:ENTRIES_PER_PAGE],
    }
    return render(request, "portfolios/lots.html", context)


@login_required
@require_GET
def export(request: HttpRequest, portfolio_id: UUID, kind: str) -> HttpResponse:
    """One table of the book as a CSV file."""
    portfolio = find_portfolio(request, portfolio_id)
    now = utc_now()
    try:
        text = export_csv(portfolio, kind, now=now)
    except NotFoundError as error:
        raise Http404(error.message) from error
    name = f"{slugify(portfolio.name) or 'portfolio'}-{kind}-{now:%Y-%m-%d}.csv"
    response = HttpResponse(text, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _render_holdings(request: HttpRequest, portfolio: Portfolio) -> HttpResponse:
    view = performance_of(portfolio, benchmark=BENCHMARK)
    context = {
        **shell(request, portfolio, active="detail"),
        **_holdings(portfolio),
        "curve": _curve(portfolio),
        "tiles": performance_tiles(view, OVERVIEW_TILES),
        "performance": view,
    }
    return render(request, "portfolios/overview.html", context)


def _holdings(portfolio: Portfolio) -> dict[str, Any]:
    now = utc_now()
    view = holdings_view(portfolio, now=now)
    source = ""
    if portfolio.account is not None and portfolio.account.is_active:
        _keep_quotes_fresh(portfolio.account, [row.symbol for row in view.rows], now=now)
        source = describe_quotes(portfolio.account)
    return {"holdings": view, "bars": allocation_bars(allocation_of(view)), "source": source, "now": now}


def _curve(portfolio: Portfolio) -> dict[str, Any]:
    """The days of the book; while there is only one, the course of that day."""
    daily = equity_curve(portfolio, benchmark=BENCHMARK)
    if len(daily["series"][0]["points"]) > 1:
        return daily
    intraday = equity_curve(portfolio, intraday=True)
    has_line = len(intraday["series"][0]["points"]) > 1
    return intraday if has_line else {"currency": portfolio.currency, "series": []}


def _last_day(portfolio: Portfolio) -> dt.date:
    """Ranges of an imported history count back from its end, those of an account from today."""
    end = None if portfolio.account_id else performance_of(portfolio).end
    return end or trade_date(utc_now())


def _keep_quotes_fresh(account: BrokerAccount, symbols: list[str], *, now: dt.datetime) -> None:
    if symbols:
        note_interest(account, symbols, seconds=QUOTES_WANTED_SECONDS, now=now)


def _range(request: HttpRequest) -> str:
    asked = request.GET.get("range", "")
    return asked if asked in RANGES else WHOLE_HISTORY
