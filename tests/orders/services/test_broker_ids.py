"""Ids under which the broker knows an order: each is kept, whichever report names it first."""

import pytest

from brokers.enums import BrokerOrderStatus
from brokers.exceptions import OutcomeUnknown
from brokers.models import BrokerAccount
from orders.drafts import parse_changes
from orders.models import Order, OrderAlias
from orders.services.adopt import remember_ids
from orders.services.reconcile import backfill_account, check_in_flight
from orders.services.replace import replace_order
from tests.orders.helpers import fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedBook
from tradeplatform.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(user: User, account: BrokerAccount, book: ScriptedBook) -> Order:
    order = place(user, account).order
    send(order)
    return fresh(order)


def test_the_client_id_of_a_replace_is_kept_when_a_poll_saw_the_new_order_before_its_answer(
    user: User, account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    old_id = order.broker_order_id
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "20"}))
    book.raise_next(OutcomeUnknown("reset"), after=True)
    send(order, "replace")
    new_id = next(name for name, row in book.orders.items() if row.replaces == old_id)
    book.set_status(old_id, BrokerOrderStatus.PENDING_REPLACE)
    book.set_status(new_id, BrokerOrderStatus.PENDING_NEW)
    backfill_account(account.pk)
    assert fresh(order).broker_order_id == old_id
    book.set_status(old_id, BrokerOrderStatus.REPLACED)
    book.set_status(new_id, BrokerOrderStatus.OPEN)
    check_in_flight(order.pk)
    assert fresh(order).broker_order_id == new_id
    alias = OrderAlias.objects.get(broker_order_id=new_id)
    assert alias.client_order_id == outbox(order, "replace").client_order_id


def test_an_id_that_is_complete_is_not_given_another_client_id(order: Order) -> None:
    remember_ids(order, broker_order_id="b2", client_order_id="c2")
    remember_ids(order, broker_order_id="b2", client_order_id="c3")
    assert OrderAlias.objects.get(broker_order_id="b2").client_order_id == "c2"
    assert not OrderAlias.objects.filter(client_order_id="c3").exists()
