"""Every outcome of a write, and that each claim writes at most once."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from brokers.enums import BrokerOrderStatus, DedupeClass
from brokers.exceptions import (
    AuthorizationExpired,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Rejected,
)
from brokers.models import BrokerAccount
from orders.enums import OutboxStatus
from orders.models import Order, OutboxMessage
from orders.services import submit
from orders.services.resolve import due_unknowns, expire_leases, resolve_unknown
from orders.services.submit import claim_and_send
from risk.models import TradingHalt
from tests.orders.helpers import D, fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedBook
from tradeplatform.models import User

pytestmark = pytest.mark.django_db


def test_an_accepted_order_carries_the_brokers_id(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order
    assert send(order)
    order = fresh(order)
    assert order.status == "accepted"
    assert order.broker_order_id in book.orders
    assert book.posts == [order.client_order_id]
    assert outbox(order).status == OutboxStatus.DONE
    assert [event.kind for event in order.journal.all()] == ["placed", "claimed", "accepted"]


def test_a_row_is_sent_once_however_often_the_bell_rings(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order
    message = outbox(order)
    assert claim_and_send(message.pk, worker="one")
    for _ in range(5):
        assert not claim_and_send(message.pk, worker="two")
    assert len(book.posts) == 1


def test_a_proven_refusal_closes_the_order_and_frees_its_cash(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    book.raise_next(Rejected("insufficient buying power", code="40310000"))
    order = place(user, account).order
    send(order)
    order = fresh(order)
    assert (order.status, order.reject_code) == ("rejected", "40310000")
    assert "insufficient buying power" in order.reject_reason
    from orders.reservations import remaining_reservation

    assert remaining_reservation(order).cash == 0


def test_a_failure_before_any_byte_goes_out_again_under_the_same_id(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    book.raise_next(NotSent("connection refused"))
    order = place(user, account).order
    send(order)
    assert fresh(order).status == "queued"
    assert outbox(order).status == OutboxStatus.READY
    make_due(order)
    send(order)
    assert fresh(order).status == "accepted"
    assert book.posts == [order.client_order_id] * 2
    assert len(book.orders) == 1


def test_a_sender_held_up_until_its_decision_has_expired_sends_nothing_and_asks_again(
    user: User, account: BrokerAccount, book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    mint = submit.mint_send_token
    held_up = timezone.now() - timedelta(seconds=1)
    monkeypatch.setattr(submit, "mint_send_token", lambda recheck: replace(mint(recheck), expires_at=held_up))
    order = place(user, account).order

    send(order)

    assert book.posts == []
    assert (fresh(order).status, outbox(order).status) == ("queued", OutboxStatus.READY)
    monkeypatch.setattr(submit, "mint_send_token", mint)
    make_due(order)
    send(order)
    assert fresh(order).status == "accepted"
    assert book.posts == [order.client_order_id]


def test_an_order_that_could_not_leave_in_time_is_withdrawn(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    book.raise_next(NotSent("connection refused"))
    order = place(user, account).order
    send(order)
    OutboxMessage.objects.filter(order=order).update(
        not_before=timezone.now(), expires_at=timezone.now() - timedelta(seconds=1)
    )
    assert not claim_and_send(outbox(order).pk, worker="test")
    assert fresh(order).status == "not_sent"
    assert outbox(order).status == OutboxStatus.DROPPED


@pytest.mark.parametrize(
    "error", [OutcomeUnknown("504"), RateLimited("429"), ValueError("a bug while sending")]
)
def test_an_unclear_outcome_is_unconfirmed_and_then_adopted(
    user: User, account: BrokerAccount, book: ScriptedBook, error: Exception
) -> None:
    book.raise_next(error, after=True)
    order = place(user, account).order
    send(order)
    assert fresh(order).status == "unconfirmed"
    assert resolve_unknown(outbox(order).pk)
    order = fresh(order)
    assert order.status == "accepted"
    assert order.broker_order_id in book.orders
    assert len(book.posts) == 1


def test_a_lost_request_is_sent_again_under_the_same_id_after_the_window(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    book.raise_next(OutcomeUnknown("reset"))
    order = place(user, account).order
    send(order)
    assert not resolve_unknown(outbox(order).pk)
    assert outbox(order).status == OutboxStatus.UNKNOWN
    age_unknown(order, 8)
    assert resolve_unknown(outbox(order).pk)
    send(order)
    assert fresh(order).status == "accepted"
    assert book.posts == [order.client_order_id] * 2
    assert len(book.orders) == 1


def test_a_resend_that_meets_its_own_first_copy_adopts_it(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    book.raise_next(OutcomeUnknown("504"), after=True)
    book.hide_lookups = 2
    order = place(user, account).order
    send(order)
    resolve_unknown(outbox(order).pk)
    age_unknown(order, 8)
    resolve_unknown(outbox(order).pk)
    send(order)
    assert outbox(order).status == OutboxStatus.UNKNOWN
    resolve_unknown(outbox(order).pk)
    assert fresh(order).status == "accepted"
    assert len(book.orders) == 1


def test_a_broker_without_client_ids_is_never_written_to_twice(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    book.dedupe = DedupeClass.N
    book.hide_lookups = 99
    book.raise_next(OutcomeUnknown("reset"))
    order = place(user, account).order
    send(order)
    for seconds in (8, 30, 66, 83):
        age_unknown(order, seconds)
        assert not resolve_unknown(outbox(order).pk)
        assert fresh(order).needs_person_at is None
    age_unknown(order, 84)
    assert not resolve_unknown(outbox(order).pk)
    order = fresh(order)
    assert order.status == "unconfirmed"
    assert order.needs_person_at is not None
    assert len(book.posts) == 1


def test_a_sender_that_vanished_leaves_an_unknown_outcome_never_a_ready_row(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    from orders.services.claim import claim_message

    order = place(user, account).order
    claim = claim_message(outbox(order).pk, worker="dead")
    assert claim is not None
    assert expire_leases() == 0
    OutboxMessage.objects.filter(order=order).update(lease_until=timezone.now())
    assert expire_leases() == 1
    assert fresh(order).status == "unconfirmed"
    assert outbox(order).pk in due_unknowns()
    assert book.posts == []


def test_a_stale_sender_neither_sends_nor_writes(
    user: User, account: BrokerAccount, book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was stopped between its claim and its send finds its fence gone."""
    from orders.services import submit

    order = place(user, account).order

    def steal(claim: object) -> bool:
        OutboxMessage.objects.filter(order=order).update(fence=99)
        return submit_still_ours(claim)  # type: ignore[arg-type]

    submit_still_ours = submit.still_ours
    monkeypatch.setattr(submit, "still_ours", steal)
    assert not claim_and_send(outbox(order).pk, worker="stale")
    assert book.posts == []


def test_a_stale_answer_changes_nothing(user: User, account: BrokerAccount, book: ScriptedBook) -> None:
    order = place(user, account).order
    book.after.append(lambda: OutboxMessage.objects.filter(order=order).update(fence=99) and None)
    claim_and_send(outbox(order).pk, worker="stale")
    assert fresh(order).status == "submitting"
    assert outbox(order).status == OutboxStatus.CLAIMED


def test_a_halt_between_decision_and_send_stops_an_opening_order(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order
    TradingHalt.objects.create(scope="account", scope_key=str(account.pk), reason="test", started_by="test")
    assert not send(order)
    assert fresh(order).status == "not_sent"
    assert book.posts == []


def test_an_exit_passes_a_halt(user: User, account: BrokerAccount, book: ScriptedBook) -> None:
    buy_and_fill(user, account, book, "10")
    TradingHalt.objects.create(scope="platform", reason="test", started_by="test")
    sale = place(user, account, side="sell", quantity="10").order
    assert sale.is_exit
    assert send(sale)
    assert fresh(sale).status == "accepted"


def test_a_broken_link_is_marked_and_nothing_else_is_tried(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    book.raise_next(AuthorizationExpired("revoked"))
    order = place(user, account).order
    send(order)
    assert fresh(order).status == "rejected"
    account.connection.refresh_from_db()
    assert account.connection.status == "needs_relink"


def test_an_old_decision_is_made_again_and_can_refuse(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order
    age_decision(order, seconds=30)
    BrokerAccount.objects.filter(pk=account.pk).update(buying_power=D("50"), cash=D("50"))
    assert not send(order)
    assert fresh(order).status == "not_sent"
    assert book.posts == []


def test_an_old_decision_that_still_holds_is_recorded_and_sent(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    from risk.models import RiskDecisionRecord

    order = place(user, account).order
    age_decision(order, seconds=30)
    assert send(order)
    assert fresh(order).status == "accepted"
    purposes = RiskDecisionRecord.objects.filter(order_hash=order.order_hash).values_list(
        "purpose", flat=True
    )
    assert sorted(purposes) == ["place", "send"]


def test_a_stored_order_that_was_tampered_with_is_not_sent(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order
    Order.objects.filter(pk=order.pk).update(quantity=D("1000"))
    assert not send(order)
    assert fresh(order).status == "not_sent"
    assert book.posts == []


def test_one_sender_per_account(user: User, account: BrokerAccount, book: ScriptedBook) -> None:
    from orders.services.claim import claim_message

    first, second = place(user, account).order, place(user, account, symbol="BETA").order
    assert claim_message(outbox(first).pk, worker="one") is not None
    assert claim_message(outbox(second).pk, worker="two") is None
    assert outbox(second).status == OutboxStatus.READY


def buy_and_fill(user: User, account: BrokerAccount, book: ScriptedBook, quantity: str) -> Order:
    from orders.services.reconcile import backfill_account

    order = place(user, account, quantity=quantity).order
    send(order)
    order = fresh(order)
    book.fill(book.orders[order.broker_order_id], D(quantity), D("10"))
    backfill_account(account.pk)
    assert book.orders[order.broker_order_id].status is BrokerOrderStatus.FILLED
    order = fresh(order)
    assert order.status == "filled"
    return order


def make_due(order: Order) -> None:
    OutboxMessage.objects.filter(order=order).update(not_before=timezone.now())


def age_unknown(order: Order, seconds: int) -> None:
    past = timezone.now() - timedelta(seconds=seconds)
    OutboxMessage.objects.filter(order=order, status="unknown").update(
        sent_at=past, unknown_since=past, not_before=past
    )


def age_decision(order: Order, *, seconds: int) -> None:
    from risk.models import RiskDecisionRecord

    RiskDecisionRecord.objects.filter(pk=order.decision_id).update(
        created_at=timezone.now() - timedelta(seconds=seconds)
    )


def test_an_order_waits_while_there_is_no_price_and_goes_when_there_is(
    user: User, account: BrokerAccount, book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brokers.exceptions import Unavailable
    from brokers.models import LatestQuote
    from tests.orders.scripted_broker import ScriptedAdapter

    order = place(user, account).order
    age_decision(order, seconds=30)
    LatestQuote.objects.all().delete()
    with monkeypatch.context() as away:

        def fail(self: ScriptedAdapter, symbol: str) -> None:
            raise Unavailable("the broker does not answer")

        away.setattr(ScriptedAdapter, "get_quote", fail)
        assert not send(order)
        assert (fresh(order).status, outbox(order).status) == ("queued", OutboxStatus.READY)
        assert outbox(order).not_before > timezone.now()
    make_due(order)
    assert send(order)
    assert fresh(order).status == "accepted"
    assert len(book.posts) == 1
