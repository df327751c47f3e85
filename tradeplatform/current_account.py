"""Which of their accounts a person is looking at: chosen in the shell, kept in the session."""

from collections.abc import Callable
from functools import cached_property
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from brokers.models import BrokerAccount
from brokers.selectors import accounts_for
from tradeplatform.models import User

SESSION_KEY = "account_id"


def switchable_accounts(user: User) -> list[BrokerAccount]:
    """Return the person's active accounts, oldest first."""
    return [account for account in accounts_for(user) if account.is_active]


def current_account(request: HttpRequest) -> BrokerAccount | None:
    """Return the chosen account, else the default of the person's orders, else their first one."""
    return pick_account(request, switchable_accounts(request.user))  # type: ignore[arg-type]


def pick_account(request: HttpRequest, accounts: list[BrokerAccount]) -> BrokerAccount | None:
    """Choose among accounts already read, so that a page reads them once."""
    by_id: dict[Any, BrokerAccount] = {str(account.id): account for account in accounts}
    chosen = by_id.get(request.session.get(SESSION_KEY))
    if chosen is None and len(accounts) > 1:
        defaults = getattr(request.user, "order_defaults", None)
        chosen = by_id.get(str(defaults.account_id)) if defaults else None
    return chosen or next(iter(accounts), None)


def choose_account(request: HttpRequest, account_id: UUID) -> None:
    """Remember the choice for this session. The caller has made sure that the account is theirs."""
    request.session[SESSION_KEY] = str(account_id)


class RequestAccounts:
    """The person's accounts during one request, read when first asked for and only once."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @cached_property
    def switchable(self) -> list[BrokerAccount]:
        user = self._request.user
        return switchable_accounts(user) if user.is_authenticated else []

    @cached_property
    def current(self) -> BrokerAccount | None:
        return pick_account(self._request, self.switchable) if self.switchable else None

    def choose(self, account_id: str) -> BrokerAccount | None:
        """Look at another of the person's active accounts from now on; None when it is not one of them."""
        chosen = next((account for account in self.switchable if str(account.pk) == account_id), None)
        if chosen is not None:
            choose_account(self._request, chosen.pk)
            self.current = chosen
        return chosen


class CurrentAccountMiddleware:
    """Puts `request.accounts` where the pages of every app can read it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.accounts = RequestAccounts(request)  # type: ignore[attr-defined]
        return self.get_response(request)
