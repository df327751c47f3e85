"""What the gate counts of an order that is being changed."""

import pytest

from brokers.models import BrokerAccount
from orders.drafts import parse_changes
from orders.exceptions import OrderDenied
from orders.models import Order
from orders.open_orders import facts_of_open
from orders.services.cancel import cancel_order
from orders.services.replace import replace_order
from tests.orders.helpers import D, fresh, place, send
from tradeplatform.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(user: User, account: BrokerAccount) -> Order:
    placed = place(user, account).order
    send(placed)
    return fresh(placed)


def test_a_change_to_more_counts_before_the_broker_has_made_it(
    user: User, account: BrokerAccount, order: Order
) -> None:
    replace_order(
        user=user, order_id=order.pk, changes=parse_changes({"quantity": "20", "limit_price": "11"})
    )
    [facts] = facts_of_open([fresh(order)], account)
    assert (facts.leaves_qty, facts.price, facts.reserved_cash) == (D(20), D(11), D(220))
    assert not facts.counted_by_broker


def test_a_change_to_less_counts_once_it_is_made(user: User, account: BrokerAccount, order: Order) -> None:
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "5"}))
    [facts] = facts_of_open([fresh(order)], account)
    assert (facts.leaves_qty, facts.reserved_cash) == (D(10), D(100))


def test_money_that_a_change_on_its_way_needs_cannot_be_spent_twice(
    user: User, account: BrokerAccount, order: Order
) -> None:
    BrokerAccount.objects.filter(pk=account.pk).update(cash=D(350), buying_power=D(350))
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "20"}))
    with pytest.raises(OrderDenied):
        place(user, account, symbol="BETA", quantity="20")


def test_a_canceled_change_no_longer_counts(user: User, account: BrokerAccount, order: Order) -> None:
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "20"}))
    cancel_order(user=user, order_id=order.pk)
    [facts] = facts_of_open([fresh(order)], account)
    assert facts.leaves_qty == D(10)
