"""The order calls of the API, as a program with a key sees them."""

from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from brokers.models import BrokerAccount
from orders.exceptions import IdempotencyInProgress
from orders.models import Order
from orders.services.reconcile import backfill_account
from tests.orders.conftest import make_account
from tests.orders.helpers import D, draft, fresh, send
from tests.orders.scripted_broker import ScriptedBook
from tradeplatform.models import User
from tradeplatform.services.api_keys import create_api_key

pytestmark = pytest.mark.django_db

LIST = "/api/v1/orders/"


def client_for(user: User, scopes: list[str]) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {new_key(user, scopes)}")
    return client


def new_key(user: User, scopes: list[str]) -> str:
    _, created = create_api_key(user=user, name="test", scopes=scopes)
    return created.secret


@pytest.fixture
def api(user: User) -> APIClient:
    return client_for(user, ["read", "trade:paper"])


def post(api: APIClient, account: BrokerAccount, *, key: str = "", **values: Any) -> Any:
    body = draft(account=str(account.pk), **values)
    return api.post(LIST, body, format="json", headers={"Idempotency-Key": key or uuid4().hex})


def test_an_order_goes_from_201_to_filled(api: APIClient, account: BrokerAccount, book: ScriptedBook) -> None:
    answer = post(api, account)
    assert answer.status_code == 201
    assert answer.data["status"] == "queued"
    assert answer.data["quantity"] == "10"
    order = Order.objects.get(pk=answer.data["id"])
    send(order)
    order = fresh(order)
    book.fill(book.orders[order.broker_order_id], D("10"), D("9.99"))
    backfill_account(account.pk)
    shown = api.get(f"{LIST}{order.pk}/").data
    assert (shown["status"], shown["cum_qty"], shown["avg_px"], shown["leaves_qty"]) == (
        "filled",
        "10",
        "9.99",
        "0",
    )
    assert [execution["last_px"] for execution in shown["executions"]] == ["9.99"]
    timeline = api.get(f"{LIST}{order.pk}/timeline/").data
    assert [entry["kind"] for entry in timeline] == ["placed", "claimed", "accepted", "filled"]


def test_the_key_makes_a_repeat_the_same_order(api: APIClient, account: BrokerAccount) -> None:
    first, again = post(api, account, key="k"), post(api, account, key="k")
    assert (again.status_code, again.data) == (201, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = post(api, account, key="k", quantity="11")
    assert (other.status_code, other.data["code"]) == (422, "idempotency_key_reused")
    assert Order.objects.count() == 1


def test_a_missing_key_is_a_400(api: APIClient, account: BrokerAccount) -> None:
    answer = api.post(LIST, draft(account=str(account.pk)), format="json")
    assert (answer.status_code, answer.data["code"]) == (400, "idempotency_key_required")


def test_a_denial_lists_its_findings_and_is_replayed(api: APIClient, account: BrokerAccount) -> None:
    answer = post(api, account, key="k", quantity="9000")
    assert (answer.status_code, answer.data["code"]) == (422, "order_denied")
    assert answer.headers["Content-Type"] == "application/problem+json"
    finding = next(f for f in answer.data["findings"] if f["code"] == "E11")
    assert finding["severity"] == "hard"
    assert post(api, account, key="k", quantity="9000").data == answer.data


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"quantity": "0"}, "quantity"),
        ({"quantity": "-3"}, "quantity"),
        ({"quantity": "ten"}, "quantity"),
        ({"quantity": "NaN"}, "quantity"),
        ({"quantity": "1.0000000000001"}, "quantity"),
        ({"quantity": "1" * 30}, "quantity"),
        ({"quantity": None}, "quantity"),
        ({"quantity": []}, "quantity"),
        ({"limit_price": {}}, "limit_price"),
        ({"side": "hold"}, "side"),
        ({"order_type": "magic"}, "order_type"),
        ({"time_in_force": "forever"}, "time_in_force"),
        ({"symbol": ""}, "symbol"),
        ({"symbol": "<script>"}, "symbol"),
        ({"take_profit": "11"}, "take_profit"),
        ({"confirm": "E11"}, "confirm"),
    ],
)
def test_bad_fields_are_named(
    api: APIClient, account: BrokerAccount, values: dict[str, Any], field: str
) -> None:
    answer = post(api, account, **values)
    assert answer.status_code == 422
    assert field in answer.data["fields"]
    assert not Order.objects.exists()


@pytest.mark.parametrize("body", ["{", '{"quantity": NaN}', "[1]", '"text"', ""])
def test_bodies_that_are_no_order_are_refused(api: APIClient, body: str) -> None:
    answer = api.post(LIST, body, content_type="application/json", headers={"Idempotency-Key": "k"})
    assert answer.status_code in (400, 422)
    assert not Order.objects.exists()


def test_json_numbers_are_read_exactly(api: APIClient, account: BrokerAccount) -> None:
    numbers = '"quantity": 10, "limit_price": 9.97'
    body = f'{{"account": "{account.pk}", "symbol": "acme", "side": "buy", "order_type": "limit", {numbers}}}'
    answer = api.post(LIST, body, content_type="application/json", headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.data["limit_price"], answer.data["symbol"]) == (201, "9.97", "ACME")


def test_preview_shows_verdict_and_impact_and_stores_nothing(api: APIClient, account: BrokerAccount) -> None:
    answer = api.post("/api/v1/orders/preview/", draft(account=str(account.pk)), format="json")
    assert (answer.status_code, answer.data["verdict"]) == (200, "allow")
    assert answer.data["estimated_amount"] == "100"
    assert {row["key"] for row in answer.data["impact"]} >= {"cash", "buying_power"}
    assert not Order.objects.exists()


def test_cancel_and_replace(api: APIClient, account: BrokerAccount) -> None:
    order = Order.objects.get(pk=post(api, account).data["id"])
    send(order)
    changed = api.patch(f"{LIST}{order.pk}/", {"limit_price": "9.50"}, format="json")
    assert (changed.status_code, changed.data["status"]) == (202, "pending_replace")
    canceled = api.post(f"{LIST}{order.pk}/cancel/")
    assert (canceled.status_code, canceled.data["status"]) == (202, "pending_cancel")


def test_canceling_a_closed_order_is_a_conflict(api: APIClient, account: BrokerAccount) -> None:
    order_id = post(api, account).data["id"]
    assert api.post(f"{LIST}{order_id}/cancel/").data["status"] == "not_sent"
    answer = api.post(f"{LIST}{order_id}/cancel/")
    assert (answer.status_code, answer.data["code"]) == (409, "order_closed")


def test_a_stranger_finds_nothing(api: APIClient, account: BrokerAccount, stranger: User) -> None:
    order_id = post(api, account).data["id"]
    other = client_for(stranger, ["read", "trade:paper"])
    assert other.get(f"{LIST}{order_id}/").status_code == 404
    assert other.get(f"{LIST}{order_id}/timeline/").status_code == 404
    assert other.patch(f"{LIST}{order_id}/", {"quantity": "5"}, format="json").status_code == 404
    assert other.post(f"{LIST}{order_id}/cancel/").status_code == 404
    assert post(other, account).status_code == 404
    assert other.get(LIST).data["results"] == []
    assert other.get(f"/api/v1/accounts/{account.pk}/").status_code == 404


def test_scopes_say_what_a_key_may_do(user: User, account: BrokerAccount) -> None:
    reader = client_for(user, ["read"])
    assert reader.get(LIST).status_code == 200
    assert post(reader, account).status_code == 403
    live = make_account(user, environment="live", number="L1")
    paper_only = client_for(user, ["trade:paper"])
    answer = post(paper_only, live)
    assert (answer.status_code, answer.data["code"]) == (403, "scope_missing")
    assert not Order.objects.exists()


def test_no_key_no_answer(account: BrokerAccount) -> None:
    assert APIClient().get(LIST).status_code == 401
    bad = APIClient()
    bad.credentials(HTTP_AUTHORIZATION="Bearer tp_wrong_key")
    assert bad.get(LIST).status_code == 401


def test_the_list_is_paged_and_filtered(api: APIClient, account: BrokerAccount) -> None:
    for _ in range(3):
        post(api, account, confirm=["G02"])
    page = api.get(LIST, {"limit": "2"}).data
    assert len(page["results"]) == 2
    rest = api.get(page["next"]).data
    assert len(rest["results"]) == 1
    assert api.get(LIST, {"status": "closed"}).data["results"] == []
    assert len(api.get(LIST, {"status": "open", "symbol": "acme"}).data["results"]) == 3
    assert api.get(LIST, {"status": "sideways"}).status_code == 422


def test_accounts_positions_and_performance(api: APIClient, account: BrokerAccount) -> None:
    shown = api.get(f"/api/v1/accounts/{account.pk}/").data
    assert (shown["environment"], shown["cash"], shown["status"]) == ("paper", "100000", "active")
    assert {rule["order_type"] for rule in shown["capabilities"]["order_rules"]} >= {"market", "limit"}
    assert [row["id"] for row in api.get("/api/v1/accounts/").data] == [str(account.pk)]
    book = api.get(f"/api/v1/accounts/{account.pk}/positions/").data
    assert (book["cash"], book["positions"]) == ("100000", [])
    performance = api.get(f"/api/v1/accounts/{account.pk}/performance/").data
    assert {figure["key"] for figure in performance["figures"]} >= {"sharpe_ratio", "beta"}


def test_the_schema_describes_every_order_call(client: Any) -> None:
    schema = client.get("/api/schema/?format=json").json()
    assert {"get", "post"} <= set(schema["paths"]["/api/v1/orders/"])
    assert "patch" in schema["paths"]["/api/v1/orders/{order_id}/"]


def test_a_request_that_is_still_running_says_when_to_ask_again(
    api: APIClient, account: BrokerAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    def still_running(**_: Any) -> None:
        raise IdempotencyInProgress

    monkeypatch.setattr("orders.api.views.place_order", still_running)
    answer = post(api, account)
    assert (answer.status_code, answer.data["code"]) == (409, "idempotency_in_progress")
    assert answer.headers["Retry-After"] == "2"
