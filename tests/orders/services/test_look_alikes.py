"""Brokers without client ids: which of their orders is ours, and what a person may settle."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from brokers.enums import BrokerOrderStatus, DedupeClass, Side
from brokers.exceptions import OutcomeUnknown, Unavailable, Unsupported
from brokers.models import BrokerAccount
from brokers.services.inbox import record_event
from brokers.types import BrokerOrder, OrderRequest, ReplaceRequest, StreamEvent
from orders.enums import OutboxStatus
from orders.models import Execution, Order, OrderAlias, OutboxMessage
from orders.services.ingest import apply_pending_events, apply_report
from orders.services.reconcile import backfill_account, trade_report
from orders.services.replace import replace_order
from orders.services.resolve import resolve_unknown
from orders.services.settle import find_candidates, settle_unconfirmed, undo_adoption
from portfolios.models import Position
from tests.orders.helpers import fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedAdapter, ScriptedBook
from tradeplatform.common.exceptions import ConflictError, InvalidRequest, NotFoundError, PlatformError
from tradeplatform.common.ids import new_id
from tradeplatform.models import AuditEntry, User

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def without_ids(book: ScriptedBook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class N broker: it keeps no client ids, and shows orders without them."""
    book.dedupe = DedupeClass.N

    def find_order(self: ScriptedAdapter, client_order_id: str) -> BrokerOrder:
        raise Unsupported("no client ids")

    accept = ScriptedAdapter._accept

    def accept_without_id(
        self: ScriptedAdapter, request: OrderRequest, client_order_id: str, replaces: str = ""
    ) -> BrokerOrder:
        return accept(self, request, "", replaces)

    monkeypatch.setattr(ScriptedAdapter, "find_order", find_order)
    monkeypatch.setattr(ScriptedAdapter, "_accept", accept_without_id)


def doubtful(user: User, account: BrokerAccount, book: ScriptedBook, *, arrived: bool = True) -> Order:
    """An order whose answer was lost, after the broker took it or before."""
    book.raise_next(OutcomeUnknown("504"), after=arrived)
    order = place(user, account).order
    send(order)
    assert fresh(order).status == "unconfirmed"
    return order


def age(order: Order, book: ScriptedBook, seconds: int) -> None:
    """Let the sending, and what entered the broker then, lie `seconds` back."""
    past = timezone.now() - timedelta(seconds=seconds)
    OutboxMessage.objects.filter(order=order).update(sent_at=past, unknown_since=past, not_before=past)
    for key, held in book.orders.items():
        book.orders[key] = replace(held, submitted_at=past)


def twin(book: ScriptedBook, **changes: object) -> BrokerOrder:
    """Another order at the broker like the first one there."""
    first = next(iter(book.orders.values()))
    other = replace(first, broker_order_id="twin", **changes)
    book.orders["twin"] = other
    return other


def test_the_only_order_that_fits_is_ours_once_the_window_is_over(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = doubtful(user, account, book)
    age(order, book, 64)
    assert not resolve_unknown(outbox(order).pk)
    assert fresh(order).status == "unconfirmed"
    age(order, book, 66)
    assert resolve_unknown(outbox(order).pk)
    order = fresh(order)
    assert order.status == "accepted"
    assert order.broker_order_id in book.orders
    kinds = list(order.journal.values_list("kind", flat=True))
    assert "adopted_by_match" in kinds
    assert AuditEntry.objects.filter(action="order.adopted_by_match", object_id=str(order.pk)).exists()
    assert len(book.posts) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": Decimal(11)},
        {"limit_price": Decimal("10.01")},
        {"side": Side.SELL},
        {"symbol": "BETA"},
        {"extended_hours": True},
        {"submitted_at": None},
    ],
)
def test_an_order_that_differs_in_one_field_is_never_ours(
    user: User, account: BrokerAccount, book: ScriptedBook, changes: dict[str, object]
) -> None:
    order = doubtful(user, account, book)
    age(order, book, 70)
    key, held = next(iter(book.orders.items()))
    book.orders[key] = replace(held, **changes)
    assert not resolve_unknown(outbox(order).pk)
    assert fresh(order).status == "unconfirmed"


@pytest.mark.parametrize(("seconds", "ours"), [(-3, False), (-2, True), (60, True), (61, False)])
def test_only_an_order_entered_in_the_window_is_ours(
    user: User, account: BrokerAccount, book: ScriptedBook, seconds: int, ours: bool
) -> None:
    order = doubtful(user, account, book)
    age(order, book, 80)
    sent_at = outbox(order).sent_at
    key, held = next(iter(book.orders.items()))
    book.orders[key] = replace(held, submitted_at=sent_at + timedelta(seconds=seconds))
    assert resolve_unknown(outbox(order).pk) is ours


def test_two_orders_that_fit_are_left_to_a_person_and_never_sent_again(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = doubtful(user, account, book)
    twin(book)
    age(order, book, 83)
    assert not resolve_unknown(outbox(order).pk)
    assert fresh(order).needs_person_at is None
    age(order, book, 84)
    assert not resolve_unknown(outbox(order).pk)
    order = fresh(order)
    assert order.needs_person_at is not None
    assert outbox(order).status == OutboxStatus.UNKNOWN
    assert len(book.posts) == 1


def test_one_order_that_two_of_ours_fit_belongs_to_neither(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = doubtful(user, account, book)
    age(order, book, 70)
    rival = Order.objects.get(pk=order.pk)
    rival.pk, rival.client_order_id = new_id(), "f" * 32
    rival.save(force_insert=True)
    row = outbox(order)
    row.pk, row.order = None, rival
    row.save(force_insert=True)
    assert not resolve_unknown(outbox(order).pk)
    assert fresh(order).status == "unconfirmed"


def test_an_unknown_order_waits_while_it_may_be_ours_and_is_external_otherwise(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = doubtful(user, account, book)
    held = next(iter(book.orders.values()))
    for key in (held.broker_order_id, twin(book, quantity=Decimal(3)).broker_order_id):
        payload = {"exec_type": "new", "broker_order_id": key}
        event = StreamEvent(dedupe_key=key, kind="new", payload=payload, received_at=timezone.now())
        record_event(account_id=account.pk, event=event, source="stream")
    assert apply_pending_events(account.pk) == 0, "a message alone makes no order"
    backfill_account(account.pk)
    assert apply_pending_events(account.pk) == 1
    assert Order.objects.get(origin="external").broker_order_id == "twin"
    age(order, book, 66)
    assert resolve_unknown(outbox(order).pk)
    assert apply_pending_events(account.pk) == 1
    assert Order.objects.filter(account=account).count() == 2


def test_a_stream_faster_than_the_answer_does_not_make_our_own_order_external(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order

    def tell() -> None:
        key = next(iter(book.orders))
        payload = {"exec_type": "new", "broker_order_id": key}
        event = StreamEvent(dedupe_key=key, kind="new", payload=payload, received_at=timezone.now())
        record_event(account_id=account.pk, event=event, source="stream")
        apply_pending_events(account.pk)

    book.before.append(None)
    book.after.append(tell)
    send(order)
    assert fresh(order).status == "accepted"
    assert Order.objects.filter(account=account).count() == 1


def test_a_change_whose_answer_was_lost_is_found_by_the_old_orders_successor(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order
    send(order)
    changes = ReplaceRequest(limit_price=Decimal("9.50"))
    replace_order(user=user, order_id=order.pk, changes=changes)
    book.raise_next(OutcomeUnknown("504"), after=True)
    send(order, "replace")
    assert resolve_unknown(outbox(order, "replace").pk)
    order = fresh(order)
    assert (order.status, order.limit_price) == ("accepted", Decimal("9.50"))


def test_a_change_is_not_called_refused_before_a_late_one_could_have_arrived(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order
    send(order)
    replace_order(user=user, order_id=order.pk, changes=ReplaceRequest(limit_price=Decimal("9.50")))
    book.raise_next(OutcomeUnknown("timed out"))
    send(order, "replace")
    past = timezone.now() - timedelta(seconds=64)
    OutboxMessage.objects.filter(order=order, kind="replace").update(sent_at=past, unknown_since=past)
    assert not resolve_unknown(outbox(order, "replace").pk)
    assert fresh(order).status == "pending_replace"
    OutboxMessage.objects.filter(order=order, kind="replace").update(sent_at=past - timedelta(seconds=1))
    assert resolve_unknown(outbox(order, "replace").pk)
    assert fresh(order).status == "accepted"


# --- a person settles ---------------------------------------------------------------------------------


def left_to_person(user: User, account: BrokerAccount, book: ScriptedBook, *, arrived: bool = True) -> Order:
    order = doubtful(user, account, book, arrived=arrived)
    if arrived:
        twin(book)
    age(order, book, 90)
    assert not resolve_unknown(outbox(order).pk)
    return fresh(order)


def test_a_person_sees_the_orders_that_fit_and_says_which_is_ours(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = left_to_person(user, account, book)
    ids = {one.broker_order_id for one in find_candidates(user=user, order_id=order.pk)}
    assert ids == set(book.orders)
    key = next(iter(book.orders))
    settled = settle_unconfirmed(user=user, order_id=order.pk, choice=f"adopt:{key}", actor=user.email)
    assert (settled.status, settled.broker_order_id, settled.needs_person_at) == ("accepted", key, None)
    assert outbox(order).status == OutboxStatus.DONE
    entry = AuditEntry.objects.get(action="order.settled", object_id=str(order.pk))
    assert (entry.actor, entry.data["broker_order_id"]) == (user.email, key)


def test_a_person_says_that_it_is_not_there(user: User, account: BrokerAccount, book: ScriptedBook) -> None:
    order = left_to_person(user, account, book, arrived=False)
    settled = settle_unconfirmed(user=user, order_id=order.pk, choice="not_there", actor=user.email)
    assert settled.status == "not_sent"
    assert outbox(order).status == OutboxStatus.DROPPED
    assert len(book.posts) == 1
    with pytest.raises(ConflictError) as refusal:
        settle_unconfirmed(user=user, order_id=order.pk, choice="not_there", actor=user.email)
    assert refusal.value.code == "order_settled"


def test_nothing_is_settled_by_hand_while_the_machine_still_looks(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = doubtful(user, account, book)
    with pytest.raises(ConflictError) as refusal:
        settle_unconfirmed(user=user, order_id=order.pk, choice="not_there", actor=user.email)
    assert refusal.value.code == "still_looking"


def test_an_order_with_other_terms_is_not_adopted(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = left_to_person(user, account, book)
    book.orders["twin"] = replace(book.orders["twin"], quantity=Decimal(99))
    with pytest.raises(InvalidRequest) as refusal:
        settle_unconfirmed(user=user, order_id=order.pk, choice="adopt:twin", actor=user.email)
    assert refusal.value.code == "broker_order_differs"
    assert "quantity" in refusal.value.message
    assert fresh(order).status == "unconfirmed"


@pytest.mark.parametrize("choice", ["", "adopt:", "adopt: ", "resend"])
def test_an_unreadable_choice_changes_nothing(
    user: User, account: BrokerAccount, book: ScriptedBook, choice: str
) -> None:
    order = left_to_person(user, account, book)
    with pytest.raises(InvalidRequest):
        settle_unconfirmed(user=user, order_id=order.pk, choice=choice, actor=user.email)
    assert fresh(order).status == "unconfirmed"


def test_an_order_of_ours_is_not_given_to_another(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = left_to_person(user, account, book)
    key = next(iter(book.orders))
    other = Order.objects.get(pk=order.pk)
    other.pk, other.client_order_id, other.broker_order_id = new_id(), "f" * 32, key
    other.save(force_insert=True)
    with pytest.raises(ConflictError) as refusal:
        settle_unconfirmed(user=user, order_id=order.pk, choice=f"adopt:{key}", actor=user.email)
    assert refusal.value.code == "order_taken"


def test_a_stranger_settles_nothing(
    user: User, stranger: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = left_to_person(user, account, book)
    with pytest.raises(NotFoundError):
        settle_unconfirmed(user=stranger, order_id=order.pk, choice="not_there", actor=stranger.email)


def test_a_broker_that_does_not_answer_settles_nothing(
    user: User, account: BrokerAccount, book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = left_to_person(user, account, book)

    def fail(self: ScriptedAdapter, broker_order_id: str) -> BrokerOrder:
        raise Unavailable("503")

    monkeypatch.setattr(ScriptedAdapter, "get_order_status", fail)
    with pytest.raises(PlatformError) as refusal:
        settle_unconfirmed(user=user, order_id=order.pk, choice="adopt:twin", actor=user.email)
    assert (refusal.value.code, refusal.value.http_status) == ("broker_unreadable", 503)


def filled_match(user: User, account: BrokerAccount, book: ScriptedBook) -> Order:
    order = doubtful(user, account, book)
    age(order, book, 66)
    assert resolve_unknown(outbox(order).pk)
    held = next(iter(book.orders.values()))
    apply_report(account.pk, trade_report(book.fill(held, Decimal(4), Decimal("10.00"))))
    return fresh(order)


def test_an_adoption_by_fields_can_be_undone_and_the_fills_stay_in_the_book(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = filled_match(user, account, book)
    assert (order.status, order.cum_qty) == ("partially_filled", Decimal(4))
    key = order.broker_order_id
    undone = undo_adoption(user=user, order_id=order.pk, actor=user.email)
    assert (undone.status, undone.cum_qty, undone.broker_order_id) == ("unconfirmed", Decimal(0), "")
    assert fresh(order).needs_person_at is not None
    external = Order.objects.get(origin="external")
    assert (external.broker_order_id, external.cum_qty) == (key, Decimal(4))
    assert Execution.objects.get().order_id == external.pk
    assert set(OrderAlias.objects.filter(broker_order_id=key).values_list("order_id", flat=True)) == {
        external.pk
    }
    assert Position.objects.get(portfolio__account=account, symbol="ACME").quantity == 4
    assert AuditEntry.objects.filter(action="order.adoption_undone", object_id=str(order.pk)).exists()


def test_what_was_untied_can_be_adopted_again_with_its_fills(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = filled_match(user, account, book)
    key = order.broker_order_id
    undo_adoption(user=user, order_id=order.pk, actor=user.email)
    settle_unconfirmed(user=user, order_id=order.pk, choice=f"adopt:{key}", actor=user.email)
    order = fresh(order)
    assert (order.status, order.cum_qty, order.broker_order_id) == ("partially_filled", Decimal(4), key)
    assert not Order.objects.filter(origin="external").exists()
    assert Execution.objects.get().order_id == order.pk


def test_an_order_that_was_acknowledged_cannot_be_untied(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order
    send(order)
    with pytest.raises(ConflictError) as refusal:
        undo_adoption(user=user, order_id=order.pk, actor=user.email)
    assert refusal.value.code == "not_matched"


def test_a_filled_order_can_be_adopted_after_the_fact(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = left_to_person(user, account, book)
    key = next(iter(book.orders))
    execution = book.fill(book.orders[key], Decimal(10), Decimal("10.00"))
    assert book.orders[key].status is BrokerOrderStatus.FILLED
    settle_unconfirmed(user=user, order_id=order.pk, choice=f"adopt:{key}", actor=user.email)
    apply_report(account.pk, trade_report(execution))
    assert (fresh(order).status, fresh(order).cum_qty) == ("filled", Decimal(10))
