"""Carries out what a halt asks for beyond stopping, and measures how fast it stopped."""

from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Q, QuerySet

from orders.enums import UNFINISHED, OrderOrigin, OrderStatus, OutboxKind, OutboxStatus
from orders.locks import lock_account, lock_order
from orders.models import Order, OutboxMessage
from orders.services.cancel import cancel_locked
from orders.timer_statements import HALTS_THAT_CANCEL, HALTS_TO_MEASURE
from risk.models import HaltScope, TradingHalt
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now

logger = structlog.get_logger(__name__)

# No order may begin to leave later than this after the halt's commit.
GRACE = timedelta(seconds=1)
SETTLE = timedelta(seconds=2)
MEASURE_AGAIN = timedelta(seconds=60)


def cancel_for_halts() -> int:
    """Ask for the cancellation of every opening order that an active halt covers; return how many.

    Exits stay: a halt must not take protection away. The halt row says when this was done, so it is done
    once, by whichever dispatcher comes first. One order that cannot be cancelled does not keep the others.
    """
    return sum(_cancel_for(halt) for halt in HALTS_THAT_CANCEL.all())


def _cancel_for(halt: TradingHalt) -> int:
    count = 0
    open_orders = covered_orders(halt).filter(status__in=sorted(UNFINISHED))
    for order in open_orders.exclude(status=OrderStatus.PENDING_CANCEL):
        try:
            count += _cancel_one(order, halt)
        except Exception:
            logger.exception("halt_cancel_failed", halt=str(halt.pk), order=str(order.pk))
    TradingHalt.objects.filter(pk=halt.pk).update(cancels_requested_at=utc_now())
    logger.warning("halt_cancels_requested", halt=str(halt.pk), orders=count)
    return count


def _cancel_one(order: Order, halt: TradingHalt) -> bool:
    with transaction.atomic():
        lock_account(order.account_id)
        current = lock_order(order.pk)
        if current.is_closed:
            return False
        cancel_locked(current, actor=f"system:halt {halt.started_by}")
    return True


def covered_orders(halt: TradingHalt) -> QuerySet[Order]:
    """Return every order that the halt stops: those of its scope that are not exits."""
    orders = Order.objects.filter(is_exit=False).exclude(origin=OrderOrigin.LEG)
    match halt.scope:
        case HaltScope.BROKER:
            return orders.filter(account__broker=halt.scope_key)
        case HaltScope.USER:
            return orders.filter(user_id=halt.scope_key)
        case HaltScope.ACCOUNT:
            return orders.filter(account_id=UUID(halt.scope_key))
        case _:
            return orders


def measure_halts() -> int:
    """Measure, for each halt, when the last order left and how many were on their way; return how many.

    A new halt is measured once nothing that it covers is on its way any more, an active one every minute
    again: a send after it is an incident.
    """
    now = utc_now()
    due = HALTS_TO_MEASURE.all(settled=now - SETTLE, measured=now - MEASURE_AGAIN)
    return sum(_measure(halt) for halt in due)


def _measure(halt: TradingHalt) -> bool:
    sends = OutboxMessage.objects.filter(
        order__in=covered_orders(halt), kind__in=[OutboxKind.SUBMIT, OutboxKind.REPLACE]
    ).exclude(sent_at=None)
    if halt.measured_at is None and sends.filter(status=OutboxStatus.CLAIMED).exists():
        return False
    left = sends.filter(status__in=[OutboxStatus.DONE, OutboxStatus.UNKNOWN])
    if halt.lifted_at is not None:
        left = left.filter(sent_at__lte=halt.lifted_at)
    last = left.order_by("-sent_at").first()
    ended_later = Q(done_at__gt=halt.started_at) | Q(done_at=None, unknown_since__gt=halt.started_at)
    still_out = [row for row in left.filter(ended_later) if _ended_at(row) > halt.started_at]
    ends = [_ended_at(row) for row in still_out or ([last] if last else [])]
    late = left.filter(sent_at__gt=halt.started_at + GRACE).count()
    facts: dict[str, object] = {
        "in_flight": sum(row.sent_at <= halt.started_at for row in still_out if row.sent_at),
        "last_send_at": last.sent_at if last else None,
        "last_byte_at": max(ends, default=None),
        "late_sends": late,
    }
    with transaction.atomic():
        changed = TradingHalt.objects.filter(pk=halt.pk, measured_at=halt.measured_at).update(
            **facts, measured_at=utc_now()
        )
        if changed and (halt.measured_at is None or late > halt.late_sends):
            _record(halt, facts)
    return bool(changed)


def _ended_at(row: OutboxMessage) -> datetime:
    """Return when the call that sent it was over: the answer was here, or the sender gave up waiting.

    The request had left by then. A sender that vanished is given until its lease was over.
    """
    if row.sent_at is not None and "ack" in row.timings:
        return row.sent_at + timedelta(milliseconds=row.timings["ack"])
    return row.unknown_since or row.done_at or row.sent_at or row.created_at


def _record(halt: TradingHalt, facts: dict[str, object]) -> None:
    data = {name: value if isinstance(value, int) else value and str(value) for name, value in facts.items()}
    record_audit(
        actor="system:dispatcher",
        action="kill.last_send",
        object_type="trading_halt",
        object_id=halt.pk,
        data={**data, "started_at": str(halt.started_at)},
    )
    if facts["late_sends"]:
        logger.error("send_after_kill", halt=str(halt.pk), orders=facts["late_sends"])
