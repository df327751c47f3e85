"""Reading halts, limits and decisions."""

from datetime import datetime
from uuid import UUID

from django.db.models import F, Q, QuerySet

from brokers.models import BrokerAccount
from risk.enums import HaltScope
from risk.facts import HaltFacts
from risk.latch import LatchedHalt, read_latch
from risk.models import RiskDecisionRecord, RiskLimit, TradingHalt
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import NotFoundError
from tradeplatform.common.prepared import PreparedQuery, slot
from tradeplatform.models import User


def _halts_in_force() -> QuerySet[TradingHalt]:
    covers = Q(scope=HaltScope.PLATFORM)
    for scope in (HaltScope.BROKER, HaltScope.USER, HaltScope.ACCOUNT):
        covers |= Q(scope=scope, scope_key=slot(TradingHalt, "scope_key", name=str(scope)))
    return TradingHalt.objects.filter(covers, lifted_at=None).order_by("started_at")


_HALTS_IN_FORCE = PreparedQuery(_halts_in_force)


def active_halts(*, user_id: int, account_id: UUID, broker: str) -> list[TradingHalt]:
    """Return every halt in force that covers an account, oldest first. One query, never cached.

    Halts of the emergency file, which the database does not hold yet, come as unsaved rows.
    """
    stored = _HALTS_IN_FORCE.all(broker=broker, user=str(user_id), account=str(account_id))
    return stored + latched_halts(user_id=user_id, account_id=account_id, broker=broker)


def latched_halts(*, user_id: int, account_id: UUID, broker: str) -> list[TradingHalt]:
    """Return the halts of this machine's emergency file that cover an account, as unsaved rows."""
    return [
        _as_row(halt)
        for halt in read_latch()
        if halt.covers(user_id=user_id, account_id=str(account_id), broker=broker)
    ]


def halts_for(user: User, *, include_lifted: bool = False) -> QuerySet[TradingHalt]:
    """Return the halts over a person: their own, of their accounts and brokers, of the platform."""
    accounts = list(BrokerAccount.objects.filter(user=user, is_active=True).values_list("pk", "broker"))
    covers = (
        Q(scope=HaltScope.PLATFORM)
        | Q(scope=HaltScope.USER, scope_key=str(user.pk))
        | Q(scope=HaltScope.BROKER, scope_key__in={broker for _, broker in accounts})
        | Q(scope=HaltScope.ACCOUNT, scope_key__in=[str(pk) for pk, _ in accounts])
    )
    halts = TradingHalt.objects.filter(covers)
    return (halts if include_lifted else halts.filter(lifted_at=None)).order_by("-started_at", "pk")


def get_halt_for(user: User, halt_id: UUID) -> TradingHalt:
    """Return one halt over a person; raises NotFoundError. Risk admins find all of them in the admin."""
    halt = halts_for(user, include_lifted=True).filter(pk=halt_id).first()
    if halt is None:
        raise NotFoundError("There is no such halt.")
    return halt


def decisions_for(user: User, account: BrokerAccount | None) -> QuerySet[RiskDecisionRecord]:
    """Return what the gate decided about a person's orders, newest first, of one account or of all."""
    records = RiskDecisionRecord.objects.filter(user_id=user.pk)
    if account is not None:
        records = records.filter(account_id=account.pk)
    return records.defer("context", "limits").order_by("-created_at", "pk")


def _as_row(halt: LatchedHalt) -> TradingHalt:
    return TradingHalt(
        scope=halt.scope,
        scope_key=halt.scope_key,
        reason=halt.reason,
        started_by=halt.started_by,
        started_at=halt.moment,
        cancel_open=halt.cancel_open,
    )


def halts_covering(*, user_id: int, account_id: UUID, broker: str) -> tuple[HaltFacts, ...]:
    """Return the same halts as facts for a risk context."""
    return tuple(
        HaltFacts(
            scope=halt.scope,
            scope_key=halt.scope_key,
            kind=halt.kind,
            started_by=halt.started_by,
            started_at=halt.started_at,
            reason=halt.reason,
        )
        for halt in active_halts(user_id=user_id, account_id=account_id, broker=broker)
    )


def halts_awaiting_cancels() -> QuerySet[TradingHalt]:
    """Return active halts that ask for open orders to be cancelled and have not been acted on."""
    return TradingHalt.objects.filter(cancel_open=True, cancels_requested_at=None, lifted_at=None)


def limit_history(*, scope: str, scope_key: str, name: str) -> list[RiskLimit]:
    """Return all versions of one limit, newest first."""
    return list(RiskLimit.objects.filter(scope=scope, scope_key=scope_key, name=name).order_by("-version"))


def pending_limits(*, now: datetime | None = None) -> list[RiskLimit]:
    """Return the changes that have not taken effect yet, soonest first."""
    return list(RiskLimit.objects.filter(effective_at__gt=now or utc_now()).order_by("effective_at"))


def get_decision(decision_id: UUID) -> RiskDecisionRecord:
    """Return one recorded decision; raises NotFoundError. The caller checks whose order it belongs to."""
    record = RiskDecisionRecord.objects.filter(pk=decision_id).first()
    if record is None:
        raise NotFoundError("There is no such decision.")
    return record


def decisions_for_account(account_id: UUID) -> QuerySet[RiskDecisionRecord]:
    """Return an account's decisions, newest first. The caller checks whose account it is."""
    return RiskDecisionRecord.objects.filter(account_id=account_id).order_by("-created_at")


def recent_halts(*, since: datetime, limit: int = 50) -> list[TradingHalt]:
    """Return everybody's halts that hold or began since a time, the active ones first."""
    shown = TradingHalt.objects.filter(Q(lifted_at=None) | Q(started_at__gte=since))
    return list(shown.order_by(F("lifted_at").desc(nulls_first=True), "-started_at")[:limit])
