"""Takes an order: one decision, one transaction, one answer per idempotency key.

The market is read first, without locks. Then, under the account's lock: the gate runs, the order, its
decision, its reservation, its journal, its outbox row (or the request for its owner's approval) and the
stored answer are written together, and the dispatcher's bell is rung by the commit. Nothing is sent here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import OperationalError, transaction

from brokers.models import BrokerAccount
from brokers.selectors import get_account_for
from brokers.types import OrderRequest, hash_order
from orders.doorbell import ring
from orders.enums import OrderStatus, OutboxKind
from orders.exceptions import ConfirmationRequired, IdempotencyInProgress, OrderDenied
from orders.journal import publish_order
from orders.locks import is_lock_timeout, limit_lock_wait, lock_account
from orders.market_facts import MarketFacts, read_market
from orders.models import IdempotencyRecord, Order, OrderEvent, OutboxMessage
from orders.representation import finding_document, order_document
from orders.risk_context import build_context, prepare_account
from orders.services.approval_request import request_approval
from orders.services.authorize import authorize_order
from orders.services.idempotency import (
    check_key,
    claim_key,
    find_answer,
    hash_body,
    raise_stored,
    refusal_body,
    store_answer,
)
from orders.timing import StageClock, clock_of_request
from orders.wire import client_order_id_for, order_fields
from risk.engine import evaluate
from risk.exposure import order_cost, reduces_position, reserved_quantity
from risk.facts import Purpose
from risk.services.decisions import record_decision
from risk.types import RiskContext, RiskDecision, Verdict
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.common.ids import new_id
from tradeplatform.common.prepared import append_row, insert_row, one_round_trip
from tradeplatform.models import User

LOCK_WAIT_SECONDS = 2
CREATED, ACCEPTED = 201, 202

_STATUS_AFTER = {
    Verdict.ALLOW: OrderStatus.QUEUED,
    Verdict.REQUIRE_APPROVAL: OrderStatus.PENDING_APPROVAL,
    Verdict.DENY: OrderStatus.DENIED,
}
_FIRST_ENTRY = {
    OrderStatus.QUEUED: "placed",
    OrderStatus.PENDING_APPROVAL: "approval_requested",
    OrderStatus.DENIED: "denied",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedOrder:
    """`document` is the answer as it was given the first time; `replayed` says that this is a repeat.

    `http_status` is 201 for an order that is queued, 202 for one that waits for its owner's approval.
    """

    order: Order
    document: dict[str, Any]
    replayed: bool
    http_status: int


def place_order(
    *,
    user: User,
    account_id: UUID,
    request: OrderRequest,
    idempotency_key: str,
    origin: str,
    confirm: frozenset[str] = frozenset(),
    note: str = "",
    actor: str = "",
) -> PlacedOrder:
    """Decide on an order and queue it, or keep it until its owner approves it.

    Raises ConfirmationRequired (nothing stored but the answer), OrderDenied (stored as DENIED),
    IdempotencyKeyReused, IdempotencyInProgress, PermissionRefused (plan, arming) or NotFoundError.
    """
    clock = clock_of_request()
    key = check_key(idempotency_key)
    account = get_account_for(user, account_id)
    body_hash = hash_body(account_id=account.pk, request=request, confirm=confirm, note=note)
    earlier = find_answer(user=user, key=key, body_hash=body_hash)
    if earlier is not None:
        return _replay(earlier)
    account = prepare_account(account, now=utc_now())
    market = read_market(account, request.symbol, now=utc_now())
    intent = _Intent(
        user=user,
        request=request,
        origin=origin,
        confirm=confirm,
        note=note,
        actor=actor or user.email,
        market=market,
        clock=clock,
    )
    clock.end("accept")
    try:
        with transaction.atomic():
            with one_round_trip():
                limit_lock_wait(LOCK_WAIT_SECONDS)
                record, is_ours = claim_key(user=user, key=key, body_hash=body_hash)
            if is_ours:
                placed, refusal = _decide(lock_account(account.pk), intent, record)
    except OperationalError as error:
        if is_lock_timeout(error):
            raise IdempotencyInProgress from error
        raise
    if not is_ours:
        return _replay(record)
    if refusal is not None:
        raise refusal
    if placed is None:
        raise RuntimeError("A decision ends in an order or in a refusal.")
    return placed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Intent:
    user: User
    request: OrderRequest
    origin: str
    confirm: frozenset[str]
    note: str
    actor: str
    market: MarketFacts
    clock: StageClock


def _replay(record: IdempotencyRecord) -> PlacedOrder:
    raise_stored(record)
    if record.order is None or record.response_body is None:
        raise IdempotencyInProgress
    return PlacedOrder(
        order=record.order,
        document=record.response_body,
        replayed=True,
        http_status=record.response_status or CREATED,
    )


def _decide(
    account: BrokerAccount, intent: _Intent, record: IdempotencyRecord
) -> tuple[PlacedOrder | None, PlatformError | None]:
    """Run the gate under the account's lock and write what follows from it."""
    now = utc_now()
    order_id = new_id()
    client_order_id = client_order_id_for(order_id)
    order_hash = hash_order(account_id=account.pk, client_order_id=client_order_id, request=intent.request)
    context = build_context(
        account=account,
        user=intent.user,
        request=intent.request,
        market=intent.market,
        purpose=Purpose.PLACE,
        now=now,
        origin=intent.origin,
        client_order_id=client_order_id,
        order_hash=order_hash,
        confirmed=intent.confirm,
    )
    decision = evaluate(context)
    intent.clock.end("gate")
    findings = [finding_document(finding) for finding in decision.findings]
    if decision.verdict is Verdict.REQUIRE_CONFIRMATION:
        error: PlatformError = ConfirmationRequired(findings)
        store_answer(record, status=error.http_status, body=refusal_body(error), order=None)
        return None, error
    status = _STATUS_AFTER[decision.verdict]
    if status is not OrderStatus.DENIED:
        authorize_order(user=intent.user, account=account, context=context)
    with one_round_trip():
        order = _write_order(account, intent, context, decision, order_id, status)
    if status is OrderStatus.DENIED:
        denial = OrderDenied(findings, order_id=order.pk)
        store_answer(record, status=denial.http_status, body=refusal_body(denial), order=order)
        publish_order(order)
        return None, denial
    return _finish(order, context, record, intent.clock), None


def _finish(order: Order, context: RiskContext, record: IdempotencyRecord, clock: StageClock) -> PlacedOrder:
    """Queue the order or ask for its approval, and store the answer."""
    is_held = order.status == OrderStatus.PENDING_APPROVAL
    approval = request_approval(order, context) if is_held else None
    document = order_document(order, approval)
    http_status = ACCEPTED if is_held else CREATED
    with one_round_trip():
        if not is_held:
            clock.end("commit")
            queue_order(order, at=context.now, timings=clock.milliseconds)
        store_answer(record, status=http_status, body=document, order=order)
        publish_order(order)
    return PlacedOrder(order=order, document=document, replayed=False, http_status=http_status)


def _write_order(
    account: BrokerAccount,
    intent: _Intent,
    context: RiskContext,
    decision: RiskDecision,
    order_id: UUID,
    status: OrderStatus,
) -> Order:
    now = context.now
    denied = status is OrderStatus.DENIED
    stored = record_decision(
        context=context,
        decision=decision,
        order_hash=context.order.order_hash,
        client_order_id=context.order.client_order_id,
        purpose=Purpose.PLACE,
    )
    order = Order(
        id=order_id,
        user=intent.user,
        account=account,
        client_order_id=context.order.client_order_id,
        **order_fields(intent.request),
        note=intent.note[:200],
        origin=intent.origin,
        order_hash=context.order.order_hash,
        decision_id=stored.pk,
        status=status,
        is_exit=reduces_position(context),
        reserved_cash=0 if denied else order_cost(context) or 0,
        reserved_qty=0 if denied else reserved_quantity(context),
        reject_code=_first_code(decision) if denied else "",
        reject_reason=_first_message(decision) if denied else "",
        confirmed_codes=sorted(intent.confirm),
        created_at=now,
        expires_at=context.order.expires_at,
        closed_at=now if denied else None,
    )
    append_row(order)
    append_row(
        OrderEvent(
            order=order,
            kind=_FIRST_ENTRY[status],
            to_status=order.status,
            actor=intent.actor,
            at=now,
            data={"decision": str(stored.pk), "origin": intent.origin, "confirmed": sorted(intent.confirm)},
        )
    )
    record_audit(
        actor=intent.actor,
        action=f"order.{order.status}",
        object_type="order",
        object_id=order.pk,
        data={"hash": order.order_hash, "decision": str(stored.pk), "verdict": str(decision.verdict)},
    )
    return order


def queue_order(order: Order, *, at: datetime, timings: Mapping[str, float] | None = None) -> None:
    """Write the outbox row of a QUEUED order and ring for it. The account is locked by the caller.

    `timings` are the stages that it has behind it, in milliseconds.
    """
    message = OutboxMessage(
        order=order,
        account_id=order.account_id,
        kind=OutboxKind.SUBMIT,
        client_order_id=order.client_order_id,
        order_hash=order.order_hash,
        decision_id=order.decision_id,
        not_before=at,
        created_at=utc_now(),
        timings=dict(timings or {}),
        expires_at=order.expires_at,
    )
    insert_row(message)
    ring(message)


def _first_code(decision: RiskDecision) -> str:
    return next((finding.code for finding in decision.findings if finding.severity == "hard"), "gate")


def _first_message(decision: RiskDecision) -> str:
    hard = (finding.message for finding in decision.findings if finding.severity == "hard")
    return next(hard, "The risk checks refused this order.")[:300]
