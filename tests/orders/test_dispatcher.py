"""What the dispatcher does with many rows of one account; the threads are played inline."""

from concurrent.futures import Executor, Future
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from brokers.models import BrokerAccount
from orders import dispatcher as module
from orders.dispatcher import OrderDispatcher, send_ready
from orders.enums import OutboxStatus
from orders.models import Order, OutboxMessage
from orders.services.cancel import cancel_order
from tests.orders.helpers import fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedBook
from tradeplatform.models import User

pytestmark = pytest.mark.django_db


class Inline(Executor):
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        fn(*args, **kwargs)
        return Future()


@pytest.fixture
def dispatcher(monkeypatch: pytest.MonkeyPatch) -> OrderDispatcher:
    # The test's own connection stands in for those of the threads.
    monkeypatch.setattr(module, "renew_connections", lambda: None)
    return OrderDispatcher(pool=Inline(), side_pool=Inline())


def test_everything_that_is_ready_leaves(
    user: User, account: BrokerAccount, book: ScriptedBook, dispatcher: OrderDispatcher
) -> None:
    orders = [place(user, account, symbol=symbol).order for symbol in ("AAA", "BBB", "CCC")]
    dispatcher.serve(account.pk)
    assert book.posts == [order.client_order_id for order in orders]


def test_a_row_that_fails_is_put_off_and_holds_up_no_other(
    user: User, account: BrokerAccount, book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = place(user, account).order, place(user, account, symbol="BETA").order
    claim = module.claim_and_send

    def fail_first(outbox_id: int, *, worker: str) -> bool:
        if outbox_id == outbox(first).pk:
            raise KeyError("a bug")
        return claim(outbox_id, worker=worker)

    monkeypatch.setattr(module, "claim_and_send", fail_first)
    assert send_ready(account.pk, worker="test") == 1
    assert book.posts == [second.client_order_id]
    assert outbox(first).status == OutboxStatus.READY
    assert outbox(first).not_before > timezone.now()


def test_a_cancel_goes_before_any_number_of_orders(
    user: User, account: BrokerAccount, book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = place(user, account).order
    send(order)
    seen: list[int] = []

    def note(outbox_id: int, *, worker: str) -> bool:
        seen.append(outbox_id)
        return False

    monkeypatch.setattr(module, "claim_and_send", note)
    for index in range(60):
        place_row(user, account, index)
    cancel_order(user=user, order_id=order.pk)
    send_ready(account.pk, worker="test")
    assert seen[0] == outbox(order, "cancel").pk


def place_row(user: User, account: BrokerAccount, index: int) -> None:
    order = Order.objects.create(
        user=user,
        account=account,
        client_order_id=f"c{index}",
        symbol="ACME",
        side="buy",
        order_type="limit",
        time_in_force="day",
        quantity=1,
        limit_price=1,
        origin="api",
        status="queued",
    )
    OutboxMessage.objects.create(order=order, account=account, kind="submit")


def test_a_cancel_does_not_wait_for_an_order_that_is_on_its_way(
    user: User, account: BrokerAccount, book: ScriptedBook, dispatcher: OrderDispatcher
) -> None:
    held = place(user, account).order
    send(held)
    slow = place(user, account, symbol="SLOW").order

    def ask_meanwhile() -> None:
        cancel_order(user=user, order_id=held.pk)
        dispatcher.serve(account.pk)
        assert book.cancels == [fresh(held).broker_order_id]
        assert fresh(slow).status == "submitting"

    book.before.append(ask_meanwhile)
    dispatcher.serve(account.pk)
    assert fresh(slow).status == "accepted"


def test_nothing_more_is_claimed_once_the_process_ends(
    user: User, account: BrokerAccount, book: ScriptedBook, dispatcher: OrderDispatcher
) -> None:
    place(user, account)
    last = place(user, account, symbol="BETA").order
    book.before.append(dispatcher.stopping.set)
    dispatcher.serve(account.pk)
    assert len(book.posts) == 1
    assert fresh(last).status == "queued"


def test_an_expired_row_is_withdrawn_without_asking_anybody(
    user: User, account: BrokerAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate that cannot be asked (the book was lost, the data are down) must not keep it for ever."""
    from orders.services import claim

    def fail(row: OutboxMessage) -> None:
        raise RuntimeError("no book")

    order = place(user, account).order
    OutboxMessage.objects.filter(order=order).update(expires_at=timezone.now() - timedelta(seconds=1))
    monkeypatch.setattr(claim, "recheck_before_send", fail)
    assert send_ready(account.pk, worker="test") == 0
    assert fresh(order).status == "not_sent"


def test_a_book_that_cannot_be_compared_is_tried_again_after_a_pause(
    user: User, account: BrokerAccount, dispatcher: OrderDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(module, "compare_book", asked.append)
    BrokerAccount.objects.filter(pk=account.pk).update(synced_at=None)
    dispatcher._sync()
    dispatcher._sync()
    assert asked == [account.pk]


def test_an_account_with_open_orders_is_looked_at_every_15_seconds_and_its_book_every_30(
    user: User, account: BrokerAccount, dispatcher: OrderDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, looks = 1000.0, []
    monkeypatch.setattr(module, "monotonic", lambda: now)
    monkeypatch.setattr(
        module, "reconcile_account", lambda account_id, *, with_book: looks.append((now, with_book))
    )
    send(place(user, account).order)
    for _ in range(61):
        dispatcher._reconcile()
        now += 1
    assert looks == [(1015.0, True), (1030.0, False), (1045.0, True), (1060.0, False)]
