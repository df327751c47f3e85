"""How long orders were in doubt, and who ended the doubt.

Three ends are told apart. Settled: the machine learned what the broker holds, or sent the same id again and
was answered. Absent: the order may not be sent any more (canceled, halted, expired, refused by the gate), so
the machine waits until nothing that was sent can arrive, and proves that it is not there. With a person: the
machine asked one. Every doubt is in exactly one of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from orders.models import Order, OrderEvent

IN_DOUBT = frozenset({"", "unconfirmed", "submitting"})


@dataclass
class Doubted:
    """One order that was unconfirmed. `seconds` from the beginning of the doubt until the machine knew.

    `absent_after` and `asked_after` are counted from the newest sending before that: a repeat opens a window
    of its own.
    """

    began: datetime
    sent: datetime
    seconds: float | None = None
    absent_after: float | None = None
    asked_after: float | None = None
    again: bool = False


def read_doubts() -> list[Doubted]:
    """Return every order that was ever unconfirmed, from the platform's journal."""
    doubts: dict[UUID, Doubted] = {}
    sent: dict[UUID, datetime] = {}
    rows = OrderEvent.objects.order_by("pk").values_list("order_id", "kind", "to_status", "at")
    for order_id, kind, to_status, at in rows.iterator():
        if to_status == "submitting":
            sent[order_id] = at
        if to_status == "unconfirmed" and order_id not in doubts:
            doubts[order_id] = Doubted(began=at, sent=sent.get(order_id, at))
        doubt = doubts.get(order_id)
        if doubt is None or doubt.seconds is not None or doubt.asked_after is not None:
            continue
        doubt.sent = sent.get(order_id, doubt.sent)
        doubt.again |= kind == "sent_again"
        if kind == "needs_person":
            doubt.asked_after = (at - doubt.sent).total_seconds()
        elif to_status not in IN_DOUBT:
            doubt.seconds = (at - doubt.began).total_seconds()
            if kind == "found_absent":
                doubt.absent_after = (at - doubt.sent).total_seconds()
    return list(doubts.values())


def measure_doubts() -> dict[str, Any]:
    """Return the figures of the table, times in seconds of simulated time, ascending."""
    doubts = read_doubts()
    return {
        "unconfirmed": len(doubts),
        "settled": _ascending(
            one.seconds for one in doubts if one.seconds is not None and one.absent_after is None
        ),
        "absent": _ascending(one.absent_after for one in doubts if one.absent_after is not None),
        "ended": _ascending(one.seconds for one in doubts if one.seconds is not None),
        "asked": _ascending(one.asked_after for one in doubts if one.asked_after is not None),
        "known": _ascending(_known()),
        "sent_again": sum(one.again for one in doubts),
        "adopted_by_match": OrderEvent.objects.filter(kind="adopted_by_match").count(),
        "not_sent": Order.objects.filter(status="not_sent").count(),
    }


def _known() -> Iterator[float]:
    """Yield how long after its first byte each order was known to be at the broker."""
    times = Order.objects.exclude(submitted_at=None).exclude(accepted_at=None)
    pairs: Iterable[tuple[Any, Any]] = times.order_by().values_list("submitted_at", "accepted_at")
    for submitted, accepted in pairs:
        yield (accepted - submitted).total_seconds()


def _ascending(seconds: Iterable[float]) -> list[float]:
    return sorted(round(one, 3) for one in seconds)
