"""The pages on which a person settles an order of unknown outcome."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from brokers.enums import DedupeClass
from brokers.exceptions import OutcomeUnknown, Unavailable
from orders.enums import OrderStatus
from orders.models import Order, OutboxMessage
from tests.orders.helpers import fresh, place, send
from tests.pages import text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(user):
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def order(user, account, book):
    """An order that reached a broker without ids, whose answer got lost, and that waits for a person."""
    book.dedupe = DedupeClass.N
    found = place(user, account).order
    book.raise_next(OutcomeUnknown("reply lost"), after=True)
    send(found)
    Order.objects.filter(pk=found.pk).update(needs_person_at=timezone.now())
    OutboxMessage.objects.filter(order=found).update(unknown_since=timezone.now() - timedelta(seconds=95))
    return fresh(found)


def settle(browser, order, **values):
    return browser.post(f"/orders/{order.pk}/settle/", {"looked": "on", **values})


def test_the_list_shows_what_waits_and_the_order_links_to_it(browser, order):
    text = text_of(browser.get("/orders/unconfirmed/"))
    page = text_of(browser.get(f"/orders/{order.pk}/"))

    assert f"/orders/{order.pk}/settle/" in text
    assert "You" in text
    assert f"/orders/{order.pk}/settle/" in page


def test_the_list_is_calm_when_nothing_is_in_doubt(browser, account):
    assert "Every order is accounted for" in text_of(browser.get("/orders/unconfirmed/"))


def test_the_page_says_what_we_know_what_the_broker_says_and_what_each_choice_does(browser, order, book):
    text = text_of(browser.get(f"/orders/{order.pk}/settle/"))

    assert "What we know" in text
    assert order.client_order_id in text
    assert "closed as never sent" in text
    (there,) = book.orders
    assert there in text


def test_not_there_closes_it_as_never_sent(browser, order, book):
    answer = settle(browser, order, answer="not_there")

    assert answer.status_code == 302
    assert fresh(order).status == OrderStatus.NOT_SENT
    assert len(book.posts) == 1


def test_the_broker_order_is_adopted_by_its_id(browser, order, book):
    (there,) = book.orders

    settle(browser, order, answer="other", broker_order_id=there)

    assert fresh(order).status == OrderStatus.ACCEPTED
    assert fresh(order).broker_order_id == there


def test_nothing_happens_without_a_choice_a_look_or_an_id(browser, order):
    nothing = browser.post(f"/orders/{order.pk}/settle/", {})
    blind = browser.post(f"/orders/{order.pk}/settle/", {"answer": "not_there"})
    nameless = settle(browser, order, answer="other")
    unknown = settle(browser, order, answer="other", broker_order_id="made-up")

    assert [one.status_code for one in (nothing, blind, nameless, unknown)] == [422] * 4
    assert fresh(order).status == OrderStatus.UNCONFIRMED


def test_a_broker_that_cannot_be_asked_is_said_so(browser, order, monkeypatch):
    from tests.orders.scripted_broker import ScriptedAdapter

    def fail(self, **_values):
        raise Unavailable("No answer")

    monkeypatch.setattr(ScriptedAdapter, "list_orders", fail)

    text = text_of(browser.get(f"/orders/{order.pk}/settle/"))

    assert "could not be asked just now" in text


def test_an_order_that_is_still_looked_for_offers_no_choice(browser, order):
    Order.objects.filter(pk=order.pk).update(needs_person_at=None)

    text = text_of(browser.get(f"/orders/{order.pk}/settle/"))

    assert "still being asked" in text
    assert 'name="answer"' not in text


def test_a_settled_order_and_a_strangers_order_have_no_such_page(browser, order, stranger):
    other = Client()
    other.force_login(stranger)
    assert other.get(f"/orders/{order.pk}/settle/").status_code == 404

    settle(browser, order, answer="not_there")
    assert browser.get(f"/orders/{order.pk}/settle/").status_code == 302
