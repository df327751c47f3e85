"""Cancels an order, whatever is halted, lapsed or stale: a cancel meets no gate.

An order that has not been sent is withdrawn on the spot. One at the broker gets a cancel through the
outbox. One whose outcome is unknown gets its cancel as soon as the broker's id is known.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from orders.doorbell import ring
from orders.enums import LOCAL, OrderStatus, OutboxKind, OutboxStatus
from orders.exceptions import OrderClosed
from orders.journal import move_order, publish_order, record_fact
from orders.locks import lock_account, lock_order
from orders.models import Order, OutboxMessage
from orders.selectors import get_order_for
from orders.services.approval_request import void_approval
from orders.state_machine import Trigger
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.models import User

CANCEL_TAKES_HOLD = timedelta(seconds=10)


def cancel_order(*, user: User, order_id: UUID | str, actor: str = "") -> Order:
    """Ask for the cancellation of one of the user's orders; asking twice is asking once.

    Returns the order as it stands: withdrawn (NOT_SENT), PENDING_CANCEL, or still unconfirmed with the
    cancel waiting. Raises NotFoundError, and OrderClosed when there is nothing left to cancel.
    """
    found = get_order_for(user, order_id)
    with transaction.atomic():
        lock_account(found.account_id)
        order = lock_order(found.pk)
        return cancel_locked(order, actor=actor or user.email)


def cancel_locked(order: Order, *, actor: str) -> Order:
    """Cancel under the account's lock; also used when a halt asks for all open orders."""
    if order.is_closed:
        raise OrderClosed(order.status)
    now = utc_now()
    if order.status in LOCAL:
        _withdraw(order, actor, now)
    else:
        _ask_broker(order, actor, now)
    record_audit(
        actor=actor,
        action="order.cancel",
        object_type="order",
        object_id=order.pk,
        data={"status": order.status},
    )
    publish_order(order)
    return order


def _withdraw(order: Order, actor: str, now: datetime) -> None:
    OutboxMessage.objects.filter(order=order, status=OutboxStatus.READY).update(
        status=OutboxStatus.DROPPED, done_at=now, problem="Withdrawn."
    )
    if order.status == OrderStatus.PENDING_APPROVAL:
        void_approval(order, actor=actor, now=now, reason="The order was canceled.")
    move_order(order, Trigger.WITHDRAWN, actor=actor, at=now)
    order.save()


def _ask_broker(order: Order, actor: str, now: datetime) -> None:
    waiting = OutboxMessage.objects.filter(
        order=order,
        kind=OutboxKind.CANCEL,
        status__in=[OutboxStatus.READY, OutboxStatus.CLAIMED, OutboxStatus.UNKNOWN],
    )
    # A change that has not left yet is off; one on its way is waited for by the sender.
    OutboxMessage.objects.filter(order=order, kind=OutboxKind.REPLACE, status=OutboxStatus.READY).update(
        status=OutboxStatus.DROPPED, done_at=now, problem="Canceled."
    )
    if not waiting.exists():
        message = OutboxMessage.objects.create(
            order=order, account_id=order.account_id, kind=OutboxKind.CANCEL, not_before=now, created_at=now
        )
        ring(message)
    if order.status in (OrderStatus.SUBMITTING, OrderStatus.UNCONFIRMED):
        record_fact(order, "cancel_waits_for_answer", actor=actor, at=now)
    elif order.status != OrderStatus.PENDING_CANCEL:
        move_order(order, Trigger.CANCEL_ASKED, actor=actor, at=now)
        order.save()


def repeat_lost_cancel(order_id: UUID) -> bool:
    """Ask again for a cancel that the broker took and forgot: it cannot do anything twice.

    For an order whose cancel was delivered a while ago and which the broker still shows as open.
    """
    found = Order.objects.only("account_id").get(pk=order_id)
    with transaction.atomic():
        lock_account(found.account_id)
        order = lock_order(order_id)
        latest = OutboxMessage.objects.filter(order=order, kind=OutboxKind.CANCEL).order_by("-id").first()
        now = utc_now()
        if (
            order.status != OrderStatus.PENDING_CANCEL
            or latest is None
            or latest.done_at is None
            or now - latest.done_at < CANCEL_TAKES_HOLD
        ):
            return False
        _ask_broker(order, "system:dispatcher", now)
        record_fact(order, "cancel_repeated", actor="system:dispatcher", at=now)
    return True
