"""Orders whose first copy may have arrived: what is done with the second, and when the doubt ends."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from brokers.exceptions import (
    AuthorizationExpired,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    Unavailable,
)
from brokers.models import BrokerAccount
from brokers.services.inbox import record_event
from brokers.types import StreamEvent
from orders.enums import OutboxStatus
from orders.exceptions import OrderDenied
from orders.models import Order, OutboxMessage
from orders.services.cancel import cancel_order
from orders.services.ingest import apply_pending_events
from orders.services.resolve import expire_leases, resolve_unknown
from orders.services.submit import claim_and_send
from risk.models import TradingHalt
from tests.orders.helpers import fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedBook
from tests.standing_clock import StandingClock
from tradeplatform.common.clock import monotonic, use_clock, utc_now
from tradeplatform.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def doubtful(user: User, account: BrokerAccount, book: ScriptedBook) -> Order:
    """An order whose request was lost on the way."""
    book.raise_next(OutcomeUnknown("reset"))
    order = place(user, account).order
    send(order)
    return order


@pytest.fixture
def _standing_clock(doubtful: Order) -> Iterator[None]:
    """From here on no time passes, so that a busy machine does not change what is due."""
    with use_clock(StandingClock()):
        yield


def age_doubt(order: Order, seconds: float) -> None:
    past = utc_now() - timedelta(seconds=seconds)
    OutboxMessage.objects.filter(order=order, kind="submit").update(
        sent_at=past, unknown_since=past, not_before=past
    )


def make_ready_again(order: Order) -> None:
    age_doubt(order, 8)
    assert resolve_unknown(outbox(order).pk)
    assert outbox(order).status == OutboxStatus.READY


def tell_accepted(account: BrokerAccount, order: Order) -> None:
    payload = {"exec_type": "new", "broker_order_id": "b1", "client_order_id": order.client_order_id}
    event = StreamEvent(dedupe_key="a", kind="new", payload=payload, received_at=timezone.now())
    record_event(account_id=account.pk, event=event, source="stream")
    assert apply_pending_events(account.pk) == 1


def test_an_order_that_the_stream_confirmed_is_not_sent_again(
    account: BrokerAccount, doubtful: Order, book: ScriptedBook
) -> None:
    tell_accepted(account, doubtful)
    age_doubt(doubtful, 8)
    assert resolve_unknown(outbox(doubtful).pk)
    assert outbox(doubtful).status == OutboxStatus.DONE
    assert fresh(doubtful).status == "accepted"
    assert len(book.posts) == 1


def test_a_repeat_that_the_stream_overtakes_is_dropped(
    account: BrokerAccount, doubtful: Order, book: ScriptedBook
) -> None:
    make_ready_again(doubtful)
    tell_accepted(account, doubtful)
    assert not claim_and_send(outbox(doubtful).pk, worker="test")
    assert outbox(doubtful).status == OutboxStatus.DONE
    assert fresh(doubtful).status == "accepted"
    assert len(book.posts) == 1


def test_a_repeat_that_never_left_proves_nothing_about_the_first_copy(
    user: User, doubtful: Order, book: ScriptedBook
) -> None:
    make_ready_again(doubtful)
    book.raise_next(NotSent("connection refused"))
    send(doubtful)
    assert fresh(doubtful).status == "unconfirmed"
    assert outbox(doubtful).status == OutboxStatus.UNKNOWN
    assert cancel_order(user=user, order_id=doubtful.pk).status == "unconfirmed"


@pytest.mark.parametrize("error", [Rejected("insufficient buying power"), AuthorizationExpired("revoked")])
def test_a_refused_repeat_proves_nothing_about_the_first_copy(
    user: User, account: BrokerAccount, book: ScriptedBook, error: Exception
) -> None:
    book.raise_next(OutcomeUnknown("504"), after=True)
    book.hide_lookups = 1
    order = place(user, account).order
    send(order)
    make_ready_again(order)
    book.raise_next(error)
    send(order)
    assert fresh(order).status == "unconfirmed"
    account.connection.status = "active"
    account.connection.save()
    assert resolve_unknown(outbox(order).pk)
    assert fresh(order).status == "accepted"


def test_a_refused_repeat_is_not_sent_a_third_time_and_ends_when_the_window_has_passed(
    doubtful: Order, book: ScriptedBook
) -> None:
    make_ready_again(doubtful)
    book.raise_next(Rejected("insufficient buying power"))
    send(doubtful)
    age_doubt(doubtful, 64)
    assert not resolve_unknown(outbox(doubtful).pk)
    assert fresh(doubtful).status == "unconfirmed"
    age_doubt(doubtful, 65)
    assert resolve_unknown(outbox(doubtful).pk)
    assert fresh(doubtful).status == "not_sent"
    assert outbox(doubtful).status == OutboxStatus.DROPPED
    assert len(book.posts) == 2


def test_the_window_of_absence_is_counted_from_the_newest_copy(doubtful: Order, book: ScriptedBook) -> None:
    """The first copy has had its time; the second may still be on its way."""
    make_ready_again(doubtful)
    book.raise_next(OutcomeUnknown("timed out"))
    send(doubtful)
    message = outbox(doubtful)
    OutboxMessage.objects.filter(pk=message.pk).update(
        unknown_since=timezone.now() - timedelta(seconds=80), expires_at=timezone.now()
    )
    assert not resolve_unknown(message.pk)
    assert fresh(doubtful).status == "unconfirmed"
    age_doubt(doubtful, 65)
    assert resolve_unknown(message.pk)
    assert fresh(doubtful).status == "not_sent"


def test_an_intent_that_ended_under_a_dead_senders_lease_needs_no_person(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    """The lease took 25 of the 65 seconds after which nothing can arrive: the machine knows first."""
    book.raise_next(OutcomeUnknown("timed out"))
    order = place(user, account).order
    send(order)
    now = timezone.now()
    OutboxMessage.objects.filter(order=order).update(
        sent_at=now - timedelta(seconds=65),
        unknown_since=now - timedelta(seconds=40),
        expires_at=now - timedelta(seconds=30),
    )
    assert resolve_unknown(outbox(order).pk)
    assert fresh(order).status == "not_sent"
    assert fresh(order).needs_person_at is None


def next_look(order: Order) -> float:
    """Return how many seconds after the beginning of the doubt the next look-up is planned."""
    message = outbox(order)
    assert message.unknown_since is not None
    return (message.not_before - message.unknown_since).total_seconds()


@pytest.mark.usefixtures("_standing_clock")
@pytest.mark.parametrize(
    ("age", "planned"),
    [(0.0, 0.5), (0.6, 1), (1.1, 2), (2.2, 4), (4.5, 8), (7.9, 8)],
)
def test_look_ups_come_at_half_a_second_one_two_four_and_eight(
    doubtful: Order, book: ScriptedBook, age: float, planned: float
) -> None:
    book.hide_lookups = 99
    age_doubt(doubtful, age)
    assert not resolve_unknown(outbox(doubtful).pk)
    assert next_look(doubtful) == pytest.approx(planned, abs=0.001)


@pytest.mark.usefixtures("_standing_clock")
def test_a_look_up_without_an_answer_is_made_again_soon(doubtful: Order, book: ScriptedBook) -> None:
    """It says nothing: the repeat waits for a look that finds nothing, not for the next one planned."""
    age_doubt(doubtful, 8)
    book.unanswered.append(Unavailable("503"))
    assert not resolve_unknown(outbox(doubtful).pk)
    assert 10 <= next_look(doubtful) < 11
    book.unanswered.append(RateLimited("429", retry_after_seconds=5))
    assert not resolve_unknown(outbox(doubtful).pk)
    assert 13 <= next_look(doubtful) < 14


def test_a_halt_stops_the_repeat_but_not_the_search(
    account: BrokerAccount, doubtful: Order, book: ScriptedBook
) -> None:
    make_ready_again(doubtful)
    TradingHalt.objects.create(scope="account", scope_key=str(account.pk), reason="test", started_by="test")
    assert not send(doubtful)
    assert fresh(doubtful).status == "unconfirmed"
    assert outbox(doubtful).status == OutboxStatus.UNKNOWN
    assert len(book.posts) == 1


def test_a_decision_that_no_longer_holds_stops_the_repeat_but_not_the_search(
    account: BrokerAccount, doubtful: Order, book: ScriptedBook
) -> None:
    from tests.orders.services.test_submit import age_decision

    make_ready_again(doubtful)
    age_decision(doubtful, seconds=30)
    TradingHalt.objects.create(scope="platform", reason="test", started_by="test")
    assert not send(doubtful)
    assert fresh(doubtful).status == "unconfirmed"
    age_doubt(doubtful, 65)
    assert resolve_unknown(outbox(doubtful).pk)
    assert fresh(doubtful).status == "not_sent"
    assert len(book.posts) == 1


def test_an_expired_intent_is_absent_only_after_the_whole_window(doubtful: Order, book: ScriptedBook) -> None:
    OutboxMessage.objects.filter(order=doubtful).update(expires_at=timezone.now())
    age_doubt(doubtful, 20)
    assert not resolve_unknown(outbox(doubtful).pk)
    assert fresh(doubtful).status == "unconfirmed"
    age_doubt(doubtful, 65)
    assert resolve_unknown(outbox(doubtful).pk)
    assert fresh(doubtful).status == "not_sent"


def test_an_order_that_its_user_wants_canceled_is_not_sent_again(
    user: User, doubtful: Order, book: ScriptedBook
) -> None:
    cancel_order(user=user, order_id=doubtful.pk)
    age_doubt(doubtful, 8)
    assert not resolve_unknown(outbox(doubtful).pk)
    age_doubt(doubtful, 65)
    assert resolve_unknown(outbox(doubtful).pk)
    assert fresh(doubtful).status == "not_sent"
    send(doubtful, "cancel")
    assert outbox(doubtful, "cancel").status == OutboxStatus.DONE
    assert len(book.posts) == 1


def test_a_cancel_overtakes_a_repeat_that_is_ready(user: User, doubtful: Order, book: ScriptedBook) -> None:
    make_ready_again(doubtful)
    cancel_order(user=user, order_id=doubtful.pk)
    assert not send(doubtful)
    assert fresh(doubtful).status == "unconfirmed"
    assert outbox(doubtful).status == OutboxStatus.UNKNOWN
    assert len(book.posts) == 1


def test_an_order_canceled_while_it_was_being_sent_is_withdrawn_if_it_never_left(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order

    def cancel_and_fail() -> None:
        cancel_order(user=user, order_id=order.pk)
        raise NotSent("connection refused")

    book.before.append(cancel_and_fail)
    send(order)
    OutboxMessage.objects.filter(order=order).update(not_before=timezone.now())
    assert not send(order)
    assert fresh(order).status == "not_sent"
    assert len(book.posts) == 1


def test_nothing_new_leaves_on_a_decision_made_before_an_order_became_unconfirmed(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    first, second = place(user, account).order, place(user, account, symbol="BETA").order
    book.raise_next(OutcomeUnknown("reset"))
    send(first)
    assert not send(second)
    assert fresh(second).status == "queued"
    assert len(book.posts) == 1


def test_nothing_new_leaves_on_a_decision_made_while_a_doubtful_order_was_sent_again(
    user: User, account: BrokerAccount, doubtful: Order, book: ScriptedBook
) -> None:
    """The doubt is as old as the first copy: it is not the repeat's answer that begins it."""
    answers: list[tuple[str, ...]] = []

    def place_another_and_fail() -> None:
        answers.append(tuple(codes_against(user, account)))
        raise OutcomeUnknown("reset")

    make_ready_again(doubtful)
    book.before.append(place_another_and_fail)
    send(doubtful)
    assert fresh(doubtful).status == "unconfirmed"
    assert answers == [("A05",)]


def codes_against(user: User, account: BrokerAccount) -> list[str]:
    """Return the codes of the checks that refuse an order for another symbol just now."""
    with pytest.raises(OrderDenied) as denied:
        place(user, account, symbol="BETA")
    return [one["code"] for one in denied.value.details["findings"] if one["severity"] == "hard"]


def test_two_orders_in_doubt_do_not_wait_for_each_other(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    """However both came to be in doubt: the first is sent again, and then the second."""
    from tests.orders.services.test_submit import age_decision

    first, second = place(user, account).order, place(user, account, symbol="BETA").order
    for order in (first, second):
        book.raise_next(OutcomeUnknown("reset"))
        send(order)
        age_doubt(first, 4)
    for order in (first, second):
        make_ready_again(order)
        age_decision(order, seconds=30)
    assert not send(second)
    assert send(first)
    assert fresh(first).status == "accepted"
    OutboxMessage.objects.filter(order=second).update(not_before=utc_now())
    assert send(second)
    assert fresh(second).status == "accepted"


def test_a_cancel_waits_for_a_broken_link_instead_of_being_given_up(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order
    send(order)
    cancel_order(user=user, order_id=order.pk)
    book.raise_next(AuthorizationExpired("revoked"))
    send(order, "cancel")
    assert fresh(order).status == "pending_cancel"
    assert outbox(order, "cancel").status == OutboxStatus.READY


def let_lease_lapse(order: Order) -> None:
    OutboxMessage.objects.filter(order=order).update(lease_until=timezone.now())
    assert expire_leases() == 1
    assert fresh(order).status == "unconfirmed"


def test_an_answer_that_comes_after_the_lease_still_settles_its_own_copy(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order
    book.before.append(None)
    book.after.append(lambda: let_lease_lapse(order))
    send(order)
    assert fresh(order).status == "accepted"
    assert outbox(order).status == OutboxStatus.DONE


def test_a_refusal_that_comes_after_the_lease_still_settles_its_own_copy(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order

    def hang_and_refuse() -> None:
        let_lease_lapse(order)
        raise Rejected("insufficient buying power")

    book.before.append(hang_and_refuse)
    send(order)
    assert fresh(order).status == "rejected"
    assert outbox(order).status == OutboxStatus.DONE


def test_a_late_refusal_of_the_first_copy_says_nothing_once_a_second_is_on_its_way(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order

    def hang_while_the_second_is_accepted() -> None:
        let_lease_lapse(order)
        make_ready_again(order)
        book.before.append(None)
        send(order)
        assert fresh(order).status == "accepted"
        raise Rejected("insufficient buying power")

    book.before.append(hang_while_the_second_is_accepted)
    message = outbox(order)
    claim_and_send(message.pk, worker="slow")
    assert fresh(order).status == "accepted"


def test_a_sender_held_up_past_its_lease_says_that_nothing_left(
    user: User, account: BrokerAccount, book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orders.services import submit

    order = place(user, account).order
    started = monotonic()
    times = iter([started, started + 30])
    monkeypatch.setattr(submit, "monotonic", lambda: next(times, started + 31))
    take_token = submit.take_token

    def hold_up(*args: Any, **kwargs: Any) -> float:
        let_lease_lapse(order)
        return take_token(*args, **kwargs)

    monkeypatch.setattr(submit, "take_token", hold_up)
    send(order)
    assert fresh(order).status == "not_sent"
    assert outbox(order).status == OutboxStatus.DROPPED
    assert book.posts == []
