"""What the order pages share: who is asking, for which account, and where they go back to."""

from typing import Any
from uuid import UUID

from allauth.mfa.utils import is_mfa_enabled
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.http import url_has_allowed_host_and_scheme

from brokers.enums import Environment
from brokers.models import BrokerAccount
from brokers.selectors import get_account_for
from orders.models import Order
from orders.selectors import get_order_for
from tradeplatform.common.exceptions import NotFoundError
from tradeplatform.common.step_up import LIVE_ORDER_FACTOR_SECONDS, ask_for_factor, has_fresh_factor
from tradeplatform.models import User


def person(request: HttpRequest) -> User:
    """Return who is signed in; for views that require it."""
    return request.user  # type: ignore[return-value]


def chosen_account(request: HttpRequest) -> BrokerAccount | None:
    """Return the account chosen in the shell; None for someone who has none yet."""
    account: BrokerAccount | None = request.accounts.current  # type: ignore[attr-defined]
    return account


def choose_account(request: HttpRequest, account_id: str) -> BrokerAccount:
    """Look at another of the person's accounts from now on, in the shell too; 404 for anybody else's."""
    account: BrokerAccount | None = request.accounts.choose(account_id)  # type: ignore[attr-defined]
    if account is None:
        raise Http404("There is no such account.")
    return account


def find_account(request: HttpRequest, account_id: UUID | str) -> BrokerAccount:
    try:
        return get_account_for(person(request), account_id)
    except NotFoundError as error:
        raise Http404(error.message) from error


def needs_factor(request: HttpRequest, account: BrokerAccount) -> bool:
    """Say whether a browser has to give the second factor before an order with real money.

    Without a factor and on an account that is not armed only exits pass, and those are not held up here.
    """
    if account.environment != Environment.LIVE:
        return False
    if has_fresh_factor(request, max_age_seconds=LIVE_ORDER_FACTOR_SECONDS):
        return False
    return account.armed_at is not None or is_mfa_enabled(request.user)


def factor_wanted(request: HttpRequest, account: BrokerAccount) -> HttpResponse | None:
    """Return the way to the second factor before an order with real money; None when none is needed."""
    return ask_for_factor(request) if needs_factor(request, account) else None


def find_order(request: HttpRequest, order_id: UUID) -> Order:
    try:
        return get_order_for(person(request), order_id)
    except NotFoundError as error:
        raise Http404(error.message) from error


def address_of(route: str) -> str:
    """Return a page's address, or nothing when this site has no such page."""
    try:
        return reverse(route)
    except NoReverseMatch:
        return ""


def help_pages() -> dict[str, str]:
    return {"brokers": address_of("brokers:list"), "plans": address_of("billing:overview")}


def safe_next(request: HttpRequest, fallback: str) -> str:
    """Return where a form wants to go back to, if that is on this site."""
    target: Any = request.POST.get("next", "")
    allowed = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if target and allowed else fallback
