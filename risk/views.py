"""The risk page: limits in force, the stop button, and what the gate decided."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from brokers.models import BrokerAccount
from brokers.registry import manager
from brokers.selectors import accounts_for
from risk.forms import HaltForm, ResumeForm
from risk.presentation import decision_rows, halt_rows, headroom_of, limit_rows
from risk.selectors import decisions_for, get_halt_for, halts_for, latched_halts
from risk.services.halts import halt_trading, latch_halt, resume_trading
from risk.services.limits import effective_limits
from tradeplatform.common.clock import utc_now
from tradeplatform.common.database import note_unwritable
from tradeplatform.common.exceptions import NotFoundError, PlatformError
from tradeplatform.models import User

DECISIONS_PER_PAGE = 25


@login_required
@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    return _page(request, HaltForm(accounts=_accounts(request)))


@login_required
@require_POST
def halt(request: HttpRequest) -> HttpResponse:
    """Stop trading. With the database unwritable the halt goes to the file that every sender reads."""
    user = _person(request)
    form = HaltForm(request.POST, accounts=_accounts(request))
    if not form.is_valid():
        return _page(request, form, status=422)
    scope, key = form.target(user)
    values = {"scope": scope, "scope_key": key, "reason": form.cleaned_data["reason"]}
    cancel_open = form.cleaned_data["cancel_open"]
    try:
        halt_trading(**values, actor=user, cancel_open=cancel_open)
    except PlatformError as error:
        form.add_error(None, error.message)
        return _page(request, form, status=error.http_status)
    except DatabaseError as error:
        if not note_unwritable(error):
            raise
        latch_halt(**values, actor=user.email, cancel_open=cancel_open)
        return render(request, "risk/latched.html", {"cancel_open": cancel_open})
    more = " Open orders are being canceled; exits stay." if cancel_open else ""
    messages.success(request, f"Trading is stopped. You can still cancel and close positions.{more}")
    return redirect("risk:overview")


@login_required
@require_POST
def resume(request: HttpRequest, halt_id: UUID) -> HttpResponse:
    user = _person(request)
    try:
        found = get_halt_for(user, halt_id)
    except NotFoundError as error:
        raise Http404(error.message) from error
    form = ResumeForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Say why trading may go on. It is still stopped.")
        return redirect("risk:overview")
    try:
        resume_trading(halt_id=found.pk, reason=form.cleaned_data["reason"], actor=user)
    except PlatformError as error:
        messages.error(request, f"{error.message} Trading is still stopped.")
    else:
        messages.success(request, "Trading goes on. Orders that were withdrawn meanwhile stay withdrawn.")
    return redirect("risk:overview")


def _page(request: HttpRequest, form: HaltForm, *, status: int = 200) -> HttpResponse:
    user, now = _person(request), utc_now()
    accounts = _accounts(request)
    current: BrokerAccount | None = request.accounts.current  # type: ignore[attr-defined]
    by_id = {str(account.pk): account for account in accounts}
    page = Paginator(decisions_for(user, current), DECISIONS_PER_PAGE).get_page(request.GET.get("page"))
    labels = {account.pk: account.label for account in accounts_for(user, include_inactive=True)}
    context: dict[str, Any] = {
        "form": form,
        "resume_form": ResumeForm(),
        "account": current,
        "halts": halt_rows(
            [*_latched(user, current), *halts_for(user)],
            user,
            by_id,
            broker_names={
                account.broker: manager.capabilities_of(account).display_name for account in accounts
            },
        ),
        "page": page,
        "decisions": decision_rows(list(page.object_list), labels),
    }
    if current is not None:
        limits = effective_limits(user=user, account=current, symbol="", now=now)
        context["limits"] = limit_rows(limits, currency=current.currency)
        context["headroom"] = headroom_of(current, limits, now=now)
    return render(request, "risk/overview.html", context, status=status)


def _latched(user: User, account: BrokerAccount | None) -> list[Any]:
    if account is None:
        return []
    return latched_halts(user_id=user.pk, account_id=account.pk, broker=account.broker)


def _accounts(request: HttpRequest) -> list[BrokerAccount]:
    return list(request.accounts.switchable)  # type: ignore[attr-defined]


def _person(request: HttpRequest) -> User:
    """Return who is signed in; for views that require it."""
    return request.user  # type: ignore[return-value]
