"""Orders that wait for their owner: asked, approved or rejected once, expired, withdrawn, asked again."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from brokers.exceptions import OutcomeUnknown, Unavailable
from brokers.models import BrokerAccount, LatestQuote
from orders.dispatcher import OrderDispatcher
from orders.exceptions import (
    ApprovalAlreadyDecided,
    ApprovalExpired,
    ApprovalHashMismatch,
    ApprovalNotRequested,
    ApprovalPriceMoved,
    ConfirmationRequired,
    OrderDenied,
)
from orders.models import Approval, Order, OutboxMessage
from orders.reservations import remaining_reservation
from orders.services.approve import approve_order, expire_approvals, reject_order
from orders.services.cancel import cancel_order
from orders.services.submit import claim_and_send
from risk.models import RiskDecisionRecord, TradingHalt
from risk.replay import replay_decision
from tests.orders.approvals import (
    approval_of,
    ask_above,
    make_live_account,
    set_platform_limit,
    waiting_order,
)
from tests.orders.helpers import D, fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedAdapter, ScriptedBook
from tradeplatform.common.exceptions import NotFoundError, PermissionRefused
from tradeplatform.models import AuditEntry, User, UserEvent

pytestmark = pytest.mark.django_db


def approve(order: Order, **changes: Any) -> Order:
    return approve_order(
        **{"user": order.user, "order_id": order.pk, "order_hash": order.order_hash} | changes
    )


def move_price(book: ScriptedBook, price: str) -> None:
    book.price = D(price)
    LatestQuote.objects.all().delete()


def age(approval: Approval, by: timedelta) -> None:
    Approval.objects.filter(pk=approval.pk).update(expires_at=approval.expires_at - by)


def kinds(order: Order) -> list[str]:
    return [event.kind for event in order.journal.all()]


# --- asked ------------------------------------------------------------------------------------------------


def test_a_held_order_is_written_whole_and_nothing_can_send_it(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = waiting_order(user, account)
    approval = approval_of(order)
    assert (approval.status, approval.order_hash, approval.reference_price) == (
        "pending",
        order.order_hash,
        D("10"),
    )
    assert approval.expires_at - approval.requested_at == timedelta(minutes=60)
    assert fresh(order).expires_at == approval.expires_at
    assert RiskDecisionRecord.objects.get(pk=approval.decision_id).verdict == "require_approval"
    assert remaining_reservation(fresh(order)).cash == D("100")
    assert kinds(order) == ["approval_requested"]
    assert AuditEntry.objects.filter(object_id=str(order.pk), action="order.pending_approval").count() == 1
    assert UserEvent.objects.filter(user=user, kind="order").count() == 1
    assert not OutboxMessage.objects.exists()
    OrderDispatcher(name="test").tick()
    assert book.posts == []


def test_the_same_key_gives_the_same_waiting_order(user: User, account: BrokerAccount) -> None:
    ask_above("1")
    first, again = place(user, account, key="k"), place(user, account, key="k")
    assert (first.http_status, again.http_status, again.replayed) == (202, 202, True)
    assert again.document == first.document
    assert first.document["approval"]["status"] == "pending"
    assert Approval.objects.count() == 1


def test_a_market_order_has_five_minutes(user: User, account: BrokerAccount) -> None:
    order = waiting_order(user, account, order_type="market", limit_price=None)
    approval = approval_of(order)
    assert approval.expires_at - approval.requested_at == timedelta(minutes=5)


def test_what_waits_counts_against_the_limits(user: User, account: BrokerAccount) -> None:
    waiting_order(user, account, quantity="900")
    with pytest.raises(OrderDenied) as denied:
        place(user, account, quantity="1200")
    assert "E11" in {finding["code"] for finding in denied.value.details["findings"]}


# --- approved ---------------------------------------------------------------------------------------------


def test_an_approved_order_is_queued_under_a_new_decision_and_goes_out(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    waiting = waiting_order(user, account)
    order = approve(waiting)
    assert order.status == "queued"
    approval = approval_of(order)
    assert (approval.status, approval.decided_by) == ("approved", user.email)
    assert approval.decided_at is not None
    decision = RiskDecisionRecord.objects.get(pk=order.decision_id)
    assert (decision.purpose, decision.verdict) == ("approve", "allow")
    assert decision.context["approval"]["id"] == str(approval.pk)
    assert replay_decision(decision).matches
    message = outbox(order)
    assert (message.status, message.decision_id, message.order_hash) == (
        "ready",
        order.decision_id,
        waiting.order_hash,
    )
    assert message.expires_at == order.expires_at
    assert order.expires_at is not None
    assert order.expires_at > timezone.now() + timedelta(hours=23)
    assert send(order)
    assert book.posts == [order.client_order_id]
    assert outbox(order).decision_id == order.decision_id
    assert kinds(order) == ["approval_requested", "approved", "claimed", "accepted"]
    assert order.journal.get(kind="approved").data["approval"] == str(approval.pk)
    assert AuditEntry.objects.filter(object_id=str(order.pk), action="order.approved").count() == 1


def test_an_old_approval_decision_is_made_again_before_sending_and_keeps_the_approval(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = approve(waiting_order(user, account))
    RiskDecisionRecord.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    assert send(order)
    decision = RiskDecisionRecord.objects.get(pk=outbox(order).decision_id)
    assert (decision.purpose, decision.verdict) == ("send", "allow")
    assert decision.context["approval"]["given_by"] == user.email
    assert len(book.posts) == 1


def test_an_order_queued_before_approvals_were_needed_is_not_sent_without_one(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order
    ask_above("1")
    RiskDecisionRecord.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    assert not send(order)
    assert fresh(order).status == "not_sent"
    assert "without your approval" in fresh(order).reject_reason
    assert book.posts == []


def test_approving_twice_executes_once(user: User, account: BrokerAccount, book: ScriptedBook) -> None:
    order = approve(waiting_order(user, account))
    with pytest.raises(ApprovalAlreadyDecided) as refused:
        approve(order)
    assert (refused.value.code, refused.value.http_status) == ("approval_already_decided", 409)
    send(order)
    with pytest.raises(ApprovalAlreadyDecided):
        approve(order)
    assert OutboxMessage.objects.filter(order=order).count() == 1
    assert len(book.posts) == 1


@pytest.mark.parametrize("wrong", ["", "0" * 64, "x"])
def test_another_hash_approves_nothing(user: User, account: BrokerAccount, wrong: str) -> None:
    order = waiting_order(user, account)
    for answer in (approve_order, reject_order):
        with pytest.raises(ApprovalHashMismatch) as refused:
            answer(user=user, order_id=order.pk, order_hash=wrong)
        assert (refused.value.code, refused.value.http_status) == ("approval_hash_mismatch", 422)
    assert fresh(order).status == "pending_approval"


def test_the_hash_of_another_waiting_order_approves_neither(user: User, account: BrokerAccount) -> None:
    first, second = waiting_order(user, account), waiting_order(user, account, symbol="BETA")
    with pytest.raises(ApprovalHashMismatch):
        approve(first, order_hash=second.order_hash)
    assert {fresh(first).status, fresh(second).status} == {"pending_approval"}


def test_a_stranger_finds_no_such_order(user: User, account: BrokerAccount, stranger: User) -> None:
    order = waiting_order(user, account)
    for answer in (approve_order, reject_order):
        with pytest.raises(NotFoundError):
            answer(user=stranger, order_id=order.pk, order_hash=order.order_hash)
    assert fresh(order).status == "pending_approval"


def test_an_order_that_needs_no_approval_cannot_be_approved(user: User, account: BrokerAccount) -> None:
    order = place(user, account).order
    with pytest.raises(ApprovalNotRequested) as refused:
        approve(order)
    assert (refused.value.code, refused.value.http_status) == ("approval_not_requested", 409)
    assert fresh(order).status == "queued"


# --- the gate at approval ---------------------------------------------------------------------------------


def assert_still_waiting(order: Order) -> None:
    assert fresh(order).status == "pending_approval"
    assert approval_of(order).status == "pending"
    assert not OutboxMessage.objects.exists()


def test_a_halt_refuses_the_approval_and_the_order_goes_on_waiting(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = waiting_order(user, account)
    halt = TradingHalt.objects.create(scope="account", scope_key=str(account.pk), reason="r", started_by="t")
    with pytest.raises(OrderDenied) as denied:
        approve(order)
    assert "A01" in {finding["code"] for finding in denied.value.details["findings"]}
    assert_still_waiting(order)
    assert kinds(order)[-1] == "approval_refused"
    halt.lifted_at = timezone.now()
    halt.save()
    assert approve(order).status == "queued"


def test_a_limit_lowered_meanwhile_refuses_the_approval(user: User, account: BrokerAccount) -> None:
    order = waiting_order(user, account)
    set_platform_limit("max_order_value", "50")
    with pytest.raises(OrderDenied) as denied:
        approve(order)
    assert "E01" in {finding["code"] for finding in denied.value.details["findings"]}
    assert_still_waiting(order)


def test_a_new_question_must_be_confirmed_before_the_approval_counts(
    user: User, account: BrokerAccount
) -> None:
    order = waiting_order(user, account)
    set_platform_limit("max_order_size_soft", "0.0001")
    with pytest.raises(ConfirmationRequired):
        approve(order)
    assert_still_waiting(order)
    approved = approve(order, confirm=frozenset({"E01"}))
    assert (approved.status, approved.confirmed_codes) == ("queued", ["E01"])


@pytest.mark.parametrize("error", [Unavailable("down"), OutcomeUnknown("odd")])
def test_without_a_price_an_approval_fails_closed(
    user: User, account: BrokerAccount, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    order = waiting_order(user, account)
    LatestQuote.objects.all().delete()

    def fail(self: ScriptedAdapter, symbol: str) -> None:
        raise error

    monkeypatch.setattr(ScriptedAdapter, "get_quote", fail)
    with pytest.raises(OrderDenied) as denied:
        approve(order)
    assert "I03" in {finding["code"] for finding in denied.value.details["findings"]}
    assert_still_waiting(order)


def test_without_fresh_balances_an_approval_fails_closed(
    user: User, account: BrokerAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = waiting_order(user, account)
    BrokerAccount.objects.update(synced_at=timezone.now() - timedelta(minutes=5))

    def fail(self: ScriptedAdapter) -> None:
        raise Unavailable("down")

    monkeypatch.setattr(ScriptedAdapter, "get_account_info", fail)
    with pytest.raises(OrderDenied):
        approve(order)
    assert_still_waiting(order)


# --- price ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", ["10.05", "9.95"])
def test_half_a_percent_is_approved_either_way(
    user: User, account: BrokerAccount, book: ScriptedBook, price: str
) -> None:
    order = waiting_order(user, account)
    move_price(book, price)
    assert approve(order).status == "queued"


@pytest.mark.parametrize("price", ["10.06", "9.94"])
def test_a_moved_price_asks_again_at_the_new_one(
    user: User, account: BrokerAccount, book: ScriptedBook, price: str
) -> None:
    order = waiting_order(user, account)
    first = approval_of(order)
    move_price(book, price)
    with pytest.raises(ApprovalPriceMoved) as refused:
        approve(order)
    assert (refused.value.code, refused.value.http_status) == ("approval_price_moved", 409)
    second = approval_of(order)
    assert refused.value.details["approval"]["id"] == str(second.pk)
    assert (second.status, second.reference_price, second.order_hash) == (
        "pending",
        Decimal(price),
        order.order_hash,
    )
    first.refresh_from_db()
    assert (first.status, first.reason) == ("void", "The price moved.")
    assert fresh(order).status == "pending_approval"
    entry = order.journal.get(kind="approval_asked_again")
    assert (entry.data["price_before"], entry.data["price_now"]) == ("10", price)
    assert approve(order).status == "queued"
    assert approval_of(order).pk == second.pk


def test_an_answer_to_the_first_request_does_not_approve_the_second(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = waiting_order(user, account)
    seen = approval_of(order).pk
    move_price(book, "11")
    for _ in range(2):
        with pytest.raises(ApprovalPriceMoved):
            approve(order, approval_id=seen)
    assert Approval.objects.filter(order=order).count() == 2
    assert fresh(order).status == "pending_approval"


# --- rejected, expired, withdrawn -------------------------------------------------------------------------


def assert_ended_unsent(order: Order, status: str) -> None:
    ended = fresh(order)
    assert ended.status == "not_sent"
    assert approval_of(order).status == status
    assert remaining_reservation(ended).cash == 0
    assert not OutboxMessage.objects.exists()


def test_a_rejected_order_ends_unsent_and_frees_its_cash(user: User, account: BrokerAccount) -> None:
    order = waiting_order(user, account)
    reject_order(user=user, order_id=order.pk, order_hash=order.order_hash, reason=" too dear ")
    assert_ended_unsent(order, "rejected")
    assert fresh(order).reject_reason == "You rejected it: too dear"
    assert approval_of(order).reason == "too dear"
    assert AuditEntry.objects.filter(object_id=str(order.pk), action="order.rejected_by_user").count() == 1
    for answer in (approve_order, reject_order):
        with pytest.raises(ApprovalAlreadyDecided):
            answer(user=user, order_id=order.pk, order_hash=order.order_hash)


@pytest.mark.parametrize("answer", [approve_order, reject_order])
def test_an_answer_after_the_end_withdraws_the_order(user: User, account: BrokerAccount, answer: Any) -> None:
    order = waiting_order(user, account)
    age(approval_of(order), timedelta(minutes=60))
    for _ in range(2):
        with pytest.raises(ApprovalExpired) as refused:
            answer(user=user, order_id=order.pk, order_hash=order.order_hash)
        assert (refused.value.code, refused.value.http_status) == ("approval_expired", 409)
    assert_ended_unsent(order, "expired")
    assert fresh(order).reject_reason == "It was not approved in time."


def test_the_sweep_ends_what_is_over_and_nothing_else(user: User, account: BrokerAccount) -> None:
    over, waiting = waiting_order(user, account), waiting_order(user, account, symbol="BETA")
    age(approval_of(over), timedelta(minutes=60))
    assert expire_approvals() == 1
    assert expire_approvals() == 0
    assert fresh(waiting).status == "pending_approval"
    assert fresh(over).status == "not_sent"
    assert kinds(over) == ["approval_requested", "intent_expired"]


def test_the_dispatcher_sweeps(user: User, account: BrokerAccount) -> None:
    order = waiting_order(user, account)
    age(approval_of(order), timedelta(minutes=60))
    OrderDispatcher(name="test").tick()
    assert_ended_unsent(order, "expired")


def test_canceling_takes_the_request_back(user: User, account: BrokerAccount) -> None:
    order = waiting_order(user, account)
    cancel_order(user=user, order_id=order.pk)
    assert_ended_unsent(order, "void")
    with pytest.raises(ApprovalAlreadyDecided):
        approve(order)


# --- live accounts ----------------------------------------------------------------------------------------


def test_a_first_live_order_waits_is_approved_and_counts(user: User, book: ScriptedBook) -> None:
    live = make_live_account(user)
    set_platform_limit("pilot_orders", "2")
    first = place(user, live, quantity="5").order
    assert first.status == "pending_approval"
    assert send(approve(first))
    second = place(user, live, quantity="4").order
    assert second.status == "pending_approval"
    assert send(approve(second))
    third = place(user, live, quantity="100").order
    assert third.status == "queued"
    assert len(book.posts) == 2


def test_a_live_order_that_was_not_taken_by_the_broker_does_not_use_up_the_pilot_phase(user: User) -> None:
    live = make_live_account(user)
    set_platform_limit("pilot_orders", "1")
    first = place(user, live, quantity="5").order
    reject_order(user=user, order_id=first.pk, order_hash=first.order_hash)
    assert place(user, live, quantity="5", confirm=("G02",)).order.status == "pending_approval"


def test_a_first_live_order_above_fifty_dollars_is_denied(user: User) -> None:
    with pytest.raises(OrderDenied) as denied:
        place(user, make_live_account(user), quantity="5.01")
    assert {finding["code"] for finding in denied.value.details["findings"]} == {"I01"}


def test_disarming_or_a_lapsed_plan_refuses_the_approval(user: User) -> None:
    live = make_live_account(user)
    order = place(user, live, quantity="5").order
    BrokerAccount.objects.filter(pk=live.pk).update(armed_at=None)
    with pytest.raises(PermissionRefused) as refused:
        approve(order)
    assert refused.value.code == "account_not_armed"
    assert_still_waiting(order)


def test_an_approved_row_is_sent_by_one_of_two_workers(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    message = outbox(approve(waiting_order(user, account)))
    assert [claim_and_send(message.pk, worker=uuid4().hex) for _ in range(3)] == [True, False, False]
    assert len(book.posts) == 1
