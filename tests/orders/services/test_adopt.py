"""Orders that began elsewhere: exits that a broker made, and orders of the broker's own app."""

from dataclasses import replace

import pytest

from brokers.enums import BrokerOrderStatus, OrderType, Side
from brokers.models import BrokerAccount, BrokerEvent
from brokers.services.accounts import sync_account
from orders.drafts import parse_order
from orders.models import Order, OrderAlias
from orders.services.adopt import adopt_external_order, attach_legs
from orders.services.halts import cancel_for_halts
from orders.services.reconcile import backfill_account, reconcile_account
from risk.models import TradingHalt
from tests.orders.helpers import D, draft, fresh, place, send
from tests.orders.scripted_broker import ScriptedAdapter, ScriptedBook
from tests.orders.services.test_submit import buy_and_fill
from tradeplatform.common.clock import utc_now
from tradeplatform.models import User

pytestmark = pytest.mark.django_db


def place_elsewhere(account: BrokerAccount, name: str, **values: str) -> None:
    from brokers.registry import manager

    adapter = manager.get_trader(account, purpose="test")
    adapter._accept(parse_order(draft(**values)), name)  # type: ignore[attr-defined]


def test_a_leg_that_was_replaced_is_known_under_its_old_id(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    order = place(user, account).order
    send(order)
    order = fresh(order)
    snapshot = book.orders[order.broker_order_id]
    leg = replace(
        snapshot, broker_order_id="leg1", client_order_id="l", side=Side.SELL, order_type=OrderType.STOP
    )
    [known] = attach_legs(order, replace(snapshot, legs=(leg,)), at=utc_now())
    OrderAlias.objects.create(order=known, account=account, broker_order_id="leg2")
    Order.objects.filter(pk=known.pk).update(broker_order_id="leg2")
    assert attach_legs(order, replace(snapshot, legs=(leg,)), at=utc_now()) == [known]


def test_a_halt_leaves_protection_placed_elsewhere_alone(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    buy_and_fill(user, account, book, "10")
    place_elsewhere(account, "protects", side="sell", order_type="stop", limit_price="", stop_price="9")
    place_elsewhere(account, "opens", symbol="BETA")
    backfill_account(account.pk)
    TradingHalt.objects.create(scope="platform", reason="test", started_by="test", cancel_open=True)
    assert cancel_for_halts() == 1
    statuses = dict(Order.objects.filter(origin="external").values_list("client_order_id", "status"))
    assert statuses == {"protects": "accepted", "opens": "pending_cancel"}


def test_an_unreadable_order_does_not_hide_the_others(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    place_elsewhere(account, "unreadable")
    first = next(iter(book.orders))
    book.orders[first] = replace(book.orders[first], side=None)
    place_elsewhere(account, "readable", symbol="BETA")
    backfill_account(account.pk)
    assert [order.client_order_id for order in Order.objects.all()] == ["readable"]


def test_an_external_sale_of_more_than_is_held_is_no_exit(
    user: User, account: BrokerAccount, book: ScriptedBook
) -> None:
    buy_and_fill(user, account, book, "10")
    place_elsewhere(account, "flips", side="sell", quantity="11")
    snapshot = next(order for order in book.orders.values() if order.client_order_id == "flips")
    assert not adopt_external_order(account, snapshot, at=utc_now()).is_exit
    assert snapshot.quantity == D("11")


def test_an_order_accepted_while_balances_were_read_is_not_in_them(
    user: User, account: BrokerAccount, book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = place(user, account).order
    read = ScriptedAdapter.get_account_info

    def read_slowly(adapter: ScriptedAdapter) -> object:
        info = read(adapter)
        send(order)
        return info

    monkeypatch.setattr(ScriptedAdapter, "get_account_info", read_slowly)
    sync_account(account.pk, purpose="test")
    account.refresh_from_db()
    assert fresh(order).accepted_at > account.synced_at


def test_a_message_that_waits_brings_in_an_order_that_is_closed_by_now(
    account: BrokerAccount, book: ScriptedBook
) -> None:
    """Lists of open orders no longer have it, and no message alone is believed."""
    place_elsewhere(account, "gone")
    book.set_status(next(iter(book.orders)), BrokerOrderStatus.CANCELED)
    reconcile_account(account.pk)
    assert not Order.objects.exists()
    BrokerEvent.objects.create(
        account=account, dedupe_key="m", kind="canceled", payload={}, received_at=utc_now(), problem="waits"
    )
    reconcile_account(account.pk)
    assert [(one.origin, one.status) for one in Order.objects.all()] == [("external", "canceled")]
