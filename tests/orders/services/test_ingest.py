"""Broker facts: stored raw, applied once, in any order, and booked to the cent."""

from typing import Any

import pytest
from django.utils import timezone

from brokers.enums import BrokerOrderStatus
from brokers.exceptions import OutcomeUnknown
from brokers.models import BrokerAccount, BrokerEvent
from brokers.services.inbox import record_event
from brokers.types import StreamEvent
from orders import statements
from orders.exceptions import OrderDenied
from orders.models import Execution, Order
from orders.services import ingest
from orders.services.cancel import cancel_order
from orders.services.ingest import apply_pending_events
from orders.services.reconcile import backfill_account, reconcile_account
from orders.services.resolve import resolve_unknown
from portfolios.models import Portfolio, Position
from tests.orders.helpers import D, fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedBook
from tradeplatform.common.prepared import PreparedQuery
from tradeplatform.models import User, UserEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def order(user: User, account: BrokerAccount) -> Order:
    placed = place(user, account).order
    send(placed)
    return fresh(placed)


def deliver(account: BrokerAccount, key: str, **payload: Any) -> int | None:
    event = StreamEvent(dedupe_key=key, kind="update", payload=payload, received_at=timezone.now())
    stored = record_event(account_id=account.pk, event=event, source="stream")
    apply_pending_events(account.pk)
    return stored


def trade(order: Order, exec_id: str, quantity: str, price: str = "9.99", **extra: Any) -> dict[str, Any]:
    return {
        "exec_type": "trade",
        "broker_order_id": order.broker_order_id,
        "exec_id": exec_id,
        "last_qty": quantity,
        "last_px": price,
        **extra,
    }


def test_a_fill_reaches_order_position_cash_and_live_updates(
    user: User, account: BrokerAccount, order: Order
) -> None:
    deliver(account, "e1", **trade(order, "e1", "4", "9.99"))
    order = fresh(order)
    assert (order.status, order.cum_qty, order.avg_px) == ("partially_filled", D("4"), D("9.99"))
    deliver(account, "e2", **trade(order, "e2", "6", "10.00"))
    order = fresh(order)
    assert (order.status, order.cum_qty, order.avg_px) == ("filled", D("10"), D("9.996"))
    portfolio = Portfolio.objects.get(account=account)
    assert portfolio.cash == D("99900.04")
    position = Position.objects.get(portfolio=portfolio, symbol="ACME")
    assert (position.quantity, position.avg_price) == (D("10"), D("9.996"))
    kinds = UserEvent.objects.filter(user=user).values_list("kind", flat=True)
    assert {"order", "position", "balance"} <= set(kinds)


def test_a_repeated_event_is_one_row_and_one_fill(account: BrokerAccount, order: Order) -> None:
    payload = trade(order, "e1", "4")
    assert deliver(account, "e1", **payload) is not None
    assert deliver(account, "e1", **payload) is None
    deliver(account, "other-key", **payload)
    assert Execution.objects.count() == 1
    assert fresh(order).cum_qty == D("4")


def test_stream_and_poll_book_the_same_fill_once(
    account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    execution = book.fill(book.orders[order.broker_order_id], D("4"), D("9.99"))
    deliver(account, "k", **trade(order, execution.exec_id, "4"))
    backfill_account(account.pk)
    assert Execution.objects.count() == 1


def test_one_fill_under_two_names_is_booked_once(
    account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    book.fill(book.orders[order.broker_order_id], D("4"), D("9.99"))
    deliver(account, "k", **trade(order, "stream-name", "4", cum_qty="4"))
    backfill_account(account.pk)
    assert Execution.objects.count() == 1
    assert fresh(order).cum_qty == D("4")


def test_a_bust_takes_shares_and_cash_back(account: BrokerAccount, order: Order) -> None:
    deliver(account, "e1", **trade(order, "e1", "10", "9.99"))
    deliver(
        account,
        "b1",
        exec_type="trade_cancel",
        broker_order_id=order.broker_order_id,
        ref_exec_id="e1",
    )
    order = fresh(order)
    assert (order.status, order.cum_qty) == ("canceled", D("0"))
    assert Execution.objects.get().busted_at is not None
    portfolio = Portfolio.objects.get(account=account)
    assert portfolio.cash == D("100000")
    assert not Position.objects.filter(portfolio=portfolio).exclude(quantity=0).exists()


def test_a_bust_before_its_fill_waits_in_the_inbox(account: BrokerAccount, order: Order) -> None:
    deliver(account, "b1", exec_type="trade_cancel", broker_order_id=order.broker_order_id, ref_exec_id="e1")
    assert BrokerEvent.objects.get(dedupe_key="b1").applied_at is None
    deliver(account, "e1", **trade(order, "e1", "4"))
    apply_pending_events(account.pk)
    assert fresh(order).cum_qty == D("0")
    assert BrokerEvent.objects.get(dedupe_key="b1").applied_at is not None


def test_a_fill_after_a_cancel_is_booked(user: User, account: BrokerAccount, order: Order) -> None:
    cancel_order(user=user, order_id=order.pk)
    deliver(account, "c", exec_type="canceled", broker_order_id=order.broker_order_id)
    assert fresh(order).status == "canceled"
    deliver(account, "e1", **trade(order, "e1", "4"))
    order = fresh(order)
    assert (order.status, order.cum_qty) == ("canceled", D("4"))
    assert Position.objects.get(symbol="ACME").quantity == D("4")


def hold(user: User, account: BrokerAccount, book: ScriptedBook, quantity: str) -> None:
    """Buy shares and book them."""
    bought = place(user, account, quantity=quantity).order
    send(bought)
    book.fill(book.orders[fresh(bought).broker_order_id], D(quantity), D("10"))
    backfill_account(account.pk)
    assert Position.objects.get(symbol="ACME").quantity == D(quantity)


def expire_with_an_untold_fill(account: BrokerAccount, order: Order, book: ScriptedBook) -> None:
    """6 of 10 fill, the message of it is lost, and then the broker's message says that the order expired."""
    book.fill(book.orders[order.broker_order_id], D("6"), D("10"))
    book.set_status(order.broker_order_id, BrokerOrderStatus.EXPIRED)
    deliver(account, "x", exec_type="expired", broker_order_id=order.broker_order_id)


def test_a_closed_order_holds_its_shares_until_its_last_fills_are_here(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    hold(user, account, book, "10")
    sale = place(user, account, side="sell", quantity="10").order
    send(sale)
    expire_with_an_untold_fill(account, fresh(sale), book)
    assert not fresh(sale).is_closed
    with pytest.raises(OrderDenied, match="are held by order"):
        place(user, account, side="sell", quantity="5")

    reconcile_account(account.pk)
    sale = fresh(sale)
    assert (sale.status, sale.cum_qty) == ("expired", D("6"))
    assert Position.objects.get(symbol="ACME").quantity == D("4")
    assert place(user, account, side="sell", quantity="4").order.status == "queued"


def test_a_close_that_waits_for_fills_is_written_on_the_order_once(
    account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    expire_with_an_untold_fill(account, order, book)
    deliver(account, "again", exec_type="expired", broker_order_id=order.broker_order_id)
    (entry,) = order.journal.filter(kind="fills_missing")
    assert (entry.data["theirs"], entry.data["ours"]) == ("6", "0")


def test_an_order_in_doubt_that_is_found_closed_waits_for_its_fills_as_well(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    placed = place(user, account).order
    book.raise_next(OutcomeUnknown("504"), after=True)
    send(placed)
    (held,) = book.orders.values()
    book.fill(held, D("6"), D("10"))
    book.set_status(held.broker_order_id, BrokerOrderStatus.CANCELED)
    assert resolve_unknown(outbox(placed).pk)
    assert fresh(placed).status == "accepted"
    reconcile_account(account.pk)
    assert (fresh(placed).status, fresh(placed).cum_qty) == ("canceled", D("6"))


def test_a_fill_that_overtakes_the_acknowledgement_finds_its_order(
    user: User, account: BrokerAccount
) -> None:
    placed = place(user, account).order
    from orders.services.claim import claim_message
    from tests.orders.helpers import outbox

    claim_message(outbox(placed).pk, worker="test")
    deliver(
        account,
        "e1",
        **trade(placed, "e1", "10")
        | {"client_order_id": placed.client_order_id, "broker_order_id": "b-early"},
    )
    order = fresh(placed)
    assert (order.status, order.broker_order_id) == ("filled", "b-early")


@pytest.mark.parametrize(
    "payload",
    [
        {"explode": True},
        {"exec_type": "from-the-future"},
        {"exec_type": "trade", "last_qty": "-5", "last_px": "10", "exec_id": "x"},
        {"exec_type": "trade", "last_qty": "NaN", "last_px": "10", "exec_id": "x"},
        {"exec_type": "trade", "last_qty": "5", "exec_id": "x"},
        {
            "exec_type": "trade",
            "broker_order_id": "not-ours",
            "last_qty": "5",
            "last_px": "1",
            "exec_id": "x",
        },
    ],
)
def test_garbage_is_kept_and_stops_nothing(
    account: BrokerAccount, order: Order, payload: dict[str, Any]
) -> None:
    deliver(account, "bad", **{"broker_order_id": order.broker_order_id} | payload)
    assert BrokerEvent.objects.filter(dedupe_key="bad").exists()
    assert not Execution.objects.exists()
    deliver(account, "good", **trade(order, "e1", "10"))
    assert fresh(order).status == "filled"


def test_an_order_placed_elsewhere_is_adopted_and_counted(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    from brokers.registry import manager
    from orders.drafts import parse_order
    from tests.orders.helpers import draft

    adapter = manager.get_trader(account, purpose="test")
    elsewhere = adapter._accept(parse_order(draft(symbol="BETA")), "made-in-the-app")  # type: ignore[attr-defined]
    book.fill(elsewhere, D("10"), D("10"))
    backfill_account(account.pk)
    order = Order.objects.get(origin="external")
    assert (order.user, order.symbol, order.status, order.cum_qty) == (user, "BETA", "filled", D("10"))
    assert Position.objects.get(symbol="BETA").quantity == D("10")


def test_events_that_must_wait_do_not_keep_later_ones_waiting(
    account: BrokerAccount, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        deliver(account, f"b{number}", exec_type="trade_cancel", ref_exec_id="missing", broker_order_id="b0")
    deliver(account, "e1", **trade(order, "e1", "10"))
    BrokerEvent.objects.filter(dedupe_key="e1").update(applied_at=None)
    Execution.objects.all().delete()
    monkeypatch.setattr(statements, "WAITING_EVENTS_AT_ONCE", 2)
    monkeypatch.setattr(ingest, "WAITING_EVENTS_AT_ONCE", 2)
    monkeypatch.setattr(ingest, "WAITING_EVENTS", PreparedQuery(statements.WAITING_EVENTS._build))
    apply_pending_events(account.pk)
    assert Execution.objects.get().exec_id == "e1"


def test_a_database_failure_postpones_a_fact_and_never_drops_it(
    account: BrokerAccount, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    def fail(*args: object, **kwargs: object) -> None:
        raise OperationalError("deadlock detected")

    with monkeypatch.context() as broken:
        broken.setattr(ingest, "book_fill", fail)
        deliver(account, "e1", **trade(order, "e1", "10"))
    assert BrokerEvent.objects.get(dedupe_key="e1").applied_at is None
    assert not Execution.objects.exists()
    apply_pending_events(account.pk)
    assert fresh(order).status == "filled"


def test_an_event_that_another_process_applied_meanwhile_is_left_alone(
    user: User, account: BrokerAccount, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused cancel, read twice, must not undo the cancel that was asked for after it."""

    cancel_order(user=user, order_id=order.pk)
    lock = ingest.lock_account

    def lock_late(account_id: Any) -> BrokerAccount:
        locked = lock(account_id)
        BrokerEvent.objects.update(applied_at=timezone.now())
        return locked

    monkeypatch.setattr(ingest, "lock_account", lock_late)
    deliver(account, "r", exec_type="cancel_rejected", broker_order_id=order.broker_order_id)
    assert fresh(order).status == "pending_cancel"


def test_a_bust_of_an_overfill_leaves_the_order_filled_with_the_right_total(
    account: BrokerAccount, order: Order, book: ScriptedBook
) -> None:
    for quantity in ("10", "1"):
        book.fill(book.orders[order.broker_order_id], D(quantity), D("10"))
    reconcile_account(account.pk)
    assert fresh(order).cum_qty == D("11")
    deliver(
        account,
        "b",
        exec_type="trade_cancel",
        broker_order_id=order.broker_order_id,
        ref_exec_id=book.executions[1].exec_id,
    )
    order = fresh(order)
    assert (order.status, order.cum_qty) == ("filled", D("10"))
    assert Position.objects.get(symbol="ACME").quantity == D("10")


def test_two_fills_at_different_prices_are_two_even_with_one_running_total(
    account: BrokerAccount, order: Order
) -> None:
    deliver(account, "e1", **trade(order, "e1", "5", "9.98", cum_qty="10"))
    deliver(account, "e2", **trade(order, "e2", "5", "9.99", cum_qty="10"))
    assert fresh(order).cum_qty == D("10")
