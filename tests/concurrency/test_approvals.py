"""Two answers to one request at the same moment: one counts, whatever the two are."""

import os
import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any

import pytest

from brokers.enums import DedupeClass
from orders.dispatcher import send_ready
from orders.enums import ApprovalStatus
from orders.exceptions import ApprovalAlreadyDecided, ApprovalExpired
from orders.models import Approval, Order, OrderEvent, OutboxMessage
from orders.services import approve as service
from orders.services.approve import approve_order, expire_approvals, reject_order
from orders.services.cancel import cancel_order
from tests.concurrency.conftest import make_user
from tests.concurrency.crowd import DEADLINE_SECONDS, Crowd, split, take_row_locks_out
from tests.orders.approvals import ask_above
from tests.orders.conftest import make_account
from tests.orders.helpers import fresh, place
from tests.orders.scripted_broker import ScriptedBook

APPROVALS = int(os.environ.get("RACE_APPROVALS", "500"))
PER_ACCOUNT = 5


def waiting_orders(number: int) -> list[Order]:
    """Return orders of one new account that wait for approval."""
    user = make_user()
    account = make_account(user, number=user.email[:12])
    return [place(user, account, quantity=str(n + 1)).order for n in range(number)]


def approve(order: Order) -> Order:
    return approve_order(user=order.user, order_id=order.pk, order_hash=order.order_hash)


def reject(order: Order) -> Order:
    return reject_order(user=order.user, order_id=order.pk, order_hash=order.order_hash)


def approve_what_was_seen(order: Order) -> Order:
    seen = order.approvals.get().pk
    return approve_order(user=order.user, order_id=order.pk, order_hash=order.order_hash, approval_id=seen)


class CheckThenSet:
    """A claim without its condition: both look, then both set, one after the other has finished."""

    def __init__(self) -> None:
        self.both_looked = threading.Barrier(2)
        self.turns = count()
        self.first_is_done = threading.Event()

    def __call__(
        self, approval: Approval, *, status: ApprovalStatus, actor: str, now: datetime, reason: str = ""
    ) -> bool:
        if not Approval.objects.filter(pk=approval.pk, status=ApprovalStatus.PENDING).exists():
            return False
        self.both_looked.wait(DEADLINE_SECONDS)
        if next(self.turns):
            self.first_is_done.wait(DEADLINE_SECONDS)
        Approval.objects.filter(pk=approval.pk).update(status=status, decided_by=actor, decided_at=now)
        return True


@pytest.fixture
def weak_claim(monkeypatch: pytest.MonkeyPatch) -> CheckThenSet:
    """Take the claim's condition out, and every row lock."""
    weak = CheckThenSet()
    monkeypatch.setattr(service, "claim_approval", weak)
    take_row_locks_out(monkeypatch)
    return weak


def race(weak: CheckThenSet, *answers: Callable[[], Any]) -> None:
    """Give two answers at once through the weak claim; both must go through."""

    def run(answer: Callable[[], Any]) -> None:
        answer()
        weak.first_is_done.set()

    with Crowd(2) as crowd:
        assert crowd.together([partial(run, answer) for answer in answers]) == [None, None]


def test_with_check_then_set_and_without_the_lock_one_approval_is_executed_twice(
    book: ScriptedBook, weak_claim: CheckThenSet
) -> None:
    ask_above("1")
    book.dedupe = DedupeClass.N
    (order,) = waiting_orders(1)

    def approve_and_send() -> None:
        approve(order)
        send_ready(order.account_id, worker="test")

    race(weak_claim, approve_and_send, approve_and_send)
    assert book.posts == [order.client_order_id] * 2
    assert len(book.orders) == 2


@pytest.mark.parametrize("answer", [approve, approve_what_was_seen])
def test_no_double_approval_is_executed_twice(
    book: ScriptedBook, show: Callable[[str], None], answer: Callable[[Order], Order]
) -> None:
    ask_above("1")
    winners, number = 0, APPROVALS // 2
    with Crowd(2) as crowd:
        for start in range(0, number, PER_ACCOUNT):
            orders = waiting_orders(min(PER_ACCOUNT, number - start))
            for order in orders:
                won, _ = split(crowd.together([partial(answer, order)] * 2), ApprovalAlreadyDecided)
                winners += len(won)
            send_all = partial(send_ready, orders[0].account_id, worker="test")
            split(crowd.together([send_all] * 2))
    assert winners == number
    assert OrderEvent.objects.filter(kind="approved").count() == number
    assert OutboxMessage.objects.count() == number
    posts = Counter(book.posts)
    assert len(posts) == number
    assert set(posts.values()) == {1}
    show(f"{number} concurrent double approvals: each executed once ({answer.__name__})")


def test_with_check_then_set_and_without_the_lock_an_order_is_approved_and_rejected(
    book: ScriptedBook, weak_claim: CheckThenSet
) -> None:
    ask_above("1")
    (order,) = waiting_orders(1)

    race(weak_claim, partial(approve, order), partial(reject, order))
    kinds = set(OrderEvent.objects.filter(order=order).values_list("kind", flat=True))
    assert {"approved", "withdrawn"} <= kinds


@pytest.mark.parametrize("other", ["reject", "cancel", "expire"])
def test_an_approval_and_its_opposite_end_in_one_of_the_two(book: ScriptedBook, other: str) -> None:
    ask_above("1")

    def oppose(order: Order) -> Any:
        if other == "reject":
            return reject(order)
        if other == "cancel":
            return cancel_order(user=order.user, order_id=order.pk)
        return expire_approvals()

    with Crowd(2) as crowd:
        for order in waiting_orders(8):
            if other == "expire":
                Approval.objects.filter(order=order).update(expires_at=order.created_at)
            outcomes = crowd.together([lambda order=order: approve(order), lambda order=order: oppose(order)])
            split(outcomes, ApprovalAlreadyDecided, ApprovalExpired)
            ended, rows = fresh(order), OutboxMessage.objects.filter(order=order)
            if ended.status == "queued":
                assert rows.get().status == "ready"
            else:
                assert ended.status == "not_sent"
                assert not rows.filter(status="ready").exists()
            assert order.approvals.exclude(status="pending").count() == 1
            assert not order.approvals.filter(status="pending").exists()


def test_with_check_then_set_and_without_the_lock_two_sweepers_end_a_request_twice(
    book: ScriptedBook, weak_claim: CheckThenSet
) -> None:
    ask_above("1")
    (order,) = waiting_orders(1)
    Approval.objects.update(expires_at=order.created_at)

    race(weak_claim, expire_approvals, expire_approvals)
    assert OrderEvent.objects.filter(kind="intent_expired").count() == 2


def test_sweepers_in_several_processes_end_each_request_once(book: ScriptedBook) -> None:
    ask_above("1")
    orders = waiting_orders(10)
    Approval.objects.update(expires_at=orders[0].created_at)
    with Crowd(4) as crowd:
        counts, _ = split(crowd.together([expire_approvals] * 4))
    assert sum(counts) == 10
    assert OrderEvent.objects.filter(kind="intent_expired").count() == 10
