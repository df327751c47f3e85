"""The approval card on the order page, its buttons, the second factor with real money, and the notices."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from brokers.models import BrokerAccount, LatestQuote
from orders.models import Approval, Order
from tests.orders.approvals import (
    approval_of,
    ask_above,
    make_live_account,
    set_platform_limit,
    waiting_order,
)
from tests.orders.helpers import D, fresh, place
from tests.orders.scripted_broker import ScriptedBook
from tests.pages import sign_in
from tradeplatform.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def text_of(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def address(order: Order, name: str = "detail") -> str:
    return reverse(f"orders:{name}", args=[order.pk])


def press(page: Client, order: Order, button: str = "approve", **changes: Any) -> Any:
    form = {"order_hash": order.order_hash, "approval": str(approval_of(order).pk)} | changes
    return page.post(address(order, button), form, follow=True)


def test_the_card_says_what_is_approved_and_the_price_then_and_now(
    page: Client, user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = waiting_order(user, account)
    book.price = D("10.04")
    LatestQuote.objects.all().delete()
    shown = text_of(page.get(address(order)))
    assert "Waiting for your approval" in shown
    assert "You approve exactly this: Buy 10 shares of ACME at $10.00 or better, good for the day" in shown
    assert "on paper" in shown
    assert "$10.00" in shown
    assert 'data-live-quote="ACME" data-field="ask">$10.04' in shown
    assert "0.40%" in shown
    assert "59 min left" in shown
    assert f'name="order_hash" value="{order.order_hash}"' in shown
    assert f'name="approval" value="{approval_of(order).pk}"' in shown


def test_an_order_that_waits_for_nobody_has_no_card(page: Client, user: User, account: BrokerAccount) -> None:
    order = place(user, account).order
    assert "You approve exactly this" not in text_of(page.get(address(order)))
    part = page.get(address(order, "approval"))
    assert (part.status_code, part.content) == (286, b"")


def test_the_card_alone_is_fetched_while_it_is_open(page: Client, user: User, account: BrokerAccount) -> None:
    order = waiting_order(user, account)
    part = text_of(page.get(address(order, "approval")))
    assert "<html" not in part
    assert 'hx-trigger="every 10s"' in part


def test_approving_queues_the_order(page: Client, user: User, account: BrokerAccount) -> None:
    order = waiting_order(user, account)
    answer = press(page, order)
    assert answer.redirect_chain == [(address(order), 302)]
    assert fresh(order).status == "queued"
    assert "Approved. The order goes out now" in text_of(answer)
    assert "Approved and queued" in text_of(answer)


def test_pressing_twice_says_that_the_first_answer_stands(
    page: Client, user: User, account: BrokerAccount
) -> None:
    order = waiting_order(user, account)
    press(page, order)
    assert "This approval is approved already. Your answer changed nothing." in text_of(press(page, order))
    assert order.outbox.count() == 1


def test_rejecting_withdraws_the_order(page: Client, user: User, account: BrokerAccount) -> None:
    order = waiting_order(user, account)
    shown = text_of(press(page, order, "reject"))
    assert fresh(order).status == "not_sent"
    assert "is rejected. Nothing was sent; no money moved." in shown


def test_another_hash_changes_nothing(page: Client, user: User, account: BrokerAccount) -> None:
    order = waiting_order(user, account)
    for button in ("approve", "reject"):
        assert "not this order&#x27;s" in text_of(press(page, order, button, order_hash="f" * 64))
    assert fresh(order).status == "pending_approval"


def test_a_moved_price_asks_again_on_the_page(
    page: Client, user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = waiting_order(user, account)
    book.price = D("11")
    LatestQuote.objects.all().delete()
    shown = text_of(press(page, order))
    assert "The price moved after you were asked." in shown
    assert "Waiting for your approval" in shown
    assert fresh(order).status == "pending_approval"
    press(page, order)
    assert fresh(order).status == "queued"


def test_a_new_question_is_asked_with_the_approval(page: Client, user: User, account: BrokerAccount) -> None:
    order = waiting_order(user, account)
    set_platform_limit("max_order_size_soft", "0.0001")
    asked = press(page, order)
    assert asked.status_code == 422
    assert 'name="confirm" value="E01"' in text_of(asked)
    assert fresh(order).status == "pending_approval"
    press(page, order, confirm=["E01"])
    assert fresh(order).status == "queued"


def test_an_expired_request_says_so(page: Client, user: User, account: BrokerAccount) -> None:
    order = waiting_order(user, account)
    approval = approval_of(order)
    Approval.objects.update(expires_at=approval.expires_at - timedelta(hours=1))
    shown = text_of(press(page, order))
    assert "The time to approve this order is over" in shown
    assert "It was not approved in time." in shown


def test_buttons_need_a_post_and_the_owner(
    page: Client, user: User, account: BrokerAccount, stranger: User
) -> None:
    order = waiting_order(user, account)
    for button in ("approve", "reject"):
        assert page.get(address(order, button)).status_code == 405
    other = Client()
    other.force_login(stranger)
    for name in ("approve", "reject"):
        assert other.post(address(order, name), {"order_hash": order.order_hash}).status_code == 404
    assert other.get(address(order, "approval")).status_code == 404
    assert fresh(order).status == "pending_approval"


def test_with_real_money_approving_asks_for_the_second_factor_and_rejecting_does_not(user: User) -> None:
    live = make_live_account(user)
    order = place(user, live, quantity="5").order
    without = sign_in(user)
    refused = without.post(address(order, "approve"), {"order_hash": order.order_hash})
    assert refused.url == reverse("mfa_index")
    assert fresh(order).status == "pending_approval"
    shown = text_of(sign_in(user, proof="mfa").get(address(order)))
    assert "Approve LIVE order" in shown
    assert "with real money" in shown
    press(sign_in(user, proof="mfa"), order)
    assert fresh(order).status == "queued"
    other = place(user, live, quantity="4").order
    press(without, other, "reject")
    assert fresh(other).status == "not_sent"


@pytest.mark.parametrize(("hours", "status"), [(11, "queued"), (13, "pending_approval")])
def test_a_second_factor_is_good_for_twelve_hours(user: User, hours: int, status: str) -> None:
    order = place(user, make_live_account(user), quantity="5").order
    page = sign_in(user, proof="mfa")
    session = page.session
    records = session["account_authentication_methods"]
    session["account_authentication_methods"] = [
        record | {"at": record["at"] - hours * 3600} for record in records
    ]
    session.save()
    page.post(address(order, "approve"), {"order_hash": order.order_hash})
    assert fresh(order).status == status


def test_what_waits_is_on_the_dashboard_and_in_the_list(
    page: Client, user: User, account: BrokerAccount
) -> None:
    place(user, account, symbol="BETA")
    order = waiting_order(user, account)
    shown = text_of(page.get(reverse("dashboard")))
    assert "Waiting for your approval" in shown
    assert address(order) in shown
    listed = page.get(reverse("orders:list"), {"group": "approval"})
    assert list(listed.context["page"].object_list) == [order]
    assert "Waiting for approval" in text_of(listed)


def test_the_preview_says_beforehand_that_an_order_will_wait(
    page: Client, user: User, account: BrokerAccount
) -> None:
    ask_above("1")
    form = {
        "account": str(account.pk),
        "symbol": "ACME",
        "side": "buy",
        "order_type": "limit",
        "limit_price": "10.00",
        "time_in_force": "day",
        "order_class": "simple",
        "size_mode": "shares",
        "size": "10",
    }
    shown = text_of(page.post(reverse("orders:preview"), form))
    assert "Will wait for your approval" in shown
    assert "above $1.00 it waits for your approval" in shown
    review = page.post(reverse("orders:prepare"), form, follow=True)
    placed = page.post(reverse("orders:place"), {"order": review.context["draft_text"]}, follow=True)
    assert "Your order waits for your approval. Nothing has been sent" in text_of(placed)
    assert Order.objects.get().status == "pending_approval"
