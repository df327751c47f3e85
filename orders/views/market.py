"""Symbol search, the quote panel and the candles of the ticket."""

import datetime as dt

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from brokers.exceptions import BrokerError
from brokers.models import BrokerAccount
from brokers.services.market_data import (
    describe_quotes,
    get_bars,
    get_instrument,
    get_quote,
    get_session,
    note_interest,
    search_instruments,
)
from brokers.types import Bar, QuoteInfo, format_decimal
from orders.drafts import SYMBOL
from orders.views.common import chosen_account
from tradeplatform.common.clock import utc_now

QUOTE_MAX_AGE = dt.timedelta(seconds=3)
INTEREST_SECONDS = 60
LONGEST_QUERY = 60
BARS_SHOWN = 500
# Timeframe -> (button, how far back to look). Far enough to span a long weekend.
TIMEFRAMES = {
    "1Min": ("1 min", dt.timedelta(days=5)),
    "5Min": ("5 min", dt.timedelta(days=8)),
    "15Min": ("15 min", dt.timedelta(days=21)),
    "1Hour": ("1 hour", dt.timedelta(days=90)),
    "1Day": ("1 day", dt.timedelta(days=730)),
}
FIRST_TIMEFRAME = "5Min"


def read_symbol(text: str) -> str:
    """Return a ticker in the form brokers use; empty when the text cannot be one."""
    symbol = text.strip().upper()
    return symbol if SYMBOL.match(symbol) else ""


def read_timeframe(text: str) -> str:
    return text if text in TIMEFRAMES else FIRST_TIMEFRAME


def _account_and_symbol(request: HttpRequest) -> tuple[BrokerAccount, str]:
    account, symbol = chosen_account(request), read_symbol(request.GET.get("symbol", ""))
    if account is None or not symbol:
        raise Http404("There is no such symbol.")
    return account, symbol


@login_required
@require_GET
def search(request: HttpRequest) -> HttpResponse:
    """List instruments whose symbol or name fits what is being typed."""
    account, query = chosen_account(request), request.GET.get("q", "").strip()[:LONGEST_QUERY]
    found = search_instruments(account, query, limit=8) if account and query else []
    context = {"query": query, "instruments": found, "as_options": True}
    return render(request, "orders/_search_results.html", context)


@login_required
@require_GET
def quote(request: HttpRequest) -> HttpResponse:
    """The quote panel: name, prices, session, and where the prices come from."""
    account, symbol = _account_and_symbol(request)
    now = utc_now()
    note_interest(account, [symbol], seconds=INTEREST_SECONDS, now=now)
    instrument, problem = None, ""
    try:
        instrument = get_instrument(account, symbol)
        if instrument is None:
            problem = "unknown"
    except BrokerError:
        problem = "unavailable"
    found = None if problem == "unknown" else get_quote(account, symbol, max_age=QUOTE_MAX_AGE, now=now)
    context = {
        "account": account,
        "symbol": symbol,
        "instrument": instrument,
        "problem": problem,
        "quote": found,
        "change": _change(found),
        "session": get_session(account, now=now),
        "source": describe_quotes(account),
        "as_of": now,
    }
    return render(request, "orders/_quote.html", context)


def _change(quote: QuoteInfo | None) -> dict[str, object] | None:
    """Return the move since the previous close, in money and as a fraction."""
    if quote is None or quote.last is None or not quote.previous_close:
        return None
    move = quote.last - quote.previous_close
    return {"amount": move, "ratio": move / quote.previous_close}


@login_required
@require_GET
def chart(request: HttpRequest) -> HttpResponse:
    """The chart with its timeframe buttons, without the page around it."""
    account, symbol = _account_and_symbol(request)
    timeframe = read_timeframe(request.GET.get("timeframe", ""))
    return render(request, "orders/_chart.html", chart_context(account, symbol, timeframe))


def chart_context(account: BrokerAccount, symbol: str, timeframe: str) -> dict[str, object]:
    return {
        "account": account,
        "symbol": symbol,
        "timeframe": timeframe,
        "timeframes": [(name, label) for name, (label, _) in TIMEFRAMES.items()],
    }


@login_required
@require_GET
def bars(request: HttpRequest) -> JsonResponse:
    """Candles as the chart script reads them: UNIX seconds, prices as strings."""
    account, symbol = _account_and_symbol(request)
    timeframe = read_timeframe(request.GET.get("timeframe", ""))
    now = utc_now()
    found = get_bars(account, symbol, timeframe=timeframe, start=now - TIMEFRAMES[timeframe][1], end=now)
    points = [_point(bar, daily=timeframe == "1Day") for bar in found[-BARS_SHOWN:]]
    return JsonResponse({"currency": account.currency, "series": [{"name": symbol, "points": points}]})


def _point(bar: Bar, *, daily: bool) -> dict[str, object]:
    prices = {name: format_decimal(getattr(bar, name)) for name in ("open", "high", "low", "close", "volume")}
    time = bar.start.date().isoformat() if daily else int(bar.start.timestamp())
    return {"time": time, **prices}


def search_for_page(account: BrokerAccount, query: str) -> tuple[str, list[object]]:
    """Return the symbol that a query names exactly, or else the instruments that fit it."""
    found = search_instruments(account, query[:LONGEST_QUERY], limit=20)
    exact = read_symbol(query)
    if any(instrument.symbol == exact for instrument in found):
        return exact, []
    return "", list(found)
