from datetime import timedelta

import pytest

from brokers.models import BrokerAccount
from orders.exceptions import IdempotencyKeyRequired, IdempotencyKeyReused, InvalidOrder, OrderDenied
from orders.models import IdempotencyRecord, Order, OutboxMessage
from orders.services.idempotency import StoredRefusal
from risk.models import RiskDecisionRecord
from risk.services.limits import set_limit
from tests.orders.helpers import D, draft, place
from tests.orders.scripted_broker import ScriptedBook
from tradeplatform.common.exceptions import NotFoundError
from tradeplatform.models import AuditEntry, User, UserEvent

pytestmark = pytest.mark.django_db


def test_an_allowed_order_is_written_whole_and_nothing_is_sent(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    placed = place(user, account)
    order = Order.objects.get(pk=placed.order.pk)
    assert order.status == "queued"
    assert order.client_order_id == order.pk.hex
    assert order.reserved_cash == D("100")
    decision = RiskDecisionRecord.objects.get(pk=order.decision_id)
    assert (decision.verdict, decision.order_hash) == ("allow", order.order_hash)
    message = OutboxMessage.objects.get(order=order)
    assert (message.kind, message.status, message.order_hash) == ("submit", "ready", order.order_hash)
    assert [event.kind for event in order.journal.all()] == ["placed"]
    assert AuditEntry.objects.filter(object_id=str(order.pk), action="order.queued").count() == 1
    assert UserEvent.objects.filter(user=user, kind="order").count() == 1
    assert book.posts == []


def test_the_same_key_and_body_give_the_same_order(user: User, account: BrokerAccount) -> None:
    first = place(user, account, key="k1")
    again = place(user, account, key="k1")
    assert (again.order.pk, again.replayed, again.document) == (first.order.pk, True, first.document)
    assert Order.objects.count() == 1


def test_the_same_key_with_another_body_is_refused(user: User, account: BrokerAccount) -> None:
    place(user, account, key="k1")
    with pytest.raises(IdempotencyKeyReused):
        place(user, account, key="k1", quantity="11")
    assert Order.objects.count() == 1


def test_two_users_may_use_the_same_key(user: User, account: BrokerAccount, stranger: User) -> None:
    from tests.orders.conftest import make_account

    place(user, account, key="same")
    place(stranger, make_account(stranger), key="same")
    assert Order.objects.count() == 2


@pytest.mark.parametrize("key", ["", "   "])
def test_a_missing_key_is_refused(user: User, account: BrokerAccount, key: str) -> None:
    from orders.drafts import parse_order
    from orders.services.place import place_order

    with pytest.raises(IdempotencyKeyRequired) as refused:
        place_order(
            user=user,
            account_id=account.pk,
            request=parse_order(draft()),
            idempotency_key=key,
            origin="api",
        )
    assert refused.value.http_status == 400
    assert not Order.objects.exists()


def test_a_denied_order_is_stored_with_its_findings_and_replayed(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    with pytest.raises(OrderDenied) as denied:
        place(user, account, key="k1", quantity="9000")
    order = Order.objects.get()
    assert order.status == "denied"
    assert denied.value.details["order_id"] == str(order.pk)
    assert {finding["code"] for finding in denied.value.details["findings"]} >= {"E01", "E11"}
    assert not OutboxMessage.objects.exists()
    with pytest.raises(StoredRefusal) as replayed:
        place(user, account, key="k1", quantity="9000")
    assert replayed.value.code == "order_denied"
    assert replayed.value.details == denied.value.details
    assert Order.objects.count() == 1
    assert book.posts == []


def test_a_strangers_account_does_not_exist(account: BrokerAccount, stranger: User) -> None:
    with pytest.raises(NotFoundError):
        place(stranger, account)
    assert not Order.objects.exists()
    assert not IdempotencyRecord.objects.exists()


def test_an_unknown_symbol_is_denied(user: User, account: BrokerAccount) -> None:
    with pytest.raises(OrderDenied) as denied:
        place(user, account, symbol="NOPE")
    assert "C01" in {finding["code"] for finding in denied.value.details["findings"]}


@pytest.mark.parametrize(
    "quantity",
    ["0", "-1", "NaN", "Infinity", "1e5", "abc", "0.1234567890123", "99999999999999999999", "", "１０"],
)
def test_a_quantity_that_is_no_quantity_is_named_and_nothing_is_stored(
    user: User, account: BrokerAccount, quantity: str
) -> None:
    with pytest.raises(InvalidOrder) as refused:
        place(user, account, quantity=quantity)
    assert "quantity" in refused.value.details["fields"]
    assert not Order.objects.exists()


def test_a_float_is_refused(user: User, account: BrokerAccount) -> None:
    with pytest.raises(InvalidOrder):
        place(user, account, quantity=1.5)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"limit_price": "10.005"}, "C04"),
        ({"side": "sell"}, "F01"),
        ({"order_type": "stop", "limit_price": None, "stop_price": "9.00"}, "C06"),
        ({"order_type": "market"}, "C06"),
    ],
)
def test_orders_that_the_gate_refuses(
    user: User, account: BrokerAccount, values: dict[str, str], code: str
) -> None:
    with pytest.raises(OrderDenied) as denied:
        place(user, account, **values)
    assert code in {finding["code"] for finding in denied.value.details["findings"]}


def test_open_orders_count_against_the_limits_before_they_fill(user: User, account: BrokerAccount) -> None:
    place(user, account, quantity="900")
    with pytest.raises(OrderDenied) as denied:
        place(user, account, quantity="1200", symbol="ACME")
    assert "E11" in {finding["code"] for finding in denied.value.details["findings"]}


def test_a_live_order_needs_the_plan_and_an_armed_account(user: User) -> None:
    from billing.services import ensure_plans, grant_plan
    from tests.orders.conftest import make_account
    from tradeplatform.common.exceptions import PermissionRefused

    ensure_plans()
    live = make_account(user, environment="live")
    with pytest.raises(PermissionRefused) as refused:
        place(user, live, quantity="5")
    assert refused.value.code == "plan_required"
    grant_plan(user=user, plan_key="plus", reason="test", granted_by="test")
    with pytest.raises(PermissionRefused) as refused:
        place(user, live, quantity="5")
    assert refused.value.details["feature"] == "api_live_trading"
    with pytest.raises(PermissionRefused) as refused:
        place(user, live, quantity="5", origin="page")
    assert refused.value.code == "account_not_armed"
    assert not Order.objects.exists()


@pytest.mark.parametrize(("code", "is_wait"), [(5, True), (6, True), (10, False), (13, False)])
def test_only_a_lock_that_was_not_given_becomes_in_progress(
    user: User, account: BrokerAccount, monkeypatch: pytest.MonkeyPatch, code: int, is_wait: bool
) -> None:
    """A full disk or a lost connection is a failure of ours, not an order that is still running."""
    import sqlite3

    from django.db import OperationalError

    from orders.exceptions import IdempotencyInProgress
    from orders.services import place as service

    def fail(seconds: int) -> None:
        cause = sqlite3.OperationalError("failed")
        cause.sqlite_errorcode = code
        raise OperationalError("failed") from cause

    monkeypatch.setattr(service, "limit_lock_wait", fail)
    with pytest.raises(IdempotencyInProgress if is_wait else OperationalError):
        place(user, account)


@pytest.mark.parametrize(
    ("values", "name", "seconds"),
    [
        ({"order_type": "market", "limit_price": ""}, "market_order_ttl", 7),
        ({}, "limit_order_ttl", 3600),
    ],
)
def test_the_time_to_send_is_the_users_own_limit(
    user: User, account: BrokerAccount, values: dict[str, str], name: str, seconds: int
) -> None:
    set_limit(
        scope="user", scope_key=str(user.pk), name=name, value=str(seconds), author=user, reason="shorter"
    )
    order = place(user, account, **values).order
    assert order.expires_at - order.created_at == timedelta(seconds=seconds)
    assert OutboxMessage.objects.get(order=order).expires_at == order.expires_at
