"""What brokers say is kept as it came, flagged when it makes no sense, and never moves money by itself."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.utils import timezone

from brokers.exceptions import Unavailable
from brokers.models import BrokerEvent
from brokers.services.inbox import record_event
from brokers.types import StreamEvent
from orders.models import Execution, Order
from orders.services.ingest import apply_pending_events
from orders.services.reconcile import reconcile_account
from portfolios.models import LedgerEntry, Portfolio
from tests.orders.conftest import make_account
from tests.orders.helpers import fresh, place, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(user, account, book):
    found = place(user, account).order
    send(found)
    return fresh(found)


def receive(account, payload, *, key: str = "k1", at=None) -> BrokerEvent:
    event = StreamEvent(
        dedupe_key=key, kind="trade_update", payload=payload, received_at=at or timezone.now()
    )
    return BrokerEvent.objects.get(pk=record_event(account_id=account.pk, event=event, source="stream"))


def money(account):
    portfolio = Portfolio.objects.get(account=account)
    return portfolio.cash, LedgerEntry.objects.filter(portfolio=portfolio).count()


GARBAGE = {
    "an empty object": {},
    "a page of HTML": {"body": "<html><body>502 Bad Gateway</body></html>"},
    "an unknown kind": {"exec_type": "quantum_fill", "broker_order_id": "mine"},
    "null fields": {"exec_type": None, "broker_order_id": None, "last_qty": None},
    "half a fill": {"exec_type": "trade", "broker_order_id": "mine", "exec_id": "x1", "last_qty": "5"},
    "a fill without an id": {
        "exec_type": "trade",
        "broker_order_id": "mine",
        "last_qty": "5",
        "last_px": "10",
    },
    "a quantity that is no number": {
        "exec_type": "trade",
        "broker_order_id": "mine",
        "exec_id": "x1",
        "last_qty": "five",
        "last_px": "10",
    },
    "a quantity of NaN": {
        "exec_type": "trade",
        "broker_order_id": "mine",
        "exec_id": "x1",
        "last_qty": "NaN",
        "last_px": "10",
    },
    "a negative quantity": {
        "exec_type": "trade",
        "broker_order_id": "mine",
        "exec_id": "x1",
        "last_qty": "-5",
        "last_px": "10",
    },
    "a price below zero": {
        "exec_type": "trade",
        "broker_order_id": "mine",
        "exec_id": "x1",
        "last_qty": "5",
        "last_px": "-10",
    },
    "an order that is not ours": {
        "exec_type": "trade",
        "broker_order_id": "somebody-elses",
        "exec_id": "x1",
        "last_qty": "5",
        "last_px": "10",
    },
    "something that explodes": {"explode": True},
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_kept_flagged_and_moves_no_money(order, account, book, name):
    payload = {**GARBAGE[name]}
    if payload.get("broker_order_id") == "mine":
        payload["broker_order_id"] = order.broker_order_id
    before, told = money(account), order.journal.count()
    stored = receive(account, payload)

    apply_pending_events(account.pk)

    stored.refresh_from_db()
    assert stored.payload == payload
    assert stored.problem or order.journal.count() == told + 1, "neither the event nor the order is flagged"
    assert money(account) == before
    assert not Execution.objects.exists()
    assert fresh(order).status == order.status


def test_a_bad_event_does_not_keep_the_next_good_one(order, account, book):
    receive(account, {"explode": True}, key="bad")
    good = {
        "exec_type": "trade",
        "broker_order_id": order.broker_order_id,
        "exec_id": "x1",
        "last_qty": "10",
        "last_px": "10",
        "cum_qty": "10",
    }
    receive(account, good, key="good")

    apply_pending_events(account.pk)

    assert fresh(order).status == "filled"
    assert Execution.objects.get().last_qty == 10


def test_a_bad_event_of_one_account_does_not_touch_another(order, user, account, book):
    other = make_account(user, number="S2")
    second = place(user, other, symbol="ELSE").order
    send(second)
    second = fresh(second)
    receive(account, {"explode": True}, key="bad")
    receive(
        other,
        {
            "exec_type": "trade",
            "broker_order_id": second.broker_order_id,
            "exec_id": "y1",
            "last_qty": "10",
            "last_px": "10",
        },
        key="good",
    )

    for each in (account, other):
        apply_pending_events(each.pk)

    assert fresh(second).status == "filled"
    assert fresh(order).status == order.status


def test_a_fill_that_is_years_old_is_flagged_and_not_booked(order, account, book):
    fill = {
        "exec_type": "trade",
        "broker_order_id": order.broker_order_id,
        "exec_id": "old",
        "last_qty": "4",
        "last_px": "10",
    }
    before = money(account)
    stored = receive(account, fill, at=timezone.now() - timedelta(days=3 * 365))

    apply_pending_events(account.pk)

    stored.refresh_from_db()
    assert stored.problem == "the fill is dated before its order"
    assert (money(account), fresh(order).cum_qty) == (before, 0)
    assert order.journal.filter(kind="fill_in_doubt").count() == 1


def test_a_fill_below_the_brokers_own_running_total_waits_for_the_order_to_agree(order, account, book):
    for key, quantity, total in (("a", "6", "6"), ("b", "2", "3")):
        payload = {
            "exec_type": "trade",
            "broker_order_id": order.broker_order_id,
            "exec_id": key,
            "last_qty": quantity,
            "last_px": "10",
            "cum_qty": total,
        }
        stored = receive(account, payload, key=key)

    apply_pending_events(account.pk)

    stored.refresh_from_db()
    assert stored.problem == "the broker's running total has fallen below the fills it reported"
    assert fresh(order).cum_qty == 6
    assert all(fill.busted_at is None for fill in Execution.objects.all())


def test_fills_that_arrive_in_another_order_are_all_booked(order, account, book):
    for key, quantity, total in (("c", "3", "10"), ("a", "5", "5"), ("b", "2", "7")):
        payload = {
            "exec_type": "trade",
            "broker_order_id": order.broker_order_id,
            "exec_id": key,
            "last_qty": quantity,
            "last_px": "10",
            "cum_qty": total,
        }
        receive(account, payload, key=key)

    apply_pending_events(account.pk)

    assert (fresh(order).cum_qty, fresh(order).status) == (10, "filled")


def test_a_fill_larger_than_the_order_counts_only_when_the_order_says_so(order, account, book):
    payload = {
        "exec_type": "trade",
        "broker_order_id": order.broker_order_id,
        "exec_id": "big",
        "last_qty": "25",
        "last_px": "10",
    }
    before = money(account)
    stored = receive(account, payload)

    for _ in range(2):
        apply_pending_events(account.pk)

    stored.refresh_from_db()
    assert stored.applied_at is None
    assert stored.problem == "the fill is larger than what the order has left"
    assert (money(account), fresh(order).cum_qty) == (before, 0)
    assert order.journal.filter(kind="fill_in_doubt").count() == 1

    listed = book.fill(book.orders[order.broker_order_id], D(25), D(10))
    BrokerEvent.objects.filter(pk=stored.pk).update(payload={**payload, "exec_id": listed.exec_id})
    reconcile_account(account.pk)
    apply_pending_events(account.pk)

    stored.refresh_from_db()
    assert (stored.problem, stored.applied_at is not None) == ("", True)
    assert Execution.objects.get().last_qty == 25
    assert "overfill" in order.journal.values_list("kind", flat=True)


def test_a_listed_fill_that_the_order_does_not_bear_out_is_kept_and_not_booked(order, account, book):
    book.fill(book.orders[order.broker_order_id], D(25), D(10))
    book.orders[order.broker_order_id] = replace(book.orders[order.broker_order_id], cum_qty=D(0))
    before = money(account)

    for _ in range(2):
        reconcile_account(account.pk)

    kept = BrokerEvent.objects.get(source="poll")
    assert (kept.kind, kept.problem) == ("fill", "the fill is larger than what the order has left")
    assert (money(account), fresh(order).cum_qty) == (before, 0)
    assert order.journal.filter(kind="fill_in_doubt").count() == 1


def test_half_a_list_proves_nothing(order, account, book, monkeypatch):
    from tests.orders.scripted_broker import ScriptedAdapter

    def fail(self, **_values):
        raise Unavailable("The reply was cut off")

    monkeypatch.setattr(ScriptedAdapter, "list_orders", fail)
    before = money(account)

    reconcile_account(account.pk)

    assert fresh(order).status == order.status
    assert money(account) == before
    assert Order.objects.count() == 1
    assert D(0) == fresh(order).cum_qty
