"""The trade ticket and its live preview."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from brokers.enums import OrderClass
from brokers.exceptions import BrokerError
from brokers.models import BrokerAccount
from brokers.registry import manager
from brokers.services.market_data import get_instrument, get_quote
from brokers.types import Capabilities, OrderRequest
from orders.enums import OrderOrigin
from orders.forms import TicketForm, first_values
from orders.presentation import Notice, held_symbols, impact_rows, obstacles_for, position_in
from orders.reservations import estimate_price
from orders.review import sign_draft
from orders.selectors import defaults_for, open_orders_for
from orders.services.preview import Preview, preview_order
from orders.sizing import SizeMode
from orders.views.common import choose_account, chosen_account, find_account, help_pages, person
from orders.views.market import (
    QUOTE_MAX_AGE,
    chart_context,
    read_symbol,
    read_timeframe,
    search_for_page,
)
from risk.types import Finding, Severity, Verdict
from tradeplatform.common.clock import utc_now

# Query parameters that fill the ticket in, such as a link "Sell all" makes them.
_IGNORED_PARAMETERS = frozenset({"symbol", "account", "timeframe", "q"})


@login_required
@require_GET
def ticket(request: HttpRequest) -> HttpResponse:
    """The ticket of one symbol; without one, the search for it. `?account=` switches to that account."""
    asked = request.GET.get("account", "")
    account = choose_account(request, asked) if asked else chosen_account(request)
    if account is None:
        return render(request, "orders/no_account.html")
    query = request.GET.get("q", "").strip()
    if query:
        exact, found = search_for_page(account, query)
        if exact:
            return redirect(f"{reverse('orders:ticket')}?symbol={exact}")
        return render(request, "orders/choose_symbol.html", _search_context(account, query, found))
    symbol = read_symbol(request.GET.get("symbol", ""))
    if not symbol:
        return render(request, "orders/choose_symbol.html", _search_context(account, "", []))
    values = first_values(defaults_for(person(request)), account, symbol)
    given = {name: value for name, value in request.GET.items() if name not in _IGNORED_PARAMETERS}
    form = TicketForm(initial={**values, **given}, account=account, capabilities=_capabilities(account))
    return render_ticket(request, form, account)


def _capabilities(account: BrokerAccount) -> Capabilities:
    return manager.capabilities_of(account)


def _search_context(account: BrokerAccount, query: str, found: list[Any]) -> dict[str, Any]:
    return {
        "account": account,
        "query": query,
        "instruments": found,
        "held": held_symbols(account),
    }


def render_ticket(
    request: HttpRequest,
    form: TicketForm,
    account: BrokerAccount,
    *,
    status: int = 200,
    preview: "PreviewPanel | None" = None,
    notices: list[Notice] | None = None,
    denied_order_id: str = "",
) -> HttpResponse:
    """Show the ticket with whatever was typed and whatever speaks against it."""
    symbol = read_symbol(str(form["symbol"].value() or ""))
    user = person(request)
    context = {
        "form": form,
        "order_account": account,
        "symbol": symbol,
        "broker_name": form.capabilities.display_name,
        "position": position_in(account, symbol),
        "symbol_orders": list(open_orders_for(user, account_id=account.pk).filter(symbol=symbol)[:10]),
        "notices": [*(notices or []), *obstacles_for(user, account, page=help_pages())],
        "panel": preview,
        "denied_order_id": denied_order_id,
        "rules": _rules_for_script(form.capabilities),
        **_types_with_extras(form.capabilities),
        **chart_context(account, symbol, read_timeframe(request.GET.get("timeframe", ""))),
    }
    return render(request, "orders/ticket.html", context, status=status)


def _rules_for_script(capabilities: Capabilities) -> dict[str, Any]:
    """Return what goes with what, for greying out choices while the ticket is filled in."""
    return {
        str(rule.order_type): {
            "times": sorted(map(str, rule.times_in_force)),
            "extended": sorted(map(str, rule.extended_hours_times_in_force)),
            "classes": sorted(map(str, rule.order_classes)),
        }
        for rule in capabilities.order_rules
    }


def _types_with_extras(capabilities: Capabilities) -> dict[str, str]:
    """Return, as the page's marks, the order types that can trade extended hours and that can have exits."""
    rules = capabilities.order_rules
    extended = [rule.order_type for rule in rules if rule.extended_hours_times_in_force]
    with_exits = [rule.order_type for rule in rules if rule.order_classes - {OrderClass.SIMPLE}]
    return {"extended_types": " ".join(extended), "exit_types": " ".join(with_exits)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewPanel:
    """A preview as the panel and the review page show it. `set_aside` is what the order would hold back."""

    preview: Preview
    request: OrderRequest
    rows: list[Any]
    refused: list[Any]
    asked: list[Any]
    not_checked: list[Any]
    waits: list[Any]
    set_aside: Decimal | None

    @property
    def verdict(self) -> str:
        return str(self.preview.decision.verdict)

    @property
    def is_refused(self) -> bool:
        return self.preview.decision.verdict is Verdict.DENY


def panel_for(preview: Preview) -> PreviewPanel:
    decision = preview.decision
    return PreviewPanel(
        preview=preview,
        request=preview.request,
        rows=impact_rows(decision.impact),
        refused=_once(finding for finding in decision.findings if finding.severity is Severity.HARD),
        asked=[finding for finding in decision.findings if finding.severity is Severity.SOFT],
        not_checked=[check for check in decision.checks if check.outcome == "not_checked"],
        waits=[finding for finding in decision.findings if finding.severity is Severity.APPROVAL],
        set_aside=preview.reserved_cash or None,
    )


def _once(findings: Iterable[Finding]) -> list[Finding]:
    """Leave out what another check has said in the same words."""
    return list({finding.message: finding for finding in findings}.values())


@login_required
@require_POST
def preview(request: HttpRequest) -> HttpResponse:
    """What the ticket as it stands would do, for the panel beside it."""
    account = find_account(request, request.POST.get("account", ""))
    form = TicketForm(request.POST, account=account, capabilities=_capabilities(account))
    if not request.POST.get("size", "").strip():
        return _show_preview(request, account, waiting=True)
    order = build_order(form, account) if form.is_valid() else None
    if order is None:
        return _show_preview(request, account, form=form)
    shown = preview_order(user=person(request), account_id=account.pk, request=order, origin=OrderOrigin.PAGE)
    return _show_preview(request, account, panel=panel_for(shown), as_of=utc_now())


def _show_preview(request: HttpRequest, account: BrokerAccount, **context: Any) -> HttpResponse:
    return render(request, "orders/_live_preview.html", {"order_account": account, **context})


def build_order(form: TicketForm, account: BrokerAccount) -> OrderRequest | None:
    """Return the order that a valid ticket describes; None, with a message on it, when its size fails."""
    if form.mode is SizeMode.SHARES:
        return form.build_request(price=None, takes_amounts=False)
    symbol = form.draft.symbol
    takes_amounts = form.can_be_amount and _is_fractionable(account, symbol)
    quote = None
    if not takes_amounts:
        quote = get_quote(account, symbol, max_age=QUOTE_MAX_AGE, now=utc_now())
    return form.build_request(price=estimate_price(form.draft, quote), takes_amounts=takes_amounts)


def _is_fractionable(account: BrokerAccount, symbol: str) -> bool:
    """Say whether parts of a share can be traded; yes when that is not known, the gate then says more."""
    try:
        instrument = get_instrument(account, symbol)
    except BrokerError:
        return True
    return instrument is None or instrument.fractionable


@login_required
@require_POST
def prepare(request: HttpRequest) -> HttpResponse:
    """Check the ticket and lead to its review page; with mistakes, show the ticket again as typed."""
    account = find_account(request, request.POST.get("account", ""))
    form = TicketForm(request.POST, account=account, capabilities=_capabilities(account))
    order = build_order(form, account) if form.is_valid() else None
    if order is None:
        return render_ticket(request, form, account, status=422)
    user = person(request)
    shown = preview_order(user=user, account_id=account.pk, request=order, origin=OrderOrigin.PAGE)
    panel = panel_for(shown)
    if panel.is_refused:
        mark_findings(form, panel.refused)
        return render_ticket(request, form, account, status=422, preview=panel)
    draft = sign_draft(
        user=user,
        account_id=account.pk,
        request=order,
        note=form.cleaned_data["note"],
        typed=form.typed(),
    )
    return redirect(f"{reverse('orders:review')}?order={draft}")


def mark_findings(form: TicketForm, findings: list[Any]) -> None:
    """Point at the fields that the gate's findings are about; the panel lists all of them in full."""
    for finding in findings:
        name = form.field_for(finding.field) if finding.field else None
        if name is not None:
            form.add_error(name, finding.message)


def ticket_address(typed: dict[str, str]) -> str:
    """Return the address of a ticket filled in like this one."""
    return f"{reverse('orders:ticket')}?{urlencode(typed)}"
