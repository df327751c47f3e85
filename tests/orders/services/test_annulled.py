"""Orders that the broker has filled, while a fill of theirs was annulled before anybody here heard of it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from brokers.enums import BrokerOrderStatus
from brokers.exceptions import Unavailable
from brokers.models import BrokerAccount
from brokers.types import BrokerPosition
from orders.drafts import parse_changes
from orders.models import Order
from orders.services.annulled import FILLS_MAY_FOLLOW
from orders.services.cancel import cancel_order
from orders.services.ingest import apply_report
from orders.services.reconcile import check_in_flight, reconcile_account, trade_report
from orders.services.replace import replace_order
from tests.orders.helpers import D, fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedAdapter, ScriptedBook
from tests.standing_clock import StandingClock
from tradeplatform.common.clock import use_clock
from tradeplatform.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(user: User, account: BrokerAccount) -> Order:
    placed = place(user, account).order
    send(placed)
    return fresh(placed)


def fill_and_annul(book: ScriptedBook, order: Order, quantity: str = "10") -> None:
    """Fill the order and take the fill back: it stays filled, its total falls, its fill is not listed."""
    execution = book.fill(book.orders[order.broker_order_id], D(quantity), D("10"))
    book.executions.remove(execution)
    held = book.orders[order.broker_order_id]
    book.orders[held.broker_order_id] = replace(held, cum_qty=held.cum_qty - D(quantity))


def replaced_with_annulled_fill(user: User, order: Order, book: ScriptedBook) -> Order:
    """Four of ten fill unheard, the order is replaced, the four are annulled, the other six fill.

    The new order goes on counting the four.
    """
    fill_and_annul(book, order, "4")
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"limit_price": "9.00"}))
    send(order, "replace")
    new_id = book.by_client_id[outbox(order, "replace").client_order_id]
    book.orders[new_id] = replace(book.orders[new_id], cum_qty=D("4"))
    book.fill(book.orders[new_id], D("6"), D("9"))
    check_in_flight(order.pk)
    return fresh(order)


def test_an_order_whose_only_fill_was_annulled_unheard_ends(
    account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    fill_and_annul(book, order)
    reconcile_account(account.pk)
    assert (fresh(order).status, fresh(order).cum_qty) == ("canceled", D(0))
    assert order.journal.latest("pk").data["text"].endswith("the others were annulled.")


def test_a_cancel_of_such_an_order_does_not_wait_for_ever(
    user: User, order: Order, book: ScriptedBook
) -> None:
    fill_and_annul(book, order)
    cancel_order(user=user, order_id=order.pk)
    check_in_flight(order.pk)
    assert fresh(order).status == "canceled"
    assert not send(order, "cancel")
    assert outbox(order, "cancel").status == "done"


def test_a_fill_that_is_told_after_all_still_counts(
    account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    execution = book.fill(book.orders[order.broker_order_id], D("10"), D("10"))
    report = trade_report(execution)
    book.executions.clear()
    book.orders[order.broker_order_id] = replace(book.orders[order.broker_order_id], cum_qty=D(0))
    reconcile_account(account.pk)
    apply_report(account.pk, report)
    assert (fresh(order).status, fresh(order).cum_qty) == ("filled", D("10"))


def test_fills_that_the_list_does_not_show_yet_are_waited_for(
    account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    execution = book.fill(book.orders[order.broker_order_id], D("10"), D("10"))
    book.executions.clear()
    book.positions = [BrokerPosition(symbol="ACME", quantity=D("10"), avg_price=D("10"), market_price=None)]
    reconcile_account(account.pk)
    reconcile_account(account.pk)
    assert order.journal.filter(kind="fills_missing").count() == 1
    with use_clock(later(FILLS_MAY_FOLLOW)):
        reconcile_account(account.pk)
        assert fresh(order).status == "accepted"
        book.executions.append(execution)
        reconcile_account(account.pk)
    assert (fresh(order).status, fresh(order).cum_qty) == ("filled", D("10"))


def test_a_total_that_goes_on_counting_an_annulled_fill_is_held_against_the_position(
    user: User, account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    order = replaced_with_annulled_fill(user, order, book)
    assert (order.status, order.cum_qty) == ("partially_filled", D("6"))
    book.positions = [BrokerPosition(symbol="ACME", quantity=D("6"), avg_price=D("9"), market_price=None)]
    reconcile_account(account.pk)
    assert fresh(order).status == "partially_filled"
    with use_clock(later(FILLS_MAY_FOLLOW)):
        reconcile_account(account.pk)
    assert (fresh(order).status, fresh(order).cum_qty) == ("canceled", D("6"))


@pytest.mark.parametrize("status", [BrokerOrderStatus.CANCELED, BrokerOrderStatus.EXPIRED])
def test_an_order_that_was_closed_ends_as_well_though_its_total_counts_an_annulled_fill(
    account: BrokerAccount, order: Order, book: ScriptedBook, status: BrokerOrderStatus
) -> None:
    book.executions.remove(book.fill(book.orders[order.broker_order_id], D("4"), D("10")))
    book.set_status(order.broker_order_id, status)
    reconcile_account(account.pk)
    assert fresh(order).status == "accepted"
    with use_clock(later(FILLS_MAY_FOLLOW)):
        reconcile_account(account.pk)
    assert (fresh(order).status, fresh(order).cum_qty) == (str(status), D(0))


def test_an_order_that_was_closed_waits_while_the_position_shows_its_missing_fill(
    account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    execution = book.fill(book.orders[order.broker_order_id], D("4"), D("10"))
    book.executions.clear()
    book.set_status(order.broker_order_id, BrokerOrderStatus.CANCELED)
    book.positions = [BrokerPosition(symbol="ACME", quantity=D("4"), avg_price=D("10"), market_price=None)]
    reconcile_account(account.pk)
    with use_clock(later(FILLS_MAY_FOLLOW)):
        reconcile_account(account.pk)
        assert fresh(order).status == "accepted"
        book.executions.append(execution)
        reconcile_account(account.pk)
    assert (fresh(order).status, fresh(order).cum_qty) == ("canceled", D("4"))


def test_a_position_that_cannot_be_read_proves_nothing(
    user: User, account: BrokerAccount, order: Order, book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: ScriptedAdapter) -> None:
        raise Unavailable("503")

    order = replaced_with_annulled_fill(user, order, book)
    monkeypatch.setattr(ScriptedAdapter, "get_positions", fail)
    with use_clock(later(FILLS_MAY_FOLLOW)):
        reconcile_account(account.pk)
    assert fresh(order).status == "partially_filled"


def test_a_new_order_that_counts_from_zero_is_not_ended_before_its_fills_are_told(
    account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    """Four filled before; of the other six, as many are booked as were filled before."""
    book.fill(book.orders[order.broker_order_id], D("4"), D("10"))
    reconcile_account(account.pk)
    old = book.orders[order.broker_order_id]
    new = replace(old, broker_order_id="new", quantity=D("6"), cum_qty=D(0), replaces=old.broker_order_id)
    book.orders = {old.broker_order_id: replace(old, replaced_by="new"), "new": new}
    reconcile_account(account.pk)
    book.fill(new, D("2"), D("10"))
    book.fill(new, D("4"), D("10"))
    hidden = book.executions.pop()
    reconcile_account(account.pk)
    assert (fresh(order).status, fresh(order).cum_qty) == ("partially_filled", D("6"))
    book.executions.append(hidden)
    reconcile_account(account.pk)
    assert (fresh(order).status, fresh(order).cum_qty) == ("filled", D("10"))


def later(pause: timedelta) -> StandingClock:
    clock = StandingClock()
    clock.at += pause
    return clock
