"""Reads orders, always through their owner."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet

from brokers.enums import Side
from orders.enums import UNFINISHED, ApprovalStatus, OrderStatus, OutboxKind
from orders.models import Approval, Order, OrderDefaults, OrderEvent, OutboxMessage
from orders.timing import fill_timings
from portfolios.comparison import InFlightOrder
from risk.models import RiskDecisionRecord
from tradeplatform.common.exceptions import NotFoundError
from tradeplatform.models import User


def orders_for(user: User) -> QuerySet[Order]:
    """Return the user's orders, newest first, with account and connection at hand."""
    return Order.objects.filter(user=user).select_related("account").order_by("-created_at", "-pk")


def get_order_for(user: User, order_id: UUID | str) -> Order:
    """Return one order of the user. Raises NotFoundError, for a stranger's order too."""
    try:
        wanted = order_id if isinstance(order_id, UUID) else UUID(str(order_id))
    except ValueError:
        wanted = None
    order = (
        Order.objects.select_related("account", "account__connection", "parent")
        .filter(user=user, pk=wanted)
        .first()
        if wanted
        else None
    )
    if order is None:
        raise NotFoundError("There is no such order.")
    return order


def open_orders_for(user: User, *, account_id: UUID | None = None) -> QuerySet[Order]:
    """Return what is not finished yet, local and in-flight orders included."""
    orders = orders_for(user).filter(status__in=sorted(UNFINISHED))
    return orders.filter(account_id=account_id) if account_id else orders


def approval_of(order: Order) -> Approval | None:
    """Return the newest request to approve the order; None when it never needed one."""
    return order.approvals.order_by("-requested_at", "-pk").first()


def approvals_waiting_for(user: User) -> QuerySet[Approval]:
    """Return the open requests that only this user can answer, the most urgent first."""
    waiting = Approval.objects.filter(order__user=user, status=ApprovalStatus.PENDING)
    return waiting.select_related("order", "order__account").order_by("expires_at")


def unfinished_count_of(account_id: UUID) -> int:
    return Order.objects.filter(account_id=account_id, status__in=sorted(UNFINISHED)).count()


def count_by_status() -> dict[str, int]:
    """Return how many orders are in each status, for metrics."""
    counts = dict(Order.objects.order_by().values_list("status").annotate(n=Count("pk")))
    return {str(status): counts.get(status, 0) for status in OrderStatus}


def in_flight_of(orders: Iterable[Order]) -> list[InFlightOrder]:
    """Return what reconciliation must allow for while these orders are under way."""
    return [
        InFlightOrder(
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=Side(order.side),
            leaves_qty=order.leaves_qty,
            price=order.limit_price,
        )
        for order in orders
        if order.leaves_qty is not None
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One line of an order's story. `elapsed_ms` counts from the entry before."""

    at: datetime
    kind: str
    title: str
    from_status: str
    to_status: str
    actor: str
    data: dict[str, Any]
    elapsed_ms: int


TITLES = {
    "placed": "Passed the checks and queued",
    "denied": "Refused by the risk checks",
    "approval_requested": "Passed the checks, waiting for your approval",
    "approval_asked_again": "The price moved: waiting for your approval again",
    "approval_refused": "Approval not possible now",
    "approved": "Approved and queued",
    "claimed": "Sending to the broker",
    "accepted": "Accepted by the broker",
    "partially_filled": "Partly filled",
    "filled": "Filled",
    "canceled": "Canceled",
    "expired": "Expired",
    "rejected": "Rejected by the broker",
    "cancel_asked": "Cancellation requested",
    "replace_asked": "Change requested",
    "replaced": "Changed at the broker",
    "cancel_refused": "Cancellation refused",
    "replace_refused": "Change refused",
    "outcome_unknown": "No answer from the broker: unconfirmed",
    "sent_again": "Sent again under the same id",
    "send_failed_before_any_byte": "Not sent yet: the broker could not be reached",
    "withdrawn": "Withdrawn before sending",
    "intent_expired": "Not sent in time, withdrawn",
    "found_absent": "Proven not to be at the broker",
    "busted": "A fill was annulled by the broker",
    "adopted": "Found at the broker",
    "acknowledged": "Answer of the broker stored",
    "needs_person": "Needs a decision by a person",
    "fills_missing": "Closed at the broker, whose list does not show all of its fills yet",
    "fill_in_doubt": "A fill was reported that is not counted until the broker's own order confirms it",
}


def timeline_of(order: Order) -> list[TimelineEntry]:
    """Return the order's journal, oldest first, in words."""
    entries: list[TimelineEntry] = []
    stages = stages_of(order)
    previous: datetime | None = None
    for event in OrderEvent.objects.filter(order=order).order_by("id"):
        elapsed = int((event.at - previous).total_seconds() * 1000) if previous else 0
        entries.append(
            TimelineEntry(
                at=event.at,
                kind=event.kind,
                title=TITLES.get(event.kind, event.kind.replace("_", " ").capitalize()),
                from_status=event.from_status,
                to_status=event.to_status,
                actor=event.actor,
                data=_with_stages(event, stages),
                elapsed_ms=max(elapsed, 0),
            )
        )
        previous = event.at
    return entries


def stages_of(order: Order) -> dict[str, dict[str, float]]:
    """Return what was measured in milliseconds, by kind of entry or by execution id."""
    sent = OutboxMessage.objects.filter(order=order, kind=OutboxKind.SUBMIT).order_by("id").first()
    timings = sent.timings if sent is not None else {}
    found = {
        kind: {stage: timings[stage] for stage in stages if stage in timings}
        for kind, stages in _STAGES_BY_ENTRY.items()
    }
    for fill in order.executions.all():
        found[fill.exec_id] = fill_timings(
            transact_time=fill.transact_time, received_at=fill.received_at, booked_at=fill.booked_at
        )
    return found


_STAGES_BY_ENTRY = {
    "placed": ("accept", "gate", "commit"),
    "claimed": ("queue", "send"),
    "accepted": ("ack",),
}


def _with_stages(event: OrderEvent, stages: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Return an entry's data with the milliseconds of the stages that it ended. Each is told once."""
    key = str(event.data.get("exec_id") or event.kind)
    measured = stages.pop(key, None)
    return event.data | {"milliseconds": measured} if measured else event.data


def decision_of(order: Order) -> RiskDecisionRecord | None:
    """Return the gate's record that the order was placed with."""
    return RiskDecisionRecord.objects.filter(pk=order.decision_id).first() if order.decision_id else None


def defaults_for(user: User) -> OrderDefaults:
    """Return the user's ticket defaults; an unsaved row with the platform's when none were chosen."""
    return OrderDefaults.objects.filter(user=user).first() or OrderDefaults(user=user)
