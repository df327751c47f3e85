"""The user's answer to an order that waits for it: approve or reject exactly one hash, once.

The market is read first, without locks. Then, under the account's lock, the whole gate runs again as if
the approval were given; only if it allows the order is the request claimed, by a conditional update, and
the order queued, all in one transaction. Whatever is missing or unsure leaves the order unsent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.db import transaction

from orders.enums import ApprovalStatus, OrderStatus
from orders.exceptions import (
    ApprovalAlreadyDecided,
    ApprovalExpired,
    ApprovalHashMismatch,
    ApprovalNotRequested,
    ApprovalPriceMoved,
    ConfirmationRequired,
    OrderDenied,
)
from orders.journal import move_order, publish_order, record_fact
from orders.locks import lock_account, lock_order
from orders.market_facts import MarketFacts, read_market
from orders.models import Approval, Order
from orders.representation import approval_document, finding_document
from orders.risk_context import build_context, prepare_account
from orders.selectors import approval_of, get_order_for
from orders.services.approval_request import (
    approval_facts,
    claim_approval,
    open_approval,
    request_approval,
)
from orders.services.authorize import authorize_order
from orders.services.place import queue_order
from orders.state_machine import Trigger
from orders.timer_statements import APPROVALS_PAST_THEIR_TIME
from orders.timing import StageClock, clock_of_request
from orders.wire import request_of
from risk.engine import evaluate
from risk.exposure import order_cost, reserved_quantity
from risk.facts import Purpose
from risk.rules.approval import PriceUnmoved
from risk.services.decisions import record_decision
from risk.types import RiskContext, RiskDecision, Severity, Verdict
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.models import User

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What the user answered, to which request, with the market as it was read for it."""

    user: User
    approval_id: UUID
    confirm: frozenset[str]
    actor: str
    market: MarketFacts
    clock: StageClock


def approve_order(
    *,
    user: User,
    order_id: UUID | str,
    order_hash: str,
    approval_id: UUID | None = None,
    confirm: frozenset[str] = frozenset(),
    actor: str = "",
) -> Order:
    """Approve one of the user's waiting orders and queue it.

    `approval_id` names the request that the user looked at; without it, the one open when this begins.
    Raises NotFoundError, ApprovalHashMismatch, ApprovalNotRequested, ApprovalAlreadyDecided,
    ApprovalExpired (the order ends NOT_SENT), ApprovalPriceMoved (asked again at the new price),
    ConfirmationRequired or OrderDenied (the order goes on waiting), or PermissionRefused (plan, arming).
    """
    clock = clock_of_request()
    found = get_order_for(user, order_id)
    seen = _find_open(found, order_hash)
    prepare_account(found.account, now=utc_now())
    answer = _Answer(
        user=user,
        approval_id=approval_id or seen.pk,
        confirm=confirm,
        actor=actor or user.email,
        market=read_market(found.account, found.symbol, now=utc_now()),
        clock=clock,
    )
    clock.end("accept")
    with transaction.atomic():
        account = lock_account(found.account_id)
        order = lock_order(found.pk)
        order.account = account
        refusal = _approve_locked(order, answer)
    if refusal is not None:
        raise refusal
    return order


def _find_open(order: Order, order_hash: str) -> Approval:
    """Return the open request if `order_hash` is this order's; raises what stands against an answer."""
    if order_hash != order.order_hash:
        raise ApprovalHashMismatch
    approval = open_approval(order)
    if approval is None:
        raise _why_not_open(order)
    return approval


def _why_not_open(order: Order) -> PlatformError:
    last = approval_of(order)
    if last is None:
        return ApprovalNotRequested()
    if last.status == ApprovalStatus.EXPIRED:
        return ApprovalExpired()
    return ApprovalAlreadyDecided(last.get_status_display().lower())


def _approve_locked(order: Order, answer: _Answer) -> PlatformError | None:
    now = utc_now()
    approval = open_approval(order)
    if approval is None or order.status != OrderStatus.PENDING_APPROVAL:
        return _why_not_open(order)
    if approval.pk != answer.approval_id:
        return ApprovalPriceMoved(approval_document(approval))
    if approval.expires_at <= now:
        _expire(order, approval, now)
        return ApprovalExpired()
    context = _judge_again(order, approval, answer, now)
    decision = evaluate(context)
    answer.clock.end("gate")
    findings = [finding_document(finding) for finding in decision.findings]
    if decision.verdict is Verdict.REQUIRE_CONFIRMATION:
        return ConfirmationRequired(findings)
    decision_id = _record(context, decision)
    if decision.verdict is Verdict.ALLOW:
        authorize_order(user=answer.user, account=order.account, context=context)
        return _queue_approved(order, approval, answer, context, decision_id)
    if _is_drift_alone(decision):
        return _ask_again(order, approval, answer, context, decision_id)
    data = {"decision": str(decision_id), "approval": str(approval.pk), "text": _first_message(decision)}
    record_fact(order, "approval_refused", actor=answer.actor, at=now, data=data)
    publish_order(order)
    return OrderDenied(findings, order_id=order.pk)


def _judge_again(order: Order, approval: Approval, answer: _Answer, now: datetime) -> RiskContext:
    return build_context(
        account=order.account,
        user=answer.user,
        request=request_of(order),
        market=answer.market,
        purpose=Purpose.APPROVE,
        now=now,
        origin=order.origin,
        client_order_id=order.client_order_id,
        order_hash=order.order_hash,
        confirmed=answer.confirm | frozenset(order.confirmed_codes),
        sending=order,
        approval=approval_facts(approval, given_by=answer.actor),
    )


def _record(context: RiskContext, decision: RiskDecision) -> UUID:
    return record_decision(
        context=context,
        decision=decision,
        order_hash=context.order.order_hash,
        client_order_id=context.order.client_order_id,
        purpose=Purpose.APPROVE,
    ).pk


def _queue_approved(
    order: Order, approval: Approval, answer: _Answer, context: RiskContext, decision_id: UUID
) -> PlatformError | None:
    now = context.now
    if not claim_approval(approval, status=ApprovalStatus.APPROVED, actor=answer.actor, now=now):
        return ApprovalAlreadyDecided("decided")
    order.decision_id = decision_id
    order.expires_at = context.order.expires_at
    order.reserved_cash = order_cost(context) or 0
    order.reserved_qty = reserved_quantity(context)
    order.confirmed_codes = sorted(context.order.confirmed)
    data = {"approval": str(approval.pk), "decision": str(decision_id), "confirmed": sorted(answer.confirm)}
    move_order(order, Trigger.APPROVED, actor=answer.actor, at=now, data=data)
    order.save()
    answer.clock.end("commit")
    queue_order(order, at=now, timings=answer.clock.milliseconds)
    _audit(order, "order.approved", answer.actor, data | {"hash": order.order_hash})
    publish_order(order)
    return None


def _is_drift_alone(decision: RiskDecision) -> bool:
    hard = {finding.code for finding in decision.findings if finding.severity is Severity.HARD}
    moved = [check for check in decision.checks if check.code == PriceUnmoved.code and check.value]
    return hard == {PriceUnmoved.code} and bool(moved)


def _ask_again(
    order: Order, approval: Approval, answer: _Answer, context: RiskContext, decision_id: UUID
) -> PlatformError:
    """Replace the request by one at the price of now, so that the user looks at that before answering."""
    now = context.now
    if not claim_approval(
        approval, status=ApprovalStatus.VOID, actor=answer.actor, now=now, reason="The price moved."
    ):
        return ApprovalAlreadyDecided("decided")
    order.decision_id = decision_id
    order.save(update_fields=["decision_id"])
    fresh = request_approval(order, context)
    document = approval_document(fresh)
    data = {
        "approval": str(fresh.pk),
        "decision": str(decision_id),
        "price_before": str(approval.reference_price),
        "price_now": str(fresh.reference_price),
    }
    record_fact(order, "approval_asked_again", actor=answer.actor, at=now, data=data)
    _audit(order, "order.approval_asked_again", answer.actor, data)
    publish_order(order)
    return ApprovalPriceMoved(document)


def reject_order(
    *, user: User, order_id: UUID | str, order_hash: str, reason: str = "", actor: str = ""
) -> Order:
    """Reject one of the user's waiting orders: it ends NOT_SENT and frees what it held back.

    Raises NotFoundError, ApprovalHashMismatch, ApprovalNotRequested, ApprovalAlreadyDecided or
    ApprovalExpired.
    """
    found = get_order_for(user, order_id)
    _find_open(found, order_hash)
    who = actor or user.email
    with transaction.atomic():
        lock_account(found.account_id)
        order = lock_order(found.pk)
        refusal = _reject_locked(order, who, reason.strip())
    if refusal is not None:
        raise refusal
    return order


def _reject_locked(order: Order, actor: str, reason: str) -> PlatformError | None:
    now = utc_now()
    approval = open_approval(order)
    if approval is None or order.status != OrderStatus.PENDING_APPROVAL:
        return _why_not_open(order)
    if approval.expires_at <= now:
        _expire(order, approval, now)
        return ApprovalExpired()
    if not claim_approval(approval, status=ApprovalStatus.REJECTED, actor=actor, now=now, reason=reason):
        return ApprovalAlreadyDecided("decided")
    text = f"You rejected it: {reason}" if reason else "You rejected it."
    _end_unsent(order, approval, Trigger.WITHDRAWN, actor=actor, now=now, text=text)
    return None


def expire_approvals() -> int:
    """End every request whose time is over, with its order; return how many. A dispatcher's timer."""
    count = 0
    for approval in APPROVALS_PAST_THEIR_TIME.all(now=utc_now()):
        try:
            with transaction.atomic():
                lock_account(approval.order.account_id)
                count += _expire(lock_order(approval.order_id), approval, utc_now())
        except Exception:
            # One row that cannot be ended must not keep the others open.
            logger.exception("approval_not_expired", approval=str(approval.pk))
    if count:
        logger.info("approvals_expired", count=count)
    return count


def _expire(order: Order, approval: Approval, now: datetime) -> bool:
    actor = "system:approvals"
    if not claim_approval(approval, status=ApprovalStatus.EXPIRED, actor=actor, now=now):
        return False
    if order.status == OrderStatus.PENDING_APPROVAL:
        text = "It was not approved in time."
        _end_unsent(order, approval, Trigger.INTENT_EXPIRED, actor=actor, now=now, text=text)
    return True


def _end_unsent(
    order: Order, approval: Approval, trigger: Trigger, *, actor: str, now: datetime, text: str
) -> None:
    order.reject_reason = text[:300]
    data = {"approval": str(approval.pk), "text": order.reject_reason}
    move_order(order, trigger, actor=actor, at=now, data=data)
    order.save()
    action = "order.approval_expired" if trigger is Trigger.INTENT_EXPIRED else "order.rejected_by_user"
    _audit(order, action, actor, data | {"hash": order.order_hash})
    publish_order(order)


def _audit(order: Order, action: str, actor: str, data: Mapping[str, object]) -> None:
    record_audit(actor=actor, action=action, object_type="order", object_id=order.pk, data=data)


def _first_message(decision: RiskDecision) -> str:
    hard = (finding.message for finding in decision.findings if finding.severity is Severity.HARD)
    return next(hard, "The risk checks did not allow it.")[:300]
