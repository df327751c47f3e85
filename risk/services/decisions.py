"""Keeping what the gate decided, and turning an ALLOW into the right to send once."""

from datetime import datetime, timedelta

from brokers.types import DecisionToken
from risk.codec import encode
from risk.facts import Purpose
from risk.models import RiskDecisionRecord
from risk.types import RiskContext, RiskDecision, Verdict
from tradeplatform.common.ids import new_id
from tradeplatform.common.prepared import append_row

OLDEST_DECISION = timedelta(seconds=5)


def record_decision(
    *,
    context: RiskContext,
    decision: RiskDecision,
    order_hash: str,
    client_order_id: str,
    purpose: str,
) -> RiskDecisionRecord:
    """Store one run of the gate with its whole input, so that `risk.replay` can compute it again."""
    record = RiskDecisionRecord(
        id=new_id(),
        user_id=context.user.id,
        account_id=context.account.id,
        client_order_id=client_order_id,
        order_hash=order_hash,
        purpose=purpose,
        verdict=decision.verdict.value,
        findings=[encode(finding) for finding in decision.findings],
        checks=[encode(check) for check in decision.checks],
        context=context.to_json(),
        limits=[encode(limit) for limit in context.limits.entries],
        confirmed=sorted(context.order.confirmed),
        engine_version=decision.engine_version,
        created_at=context.now,
    )
    append_row(record)
    return record


def mint_token(record: RiskDecisionRecord, *, now: datetime, ttl_seconds: int = 5) -> DecisionToken:
    """Return the proof that an adapter asks for before it sends.

    Only for an ALLOW on an order (not a preview) that is at most five seconds old. Raises
    PermissionError otherwise: reaching this without a fresh ALLOW is a bug that must be loud.
    """
    if record.verdict != Verdict.ALLOW.value:
        raise PermissionError("Only an allowed order may be sent.")
    if record.purpose == Purpose.PREVIEW.value or not record.order_hash:
        raise PermissionError("A preview is no permission to send.")
    if now - record.created_at > OLDEST_DECISION:
        raise PermissionError("The risk decision is too old; judge the order again.")
    return DecisionToken(
        decision_id=record.pk,
        order_hash=record.order_hash,
        expires_at=now + timedelta(seconds=min(ttl_seconds, 5)),
    )
