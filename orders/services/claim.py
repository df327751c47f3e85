"""Claiming an outbox row: the only door to the wire, passed by one sender per account at a time.

A claim is a conditional update under the account's lock. It takes a lease and raises the account's fence;
every later write of the sender is made under the condition that the row still carries that fence. A claim
whose lease has run out is never READY again: its outcome is unknown.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from django.db import transaction

from brokers.models import BrokerAccount
from orders.enums import OrderStatus, OutboxKind, OutboxStatus
from orders.journal import MOVED_FIELDS, move_order, publish_order
from orders.locks import lock_account
from orders.models import Order, OutboxMessage
from orders.services.recheck import FRESH, Recheck, recheck_before_send
from orders.services.senders import mark_of_this_process
from orders.state_machine import Trigger
from orders.statements import (
    HELD_ROW,
    KINDS_AROUND,
    LOCKED_ROW,
    MOVE_ORDER,
    PUT_OFF_ROW,
    RAISE_FENCE,
    ROW_TO_CLAIM,
    TAKE_ROW,
    WAITING_CANCEL,
)
from orders.timing import StageClock
from tradeplatform.common.builds import is_newest_build
from tradeplatform.common.clock import utc_now
from tradeplatform.common.prepared import one_round_trip

# Longest send: connect and read time-outs of any adapter together. The lease is more than twice that.
MAX_SEND_SECONDS = 10
# A sender that was held up for longer between its claim and the write does not write.
LONGEST_HOLD_UP = MAX_SEND_SECONDS / 2
LEASE = timedelta(seconds=25)
# Only an id that the broker takes once is ever sent again, so a repeat cannot do harm however late it is:
# its lease covers a short hold-up and the send, and the doubt ends sooner if this sender is lost too.
REPEAT_LEASE = timedelta(seconds=2 + MAX_SEND_SECONDS)
LONGEST_WAIT_FOR_REPLACE = timedelta(seconds=30)
# What stands against an order may pass by itself; until its intent ends it is judged again this often.
LOOK_AGAIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claimed row with what the sender needs. `recheck` carries the decision it will be sent under.

    `owner` names this claim and no other. `left_at` is set right before the write, after the last look at the
    halts.
    """

    message: OutboxMessage
    order: Order
    account: BrokerAccount
    fence: int
    owner: str
    recheck: Recheck | None
    left_at: datetime | None = None
    clock: StageClock = field(default_factory=StageClock)


class ClaimInDoubt(Exception):
    """The commit of `claim` failed, or what follows it: the row may be claimed. Nothing was sent."""

    def __init__(self, claim: Claim) -> None:
        super().__init__("It is not known whether the claim was stored.")
        self.claim = claim


_numbers = count()


def claim_message(outbox_id: int, *, worker: str) -> Claim | None:
    """Claim one READY row and commit SUBMITTING; None when there is nothing to send now.

    Rows whose intent has expired or whose decision no longer holds are dropped here, with their order. A
    process of another build than the newest claims cancels only: its rules may be yesterday's. Raises
    ClaimInDoubt.
    """
    row = ROW_TO_CLAIM.first(id=outbox_id)
    if row is None or (row.kind != OutboxKind.CANCEL and not is_newest_build()):
        return None
    is_old = row.kind != OutboxKind.CANCEL and utc_now() - row.created_at > FRESH
    if is_old and _look_around(row, utc_now())[0]:
        # Looked at again under the lock; here it spares a new decision on every poll while another is out.
        return None
    needs_decision = row.kind != OutboxKind.CANCEL and not _is_expired(row, utc_now())
    recheck = recheck_before_send(row) if needs_decision else None
    claim = None
    try:
        with transaction.atomic():
            claim = _claim_under_lock(row, recheck, worker)
    except Exception as error:
        if claim is None:
            raise
        raise ClaimInDoubt(claim) from error
    return claim


def _claim_under_lock(row: OutboxMessage, recheck: Recheck | None, worker: str) -> Claim | None:
    account = lock_account(row.account_id)
    message = LOCKED_ROW.first(id=row.pk)
    now = utc_now()
    if message is None or message.status != OutboxStatus.READY or message.not_before > now:
        return None
    message.account = message.order.account = account
    order = message.order
    if message.kind == OutboxKind.CANCEL:
        return _claim_cancel(account, order, message, worker, now)
    if _is_overtaken(order, message):
        _close_overtaken(message, now)
        return None
    is_busy, is_cancelled = _look_around(message, now)
    if is_busy:
        return None
    if recheck is not None and recheck.is_passing and not is_cancelled and not _is_expired(message, now):
        PUT_OFF_ROW.write(id=message.pk, not_before=now + LOOK_AGAIN)
        return None
    stop = _reason_to_stop(message, recheck, now, is_cancelled=is_cancelled)
    if stop is not None:
        drop_message(order, message, stop[0], now, stop[1])
        return None
    return _take(account, order, message, worker, now, recheck)


def _is_overtaken(order: Order, message: OutboxMessage) -> bool:
    """Tell whether facts have made the row pointless: the broker has the order, or the change is off."""
    if message.kind == OutboxKind.REPLACE:
        return order.status != OrderStatus.PENDING_REPLACE
    return order.status not in (OrderStatus.QUEUED, OrderStatus.SUBMITTING, OrderStatus.UNCONFIRMED)


def _close_overtaken(message: OutboxMessage, now: datetime) -> None:
    sent = message.kind == OutboxKind.SUBMIT
    OutboxMessage.objects.filter(pk=message.pk).update(
        status=OutboxStatus.DONE if sent else OutboxStatus.DROPPED, done_at=now
    )


def _reason_to_stop(
    message: OutboxMessage, recheck: Recheck | None, now: datetime, *, is_cancelled: bool
) -> tuple[Trigger, str] | None:
    if message.kind == OutboxKind.SUBMIT and is_cancelled:
        return Trigger.WITHDRAWN, "Canceled before it was sent."
    if recheck is None or _is_expired(message, now):
        return Trigger.INTENT_EXPIRED, "It could not be sent in time."
    if recheck.refusal:
        return Trigger.WITHDRAWN, recheck.refusal
    return None


def _is_expired(message: OutboxMessage, now: datetime) -> bool:
    return message.expires_at is not None and message.expires_at <= now


def is_cancel_wanted(order: Order) -> bool:
    """Tell whether a cancel of the order waits to be sent."""
    return WAITING_CANCEL.first(order=order.pk) is not None


def _look_around(message: OutboxMessage, now: datetime) -> tuple[bool, bool]:
    """Tell whether another order write of this account is on its way, and whether this order is cancelled.

    Cash must not be spent twice. A write that has just become unknown counts until every decision made
    before that is old: the gate is then asked again, and knows of it.
    """
    found = KINDS_AROUND.all(
        account=message.account_id, id=message.pk, order=message.order_id, since=now - FRESH
    )
    kinds = set(found)
    return bool(kinds - {OutboxKind.CANCEL}), OutboxKind.CANCEL in kinds


def _claim_cancel(
    account: BrokerAccount, order: Order, message: OutboxMessage, worker: str, now: datetime
) -> Claim | None:
    """Claim a cancel. It waits for the order's broker id, and ends by itself once the order is closed.

    A replace on its way gives the order another id: the cancel waits for it, but not for ever.
    """
    if order.is_closed:
        OutboxMessage.objects.filter(pk=message.pk).update(status=OutboxStatus.DONE, done_at=now)
        return None
    if not order.broker_order_id:
        PUT_OFF_ROW.write(id=message.pk, not_before=now + timedelta(seconds=1))
        return None
    if _is_changing_id(order, now):
        PUT_OFF_ROW.write(id=message.pk, not_before=now + timedelta(seconds=0.5))
        return None
    return _take(account, order, message, worker, now, None)


def _is_changing_id(order: Order, now: datetime) -> bool:
    return OutboxMessage.objects.filter(
        order=order,
        kind=OutboxKind.REPLACE,
        status__in=[OutboxStatus.CLAIMED, OutboxStatus.UNKNOWN],
        sent_at__gt=now - LONGEST_WAIT_FOR_REPLACE,
    ).exists()


def _take(
    account: BrokerAccount,
    order: Order,
    message: OutboxMessage,
    worker: str,
    now: datetime,
    recheck: Recheck | None,
) -> Claim | None:
    fence = account.send_fence + 1
    # A fence whose commit failed is given out again: to end a claim in doubt it takes the claim's own name.
    owner = f"{next(_numbers)}@{mark_of_this_process()}"
    is_repeat = message.kind == OutboxKind.SUBMIT and order.status == OrderStatus.UNCONFIRMED
    changed = TAKE_ROW.run(
        id=message.pk,
        lease_owner=owner,
        lease_until=now + (REPEAT_LEASE if is_repeat else LEASE),
        fence=fence,
        sent_at=now,
        decision_id=recheck.decision.pk if recheck and recheck.decision else message.decision_id,
    )
    if changed != 1:
        return None
    with one_round_trip():
        RAISE_FENCE.write(id=account.pk)
        if message.kind == OutboxKind.SUBMIT:
            move_order(
                order,
                Trigger.SENT_AGAIN if is_repeat else Trigger.CLAIMED,
                actor=f"system:{worker}",
                at=now,
                data={"attempt": message.attempts + 1},
            )
            MOVE_ORDER.write(id=order.pk, **{name: getattr(order, name) for name in MOVED_FIELDS})
            publish_order(order)
    return Claim(message=message, order=order, account=account, fence=fence, owner=owner, recheck=recheck)


def drop_message(order: Order, message: OutboxMessage, trigger: Trigger, now: datetime, reason: str) -> None:
    """Close a row that will not be sent. A submit takes its order along; a replace puts it back.

    An order whose first copy may have arrived is not closed by this: only its intent ends.
    """
    if message.kind == OutboxKind.SUBMIT and order.status == OrderStatus.UNCONFIRMED:
        _end_intent(message, now, reason)
        return
    OutboxMessage.objects.filter(pk=message.pk).update(
        status=OutboxStatus.DROPPED, done_at=now, problem=reason[:300]
    )
    if message.kind == OutboxKind.SUBMIT and order.status == OrderStatus.QUEUED:
        order.reject_reason = reason[:300]
        move_order(order, trigger, actor="system:dispatcher", at=now, data={"reason": reason[:300]})
    elif message.kind == OutboxKind.REPLACE and order.status == OrderStatus.PENDING_REPLACE:
        move_order(
            order, Trigger.REPLACE_REFUSED, actor="system:dispatcher", at=now, data={"reason": reason[:300]}
        )
    else:
        return
    order.save()
    publish_order(order)


def _end_intent(message: OutboxMessage, now: datetime, reason: str) -> None:
    """Never send it again, and go on asking the broker for the copy that may have arrived."""
    OutboxMessage.objects.filter(pk=message.pk).update(
        status=OutboxStatus.UNKNOWN, lease_until=None, not_before=now, expires_at=now, problem=reason[:300]
    )


def still_ours(claim: Claim) -> bool:
    """Tell whether the row still carries our fence, and a lease that outlasts the longest send."""
    needed = utc_now() + timedelta(seconds=MAX_SEND_SECONDS)
    return HELD_ROW.first(id=claim.message.pk, fence=claim.fence, until=needed) is not None
