"""A person ends a doubt that the machine could not: an order of unknown outcome, after the whole search.

The person looks at the broker's own site or app. "not_there": no such order, ours is closed as never sent.
"adopt:<broker's id>": that one is ours. A tie made by fields alone, by the machine or by a person, can be
undone: the broker's order is then shown as placed elsewhere, and ours is in doubt again.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from django.db import transaction

from brokers.adapters.base import BrokerInterface
from brokers.exceptions import AuthorizationExpired, BrokerError, NotFound
from brokers.models import BrokerAccount
from brokers.registry import manager
from brokers.services.connections import mark_needs_relink
from brokers.types import BrokerOrder
from orders.enums import CLOSED, OPEN, OrderOrigin, OrderStatus, OutboxKind, OutboxStatus
from orders.journal import move_order, publish_order, record_fact
from orders.locks import lock_account, lock_order
from orders.models import Execution, Order, OrderAlias, OrderEvent, OutboxMessage
from orders.selectors import get_order_for
from orders.services.look_alikes import ENTERED_BEFORE, Doubt, differences, keeps_our_ids, unknown_matches
from orders.services.submit import adopt_answer
from orders.state_machine import Trigger
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import ConflictError, InvalidRequest, PlatformError
from tradeplatform.common.ids import new_id
from tradeplatform.models import User

NOT_THERE = "not_there"
ADOPT = "adopt:"
MATCHED = "adopted_by_match"
ADOPTED = "adopted_by_person"
ZERO = Decimal(0)
Answer = TypeVar("Answer")


def find_candidates(*, user: User, order_id: UUID | str) -> list[BrokerOrder]:
    """Return the broker's orders that an unconfirmed order may be: equal fields, right time, not ours yet.

    Reads the broker; never inside a transaction. Raises ConflictError when the order is not in doubt, and
    PlatformError `broker_unreadable` (503) when the broker gives no answer.
    """
    order = get_order_for(user, order_id)
    _require_in_doubt(order)
    sent_at = _sent_at(order)
    listed = _read(order.account, lambda reader: reader.list_orders(since=sent_at - ENTERED_BEFORE))
    return list(unknown_matches(Doubt(order=order, sent_at=sent_at), listed))


def settle_unconfirmed(*, user: User, order_id: UUID | str, choice: str, actor: str) -> Order:
    """End the doubt about one of the user's orders by what a person saw at the broker.

    `choice` is "not_there" or "adopt:<broker_order_id>". Raises NotFoundError, ConflictError (not in doubt
    any more, still being looked for, or the broker's order is another of ours), InvalidRequest (no such
    choice, no such order there, or one with other terms) and PlatformError `broker_unreadable`.
    """
    order = get_order_for(user, order_id)
    _require_left_to_person(order)
    if choice == NOT_THERE:
        return _settle_absent(order, actor=actor)
    if not choice.startswith(ADOPT) or not choice.removeprefix(ADOPT).strip():
        raise InvalidRequest("Choose one of the orders shown, or say that it is not at the broker.")
    snapshot = _read_order(order.account, choice.removeprefix(ADOPT).strip())
    wrong = differences(order, snapshot)
    if wrong:
        raise InvalidRequest(
            f"The order {snapshot.broker_order_id} at the broker differs in {', '.join(wrong)}. Nothing was "
            "changed.",
            code="broker_order_differs",
        )
    return _settle_found(order, snapshot, actor=actor)


def undo_adoption(*, user: User, order_id: UUID | str, actor: str) -> Order:
    """Untie an order from the broker's order that it was tied to by its fields alone.

    The broker's order stays in the books, with its fills, as one placed outside this platform. Ours is
    unconfirmed again and waits for a person. Raises NotFoundError and ConflictError (never tied that way,
    or changed since: then the tie has been acted on).
    """
    found = get_order_for(user, order_id)
    with transaction.atomic():
        account = lock_account(found.account_id)
        order = lock_order(found.pk)
        _require_undoable(order)
        now = utc_now()
        broker_order_id = order.broker_order_id
        external = _split_off(account, order, now)
        data = {"broker_order_id": broker_order_id, "external_order": str(external.pk)}
        order.broker_order_id = ""
        order.cum_qty, order.avg_px, order.accepted_at = ZERO, None, None
        move_order(order, Trigger.ADOPTION_UNDONE, actor=actor, at=now, data=data)
        order.needs_person_at = now
        order.save()
        _audit(order, actor, "order.adoption_undone", data)
        publish_order(order)
        return order


def _settle_absent(found: Order, *, actor: str) -> Order:
    with transaction.atomic():
        lock_account(found.account_id)
        order = lock_order(found.pk)
        _require_left_to_person(order)
        now = utc_now()
        _close_message(order, OutboxStatus.DROPPED, now)
        order.reject_reason = "Not at the broker, as looked up by hand."
        move_order(order, Trigger.FOUND_ABSENT, actor=actor, at=now, data={"choice": NOT_THERE})
        order.save()
        _audit(order, actor, "order.settled", {"choice": NOT_THERE})
        publish_order(order)
        return order


def _settle_found(found: Order, snapshot: BrokerOrder, *, actor: str) -> Order:
    with transaction.atomic():
        account = lock_account(found.account_id)
        order = lock_order(found.pk)
        _require_left_to_person(order)
        now = utc_now()
        _take_over(account, order, snapshot.broker_order_id)
        _close_message(order, OutboxStatus.DONE, now)
        data = {"broker_order_id": snapshot.broker_order_id, "choice": "adopt"}
        record_fact(order, ADOPTED, actor=actor, at=now, data=data)
        order.needs_person_at = None
        adopt_answer(order, snapshot, now=now)
        order.refresh_from_db()
        if order.needs_person_at is not None:
            order.needs_person_at = None
            order.save(update_fields=["needs_person_at"])
        _audit(order, actor, "order.settled", data)
        publish_order(order)
        return order


def _take_over(account: BrokerAccount, order: Order, broker_order_id: str) -> None:
    """Make room for the tie: an order that was shown as placed elsewhere gives its id and fills to ours."""
    known = Order.objects.filter(account=account, broker_order_id=broker_order_id).first()
    if known is None:
        return
    if known.origin != OrderOrigin.EXTERNAL:
        raise ConflictError("That order at the broker is another order of yours already.", code="order_taken")
    OrderAlias.objects.filter(order=known).update(order=order)
    Execution.objects.filter(order=known).update(order=order)
    live = list(Execution.objects.filter(order=order, busted_at=None, corrected_at=None))
    order.cum_qty = sum((fill.last_qty for fill in live), ZERO)
    amount = sum((fill.last_qty * fill.last_px for fill in live), ZERO)
    order.avg_px = amount / order.cum_qty if order.cum_qty else None
    journal = list(OrderEvent.objects.filter(order=known).values_list("kind", flat=True))
    known.delete()
    order.broker_order_id = broker_order_id
    now = utc_now()
    record_fact(order, "external_order_taken_over", actor="system:settle", at=now, data={"journal": journal})
    if order.cum_qty:
        whole = order.quantity is not None and order.cum_qty >= order.quantity
        trigger = Trigger.FILLED if whole else Trigger.PARTIALLY_FILLED
        move_order(order, trigger, actor="system:settle", at=now)
    order.save()


def _split_off(account: BrokerAccount, order: Order, now: datetime) -> Order:
    """Make an order of its own of what ours was tied to; ids and fills go there, the book stays."""
    external = Order.objects.get(pk=order.pk)
    external.pk = new_id()
    external._state.adding = True
    external.client_order_id = order.broker_order_id
    external.origin = OrderOrigin.EXTERNAL
    external.order_hash, external.decision_id, external.note = "", None, ""
    external.is_exit = False
    Order.objects.filter(pk=order.pk).update(broker_order_id="")
    external.save(force_insert=True)
    OrderAlias.objects.filter(order=order, client_order_id="").update(order=external)
    Execution.objects.filter(order=order).update(order=external)
    OrderEvent.objects.create(
        order=external,
        kind="adopted",
        to_status=external.status,
        actor="system:settle",
        at=now,
        data={"origin": str(OrderOrigin.EXTERNAL), "untied_from": str(order.pk)},
    )
    return external


def _close_message(order: Order, status: OutboxStatus, now: datetime) -> None:
    OutboxMessage.objects.filter(
        order=order, kind=OutboxKind.SUBMIT, status__in=[OutboxStatus.UNKNOWN, OutboxStatus.READY]
    ).update(status=status, done_at=now)


def _require_in_doubt(order: Order) -> None:
    if order.status != OrderStatus.UNCONFIRMED:
        raise ConflictError(
            f"This order is {order.get_status_display().lower()}: nothing is left to settle.",
            code="order_settled",
        )


def _require_left_to_person(order: Order) -> None:
    _require_in_doubt(order)
    if order.needs_person_at is None:
        raise ConflictError(
            "The broker is still being asked about this order; nothing may be concluded yet. You are asked "
            "if that does not settle it within 90 seconds.",
            code="still_looking",
        )


def _require_undoable(order: Order) -> None:
    was_tied = order.journal.filter(kind__in=[MATCHED, ADOPTED]).exists()
    changed = OutboxMessage.objects.filter(order=order).exclude(kind=OutboxKind.SUBMIT).exists()
    if not was_tied or keeps_our_ids(order.account) or not order.broker_order_id:
        raise ConflictError("This order was not tied to the broker's by its fields.", code="not_matched")
    if changed or order.legs.exists() or order.status not in OPEN | CLOSED:
        raise ConflictError(
            "This order has been changed or canceled since; the tie cannot be undone any more.",
            code="acted_on",
        )


def _sent_at(order: Order) -> datetime:
    message = OutboxMessage.objects.filter(order=order, kind=OutboxKind.SUBMIT).order_by("-id").first()
    if message is not None and message.sent_at is not None:
        return message.sent_at
    return order.submitted_at or order.created_at


def _read_order(account: BrokerAccount, broker_order_id: str) -> BrokerOrder:
    try:
        return _read(account, lambda reader: reader.get_order_status(broker_order_id))
    except NotFound:
        raise InvalidRequest(
            f"The broker has no order {broker_order_id} in this account. Nothing was changed.",
            code="broker_order_unknown",
        ) from None


def _read(account: BrokerAccount, ask: Callable[[BrokerInterface], Answer]) -> Answer:
    try:
        return ask(manager.get_reader(account, purpose="settle unconfirmed"))
    except NotFound:
        raise
    except AuthorizationExpired as error:
        mark_needs_relink(connection_id=account.connection_id, reason=error.message)
        raise _unreadable() from error
    except BrokerError as error:
        raise _unreadable() from error


def _unreadable() -> PlatformError:
    return PlatformError(
        "The broker could not be asked just now. Nothing was changed; try again in a minute.",
        code="broker_unreadable",
        http_status=503,
    )


def _audit(order: Order, actor: str, action: str, data: dict[str, str]) -> None:
    record_audit(actor=actor, action=action, object_type="order", object_id=order.pk, data=data)
