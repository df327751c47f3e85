"""Who may act at which level, and whether the thing named there exists."""

import re
from uuid import UUID

from django.conf import settings

from billing.models import Plan
from brokers.models import BrokerAccount
from risk.enums import LimitScope
from tradeplatform.common.exceptions import InvalidRequest, PermissionRefused
from tradeplatform.models import Role, User

SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9./-]{0,19}")


def may_manage_risk(user: User) -> bool:
    """Say whether a person may set limits and halts for others."""
    return user.is_active and user.role in (Role.RISK_ADMIN, Role.ADMIN)


def require_risk_admin(user: User) -> None:
    """Raise PermissionRefused unless the person may act for others."""
    if not may_manage_risk(user):
        raise PermissionRefused("Only a risk admin may do this.")


def require_scope_access(user: User, *, scope: str, scope_key: str) -> None:
    """Let people act on themselves and their own accounts, and risk admins on everything."""
    if may_manage_risk(user):
        return
    if scope == LimitScope.USER and scope_key == str(user.pk):
        return
    account_id = _as_uuid(scope_key) if scope == LimitScope.ACCOUNT else None
    if account_id is None or not BrokerAccount.objects.filter(pk=account_id, user=user).exists():
        raise PermissionRefused("Only a risk admin may do this.")


def check_scope_key(*, scope: str, scope_key: str) -> None:
    """Raise InvalidRequest unless `scope_key` names something that exists at this level."""
    if scope not in LimitScope.values:
        raise InvalidRequest("There is no such level.", fields={"scope": ["Choose a level."]})
    problem = _problem(LimitScope(scope), scope_key)
    if problem:
        raise InvalidRequest(problem, fields={"scope_key": [problem]})


def _problem(scope: LimitScope, key: str) -> str:
    match scope:
        case LimitScope.PLATFORM:
            return "The platform has no key; leave it empty." if key else ""
        case LimitScope.BROKER:
            return "" if key in settings.BROKER_ADAPTERS else f"There is no broker {key!r}."
        case LimitScope.PLAN:
            return "" if Plan.objects.filter(key=key).exists() else f"There is no plan {key!r}."
        case LimitScope.USER:
            known = key.isascii() and key.isdigit() and User.objects.filter(pk=int(key)).exists()
            return "" if known else f"There is no user {key!r}."
        case LimitScope.ACCOUNT:
            account_id = _as_uuid(key)
            known = account_id is not None and BrokerAccount.objects.filter(pk=account_id).exists()
            return "" if known else f"There is no account {key!r}."
        case LimitScope.SYMBOL:
            return "" if SYMBOL.fullmatch(key) else "A symbol is written in capital letters, such as MSFT."


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
