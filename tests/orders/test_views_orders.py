"""The order list with its file, and the order page with cancel and change."""

import csv
import datetime as dt
import io
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from brokers.models import BrokerAccount, BrokerEvent
from orders.models import Execution, Order
from orders.services.reconcile import backfill_account
from tests.orders.conftest import make_account
from tests.orders.helpers import D, fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedBook
from tradeplatform.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def at_broker(user: User, account: BrokerAccount, **values: Any) -> Order:
    order = place(user, account, **values).order
    send(order)
    return fresh(order)


def partly_filled(user: User, account: BrokerAccount, book: ScriptedBook) -> Order:
    order = at_broker(user, account)
    book.fill(book.orders[order.broker_order_id], D("4"), D("9.99"))
    backfill_account(account.pk)
    return fresh(order)


def shown_orders(page: Client, **query: str) -> list[Order]:
    return list(page.get(reverse("orders:list"), query).context["page"].object_list)


def test_the_list_is_newest_first_and_narrowed_by_every_filter(
    page: Client, user: User, account: BrokerAccount
) -> None:
    other = make_account(user, number="S2")
    first = place(user, account).order
    second = place(user, other, symbol="BETA", side="buy", quantity="5").order
    Order.objects.filter(pk=first.pk).update(status="filled")
    assert shown_orders(page) == [second, first]
    assert shown_orders(page, group="open") == [second]
    assert shown_orders(page, group="closed") == [first]
    assert shown_orders(page, account=str(other.pk)) == [second]
    assert shown_orders(page, symbol="acme") == [first]
    assert shown_orders(page, side="sell") == []


def test_dates_are_whole_days_in_the_persons_time_zone(
    page: Client, user: User, account: BrokerAccount
) -> None:
    order = place(user, account).order
    late = dt.datetime(2026, 11, 21, 4, 30, tzinfo=dt.UTC)  # 20 Nov, 23:30 in New York
    Order.objects.filter(pk=order.pk).update(created_at=late)
    assert shown_orders(page, since="2026-11-20", until="2026-11-20") == [order]
    assert shown_orders(page, since="2026-11-21") == []
    assert shown_orders(page, until="2026-11-19") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("since", "soon"),
        ("until", "9999-12-31"),
        ("since", "0001-01-01"),
        ("account", "0f3a1c52-9f0e-4a53-8d0c-2f3b8f6f2a11"),
        ("account", "x"),
        ("group", "odd"),
    ],
)
def test_a_filter_that_makes_no_sense_is_marked_and_shows_all(
    page: Client, user: User, account: BrokerAccount, name: str, value: str
) -> None:
    order = place(user, account).order
    answer = page.get(reverse("orders:list"), {name: value})
    assert list(answer.context["page"].object_list) == [order]
    assert answer.context["form"].errors[name]


def test_pages_keep_the_filters(
    page: Client, user: User, account: BrokerAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orders.views.order_list.PAGE_SIZE", 1)
    place(user, account)
    place(user, account, symbol="BETA")
    shown = text_of(page.get(reverse("orders:list"), {"group": "open", "page": "2"}))
    assert "Page 2 of 2" in shown
    assert "group=open&amp;page=1" in shown


def test_live_updates_fetch_the_table_alone(page: Client, user: User, account: BrokerAccount) -> None:
    place(user, account)
    part = page.get(reverse("orders:list"), headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode()
    assert 'data-live-refresh="order execution"' in part.content.decode()


def test_empty_lists_say_what_to_do(page: Client, user: User) -> None:
    assert "Open a practice account or link your broker first" in text_of(page.get(reverse("orders:list")))
    make_account(user)
    assert "Place your first order" in text_of(page.get(reverse("orders:list")))
    assert "No orders match" in text_of(page.get(reverse("orders:list"), {"symbol": "ACME"}))


def test_a_stranger_sees_none_of_them(
    page: Client, user: User, account: BrokerAccount, stranger: User
) -> None:
    place(user, account)
    page.force_login(stranger)
    assert shown_orders(page) == []
    assert len(page.get(reverse("orders:export")).content.decode().splitlines()) == 1


def test_the_file_holds_the_filtered_list_and_no_formulas(
    page: Client, user: User, account: BrokerAccount
) -> None:
    order = place(user, account).order
    place(user, account, symbol="BETA")
    Order.objects.filter(pk=order.pk).update(note="=HYPERLINK(1)", reject_reason="@x")
    answer = page.get(reverse("orders:export"), {"symbol": "ACME"})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert len(rows) == 1
    row = rows[0]
    assert (row["symbol"], row["quantity"], row["limit_price"], row["status"]) == (
        "ACME",
        "10",
        "10",
        "queued",
    )
    assert (row["note"], row["reason"], row["order_id"]) == ("'=HYPERLINK(1)", "'@x", str(order.pk))


def test_the_order_page_shows_a_partial_fill_as_such(
    page: Client, user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = partly_filled(user, account, book)
    shown = text_of(page.get(reverse("orders:detail", args=[order.pk])))
    assert "Partially filled" in shown
    assert "4 of 10" in shown
    assert "6 still open" in shown
    assert "$9.99" in shown
    assert "$39.96" in shown
    assert order.broker_order_id in shown
    assert 'value="40"' in shown


def test_the_order_page_lists_every_check_and_the_timeline(
    page: Client, user: User, account: BrokerAccount
) -> None:
    order = at_broker(user, account)
    answer = page.get(reverse("orders:detail", args=[order.pk]))
    titles = [row.entry.title for row in answer.context["timeline"]]
    assert titles == ["Passed the checks and queued", "Sending to the broker", "Accepted by the broker"]
    assert {check.outcome for check in answer.context["checks"]} <= {"passed", "not_applicable"}
    assert {"C01", "E04", "E11", "G10"} <= {check.code for check in answer.context["checks"]}
    assert "Every check that could be made passed." in text_of(answer)


def test_a_denied_order_says_why_and_what_it_means(page: Client, user: User, account: BrokerAccount) -> None:
    from orders.exceptions import OrderDenied

    with pytest.raises(OrderDenied):
        place(user, account, quantity="5000")
    order = Order.objects.get()
    shown = text_of(page.get(reverse("orders:detail", args=[order.pk])))
    assert "Refused here, never sent" in shown
    assert "No money moved" in shown
    assert "Refused: Position size." in shown


def test_an_unconfirmed_order_says_what_it_means_for_the_money(
    page: Client, user: User, account: BrokerAccount
) -> None:
    order = place(user, account).order
    Order.objects.filter(pk=order.pk).update(status="unconfirmed", submitted_at=timezone.now())
    url = reverse("orders:detail", args=[order.pk])
    assert "Do not place the order again" in text_of(page.get(url))
    Order.objects.filter(pk=order.pk).update(needs_person_at=timezone.now())
    assert "Please look at your broker" in text_of(page.get(url))


def test_an_annulled_fill_is_marked(
    page: Client, user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = partly_filled(user, account, book)
    Execution.objects.filter(order=order).update(busted_at=timezone.now())
    assert "Annulled" in text_of(page.get(reverse("orders:detail", args=[order.pk])))


def test_the_brokers_messages_are_shown_word_for_word(
    page: Client, user: User, account: BrokerAccount
) -> None:
    order = at_broker(user, account)
    payload = {"event": "new", "order": {"id": order.broker_order_id, "text": "<b>raw</b>"}}
    for key, body in (("k1", payload), ("k2", {"order": {"id": "another"}})):
        BrokerEvent.objects.create(
            account=account,
            dedupe_key=key,
            kind="new",
            source="stream",
            payload=body,
            applied_at=timezone.now(),
        )
    answer = page.get(reverse("orders:messages", args=[order.pk]))
    assert len(answer.context["rows"]) == 1
    assert "&lt;b&gt;raw&lt;/b&gt;" in answer.content.decode()
    part = page.get(reverse("orders:messages", args=[order.pk]), headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode()


def test_cancel_withdraws_what_has_not_been_sent(page: Client, user: User, account: BrokerAccount) -> None:
    order = place(user, account).order
    answer = page.post(
        reverse("orders:cancel", args=[order.pk]), {"next": "/orders/?group=open"}, follow=True
    )
    assert fresh(order).status == "not_sent"
    assert answer.redirect_chain == [("/orders/?group=open", 302)]
    assert "withdrawn before it was sent" in text_of(answer)


def test_cancel_asks_the_broker_for_what_is_there(page: Client, user: User, account: BrokerAccount) -> None:
    order = at_broker(user, account)
    answer = page.post(reverse("orders:cancel", args=[order.pk]), {"next": "https://evil.example/"})
    assert answer["Location"] == reverse("orders:detail", args=[order.pk])
    assert fresh(order).status == "pending_cancel"
    assert outbox(order, "cancel").status == "ready"


def test_cancel_of_a_closed_order_explains(page: Client, user: User, account: BrokerAccount) -> None:
    order = place(user, account).order
    Order.objects.filter(pk=order.pk).update(status="filled")
    answer = page.post(reverse("orders:cancel", args=[order.pk]), follow=True)
    assert "already filled" in text_of(answer)


def test_a_change_is_previewed_and_asked_for(page: Client, user: User, account: BrokerAccount) -> None:
    order = at_broker(user, account)
    form = page.get(reverse("orders:change", args=[order.pk])).context["form"]
    assert set(form.fields) == {"quantity", "limit_price", "time_in_force"}
    terms = {"quantity": "12", "limit_price": "10", "time_in_force": "day"}
    preview = text_of(page.post(reverse("orders:change_preview", args=[order.pk]), terms))
    assert "$120.00" in preview
    assert fresh(order).status == "accepted"
    answer = page.post(reverse("orders:replace", args=[order.pk]), terms)
    assert answer["Location"] == reverse("orders:detail", args=[order.pk])
    assert fresh(order).status == "pending_replace"
    assert outbox(order, "replace").changes == {"quantity": "12"}


@pytest.mark.parametrize(
    ("terms", "field", "words"),
    [
        ({"limit_price": "x"}, "limit_price", "not a number"),
        ({"limit_price": ""}, "limit_price", "needs a value"),
        ({"quantity": "3"}, "quantity", "more than what has filled"),
        ({}, "__all__", "Nothing is different"),
        ({"limit_price": "10.001"}, "limit_price", "steps of 0.01"),
    ],
)
def test_a_wrong_change_is_marked_with_what_was_typed(
    page: Client,
    user: User,
    account: BrokerAccount,
    book: ScriptedBook,
    terms: dict[str, str],
    field: str,
    words: str,
) -> None:
    order = partly_filled(user, account, book)
    typed = {"quantity": "10", "limit_price": "10", "time_in_force": "day"} | terms
    answer = page.post(reverse("orders:replace", args=[order.pk]), typed)
    assert answer.status_code == 422
    assert words in " ".join(answer.context["form"].errors[field])
    assert fresh(order).status == "partially_filled"
    for name, value in terms.items():
        assert answer.context["form"][name].value() == value


def test_a_change_that_asks_a_question_is_made_once_confirmed(
    page: Client, user: User, account: BrokerAccount
) -> None:
    order = at_broker(user, account)
    typed = {"quantity": "1600", "limit_price": "10", "time_in_force": "day"}
    answer = page.post(reverse("orders:replace", args=[order.pk]), typed)
    codes = [finding["code"] for finding in answer.context["findings"]]
    assert codes == ["E01", "E11"]
    assert fresh(order).status == "accepted"
    page.post(reverse("orders:replace", args=[order.pk]), {**typed, "confirm": codes})
    assert fresh(order).status == "pending_replace"


def test_an_order_that_cannot_change_says_why(page: Client, user: User, account: BrokerAccount) -> None:
    order = place(user, account).order
    answer = page.get(reverse("orders:change", args=[order.pk]), follow=True)
    assert "is queued, so it cannot be changed now" in text_of(answer)
    typed = {"quantity": "12", "limit_price": "10", "time_in_force": "day"}
    assert page.post(reverse("orders:replace", args=[order.pk]), typed).status_code == 409


GETS = ("detail", "messages", "change")
POSTS = ("cancel", "replace", "change_preview")


@pytest.mark.parametrize("name", GETS + POSTS)
def test_strangers_find_nothing_and_others_are_asked_to_sign_in(
    client: Client, user: User, account: BrokerAccount, stranger: User, name: str
) -> None:
    order = at_broker(user, account)
    url = reverse(f"orders:{name}", args=[order.pk])
    ask, wrong = (client.get, client.post) if name in GETS else (client.post, client.get)
    answer = ask(url)
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("account_login"))
    client.force_login(stranger)
    assert ask(url).status_code == 404
    assert wrong(url).status_code == 405
    client.force_login(user)
    assert wrong(url).status_code == 405
    assert fresh(order).status == "accepted"
