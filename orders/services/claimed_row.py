"""What the holder of a claim writes about its row: always under the condition that it still holds it.

Put back: provably, nothing was sent. Unknown: `resolve` asks the broker. Done: the broker has answered.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.db import transaction

from orders.enums import OrderStatus, OutboxKind, OutboxStatus
from orders.journal import move_order, publish_order
from orders.locks import lock_account, lock_order
from orders.models import Order, OutboxMessage
from orders.services.claim import Claim, drop_message
from orders.state_machine import Trigger
from orders.statements import FINISH_ROW
from tradeplatform.common.clock import utc_now

logger = structlog.get_logger(__name__)


def is_repeat(claim: Claim) -> bool:
    """Tell whether an earlier copy of this order may be at the broker, whatever became of this one."""
    return claim.message.kind == OutboxKind.SUBMIT and claim.message.unknown_since is not None


def mark_unknown(
    claim: Claim, problem: str, *, code: str = "", delay: timedelta = timedelta(0), stop: bool = False
) -> None:
    """Leave the row to `resolve`, which asks the broker. `stop` ends the intent: no further copy is sent."""

    def doubt(order: Order, now: datetime) -> None:
        if claim.message.kind == OutboxKind.SUBMIT and order.status == OrderStatus.SUBMITTING:
            data = {"text": problem} | ({"code": code} if code else {})
            move_order(order, Trigger.OUTCOME_UNKNOWN, actor="system:dispatcher", at=now, data=data)
            order.save()
            publish_order(order)

    now = utc_now()
    since = claim.message.unknown_since or now
    intent = {"expires_at": now} if stop else {}
    with_row(
        claim,
        doubt,
        status=OutboxStatus.UNKNOWN,
        problem=problem,
        unknown_since=since,
        not_before=now + delay,
        lease_until=None,
        **intent,
    )


def put_back(claim: Claim, problem: str, *, delay: timedelta = timedelta(0), drop: bool = False) -> None:
    """Make the row READY again: provably, nothing was sent. `drop` withdraws it instead.

    Where an earlier copy is in doubt, nothing is proven by this one: it stays unknown.
    """
    if is_repeat(claim):
        mark_unknown(claim, problem, delay=delay, stop=drop)
        return
    with transaction.atomic():
        lock_account(claim.account.pk)
        order = lock_order(claim.order.pk)
        now = utc_now()
        if not _update_row(
            claim, status=OutboxStatus.READY, lease_until=None, not_before=now + delay, problem=problem[:300]
        ):
            _end_false_doubt(claim, order, problem, now)
            return
        if claim.message.kind == OutboxKind.SUBMIT and order.status == OrderStatus.SUBMITTING:
            move_order(
                order, Trigger.NOT_SENT, actor="system:dispatcher", at=now, data={"text": problem[:300]}
            )
            order.save()
        if drop:
            drop_message(order, claim.message, Trigger.WITHDRAWN, now, problem)
        else:
            publish_order(order)


def _end_false_doubt(claim: Claim, order: Order, problem: str, now: datetime) -> None:
    """The lease ran out while this sender was held up, and it knows that nothing had left.

    There is no doubt, and no second try: too much time has passed since the decision.
    """
    if claim.message.kind != OutboxKind.SUBMIT or order.status != OrderStatus.UNCONFIRMED:
        return
    ended = OutboxMessage.objects.filter(
        pk=claim.message.pk, status=OutboxStatus.UNKNOWN, fence=claim.fence, lease_owner=claim.owner
    ).update(status=OutboxStatus.DROPPED, done_at=now, problem=problem[:300])
    if ended:
        order.reject_reason = "It could not be sent in time."
        move_order(
            order, Trigger.FOUND_ABSENT, actor="system:dispatcher", at=now, data={"text": problem[:300]}
        )
        order.save()
        publish_order(order)


def with_row(
    claim: Claim,
    change: Callable[[Order, datetime], None],
    *,
    status: OutboxStatus,
    problem: str = "",
    **fields: object,
) -> None:
    """Run `change` under the account's lock if the row still carries our fence; else leave it alone."""
    with transaction.atomic():
        account = lock_account(claim.account.pk)
        order = lock_order(claim.order.pk)
        order.account = account
        now = utc_now()
        if status is OutboxStatus.DONE:
            is_ours = finish_row(claim, at=now, problem=problem)
        else:
            is_ours = _update_row(claim, status=status, problem=problem[:300], **fields)
        if not is_ours:
            logger.warning("stale_sender", order=str(claim.order.pk), fence=claim.fence)
            return
        change(order, now)


def _update_row(claim: Claim, **values: object) -> bool:
    if claim.left_at is not None:
        values["sent_at"] = claim.left_at
        values["timings"] = claim.message.timings | claim.clock.milliseconds
    held = OutboxMessage.objects.filter(
        pk=claim.message.pk, status=OutboxStatus.CLAIMED, fence=claim.fence, lease_owner=claim.owner
    )
    return held.update(**values) == 1


def finish_row(claim: Claim, *, at: datetime, problem: str = "") -> bool:
    """Close the row with the broker's answer; False when another sender has taken it over."""
    changed = FINISH_ROW.run(
        id=claim.message.pk,
        fence=claim.fence,
        problem=problem[:300],
        done_at=at,
        sent_at=claim.left_at,
        timings=claim.message.timings | claim.clock.milliseconds,
    )
    return changed == 1
