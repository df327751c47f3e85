"""Stopping and resuming trading. A halt is latched: it holds until somebody lifts it, restarts included."""

from datetime import datetime
from functools import partial
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from brokers.models import BrokerAccount
from risk.enums import HaltKind, HaltScope
from risk.latch import LatchedHalt, write_latch
from risk.models import TradingHalt
from risk.services.scopes import check_scope_key, may_manage_risk, require_scope_access
from risk.signals import trading_halted, trading_resumed
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.events import publish_event
from tradeplatform.common.exceptions import (
    ConflictError,
    InvalidRequest,
    NotFoundError,
    PermissionRefused,
)
from tradeplatform.models import User

logger = structlog.get_logger(__name__)


def halt_trading(
    *,
    scope: str,
    scope_key: str = "",
    kind: str = HaltKind.HALTED,
    reason: str,
    actor: User | str,
    cancel_open: bool = False,
    now: datetime | None = None,
) -> TradingHalt:
    """Stop new orders for a scope and return the halt; cancels and exits stay possible.

    A halt of the same scope and kind that is active already is returned as it is, with `cancel_open`
    added if asked for. `actor` is a person, or "system:<process>". Raises InvalidRequest or
    PermissionRefused.
    """
    _check_halt(scope=scope, scope_key=scope_key, kind=kind, reason=reason, actor=actor)
    with transaction.atomic():
        active = TradingHalt.objects.select_for_update().filter(
            scope=scope, scope_key=scope_key, kind=kind, lifted_at=None
        )
        halt = active.first()
        if halt is not None and (halt.cancel_open or not cancel_open):
            return halt
        if halt is None:
            halt = TradingHalt.objects.create(
                scope=scope,
                scope_key=scope_key,
                kind=kind,
                reason=reason.strip()[:200],
                started_by=_name_of(actor),
                started_at=now or utc_now(),
                cancel_open=cancel_open,
            )
        else:
            halt.cancel_open = True
            halt.save(update_fields=["cancel_open"])
        _announce(halt, actor=_name_of(actor), action="trading_halted", reason=reason.strip())
        transaction.on_commit(partial(trading_halted.send_robust, sender=TradingHalt, halt_id=halt.pk))
    return halt


def _check_halt(*, scope: str, scope_key: str, kind: str, reason: str, actor: User | str) -> None:
    if scope not in HaltScope.values:
        raise InvalidRequest("There is no such level.", fields={"scope": ["Choose a level."]})
    if kind not in HaltKind.values:
        raise InvalidRequest("There is no such kind of halt.", fields={"kind": ["Choose a kind."]})
    if not reason.strip():
        raise InvalidRequest("Give a reason for the halt.", fields={"reason": ["Give a reason."]})
    if isinstance(actor, User):
        require_scope_access(actor, scope=scope, scope_key=scope_key)
    check_scope_key(scope=scope, scope_key=scope_key)


def latch_halt(
    *, scope: str, scope_key: str = "", reason: str, actor: str, cancel_open: bool = False
) -> LatchedHalt:
    """Halt trading through this machine's file, for when `halt_trading` cannot write the database.

    Returns when it is on the disk; raises OSError. The caller has made sure that `actor` may do this.
    """
    halt = LatchedHalt(
        scope=scope,
        scope_key=scope_key,
        reason=reason.strip()[:200] or "Emergency halt.",
        started_by=actor,
        started_at=utc_now().isoformat(),
        cancel_open=cancel_open,
    )
    write_latch(halt)
    logger.warning("halt_latched", scope=scope, scope_key=scope_key)
    return halt


def resume_trading(*, halt_id: UUID, reason: str, actor: User, now: datetime | None = None) -> TradingHalt:
    """Lift a halt. Raises NotFoundError, ConflictError, InvalidRequest or PermissionRefused.

    People lift what they stopped themselves; what somebody else or the system stopped takes a risk
    admin. A halt of the whole platform takes another risk admin than the one who started it, demo mode
    excepted.
    """
    if not reason.strip():
        raise InvalidRequest("Say why trading may go on.", fields={"lift_reason": ["Give a reason."]})
    with transaction.atomic():
        halt = TradingHalt.objects.select_for_update().filter(pk=halt_id).first()
        if halt is None:
            raise NotFoundError("There is no such halt.")
        _require_may_lift(halt, actor)
        if halt.lifted_at is not None:
            raise ConflictError("This halt has been lifted already.")
        halt.lifted_at = now or utc_now()
        halt.lifted_by = actor.email
        halt.lift_reason = reason.strip()[:200]
        halt.save(update_fields=["lifted_at", "lifted_by", "lift_reason"])
        _announce(halt, actor=actor.email, action="trading_resumed", reason=halt.lift_reason)
        transaction.on_commit(partial(trading_resumed.send_robust, sender=TradingHalt, halt_id=halt.pk))
    return halt


def _require_may_lift(halt: TradingHalt, actor: User) -> None:
    require_scope_access(actor, scope=halt.scope, scope_key=halt.scope_key)
    started_it = halt.started_by.casefold() == actor.email.casefold()
    if not started_it and not may_manage_risk(actor):
        raise PermissionRefused("Only a risk admin may lift a halt that somebody else started.")
    if halt.scope == HaltScope.PLATFORM and started_it and not settings.DEMO_MODE:
        raise PermissionRefused("A second risk admin has to lift a halt of the whole platform.")


def _name_of(actor: User | str) -> str:
    return actor.email if isinstance(actor, User) else actor


def _announce(halt: TradingHalt, *, actor: str, action: str, reason: str) -> None:
    """Write the audit entry, then tell everybody whom the halt covers."""
    facts = {"scope": halt.scope, "scope_key": halt.scope_key, "kind": halt.kind}
    record_audit(
        actor=actor,
        action=action,
        object_type="trading_halt",
        object_id=halt.pk,
        data={**facts, "reason": reason, "cancel_open": halt.cancel_open},
    )
    payload = {**facts, "id": str(halt.pk), "active": halt.lifted_at is None}
    for user_id in _covered_users(halt):
        publish_event(user_id=user_id, kind="halt", payload=payload)


def _covered_users(halt: TradingHalt) -> list[int]:
    """Return the ids of everybody with an active account under the halt, in a fixed order."""
    if halt.scope == HaltScope.USER:
        return [int(halt.scope_key)]
    accounts = BrokerAccount.objects.filter(is_active=True)
    if halt.scope == HaltScope.BROKER:
        accounts = accounts.filter(broker=halt.scope_key)
    elif halt.scope == HaltScope.ACCOUNT:
        accounts = BrokerAccount.objects.filter(pk=halt.scope_key)
    return sorted(set(accounts.values_list("user_id", flat=True)))
