"""Broker pages that look at orders and books too: sync, unlink, arm and disarm."""

from uuid import UUID

from allauth.mfa.utils import is_mfa_enabled
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from brokers.enums import LinkKind
from brokers.exceptions import AuthorizationExpired, BrokerError
from brokers.models import BrokerAccount
from brokers.presentation import account_card, broker_name
from brokers.selectors import get_account_for, get_connection_for
from brokers.services.accounts import sync_account
from brokers.services.arming import arm_account, arming_requirements, disarm_account
from brokers.services.connections import unlink_connection
from orders.selectors import unfinished_count_of
from orders.services.reconcile import reconcile_account
from portfolios.selectors import portfolio_of, positions_of
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import NotFoundError, PlatformError
from tradeplatform.common.step_up import ask_for_factor, has_fresh_factor
from tradeplatform.models import User

REFUSED_STATUS = 422


def _user(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]


def _account(request: HttpRequest, account_id: UUID) -> BrokerAccount:
    try:
        return get_account_for(_user(request), account_id)
    except NotFoundError as error:
        raise Http404(error.message) from error


@login_required
@require_POST
def sync_now(request: HttpRequest, account_id: UUID) -> HttpResponse:
    """Read balances, orders, fills and positions from the broker and compare them with the book."""
    account = _account(request, account_id)
    try:
        sync_account(account.pk, purpose="sync asked for by the owner")
        reconcile_account(account.pk)
    except AuthorizationExpired:
        messages.error(
            request,
            f"The broker no longer accepts the link of {account.label}. Nothing was lost; link it again.",
        )
    except BrokerError:
        messages.error(
            request,
            f"The broker did not answer for {account.label}. The figures shown are the last ones known; "
            "try again in a minute.",
        )
    else:
        messages.success(request, f"{account.label} is up to date with the broker.")
    return redirect("brokers:list")


@login_required
@require_http_methods(["GET", "POST"])
def unlink(request: HttpRequest, connection_id: UUID) -> HttpResponse:
    """Say what unlinking means for orders, positions and records; a POST does it."""
    try:
        connection = get_connection_for(_user(request), connection_id)
    except NotFoundError as error:
        raise Http404(error.message) from error
    if connection.unlinked_at is not None:
        raise Http404("This link has been removed already.")
    name = broker_name(connection.broker)
    if request.method == "POST":
        unlink_connection(user=_user(request), connection_id=connection_id)
        messages.success(
            request, f"{name} is unlinked and its credentials are deleted. Your records stay readable."
        )
        return redirect("brokers:list")
    accounts = [account for account in connection.accounts.all() if account.is_active]
    rows = [
        {
            "account": account,
            "orders": unfinished_count_of(account.pk),
            "positions": _position_count(account),
        }
        for account in accounts
    ]
    context = {
        "connection": connection,
        "broker_name": name,
        "rows": rows,
        "open_orders": sum(unfinished_count_of(account.pk) for account in accounts),
        "is_built_in": connection.kind == LinkKind.BUILT_IN,
    }
    return render(request, "brokers/unlink.html", context)


def _position_count(account: BrokerAccount) -> int:
    book = portfolio_of(account)
    return positions_of(book).count() if book else 0


@login_required
@require_http_methods(["GET", "POST"])
def arm(request: HttpRequest, account_id: UUID) -> HttpResponse:
    """Say what arming means and what it needs; a POST arms after a fresh second factor."""
    account = _account(request, account_id)
    user = _user(request)
    refusal = ""
    if request.method == "POST":
        if request.POST.get("understood") != "on":
            refusal = "Tick the box to say that you understand. The account was not armed."
        elif arming_requirements(user=user, account=account).are_met and not has_fresh_factor(request):
            return ask_for_factor(request)
        else:
            try:
                arm_account(user=user, account_id=account_id, has_fresh_factor=has_fresh_factor(request))
            except PlatformError as error:
                refusal = error.message
            else:
                messages.warning(request, f"{account.label} is armed: its orders now use real money.")
                return redirect("brokers:list")
    context = {
        "card": account_card(account, now=utc_now()),
        "requirements": arming_requirements(user=user, account=account),
        "has_factor": is_mfa_enabled(user),
        "has_fresh_factor": has_fresh_factor(request),
        "refusal": refusal,
    }
    return render(request, "brokers/arm.html", context, status=REFUSED_STATUS if refusal else 200)


@login_required
@require_POST
def disarm(request: HttpRequest, account_id: UUID) -> HttpResponse:
    """Stop new live orders at once; no questions."""
    account = _account(request, account_id)
    disarm_account(user=_user(request), account_id=account.pk)
    messages.success(
        request,
        f"{account.label} is disarmed: nothing new is opened there. Open orders stay as they are, and you "
        "can still cancel and close.",
    )
    return redirect("brokers:list")
