"""Finds out what became of a write whose outcome is unknown.

An order: looked up by our id at once and 0.5, 1, 2, 4 and 8 seconds into the doubt. Found: adopted. A
broker that refuses a repeated id (class D) gets the same id again when the look at eight seconds does not
find it, if the intent still stands; if not, it is absent once nothing that was sent can arrive any more.
A broker without client ids (class N) is never written to again: once its window is over, ours is the one
order there that fits, or after 90 seconds a person decides.
A cancel or a replace: the order's own state at the broker answers.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from django.db import transaction

from brokers.adapters.base import BrokerInterface
from brokers.enums import BrokerOrderStatus
from brokers.exceptions import AuthorizationExpired, BrokerError, NotFound, RateLimited
from brokers.registry import manager
from brokers.services.connections import mark_needs_relink
from brokers.types import BrokerOrder
from orders.doorbell import ring
from orders.enums import OrderStatus, OutboxKind, OutboxStatus
from orders.journal import move_order, publish_order, record_fact
from orders.locks import lock_account, lock_order
from orders.models import Order, OutboxMessage
from orders.services.adopt import remember_ids
from orders.services.claim import LONGEST_HOLD_UP, drop_message, is_cancel_wanted
from orders.services.ingest import apply_report_locked
from orders.services.landing_window import landing_window, note_landing
from orders.services.look_alikes import (
    ENTERED_BEFORE,
    LIST_LAG,
    Doubt,
    find_match,
    keeps_our_ids,
)
from orders.services.replaced import has_known_id
from orders.services.senders import is_gone
from orders.services.snapshot import report_of
from orders.services.submit import adopt_answer
from orders.state_machine import IllegalTransition, Trigger
from orders.statements import LOOK_AGAIN_AT, UNKNOWN_ROW
from orders.timer_statements import CLAIMED_ROWS, DUE_UNKNOWNS
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now

logger = structlog.get_logger(__name__)

# Counted from the moment the doubt began.
LOOKUPS_AT = tuple(timedelta(seconds=seconds) for seconds in (0.5, 1, 2, 4, 8))
LONGEST_PAUSE = timedelta(seconds=8)
# A look-up that the broker did not answer says nothing, so it is made again sooner than planned.
UNANSWERED_PAUSE = timedelta(seconds=2)
RESEND_AFTER = timedelta(seconds=8)
# A request may have left this much after its claim, and lands within the broker's window; before that, "not
# found" does not mean "never received". Counted from the newest copy: an older one has had more time.
HOLD_UP = timedelta(seconds=LONGEST_HOLD_UP)
# A person is asked by 90 seconds, the last look-up and its time-out included.
NEEDS_PERSON_AFTER = timedelta(seconds=84)

Change = Callable[[Order, OutboxMessage, datetime], None]


def expire_leases() -> int:
    """Turn claims whose lease has run out, or whose sender died, into unknown outcomes; return how many."""
    now = utc_now()
    return sum(_lapse(message, now) for message in CLAIMED_ROWS.all() if _is_lost(message, now))


def _is_lost(message: OutboxMessage, now: datetime) -> bool:
    has_lapsed = message.lease_until is not None and message.lease_until <= now
    _, _, process = message.lease_owner.rpartition("@")
    return has_lapsed or is_gone(process)


def _lapse(message: OutboxMessage, now: datetime) -> bool:
    with transaction.atomic():
        lock_account(message.account_id)
        changed = OutboxMessage.objects.filter(
            pk=message.pk, status=OutboxStatus.CLAIMED, fence=message.fence
        ).update(
            status=OutboxStatus.UNKNOWN,
            unknown_since=message.unknown_since or now,
            not_before=now,
            problem="The sender vanished.",
        )
        if changed != 1:
            return False
        order = lock_order(message.order_id)
        if message.kind == OutboxKind.SUBMIT and order.status == OrderStatus.SUBMITTING:
            move_order(
                order,
                Trigger.OUTCOME_UNKNOWN,
                actor="system:dispatcher",
                at=now,
                data={"text": "The sender vanished."},
            )
            order.save()
            publish_order(order)
    return True


def due_unknowns() -> list[int]:
    """Return the ids of unknown rows whose next look-up is due, the longest overdue first."""
    return DUE_UNKNOWNS.all(now=utc_now())


def resolve_unknown(outbox_id: int) -> bool:
    """Ask the broker once about one unknown row; True when it is settled."""
    message = UNKNOWN_ROW.first(id=outbox_id)
    if message is None:
        return True
    if not _is_in_doubt(message):
        return _settle(message, lambda order, row, now: None)
    by_fields = message.kind == OutboxKind.SUBMIT and not keeps_our_ids(message.account)
    if by_fields and utc_now() < _match_from(message):
        return _look_again(message, message.problem)
    try:
        found = _look_for_match(message) if by_fields else _look_up(message)
    except AuthorizationExpired as error:
        mark_needs_relink(connection_id=message.account.connection_id, reason=error.message)
        return _look_again(message, str(error))
    except BrokerError as error:
        return _look_again(message, error.message, unanswered=error)
    if found is None:
        return _not_found(message)
    try:
        return _settle(message, _adopt_match(found) if by_fields else _adopt(found))
    except _NoLongerCertain:
        return _look_again(message, "Another order fits as well.")


def _is_in_doubt(message: OutboxMessage) -> bool:
    """Tell whether the row's outcome is still open; the stream may have told it meanwhile.

    A replace that came too late for its order may have left a refused one at the broker, under an id that we
    must know.
    """
    order = message.order
    match message.kind:
        case OutboxKind.SUBMIT:
            return order.status in (OrderStatus.SUBMITTING, OrderStatus.UNCONFIRMED)
        case OutboxKind.REPLACE:
            is_changing = order.status in (OrderStatus.PENDING_REPLACE, OrderStatus.PENDING_CANCEL)
            return is_changing or not has_known_id(message)
    return not order.is_closed


def _look_up(message: OutboxMessage) -> BrokerOrder | None:
    """Return the broker's order, None when it says there is none. An unsure answer raises."""
    reader = manager.get_reader(message.account, purpose="look up unconfirmed")
    try:
        if message.kind == OutboxKind.CANCEL:
            return reader.get_order_status(message.order.broker_order_id)
        if not keeps_our_ids(message.account):
            return _find_successor(reader, message.order)
        return reader.find_order(message.client_order_id)
    except NotFound:
        return None


def _find_successor(reader: BrokerInterface, order: Order) -> BrokerOrder | None:
    """Return the order that a replace has put in the place of ours, named by the old one."""
    old = reader.get_order_status(order.broker_order_id)
    return reader.get_order_status(old.replaced_by) if old.replaced_by else None


class _NoLongerCertain(Exception):
    """Between the look and the lock another order turned up; nothing may be tied by fields alone."""


def _match_from(message: OutboxMessage) -> datetime:
    """Return when the window is over: nobody can say "exactly one" before."""
    return _sent_at(message) + landing_window(message.account) + LIST_LAG


def _look_for_match(message: OutboxMessage) -> BrokerOrder | None:
    """Return the broker's one order that must be ours. The window is over."""
    sent_at = _sent_at(message)
    reader = manager.get_reader(message.account, purpose="look for unconfirmed")
    listed = reader.list_orders(since=sent_at - ENTERED_BEFORE)
    return find_match(Doubt(order=message.order, sent_at=sent_at), listed)


def _adopt_match(found: BrokerOrder) -> Change:
    """Tie the order to the broker's; written down as a conclusion, because a person may undo it."""

    def change(order: Order, message: OutboxMessage, now: datetime) -> None:
        doubt = Doubt(order=order, sent_at=_sent_at(message))
        if find_match(doubt, [found]) is None:
            raise _NoLongerCertain
        note_landing(message, found)
        data = {
            "broker_order_id": found.broker_order_id,
            "entered_at": found.submitted_at.isoformat() if found.submitted_at else "",
        }
        record_fact(order, "adopted_by_match", actor="system:dispatcher", at=now, data=data)
        record_audit(
            actor="system:dispatcher",
            action="order.adopted_by_match",
            object_type="order",
            object_id=order.pk,
            data=data,
        )
        adopt_answer(order, found, now=now)

    return change


def _adopt(found: BrokerOrder) -> Change:
    def change(order: Order, message: OutboxMessage, now: datetime) -> None:
        if message.kind == OutboxKind.SUBMIT:
            _note_differences(order, found, now)
            note_landing(message, found)
            adopt_answer(order, found, now=now)
            return
        if message.kind == OutboxKind.CANCEL and found.status in _STILL_OPEN:
            _ask_again(message, now)
            return
        if message.kind == OutboxKind.REPLACE:
            remember_ids(
                order, broker_order_id=found.broker_order_id, client_order_id=message.client_order_id
            )
        try:
            apply_report_locked(order.account, report_of(found), received_at=now)
        except IllegalTransition:
            logger.info("late_answer", order=str(order.pk), status=order.status)

    return change


_STILL_OPEN = frozenset({BrokerOrderStatus.OPEN, BrokerOrderStatus.PARTIALLY_FILLED, BrokerOrderStatus.HELD})


def _ask_again(message: OutboxMessage, now: datetime) -> None:
    """A cancel may always be asked again: it cannot do anything twice."""
    OutboxMessage.objects.filter(pk=message.pk).update(
        status=OutboxStatus.READY, not_before=now, lease_until=None, done_at=None
    )


def _note_differences(order: Order, found: BrokerOrder, now: datetime) -> None:
    """The broker holds an order under our id that is not what we decided on: an incident, kept and shown."""
    pairs = {
        "symbol": (order.symbol, found.symbol),
        "side": (order.side, str(found.side) if found.side else order.side),
        "quantity": (order.quantity, found.quantity),
        "limit_price": (order.limit_price, found.limit_price),
    }
    wrong = {name: [str(ours), str(theirs)] for name, (ours, theirs) in pairs.items() if ours != theirs}
    if wrong:
        logger.error("broker_order_differs", order=str(order.pk), fields=sorted(wrong))
        record_fact(order, "broker_order_differs", actor="system:dispatcher", at=now, data=wrong)


def _not_found(message: OutboxMessage) -> bool:
    if message.kind == OutboxKind.CANCEL:
        return _look_again(message, "The broker does not know this order.")
    now = utc_now()
    window_is_over = now >= _absent_from(message)
    if message.kind == OutboxKind.REPLACE:
        return _settle_absent_replace(message) if window_is_over else _look_again(message, "")
    dedupes = keeps_our_ids(message.account)
    may_be_sent = (message.expires_at is None or message.expires_at > now) and not is_cancel_wanted(
        message.order
    )
    if dedupes and may_be_sent and now - (message.unknown_since or now) >= RESEND_AFTER:
        return _send_same_id_again(message)
    if dedupes and not may_be_sent and window_is_over:
        return _settle(message, _declare_absent)
    return _look_again(message, message.problem or "The broker does not show this order yet.")


def _send_same_id_again(message: OutboxMessage) -> bool:
    """Make the row READY under the same id: if the first one did arrive, the broker refuses this one."""

    def change(order: Order, row: OutboxMessage, now: datetime) -> None:
        OutboxMessage.objects.filter(pk=row.pk).update(
            status=OutboxStatus.READY, not_before=now, lease_until=None, done_at=None
        )
        ring(row)

    return _settle(message, change)


def _declare_absent(order: Order, message: OutboxMessage, now: datetime) -> None:
    """The intent is over and the broker has no such order after the whole window: it was never sent."""
    OutboxMessage.objects.filter(pk=message.pk).update(status=OutboxStatus.DROPPED, done_at=now)
    if order.status == OrderStatus.UNCONFIRMED:
        order.reject_reason = "The broker never received it, and it may not be sent any more."
        data = {"text": message.problem}
        move_order(order, Trigger.FOUND_ABSENT, actor="system:dispatcher", at=now, data=data)
        order.save()
        publish_order(order)


def _settle_absent_replace(message: OutboxMessage) -> bool:
    """The broker has no order under the replace's id: the old order stands as it was."""

    def change(order: Order, row: OutboxMessage, now: datetime) -> None:
        drop_message(order, row, Trigger.REPLACE_REFUSED, now, "The broker did not receive the change.")

    return _settle(message, change)


def _sent_at(message: OutboxMessage) -> datetime:
    return message.sent_at or message.created_at


def _absent_from(message: OutboxMessage) -> datetime:
    return _sent_at(message) + landing_window(message.account) + HOLD_UP


def _ask_person_from(message: OutboxMessage, now: datetime) -> datetime:
    """Return when a person is asked: a repeat has a window of its own, whose end may tell the machine."""
    since = message.sent_at or now
    if message.kind != OutboxKind.SUBMIT:
        since = min(since, message.unknown_since or now)
    return since + NEEDS_PERSON_AFTER


def _next_look(message: OutboxMessage, now: datetime, unanswered: BrokerError | None) -> datetime:
    """Return when to ask next: by the plan, and at the moments at which an answer decides something."""
    began = message.unknown_since or now
    planned = next((began + at for at in LOOKUPS_AT if began + at > now), now + LONGEST_PAUSE)
    if message.kind == OutboxKind.SUBMIT and not keeps_our_ids(message.account):
        planned = max(planned, _match_from(message))
    if unanswered is not None and now < _ask_person_from(message, now):
        planned = min(planned, now + UNANSWERED_PAUSE)
    decisive = [one for one in (_absent_from(message), _ask_person_from(message, now)) if one > now]
    planned = min([planned, *decisive])
    if isinstance(unanswered, RateLimited) and unanswered.retry_after_seconds:
        planned = max(planned, now + timedelta(seconds=unanswered.retry_after_seconds))
    return planned


def _look_again(message: OutboxMessage, problem: str, *, unanswered: BrokerError | None = None) -> bool:
    """Plan the next look-up, and call a person when the search has been long enough."""
    now = utc_now()
    next_look = _next_look(message, now, unanswered)
    with transaction.atomic():
        lock_account(message.account_id)
        changed = LOOK_AGAIN_AT.run(
            id=message.pk, lookups=message.lookups + 1, not_before=next_look, problem=problem[:300]
        )
        order = lock_order(message.order_id)
        is_late = now >= _ask_person_from(message, now) and not order.is_closed
        if changed and is_late and order.needs_person_at is None:
            order.needs_person_at = now
            order.save(update_fields=["needs_person_at"])
            record_fact(
                order, "needs_person", actor="system:dispatcher", at=now, data={"problem": problem[:300]}
            )
            publish_order(order)
    return False


def _settle(message: OutboxMessage, change: Change) -> bool:
    """Close the row and run `change` under the account's lock, unless somebody else settled it first."""
    with transaction.atomic():
        lock_account(message.account_id)
        now = utc_now()
        changed = OutboxMessage.objects.filter(pk=message.pk, status=OutboxStatus.UNKNOWN).update(
            status=OutboxStatus.DONE, done_at=now, problem=""
        )
        if changed != 1:
            return True
        change(lock_order(message.order_id), message, now)
    return True
