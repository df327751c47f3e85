"""Approving and rejecting by the API: 202 at placing, one hash, stable codes, the scope of the account."""

from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from brokers.models import BrokerAccount, LatestQuote
from orders.models import Order, OutboxMessage
from orders.services.submit import claim_and_send
from tests.orders.approvals import (
    approval_of,
    ask_above,
    make_live_account,
    set_platform_limit,
    waiting_order,
)
from tests.orders.helpers import D, draft, fresh, outbox, place
from tests.orders.scripted_broker import ScriptedBook
from tests.orders.test_api import LIST, client_for
from tests.pages import sign_in
from tradeplatform.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(user: User) -> APIClient:
    return client_for(user, ["read", "trade:paper"])


def post(api: APIClient, account: BrokerAccount, key: str = "") -> Any:
    headers = {"Idempotency-Key": key or uuid4().hex}
    return api.post(LIST, draft(account=str(account.pk)), format="json", headers=headers)


def answer(api: APIClient, order: Order, verb: str = "approve", **body: Any) -> Any:
    content = {"order_hash": order.order_hash} | body
    return api.post(f"{LIST}{order.pk}/{verb}/", content, format="json")


def test_a_held_order_is_a_202_with_the_hash_to_approve_and_is_replayed(
    api: APIClient, account: BrokerAccount
) -> None:
    ask_above("1")
    first, again = post(api, account, "k"), post(api, account, "k")
    assert (first.status_code, first.data["status"]) == (202, "pending_approval")
    order = Order.objects.get()
    approval = approval_of(order)
    assert first.data["order_hash"] == order.order_hash
    assert first.data["approval"] == {
        "id": str(approval.pk),
        "status": "pending",
        "requested_at": approval.requested_at.isoformat().replace("+00:00", "Z"),
        "expires_at": approval.expires_at.isoformat().replace("+00:00", "Z"),
        "reference_price": "10",
        "decided_at": None,
    }
    assert (again.status_code, again.data) == (202, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_from_202_to_the_broker(
    api: APIClient, user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = waiting_order(user, account)
    answered = answer(api, order)
    assert (answered.status_code, answered.data["status"]) == (202, "queued")
    assert answered.data["approval"]["status"] == "approved"
    claim_and_send(outbox(order).pk, worker="test")
    shown = api.get(f"{LIST}{order.pk}/").data
    assert (shown["status"], shown["approval"]["status"]) == ("accepted", "approved")
    assert len(book.posts) == 1
    again = answer(api, order)
    assert (again.status_code, again.data["code"]) == (409, "approval_already_decided")


def test_rejecting_ends_the_order(api: APIClient, user: User, account: BrokerAccount) -> None:
    order = waiting_order(user, account)
    answered = answer(api, order, "reject", reason="no")
    assert (answered.status_code, answered.data["status"]) == (200, "not_sent")
    assert answered.data["approval"]["status"] == "rejected"
    assert answered.data["reject_reason"] == "You rejected it: no"
    assert answer(api, order).data["code"] == "approval_already_decided"


@pytest.mark.parametrize("verb", ["approve", "reject"])
@pytest.mark.parametrize("body", [{}, {"order_hash": ""}, {"order_hash": "f" * 64}])
def test_a_wrong_or_missing_hash_answers_nothing(
    api: APIClient, user: User, account: BrokerAccount, verb: str, body: dict[str, str]
) -> None:
    order = waiting_order(user, account)
    answered = api.post(f"{LIST}{order.pk}/{verb}/", body, format="json")
    assert (answered.status_code, answered.data["code"]) == (422, "approval_hash_mismatch")
    assert fresh(order).status == "pending_approval"


@pytest.mark.parametrize(
    "body", [{"order_hash": 5}, {"order_hash": None}, {"approval": "x"}, {"approval": []}, {"confirm": "E01"}]
)
def test_bodies_that_cannot_be_read_answer_nothing(
    api: APIClient, user: User, account: BrokerAccount, body: dict[str, Any]
) -> None:
    order = waiting_order(user, account)
    assert answer(api, order, **body).status_code == 422
    for raw in ("{", "[1]", '"x"'):
        target = f"{LIST}{order.pk}/approve/"
        assert api.post(target, raw, content_type="application/json").status_code == 400
    assert fresh(order).status == "pending_approval"


def test_a_moved_price_is_a_409_that_shows_the_new_request(
    api: APIClient, user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = waiting_order(user, account)
    seen = str(approval_of(order).pk)
    book.price = D("10.50")
    LatestQuote.objects.all().delete()
    moved = answer(api, order, approval=seen)
    assert (moved.status_code, moved.data["code"]) == (409, "approval_price_moved")
    assert moved.data["approval"]["reference_price"] == "10.5"
    assert answer(api, order, approval=seen).data["code"] == "approval_price_moved"
    assert not OutboxMessage.objects.exists()
    assert answer(api, order, approval=moved.data["approval"]["id"]).status_code == 202


def test_a_new_question_is_a_422_and_is_confirmed_in_the_same_call(
    api: APIClient, user: User, account: BrokerAccount
) -> None:
    order = waiting_order(user, account)
    set_platform_limit("max_order_size_soft", "0.0001")
    asked = answer(api, order)
    assert (asked.status_code, asked.data["code"]) == (422, "confirmation_required")
    assert answer(api, order, confirm=["E01"]).status_code == 202


def test_a_key_answers_only_for_its_kind_of_money(user: User) -> None:
    live = make_live_account(user)
    order = place(user, live, quantity="5").order
    paper_key = client_for(user, ["read", "trade:paper"])
    for verb in ("approve", "reject"):
        refused = answer(paper_key, order, verb)
        assert (refused.status_code, refused.data["code"]) == (403, "scope_missing")
    assert answer(client_for(user, ["read"]), order).status_code == 403
    live_key = client_for(user, ["trade:live"])
    assert answer(live_key, order).status_code == 202


def test_a_browser_session_cannot_go_round_the_second_factor(user: User) -> None:
    live = make_live_account(user)
    order = place(user, live, quantity="5").order
    body = {"order_hash": order.order_hash}
    target = f"{LIST}{order.pk}/approve/"
    refused = sign_in(user).post(target, body, "application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "factor_required")
    new = draft(account=str(live.pk), quantity="4")
    headers = {"Idempotency-Key": "k"}
    placing = sign_in(user).post(LIST, new, "application/json", headers=headers)
    assert (placing.status_code, placing.json()["code"]) == (403, "factor_required")
    assert Order.objects.count() == 1
    assert fresh(order).status == "pending_approval"
    assert sign_in(user, proof="mfa").post(target, body, "application/json").status_code == 202


def test_strangers_and_nobody_find_no_order(
    user: User, account: BrokerAccount, stranger: User, client: Any
) -> None:
    order = waiting_order(user, account)
    for verb in ("approve", "reject"):
        other = client_for(stranger, ["read", "trade:paper"])
        assert answer(other, order, verb).status_code == 404
        assert client.post(f"{LIST}{order.pk}/{verb}/").status_code in (401, 403)
    assert fresh(order).status == "pending_approval"


def test_the_list_shows_approvals_without_a_query_for_each(
    api: APIClient, user: User, account: BrokerAccount, django_assert_max_num_queries: Any
) -> None:
    waiting_order(user, account)
    api.get(LIST)
    with django_assert_max_num_queries(12):
        one = api.get(LIST, {"status": "pending_approval"}).data["results"]
    for symbol in ("BETA", "GAMA", "DELT", "EPSI", "ZETA", "ETAA"):
        place(user, account, symbol=symbol)
    with django_assert_max_num_queries(12):
        many = api.get(LIST, {"status": "pending_approval"}).data["results"]
    assert (len(one), len(many)) == (1, 7)
    assert {row["approval"]["status"] for row in many} == {"pending"}
