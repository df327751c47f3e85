from dataclasses import replace
from datetime import timedelta

import pytest

from brokers.enums import BrokerOrderStatus, ExecType
from brokers.exceptions import OutcomeUnknown, Rejected
from brokers.models import BrokerAccount
from brokers.types import ExecutionReport
from orders.drafts import parse_changes
from orders.exceptions import InvalidOrder, OrderBusy, OrderClosed, OrderDenied
from orders.models import Order, OutboxMessage
from orders.services.cancel import cancel_order
from orders.services.ingest import apply_report
from orders.services.reconcile import backfill_account, check_in_flight
from orders.services.replace import replace_order
from orders.services.resolve import resolve_unknown
from orders.services.snapshot import report_of
from risk.models import TradingHalt
from risk.services.limits import set_limit
from tests.orders.helpers import D, fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedBook
from tradeplatform.common.exceptions import NotFoundError
from tradeplatform.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(user: User, account: BrokerAccount) -> Order:
    placed = place(user, account).order
    send(placed)
    return fresh(placed)


def test_an_unsent_order_is_withdrawn_on_the_spot(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    placed = place(user, account).order
    assert cancel_order(user=user, order_id=placed.pk).status == "not_sent"
    assert outbox(placed).status == "dropped"
    assert book.posts == []


def test_an_open_order_is_canceled_at_the_broker(
    user: User, account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    assert cancel_order(user=user, order_id=order.pk).status == "pending_cancel"
    send(order, "cancel")
    assert book.cancels == [order.broker_order_id]
    assert fresh(order).status == "pending_cancel"
    backfill_account(account.pk)
    assert fresh(order).status == "canceled"


def test_asking_twice_cancels_once(user: User, order: Order, book: ScriptedBook) -> None:
    cancel_order(user=user, order_id=order.pk)
    cancel_order(user=user, order_id=order.pk)
    assert OutboxMessage.objects.filter(order=order, kind="cancel").count() == 1


def test_a_cancel_passes_every_halt(user: User, order: Order, book: ScriptedBook) -> None:
    TradingHalt.objects.create(scope="platform", reason="test", started_by="test")
    cancel_order(user=user, order_id=order.pk)
    assert send(order, "cancel")
    assert book.cancels == [order.broker_order_id]


def test_a_refused_cancel_puts_the_order_back(user: User, order: Order, book: ScriptedBook) -> None:
    cancel_order(user=user, order_id=order.pk)
    book.raise_next(Rejected("order is not cancelable"))
    send(order, "cancel")
    assert fresh(order).status == "accepted"


def test_a_cancel_without_an_answer_is_looked_up_and_asked_again(
    user: User, order: Order, book: ScriptedBook
) -> None:
    cancel_order(user=user, order_id=order.pk)
    book.raise_next(OutcomeUnknown("reset"))
    send(order, "cancel")
    assert outbox(order, "cancel").status == "unknown"
    resolve_unknown(outbox(order, "cancel").pk)
    assert outbox(order, "cancel").status == "ready"
    send(order, "cancel")
    check_in_flight(order.pk)
    assert fresh(order).status == "canceled"


def test_a_cancel_of_an_unconfirmed_order_waits_for_its_id(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    book.raise_next(OutcomeUnknown("504"), after=True)
    placed = place(user, account).order
    send(placed)
    assert cancel_order(user=user, order_id=placed.pk).status == "unconfirmed"
    assert not send(placed, "cancel")
    resolve_unknown(outbox(placed).pk)
    OutboxMessage.objects.filter(order=placed, kind="cancel").update(not_before=placed.created_at)
    assert send(placed, "cancel")
    backfill_account(account.pk)
    assert fresh(placed).status == "canceled"


def test_a_closed_order_cannot_be_canceled(
    user: User, account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    book.fill(book.orders[order.broker_order_id], D("10"), D("10"))
    backfill_account(account.pk)
    with pytest.raises(OrderClosed):
        cancel_order(user=user, order_id=order.pk)


def test_a_stranger_finds_no_order_to_cancel_or_replace(stranger: User, order: Order) -> None:
    with pytest.raises(NotFoundError):
        cancel_order(user=stranger, order_id=order.pk)
    with pytest.raises(NotFoundError):
        replace_order(user=stranger, order_id=order.pk, changes=parse_changes({"quantity": "5"}))


def test_a_replace_keeps_one_order_under_a_new_broker_id(
    user: User, account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    old_id = order.broker_order_id
    changed = replace_order(
        user=user, order_id=order.pk, changes=parse_changes({"quantity": "20", "limit_price": "9.50"})
    )
    assert changed.status == "pending_replace"
    send(order, "replace")
    check_in_flight(order.pk)
    order = fresh(order)
    assert (order.status, order.quantity, order.limit_price) == ("accepted", D("20"), D("9.5"))
    assert order.broker_order_id != old_id
    assert book.orders[order.broker_order_id].replaces == old_id
    book.fill(book.orders[order.broker_order_id], D("20"), D("9.5"))
    backfill_account(account.pk)
    assert fresh(order).status == "filled"
    assert Order.objects.count() == 1


def test_a_refused_replace_leaves_the_order_as_it_was(user: User, order: Order, book: ScriptedBook) -> None:
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "20"}))
    book.raise_next(Rejected("cannot replace order in accepted status"))
    send(order, "replace")
    order = fresh(order)
    assert (order.status, order.quantity) == ("accepted", D("10"))


def test_a_replace_beyond_a_limit_is_denied_and_changes_nothing(user: User, order: Order) -> None:
    with pytest.raises(OrderDenied):
        replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "9000"}))
    order = fresh(order)
    assert (order.status, order.quantity) == ("accepted", D("10"))
    assert not OutboxMessage.objects.filter(kind="replace").exists()


def test_an_order_under_change_cannot_be_changed_again(user: User, order: Order) -> None:
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "20"}))
    with pytest.raises(OrderBusy):
        replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "30"}))


def test_a_replace_with_a_lost_answer_is_adopted(user: User, order: Order, book: ScriptedBook) -> None:
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "20"}))
    book.raise_next(OutcomeUnknown("504"), after=True)
    send(order, "replace")
    assert outbox(order, "replace").status == "unknown"
    resolve_unknown(outbox(order, "replace").pk)
    order = fresh(order)
    assert (order.status, order.quantity) == ("accepted", D("20"))
    assert book.orders[order.broker_order_id].status is BrokerOrderStatus.OPEN


def refuse_too_late_replace(user: User, order: Order, book: ScriptedBook) -> str:
    """A replace whose answer is lost while its order fills; return the id of the order it leaves behind."""
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"limit_price": "9.00"}))
    book.raise_next(OutcomeUnknown("504"), after=True)
    send(order, "replace")
    new = book.orders[book.by_client_id[outbox(order, "replace").client_order_id]]
    book.set_status(new.broker_order_id, BrokerOrderStatus.REJECTED)
    old = replace(book.orders[order.broker_order_id], replaced_by="", status=BrokerOrderStatus.OPEN)
    book.orders[old.broker_order_id] = old
    book.fill(old, D("10"), D("10.00"))
    return new.broker_order_id


def test_the_refused_order_of_a_replace_that_came_too_late_is_known(
    user: User, order: Order, book: ScriptedBook
) -> None:
    refused_id = refuse_too_late_replace(user, order, book)
    for execution in book.executions:
        apply_report(
            order.account_id,
            ExecutionReport(
                exec_type=ExecType.TRADE,
                broker_order_id=execution.broker_order_id,
                client_order_id="",
                transact_time=execution.transact_time,
                exec_id=execution.exec_id,
                last_qty=execution.last_qty,
                last_px=execution.last_px,
            ),
        )
    assert fresh(order).status == "filled"
    assert resolve_unknown(outbox(order, "replace").pk)
    assert outbox(order, "replace").status == "done"
    assert fresh(order).status == "filled"
    assert fresh(order).aliases.filter(broker_order_id=refused_id).exists()


def test_the_broker_itself_may_tell_of_the_refused_order(
    user: User, order: Order, book: ScriptedBook
) -> None:
    refused_id = refuse_too_late_replace(user, order, book)
    apply_report(order.account_id, report_of(book.orders[refused_id]))
    assert fresh(order).status == "accepted"
    assert fresh(order).broker_order_id == order.broker_order_id
    assert fresh(order).aliases.filter(broker_order_id=refused_id).exists()
    assert resolve_unknown(outbox(order, "replace").pk)


def test_a_replace_that_never_arrived_bothers_nobody_once_its_order_is_closed(
    user: User, order: Order, book: ScriptedBook
) -> None:
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"limit_price": "9.00"}))
    book.raise_next(OutcomeUnknown("reset"))
    send(order, "replace")
    Order.objects.filter(pk=order.pk).update(status="filled")
    message = outbox(order, "replace")
    assert not resolve_unknown(message.pk)
    OutboxMessage.objects.filter(pk=message.pk).update(sent_at=message.sent_at - timedelta(minutes=5))
    assert resolve_unknown(message.pk)
    assert outbox(order, "replace").status == "dropped"
    assert (fresh(order).status, fresh(order).needs_person_at) == ("filled", None)


def test_a_quantity_below_what_has_filled_is_refused(
    user: User, account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    book.fill(book.orders[order.broker_order_id], D("4"), D("10"))
    backfill_account(account.pk)
    with pytest.raises(InvalidOrder):
        replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "4"}))


@pytest.mark.parametrize("changes", [{}, {"symbol": "BETA"}, {"quantity": "0"}, {"limit_price": "NaN"}])
def test_changes_that_are_none_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(InvalidOrder):
        parse_changes(changes)


def test_a_cancel_takes_back_a_change_that_has_not_left(user: User, order: Order, book: ScriptedBook) -> None:
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "20"}))
    cancel_order(user=user, order_id=order.pk)
    assert outbox(order, "replace").status == "dropped"
    send(order, "cancel")
    assert len(book.orders) == 1
    check_in_flight(order.pk)
    assert fresh(order).status == "canceled"


def test_a_change_of_an_order_that_closed_meanwhile_is_not_sent(
    user: User, account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "20"}))
    book.fill(book.orders[order.broker_order_id], D("10"), D("10"))
    backfill_account(account.pk)
    assert fresh(order).status == "filled"
    assert not send(order, "replace")
    assert outbox(order, "replace").status == "dropped"
    assert len(book.orders) == 1


def test_a_cancel_waits_for_a_replace_on_its_way_and_reaches_the_new_order(
    user: User, account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "20"}))
    book.raise_next(OutcomeUnknown("504"), after=True)
    send(order, "replace")
    cancel_order(user=user, order_id=order.pk)
    assert not send(order, "cancel")
    assert book.cancels == []
    resolve_unknown(outbox(order, "replace").pk)
    OutboxMessage.objects.filter(order=order, kind="cancel").update(not_before=order.created_at)
    assert send(order, "cancel")
    replacement = fresh(order).broker_order_id
    assert book.cancels == [replacement] != [order.broker_order_id]
    check_in_flight(order.pk)
    assert (fresh(order).status, fresh(order).quantity) == ("canceled", D("20"))


def test_a_cancel_that_met_a_replace_taking_hold_is_asked_again(
    user: User, order: Order, book: ScriptedBook
) -> None:
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "20"}))
    send(order, "replace")
    cancel_order(user=user, order_id=order.pk)
    book.raise_next(Rejected("order is not cancelable"))
    send(order, "cancel")
    assert fresh(order).status == "pending_cancel"
    assert outbox(order, "cancel").status == "ready"
    check_in_flight(order.pk)
    OutboxMessage.objects.filter(order=order, kind="cancel").update(not_before=order.created_at)
    send(order, "cancel")
    check_in_flight(order.pk)
    assert fresh(order).status == "canceled"
    assert fresh(order).broker_order_id != order.broker_order_id


def test_a_cancel_that_the_broker_forgot_is_asked_again(user: User, order: Order, book: ScriptedBook) -> None:
    cancel_order(user=user, order_id=order.pk)
    send(order, "cancel")
    book.set_status(order.broker_order_id, BrokerOrderStatus.OPEN)
    check_in_flight(order.pk)
    assert OutboxMessage.objects.filter(order=order, kind="cancel").count() == 1
    OutboxMessage.objects.filter(order=order).update(done_at=order.created_at - timedelta(seconds=20))
    check_in_flight(order.pk)
    assert fresh(order).status == "pending_cancel"
    send(order, "cancel")
    check_in_flight(order.pk)
    assert fresh(order).status == "canceled"
    assert len(book.cancels) == 2


def test_a_replacement_that_was_only_received_is_not_yet_the_order(
    user: User, account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    """Its old order may fill first, and then the change never happens."""
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "20"}))
    send(order, "replace")
    new_id = next(key for key in book.orders if key != order.broker_order_id)
    book.set_status(new_id, BrokerOrderStatus.PENDING_NEW)
    check_in_flight(order.pk)
    assert (fresh(order).status, fresh(order).quantity) == ("pending_replace", D("10"))
    book.set_status(new_id, BrokerOrderStatus.OPEN)
    check_in_flight(order.pk)
    assert (fresh(order).status, fresh(order).quantity) == ("accepted", D("20"))


def test_a_fill_of_the_replacement_that_comes_first_does_not_close_the_order(
    user: User, account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    from orders.services.ingest import apply_report
    from orders.services.reconcile import trade_report

    replace_order(user=user, order_id=order.pk, changes=parse_changes({"quantity": "20"}))
    send(order, "replace")
    new_id = next(key for key in book.orders if key != order.broker_order_id)
    execution = book.fill(book.orders[new_id], D("12"), D("10"))
    apply_report(account.pk, trade_report(execution))
    order = fresh(order)
    assert (order.status, order.quantity, order.cum_qty) == ("partially_filled", D("20"), D("12"))
    assert order.broker_order_id == new_id


def test_a_missed_fill_after_a_replace_is_fetched(
    user: User, account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    """The broker counts each of its orders from zero; ours has more in total and still misses one."""
    book.fill(book.orders[order.broker_order_id], D("4"), D("10"))
    backfill_account(account.pk)
    new = replace(
        book.orders[order.broker_order_id],
        broker_order_id="new-id",
        client_order_id="theirs",
        quantity=D("6"),
        cum_qty=D(0),
        replaces=order.broker_order_id,
        status=BrokerOrderStatus.OPEN,
    )
    book.orders["new-id"] = new
    book.set_status(order.broker_order_id, BrokerOrderStatus.REPLACED)
    backfill_account(account.pk)
    assert (fresh(order).broker_order_id, fresh(order).quantity) == ("new-id", D("10"))
    book.fill(new, D("3"), D("10"))
    check_in_flight(order.pk)
    assert fresh(order).cum_qty == D("7")


def test_a_replacement_made_and_canceled_elsewhere_closes_the_order(
    account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    from orders.services.reconcile import reconcile_account

    old = book.orders[order.broker_order_id]
    for name, status, replaces, by in (
        (order.broker_order_id, BrokerOrderStatus.REPLACED, "", "id2"),
        ("id2", BrokerOrderStatus.REPLACED, order.broker_order_id, "id3"),
        ("id3", BrokerOrderStatus.CANCELED, "id2", ""),
    ):
        book.orders[name] = replace(
            old, broker_order_id=name, client_order_id=name, status=status, replaces=replaces, replaced_by=by
        )
    reconcile_account(account.pk)
    assert Order.objects.count() == 1
    assert (fresh(order).status, fresh(order).broker_order_id) == ("canceled", "id3")


def test_a_change_may_wait_as_long_as_the_limit_says(user: User, order: Order) -> None:
    set_limit(
        scope="user",
        scope_key=str(user.pk),
        name="limit_order_ttl",
        value="900",
        author=user,
        reason="shorter",
    )
    replace_order(user=user, order_id=order.pk, changes=parse_changes({"limit_price": "9.90"}))
    message = outbox(order, "replace")
    assert message.expires_at - message.created_at == timedelta(seconds=900)
