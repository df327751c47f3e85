"""What every template may use."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from billing.life_cycle import Stage
from billing.presentation import StandingView, standing_view
from billing.selectors import has_subscription, plan_standing
from brokers.enums import Environment
from risk.selectors import active_halts
from tradeplatform.common.database import was_unwritable
from tradeplatform.models import User

NO_ACCOUNT = UUID(int=0)


def site(request: HttpRequest) -> dict[str, Any]:
    """Return the site's name, whether it is a demonstration, and the shell's account and halts.

    Accounts and halts are read only if a template uses them.
    """
    shared: dict[str, Any] = {"site_name": settings.SITE_NAME, "demo_mode": settings.DEMO_MODE}
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return shared
    accounts: Any = SimpleLazyObject(lambda: request.accounts.switchable)  # type: ignore[attr-defined]
    current: Any = SimpleLazyObject(lambda: request.accounts.current)  # type: ignore[attr-defined]
    return {
        **shared,
        "switchable_accounts": accounts,
        "current_account": current,
        "database_unwritable": was_unwritable(),
        "active_halts": SimpleLazyObject(lambda: _halts(user.pk, current)),
        "plan_warning": SimpleLazyObject(lambda: _plan_warning(user, accounts)),
    }


def _plan_warning(user: User, accounts: Any) -> StandingView | None:
    """Return where the person stands if a payment failed, or if their live accounts can only be reduced."""
    if not has_subscription(user):
        return None
    standing = plan_standing(user)
    has_live = any(account.environment == Environment.LIVE for account in accounts)
    if standing.stage is Stage.PAST_DUE or (standing.is_reduce_only and has_live):
        return standing_view(standing)
    return None


def _halts(user_id: int, account: Any) -> list[Any]:
    """Return the halts over the account; without one, those over the person and the platform."""
    account_id = account.id if account else NO_ACCOUNT
    return active_halts(user_id=user_id, account_id=account_id, broker=account.broker if account else "")
