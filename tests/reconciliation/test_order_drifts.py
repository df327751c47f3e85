"""Every kind of drift of an order: each made at the scripted broker, found by the open-order loop."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D

import pytest
from django.core.management import call_command
from django.utils import timezone

from brokers.enums import BrokerOrderStatus, OrderClass, OrderType, Side
from brokers.types import BrokerOrder
from orders.enums import OrderOrigin, OrderStatus
from orders.models import Execution, Order, OutboxMessage
from orders.services.ingest import apply_report
from orders.services.reconcile import reconcile_account, trade_report
from portfolios.drift_catalogue import WORDS, Drift
from portfolios.models import Break
from tests.orders.helpers import fresh, place, send
from tests.reconciliation.injectors import INJECTORS

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(user, account, book):
    found = place(user, account).order
    send(found)
    return fresh(found)


def change(book, order: Order, **values) -> None:
    book.orders[order.broker_order_id] = replace(book.orders[order.broker_order_id], **values)


def look_twice(account) -> None:
    """Two looks, with the first made to be ten seconds old."""
    reconcile_account(account.pk)
    Break.objects.update(first_seen_at=timezone.now() - timedelta(seconds=11))
    reconcile_account(account.pk)


def open_drifts(order: Order) -> dict[str, str]:
    return {row.drift: row.kind for row in Break.objects.filter(status="open", subject=str(order.pk))}


def _quantity(book, order):
    change(book, order, quantity=D(12))


def _price(book, order):
    change(book, order, limit_price=D("9.50"))


def _missing(book, order):
    del book.orders[order.broker_order_id]


def _stale(book, order):
    Order.objects.filter(pk=order.pk).update(status=OrderStatus.CANCELED, closed_at=timezone.now())


def _falling(book, order):
    report = trade_report(book.fill(book.orders[order.broker_order_id], D(4), D(10)))
    apply_report(order.account_id, report)
    book.executions.clear()
    change(book, order, cum_qty=D(1), status=BrokerOrderStatus.PARTIALLY_FILLED)


def _overfill(book, order):
    for _ in range(2):
        book.fill(book.orders[order.broker_order_id], D(8), D(10))


def _missing_leg(book, order):
    exit_there = BrokerOrder(
        broker_order_id="leg-1",
        client_order_id="",
        symbol=order.symbol,
        side=Side.SELL,
        order_type=OrderType.STOP,
        time_in_force=None,
        status=BrokerOrderStatus.HELD,
        quantity=D(10),
        notional=None,
        limit_price=None,
        stop_price=D(9),
        trail_amount=None,
        trail_percent=None,
        extended_hours=False,
        order_class=OrderClass.SIMPLE,
        cum_qty=D(0),
        avg_px=None,
        submitted_at=timezone.now(),
        updated_at=timezone.now(),
    )
    change(book, order, legs=(exit_there,))
    reconcile_account(order.account_id)
    assert Order.objects.filter(parent=order, origin=OrderOrigin.LEG).exists()
    change(book, order, legs=())


CASES = (
    (_quantity, Drift.ORDER_QUANTITY, "order_terms"),
    (_price, Drift.ORDER_PRICE, "order_terms"),
    (_missing, Drift.MISSING_ORDER, "order_missing"),
    (_stale, Drift.STALE_STATUS, "order_status"),
    (_falling, Drift.FALLING_QUANTITY, "order_filled"),
    (_overfill, Drift.OVERFILL, "order_filled"),
    (_missing_leg, Drift.MISSING_LEG, "order_legs"),
)


@pytest.mark.parametrize(
    ("inject", "drift", "kind"), CASES, ids=lambda value: getattr(value, "__name__", value)
)
def test_each_drift_of_an_order_opens_with_its_class_and_nothing_is_sent(
    order, account, book, inject, drift, kind
):
    inject(book, order)
    messages = OutboxMessage.objects.count()

    look_twice(account)

    assert open_drifts(order)[drift] == kind
    assert OutboxMessage.objects.count() == messages
    assert len(book.posts) == 1
    assert book.cancels == []


def test_one_look_is_not_enough_and_an_agreeing_order_closes_it(order, account, book):
    _price(book, order)
    reconcile_account(account.pk)
    reconcile_account(account.pk)
    assert not Break.objects.filter(status="open").exists()

    change(book, order, limit_price=D("10.00"))
    reconcile_account(account.pk)

    assert Break.objects.get(kind="order_terms").status == "resolved"


def test_an_unknown_order_is_taken_in_as_placed_elsewhere_and_is_no_break(order, account, book):
    there = replace(
        book.orders[order.broker_order_id],
        broker_order_id="theirs-1",
        client_order_id="their-own",
        symbol="ELSE",
    )
    book.orders["theirs-1"] = there

    look_twice(account)

    assert Order.objects.get(symbol="ELSE").origin == OrderOrigin.EXTERNAL
    assert not Break.objects.exclude(kind__in=["cash"]).exists()


def test_an_agreeing_order_has_no_break(order, account):
    look_twice(account)

    assert not Break.objects.exists()


def test_an_overfill_is_booked_whole_because_the_shares_moved(order, account, book):
    _overfill(book, order)

    look_twice(account)

    assert sum(Execution.objects.values_list("last_qty", flat=True)) == 16
    assert fresh(order).cum_qty == 16


def test_every_class_of_drift_has_words_and_an_injector():
    made = {drift for injector in INJECTORS for drift in injector.drifts.values()}
    made |= {drift for _, drift, _ in CASES} | {Drift.UNKNOWN_ORDER}

    assert set(WORDS) == set(Drift)
    assert made == set(Drift)
    assert len(made) >= 25


def test_the_documented_table_is_what_the_code_says():
    call_command("write_drift_docs", check=True)
