"""Senders, cancels and fills of one order at the same moment."""

import threading
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from brokers.exceptions import Rejected
from brokers.models import BrokerAccount
from orders.dispatcher import send_ready
from orders.enums import OutboxStatus
from orders.exceptions import OrderClosed
from orders.models import Execution, Order, OutboxMessage
from orders.services import cancel as cancel_service
from orders.services import claim as claim_service
from orders.services.cancel import cancel_order
from orders.services.claim import Claim
from orders.services.reconcile import backfill_account
from orders.services.submit import claim_and_send
from portfolios.models import Position
from tests.concurrency.conftest import make_user
from tests.concurrency.crowd import DEADLINE_SECONDS, Crowd, split, take_row_locks_out
from tests.orders.conftest import make_account
from tests.orders.helpers import D, fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedBook

WORKERS = 6
ROUNDS = 10


def test_without_lock_and_condition_two_workers_send_one_row_twice(
    book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_user()
    order = place(user, make_account(user)).order
    pk = outbox(order).pk
    both_looked = threading.Barrier(2)

    def take_whatever(
        account: BrokerAccount, order: Order, message: OutboxMessage, worker: str, now: datetime, recheck: Any
    ) -> Claim:
        both_looked.wait(DEADLINE_SECONDS)
        fence = account.send_fence + 1
        OutboxMessage.objects.filter(pk=message.pk).update(
            status=OutboxStatus.CLAIMED,
            fence=fence,
            lease_owner=worker,
            lease_until=now + claim_service.LEASE,
        )
        return Claim(
            message=message, order=order, account=account, fence=fence, owner=worker, recheck=recheck
        )

    monkeypatch.setattr(claim_service, "_take", take_whatever)
    take_row_locks_out(monkeypatch)
    with Crowd(2) as crowd:
        crowd.together([lambda: claim_and_send(pk, worker="one"), lambda: claim_and_send(pk, worker="two")])
    assert book.posts == [order.client_order_id] * 2


def test_many_workers_send_one_row_once(book: ScriptedBook) -> None:
    user = make_user()
    account = make_account(user)
    with Crowd(WORKERS) as crowd:
        for number in range(ROUNDS):
            order = place(user, account, quantity=str(number + 1)).order
            pk = outbox(order).pk
            jobs = [lambda pk=pk, n=n: claim_and_send(pk, worker=f"worker {n}") for n in range(WORKERS)]
            sent, _ = split(crowd.together(jobs))
            assert sum(sent) == 1
            assert book.posts.count(order.client_order_id) == 1
            assert fresh(order).status == "accepted"


def at_broker(account: BrokerAccount, quantity: str) -> Order:
    order = place(account.user, account, quantity=quantity).order
    send(order)
    return fresh(order)


def fill_all(book: ScriptedBook, order: Order) -> None:
    book.fill(book.orders[order.broker_order_id], D(str(order.quantity)), D("9.99"))
    backfill_account(order.account_id)


def test_without_the_lock_a_cancel_wipes_a_fill_out(
    book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = make_account(make_user())
    order = at_broker(account, "10")
    cancel_has_read, fill_is_booked = threading.Event(), threading.Event()

    def read_and_dawdle(order_id: Any) -> Order:
        stale = Order.objects.get(pk=order_id)
        cancel_has_read.set()
        fill_is_booked.wait(DEADLINE_SECONDS)
        return stale

    def fill() -> None:
        cancel_has_read.wait(DEADLINE_SECONDS)
        fill_all(book, order)
        fill_is_booked.set()

    monkeypatch.setattr(cancel_service, "lock_order", read_and_dawdle)
    take_row_locks_out(monkeypatch)
    with Crowd(2) as crowd:
        split(crowd.together([lambda: cancel_order(user=account.user, order_id=order.pk), fill]))
    assert Execution.objects.get(order=order).last_qty == D("10")
    assert (fresh(order).status, fresh(order).cum_qty) == ("pending_cancel", D("0"))


def test_a_cancel_and_a_fill_end_in_what_the_broker_did(book: ScriptedBook) -> None:
    account = make_account(make_user())
    bought = Decimal(0)
    with Crowd(2) as crowd:
        for number in range(ROUNDS):
            order = at_broker(account, str(number + 1))

            def cancel(order: Order = order) -> None:
                cancel_order(user=account.user, order_id=order.pk)
                send_ready(account.pk, worker="test")

            outcomes = crowd.together([cancel, lambda order=order: fill_all(book, order)])
            split(outcomes, OrderClosed, Rejected)
            backfill_account(account.pk)
            ended = fresh(order)
            # The broker filled it, so it is filled: before, during or after our cancel.
            assert (ended.status, ended.cum_qty) == ("filled", ended.quantity)
            assert Execution.objects.filter(order=order).count() == 1
            assert not OutboxMessage.objects.filter(order=order, status="claimed").exists()
            bought += D(str(ended.quantity))
    assert Position.objects.get(portfolio__account=account, symbol="ACME").quantity == bought
