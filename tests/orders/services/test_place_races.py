"""Many requests at the same moment, on connections of their own."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from brokers.models import BrokerAccount
from orders.exceptions import IdempotencyInProgress
from orders.models import Execution, Order, OutboxMessage
from orders.services.submit import claim_and_send
from tests.orders.helpers import D, fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedBook
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.models import User

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 8


def at_once(work: Callable[[int], Any]) -> list[Any]:
    """Run `work(index)` on several threads released together; return results, exceptions included."""
    barrier = threading.Barrier(THREADS)
    results: list[Any] = [None] * THREADS

    def run(index: int) -> None:
        try:
            barrier.wait(timeout=15)
            results[index] = work(index)
        except Exception as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return results


def test_one_key_at_the_same_moment_is_one_order_and_one_answer(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    results = at_once(lambda index: place(user, account, key="the-key"))
    answers = [found for found in results if not isinstance(found, IdempotencyInProgress)]
    assert Order.objects.count() == 1
    assert {found.document["id"] for found in answers} == {str(Order.objects.get().pk)}
    assert sum(not found.replayed for found in answers) == 1


def test_orders_that_each_fit_alone_never_add_up_to_more_than_the_cash(
    user: User, account: BrokerAccount
) -> None:
    BrokerAccount.objects.filter(pk=account.pk).update(cash=D(300), buying_power=D(300))
    results = at_once(lambda index: place(user, account, symbol=f"S{'ABCDEFGH'[index]}"))
    placed = Order.objects.filter(status="queued")
    assert sum(order.reserved_cash for order in placed) <= D(300)
    assert all(isinstance(found, PlatformError) for found in results if not hasattr(found, "order"))
    assert placed.count() == 3


def test_a_row_is_written_to_the_broker_once_by_many_senders(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    row = outbox(place(user, account).order)
    results = at_once(lambda index: claim_and_send(row.pk, worker=f"w{index}"))
    assert sorted(map(bool, results)) == [False] * (THREADS - 1) + [True]
    assert len(book.posts) == 1
    assert OutboxMessage.objects.get().status == "done"


def test_one_fill_told_by_stream_and_poll_at_once_is_booked_once(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    from orders.services.reconcile import backfill_account

    order = place(user, account).order
    send(order)
    book.fill(book.orders[fresh(order).broker_order_id], D("10"), D("10"))
    assert at_once(lambda index: backfill_account(account.pk)) == [True] * THREADS
    assert Execution.objects.count() == 1
    assert fresh(order).status == "filled"
