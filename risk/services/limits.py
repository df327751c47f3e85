"""Setting limits: each change is a new version with author and reason; nothing is ever edited.

Tightening holds at once. Loosening waits 24 hours, unless a second risk admin approves it, so that
neither haste nor one stolen session can widen what the platform lets through.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from billing.selectors import plan_for
from brokers.models import BrokerAccount
from risk.enums import LimitScope
from risk.limit_catalogue import BY_NAME, LimitSpec
from risk.limit_stack import newest_in_force, stack_limits
from risk.models import RiskLimit
from risk.services.scopes import check_scope_key, require_risk_admin, require_scope_access
from risk.types import LimitSet
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import ConflictError, InvalidRequest, NotFoundError, PermissionRefused
from tradeplatform.common.prepared import PreparedQuery, slot
from tradeplatform.models import User

COOLING_TIME = timedelta(hours=24)


def _versions_of_all_levels() -> QuerySet[RiskLimit]:
    wanted = Q(scope=LimitScope.PLATFORM, scope_key="")
    for scope in (
        LimitScope.BROKER,
        LimitScope.PLAN,
        LimitScope.USER,
        LimitScope.ACCOUNT,
        LimitScope.SYMBOL,
    ):
        wanted |= Q(scope=scope, scope_key=slot(RiskLimit, "scope_key", name=str(scope)))
    return RiskLimit.objects.filter(
        wanted, effective_at__lte=slot(RiskLimit, "effective_at", name="now")
    ).order_by()


_VERSIONS = PreparedQuery(_versions_of_all_levels)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitChange:
    """A checked change. `previous` is what held at this level, None when the level said nothing."""

    spec: LimitSpec
    value: str
    previous: str | None
    version: int
    loosens: bool


def effective_limits(
    *, user: User, account: BrokerAccount, symbol: str, now: datetime | None = None
) -> LimitSet:
    """Return the limits that hold for one user, account and symbol at `now`."""
    now = now or utc_now()
    versions = _VERSIONS.all(
        broker=account.broker,
        plan=plan_for(user).key,
        user=str(user.pk),
        account=str(account.pk),
        symbol=symbol,
        now=now,
    )
    return stack_limits(newest_in_force(versions, now=now))


def check_limit_change(
    *, scope: str, scope_key: str, name: str, value: str, reason: str, now: datetime
) -> LimitChange:
    """Return what a change would be, or raise InvalidRequest with the field at fault."""
    spec = BY_NAME.get(name)
    if spec is None:
        raise InvalidRequest("There is no such limit.", fields={"name": ["Choose a limit."]})
    if not reason.strip():
        raise InvalidRequest("Give a reason for the change.", fields={"reason": ["Give a reason."]})
    check_scope_key(scope=scope, scope_key=scope_key)
    try:
        canonical = spec.parse(value)
    except ValueError as error:
        raise InvalidRequest(str(error), fields={"value": [str(error)]}) from None
    return _compare(spec, canonical, scope=scope, scope_key=scope_key, now=now)


def _compare(spec: LimitSpec, value: str, *, scope: str, scope_key: str, now: datetime) -> LimitChange:
    versions = list(RiskLimit.objects.filter(scope=scope, scope_key=scope_key, name=spec.name))
    newest = max(versions, key=lambda row: row.version, default=None)
    in_force = newest_in_force(versions, now=now).get((scope, scope_key, spec.name))
    previous = in_force.value if in_force else (spec.default if scope == LimitScope.PLATFORM else None)
    present = newest.value if newest else previous
    if present is not None and spec.strictness(value) == spec.strictness(present):
        raise InvalidRequest(f"{spec.title} is {value} here already.", fields={"value": ["Nothing changes."]})
    if scope != LimitScope.PLATFORM:
        _require_within_platform(spec, value, now=now)
    return LimitChange(
        spec=spec,
        value=value,
        previous=previous,
        version=newest.version + 1 if newest else 1,
        loosens=previous is not None and spec.is_looser(value, previous),
    )


def _require_within_platform(spec: LimitSpec, value: str, *, now: datetime) -> None:
    rows = RiskLimit.objects.filter(scope=LimitScope.PLATFORM, scope_key="", name=spec.name)
    platform = stack_limits(newest_in_force(rows, now=now)).get(spec.name).value
    if spec.is_looser(value, platform):
        message = f"The platform's own value is {platform}; this level can only be tighter."
        raise InvalidRequest(message, code="limit_looser_than_platform", fields={"value": [message]})


def set_limit(
    *,
    scope: str,
    scope_key: str,
    name: str,
    value: str,
    author: User,
    reason: str,
    immediate: bool = False,
    now: datetime | None = None,
) -> RiskLimit:
    """Record a new version of a limit and return it.

    `effective_at` says from when it holds. `immediate` asks to skip the wait of a loosening, which only
    demo mode grants. Raises InvalidRequest, PermissionRefused, or ConflictError when two people change
    the same limit at the same moment.
    """
    now = now or utc_now()
    require_scope_access(author, scope=scope, scope_key=scope_key)
    try:
        with transaction.atomic():
            list(RiskLimit.objects.select_for_update().filter(scope=scope, scope_key=scope_key, name=name))
            change = check_limit_change(
                scope=scope, scope_key=scope_key, name=name, value=value, reason=reason, now=now
            )
            row = RiskLimit.objects.create(
                scope=scope,
                scope_key=scope_key,
                name=name,
                value=change.value,
                version=change.version,
                author=author.email,
                reason=reason.strip()[:200],
                created_at=now,
                effective_at=now + _waiting_time(change, immediate=immediate),
            )
            _audit_change(row, change)
    except IntegrityError:
        raise ConflictError("Somebody changed this limit just now. Look at it and try again.") from None
    return row


def _waiting_time(change: LimitChange, *, immediate: bool) -> timedelta:
    if not change.loosens:
        return timedelta(0)
    if not immediate:
        return COOLING_TIME
    if settings.DEMO_MODE:
        return timedelta(0)
    raise PermissionRefused(
        f"Loosening {change.spec.title.lower()} takes 24 hours or the approval of a second risk admin."
    )


def _audit_change(row: RiskLimit, change: LimitChange) -> None:
    record_audit(
        actor=row.author,
        action="limit_set",
        object_type="risk_limit",
        object_id=row.pk,
        data={
            "scope": row.scope,
            "scope_key": row.scope_key,
            "name": row.name,
            "from": change.previous,
            "to": row.value,
            "version": row.version,
            "reason": row.reason,
            "effective_at": row.effective_at.isoformat(),
        },
    )


def approve_limit(*, limit_id: int, approver: User, now: datetime | None = None) -> RiskLimit:
    """Let a waiting version take effect now. The approver is another risk admin than its author."""
    now = now or utc_now()
    require_risk_admin(approver)
    with transaction.atomic():
        row = RiskLimit.objects.select_for_update().filter(pk=limit_id).first()
        if row is None:
            raise NotFoundError("There is no such limit.")
        if row.author.casefold() == approver.email.casefold():
            raise PermissionRefused("A second person has to approve this change.")
        if row.effective_at <= now:
            raise ConflictError("This change is in force already.")
        later = RiskLimit.objects.filter(
            scope=row.scope, scope_key=row.scope_key, name=row.name, version__gt=row.version
        )
        if later.exists():
            raise ConflictError("A newer change has replaced this one.")
        row.effective_at = now
        row.approved_by = approver.email
        row.save(update_fields=["effective_at", "approved_by"])
        record_audit(
            actor=approver.email,
            action="limit_approved",
            object_type="risk_limit",
            object_id=row.pk,
            data={"name": row.name, "to": row.value, "version": row.version, "author": row.author},
        )
    return row
