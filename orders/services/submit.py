"""Sends what has been claimed. One write per claim, and an honest name for every outcome.

Accepted: the broker's order echoes our id. Refused: proven, the order is closed. Not sent: no byte left,
the row waits and goes out again under the same id. Anything else is UNCONFIRMED, and `resolve` asks.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog
from django.db import DatabaseError, close_old_connections

from brokers.adapters.base import BrokerInterface
from brokers.enums import ExecType
from brokers.exceptions import (
    AuthorizationExpired,
    BrokerError,
    DuplicateClientOrderId,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    Unsupported,
)
from brokers.rate_limits import take_token
from brokers.registry import manager
from brokers.services.connections import mark_needs_relink
from brokers.types import BrokerOrder, DecisionToken, ExecutionReport
from orders.enums import OutboxKind, OutboxStatus
from orders.journal import move_order, publish_order
from orders.models import Order
from orders.services.adopt import attach_legs, remember_ids
from orders.services.claim import LONGEST_HOLD_UP, Claim, ClaimInDoubt, claim_message, still_ours
from orders.services.claimed_row import finish_row, is_repeat, mark_unknown, put_back, with_row
from orders.services.ingest import apply_report_locked
from orders.services.recheck import is_halted, mint_send_token
from orders.services.replaced import open_replace_message
from orders.services.snapshot import report_of
from orders.state_machine import IllegalTransition, Trigger
from orders.timing import StageClock
from orders.wire import changes_from_json, request_of
from tradeplatform.common.clock import monotonic, utc_now
from tradeplatform.common.envelope import EncryptionError

logger = structlog.get_logger(__name__)

RETRY_NOT_SENT = timedelta(seconds=1)
# A cancel waits for its user to link the broker again; it is never given up.
RETRY_WITHOUT_LINK = timedelta(seconds=15)
REPLACE_TAKES_HOLD = timedelta(seconds=10)


def claim_and_send(outbox_id: int, *, worker: str) -> bool:
    """Claim one row and carry it to the broker; True when something was written there or tried to be.

    Safe to call any number of times, from anywhere, with any id: a row that is not READY is left alone.
    """
    started, began_at = monotonic(), utc_now()
    try:
        claim = claim_message(outbox_id, worker=worker)
    except ClaimInDoubt as doubt:
        logger.warning("claim_in_doubt", order=str(doubt.claim.order.pk), exc_info=True)
        _put_back_after_failure(doubt.claim, "The claim could not be stored.")
        return False
    if claim is None:
        return False
    clock = StageClock(started)
    try:
        means = _prepare_to_send(claim, started)
    except Exception:
        logger.exception("send_not_begun", order=str(claim.order.pk))
        _put_back_after_failure(claim, "The sender failed before sending.")
        return False
    if means is None:
        return False
    trader, token = means
    claim = replace(claim, left_at=utc_now(), clock=clock)
    if "queue" not in claim.message.timings:
        clock.note("queue", (began_at - claim.message.created_at).total_seconds())
    clock.end("send")
    send = {
        OutboxKind.SUBMIT: _send_order,
        OutboxKind.REPLACE: _send_replace,
        OutboxKind.CANCEL: _send_cancel,
    }[OutboxKind(claim.message.kind)]
    try:
        try:
            answer = send(claim, trader, token)
        finally:
            clock.end("ack")
    except BrokerError as error:
        settle = partial(_settle_failure, claim, error, trader)
    except Exception as error:
        logger.exception("send_failed", order=str(claim.order.pk))
        unknown = OutcomeUnknown(f"{type(error).__name__} while sending")
        settle = partial(_settle_failure, claim, unknown, trader)
    else:
        settle = partial(_settle_answer, claim, answer)
    _store(settle)
    return True


def _store(settle: Callable[[], None]) -> None:
    """Store what became of a write, twice if need be: what is known must not become a doubt.

    Had the first time been stored unheard, the second finds the row no longer claimed and changes nothing.
    """
    try:
        settle()
    except DatabaseError:
        logger.exception("outcome_not_stored")
        close_old_connections()
        settle()


def _prepare_to_send(claim: Claim, started: float) -> tuple[BrokerInterface, DecisionToken | None] | None:
    """Return what the write takes; None, with the row put aside, when it cannot be made now."""
    wait = take_token(claim.account, priority="cancel" if claim.message.kind == "cancel" else "order")
    if wait > 0:
        put_back(claim, f"Waiting {wait:.1f} s for the broker's rate limit.", delay=timedelta(seconds=wait))
        return None
    trader = _open_trader(claim)
    if trader is None:
        return None
    try:
        token = mint_send_token(claim.recheck) if claim.recheck is not None else None
    except PermissionError:
        put_back(claim, "The decision is too old; deciding again.")
        return None
    return (trader, token) if _may_leave(claim, started) else None


def _put_back_after_failure(claim: Claim, problem: str) -> None:
    """Put back the row of a sender that failed before it sent; its connection may be broken, too."""
    close_old_connections()
    put_back(claim, problem, delay=RETRY_NOT_SENT)


def _may_leave(claim: Claim, started: float) -> bool:
    """Look once more, right before the bytes: how long we were away, our fence, and last the halts.

    The process may have been stopped between the claim and now; a stale one must not write.
    """
    if monotonic() - started > LONGEST_HOLD_UP:
        put_back(claim, "The sender was held up before sending.")
        return False
    if not still_ours(claim):
        put_back(claim, "The sender had lost its claim before sending.")
        return False
    if claim.recheck is not None and is_halted(claim.message, reduces=claim.recheck.reduces):
        put_back(claim, "Trading is stopped.", drop=True)
        return False
    return True


def _open_trader(claim: Claim) -> BrokerInterface | None:
    """Return the adapter to write through; None, with the row put aside, when the link cannot be used."""
    try:
        return manager.get_trader(claim.account, purpose=f"{claim.message.kind} order")
    except AuthorizationExpired as error:
        is_cancel = claim.message.kind == OutboxKind.CANCEL
        put_back(claim, error.message, delay=RETRY_WITHOUT_LINK, drop=not is_cancel)
        return None
    except EncryptionError as error:
        # The operator can bring the key back; until then nothing leaves, and an intent ends at its own time.
        logger.error("credentials_unreadable", order=str(claim.order.pk), code=error.code)
        put_back(claim, error.message, delay=RETRY_WITHOUT_LINK)
        return None


def _send_order(claim: Claim, trader: BrokerInterface, token: DecisionToken | None) -> BrokerOrder:
    if token is None:
        raise RuntimeError("An order is sent only under a decision.")
    return trader.place_order(
        request_of(claim.order),
        client_order_id=claim.message.client_order_id,
        token=token,
        order_hash=claim.message.order_hash,
    )


def _send_replace(claim: Claim, trader: BrokerInterface, token: DecisionToken | None) -> BrokerOrder:
    if token is None:
        raise RuntimeError("A replace is sent only under a decision.")
    return trader.replace_order(
        claim.order.broker_order_id,
        changes_from_json(claim.message.changes),
        client_order_id=claim.message.client_order_id,
        token=token,
        order_hash=claim.message.order_hash,
    )


def _send_cancel(claim: Claim, trader: BrokerInterface, token: DecisionToken | None) -> None:
    trader.cancel_order(claim.order.broker_order_id)


def _settle_answer(claim: Claim, answer: BrokerOrder | None) -> None:
    """Store what the broker acknowledged. A cancel's answer only means that it was asked for."""
    if answer is None:
        finish_row(claim, at=utc_now())
        return
    if claim.message.kind == OutboxKind.REPLACE:
        with_row(
            claim, lambda order, now: _note_replacement(claim, order, answer, now), status=OutboxStatus.DONE
        )
    else:
        with_row(claim, lambda order, now: adopt_answer(order, answer, now=now), status=OutboxStatus.DONE)


def adopt_answer(order: Order, answer: BrokerOrder, *, now: datetime) -> None:
    """Take the broker's order as the answer to ours: ids, legs and status. The account is locked."""
    remember_ids(order, broker_order_id=answer.broker_order_id, client_order_id="")
    attach_legs(order, answer, at=now)
    report = report_of(answer)
    if report.exec_type is ExecType.UNKNOWN:
        report = ExecutionReport(
            exec_type=ExecType.NEW,
            broker_order_id=answer.broker_order_id,
            client_order_id=answer.client_order_id,
            transact_time=answer.submitted_at,
        )
    try:
        apply_report_locked(order.account, report, received_at=now, known=order)
    except IllegalTransition:
        # The stream was faster and has closed the order already; its facts stand.
        logger.info("acknowledgement_after_close", order=str(order.pk), status=order.status)


def _note_replacement(claim: Claim, order: Order, answer: BrokerOrder, now: datetime) -> None:
    """Remember the new id. The replace itself is finished by the report that it happened."""
    remember_ids(order, broker_order_id=answer.broker_order_id, client_order_id=claim.message.client_order_id)


def _settle_failure(claim: Claim, error: BrokerError, trader: BrokerInterface) -> None:
    logger.warning(
        "send_outcome",
        order=str(claim.order.pk),
        kind=claim.message.kind,
        outcome=type(error).__name__,
        code=error.code,
        request_id=error.request_id,
    )
    match error:
        case DuplicateClientOrderId():
            mark_unknown(claim, "The broker already has this id; reading its order.")
        case Rejected() | Unsupported():
            _settle_refusal(claim, error)
        case NotSent():
            put_back(claim, error.message, delay=RETRY_NOT_SENT)
        case AuthorizationExpired():
            mark_needs_relink(connection_id=claim.account.connection_id, reason=error.message)
            if claim.message.kind == OutboxKind.CANCEL:
                put_back(claim, error.message, delay=RETRY_WITHOUT_LINK)
            else:
                _settle_refusal(claim, error)
        case RateLimited() if claim.message.kind == OutboxKind.CANCEL or trader.refused_proof_on_rate_limit():
            put_back(claim, error.message, delay=timedelta(seconds=error.retry_after_seconds or 1))
        case _:
            mark_unknown(claim, error.message, code=error.code)


def _settle_refusal(claim: Claim, error: BrokerError) -> None:
    if is_repeat(claim):
        mark_unknown(claim, error.message, stop=True)
        return
    if claim.message.kind == OutboxKind.CANCEL and _was_just_replaced(claim.order):
        put_back(claim, error.message, delay=RETRY_NOT_SENT)
        return
    trigger = {
        OutboxKind.SUBMIT: Trigger.REJECTED,
        OutboxKind.REPLACE: Trigger.REPLACE_REFUSED,
        OutboxKind.CANCEL: Trigger.CANCEL_REFUSED,
    }[OutboxKind(claim.message.kind)]

    def refuse(order: Order, now: datetime) -> None:
        if claim.message.kind == OutboxKind.SUBMIT:
            order.reject_code = error.code[:40]
            order.reject_reason = error.message[:300]
        if claim.message.kind != OutboxKind.SUBMIT and order.is_closed:
            return
        data = {"text": error.message[:300], "code": error.code, "request_id": error.request_id}
        move_order(order, trigger, actor="system:broker", at=now, data=data)
        order.save()
        publish_order(order)

    with_row(claim, refuse, status=OutboxStatus.DONE, problem=error.message)


def _was_just_replaced(order: Order) -> bool:
    """Tell whether the broker may have refused a cancel because a replace was taking hold."""
    message = open_replace_message(order)
    return (
        message is not None
        and message.done_at is not None
        and utc_now() - message.done_at < REPLACE_TAKES_HOLD
    )
