"""Every entry of a broker's answers, every kind of nonsense: kept as it came, flagged, and worth no money.

The broker is the Alpaca simulator with its faults, over real sockets and the real SDK.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal as D

import pytest
from django.core.cache import cache

from brokers.adapters.alpaca.client import close_clients
from brokers.credentials import dump_credentials
from brokers.models import BrokerAccount, BrokerConnection, BrokerEvent, FlaggedEvent
from brokers.simulators.testing import SimulatorServer
from brokers.streams import StreamService, StreamTimings
from brokers.types import ReplaceRequest
from orders.enums import OutboxStatus
from orders.models import Execution, Order, OutboxMessage
from orders.services.cancel import cancel_order
from orders.services.ingest import apply_or_ask, apply_pending_events
from orders.services.reconcile import backfill_account, reconcile_account
from orders.services.replace import replace_order
from orders.services.resolve import resolve_unknown
from orders.services.submit import claim_and_send
from portfolios.models import Break, LedgerEntry, Portfolio
from portfolios.services.sync import sync_book
from tests.orders.helpers import fresh, place
from tradeplatform.models import User

DEADLINE = 15.0
QUICK = StreamTimings(
    discover=0.1, note=0.1, covered=0.5, poll=0.5, first_retry=0.1, longest_retry=0.5, stop=5
)


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer() as running:
        yield running


@pytest.fixture
def broker(server: SimulatorServer, settings: object) -> Iterator[SimulatorServer]:
    settings.ALPACA_PAPER_URL = server.paper_url  # type: ignore[attr-defined]
    settings.ALPACA_DATA_URL = server.data_url  # type: ignore[attr-defined]
    settings.ALPACA_PAPER_STREAM_URL = server.paper_stream_url  # type: ignore[attr-defined]
    server.reset()
    for symbol in ("AAPL", "MSFT"):
        server.set_quote(symbol, "99.98", "100.02")
    cache.clear()
    yield server
    close_clients()


def link(broker: SimulatorServer, user: User, **options: str) -> BrokerAccount:
    there = broker.create_account(**options)
    connection = BrokerConnection.objects.create(
        user=user,
        broker="alpaca",
        kind="api_key",
        credentials=dump_credentials({"key_id": there.key_id, "secret_key": there.secret}),
    )
    made = BrokerAccount.objects.create(
        user=user,
        connection=connection,
        broker="alpaca",
        environment="paper",
        broker_account_id=there.account_id,
        label="Simulated",
    )
    sync_book(account_id=made.pk)
    return BrokerAccount.objects.get(pk=made.pk)


@pytest.fixture
def account(broker: SimulatorServer, user: User) -> BrokerAccount:
    return link(broker, user)


def make_order(user: User, account: BrokerAccount, limit_price: str = "90.00", symbol: str = "AAPL") -> Order:
    return place(user, account, symbol=symbol, quantity="2", limit_price=limit_price).order


def send(order: Order, kind: str = "submit") -> OutboxMessage:
    message = OutboxMessage.objects.get(order=order, kind=kind, status="ready")
    claim_and_send(message.pk, worker="test")
    return OutboxMessage.objects.get(pk=message.pk)


def money(account: BrokerAccount) -> tuple[D, int, int]:
    portfolio = Portfolio.objects.get(account=account)
    return portfolio.cash, LedgerEntry.objects.filter(portfolio=portfolio).count(), Execution.objects.count()


def kept(account: BrokerAccount, call: str) -> BrokerEvent:
    """Return the flagged row of the call's answer; it holds what came, and none of our credentials."""
    row = FlaggedEvent.objects.exclude(problem="").get(account=account, kind=call, source="reply")
    assert row.applied_at is not None, "nobody tries to apply it"
    assert row.payload["status"] == 200
    assert row.payload["body"]
    secret = BrokerConnection.objects.get(pk=account.connection_id)
    assert "secret" not in str(row.payload).lower()
    assert secret.status == "active"
    return row


NONSENSE = {
    "garbage": {"kind": "garbage"},
    "half a reply": {"kind": "half"},
    "HTML": {"kind": "html"},
    "an id that is not ours": {"kind": "wrong_id"},
    "a null id": {"kind": "null_fields", "fields": ["id"]},
    "no id": {"kind": "missing_fields", "fields": ["id"]},
    "a quantity that is a word": {"kind": "unknown_enum", "fields": ["qty"], "value": "many"},
    "a negative fill": {"kind": "unknown_enum", "fields": ["filled_qty"], "value": "-5"},
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", NONSENSE)
def test_an_order_whose_answer_is_nonsense_is_unconfirmed(broker, user, account, name):
    before = money(account)
    order = make_order(user, account)
    broker.fault(endpoint="orders.create", **NONSENSE[name])

    message = send(order)

    assert fresh(order).status == "unconfirmed"
    assert message.status == OutboxStatus.UNKNOWN
    assert kept(account, "place_order").problem in message.problem
    assert money(account) == before
    resolve_unknown(message.pk)
    assert fresh(order).status == "accepted", "the look-up by our own id tells the truth"
    assert len(broker.book(account.broker_account_id)["orders"]) == 1


@pytest.mark.django_db
def test_an_unknown_status_in_the_answer_is_taken_as_accepted_and_invents_no_fill(broker, user, account):
    broker.fault("unknown_enum", endpoint="orders.create", fields=["status", "type", "order_class"])
    before = money(account)
    order = make_order(user, account)

    send(order)

    assert (fresh(order).status, fresh(order).cum_qty) == ("accepted", 0)
    assert money(account) == before


@pytest.mark.django_db
@pytest.mark.parametrize("name", [name for name in NONSENSE if "quantity" not in name and "fill" not in name])
def test_a_change_whose_answer_is_nonsense_stays_pending(broker, user, account, name):
    order = make_order(user, account)
    send(order)
    before = money(account)
    replace_order(user=user, order_id=order.pk, changes=ReplaceRequest(limit_price=D("91.00")))
    broker.fault(endpoint="orders.replace", **NONSENSE[name])

    message = send(order, "replace")

    assert fresh(order).status == "pending_replace"
    assert message.status == OutboxStatus.UNKNOWN
    assert kept(account, "replace_order")
    assert money(account) == before


@pytest.mark.django_db
def test_a_cancel_whose_answer_is_nonsense_stays_pending_and_is_looked_up(broker, user, account):
    order = make_order(user, account)
    send(order)
    cancel_order(user=user, order_id=order.pk)
    broker.fault("html", endpoint="orders.cancel")

    message = send(order, "cancel")

    assert fresh(order).status == "pending_cancel"
    assert message.status == OutboxStatus.UNKNOWN
    assert kept(account, "cancel_order")
    resolve_unknown(message.pk)
    assert fresh(order).status == "canceled"


READS = {
    "list_orders": ("orders.list", ["id"], "qty"),
    "list_executions": ("activities.list", ["order_id"], "qty"),
    "get_positions": ("positions.list", ["symbol"], "qty"),
    "get_account_info": ("account.get", ["cash"], "cash"),
}
READ_KINDS = ("garbage", "half", "html", "null_fields", "missing_fields", "unknown_enum")


@pytest.mark.django_db
@pytest.mark.parametrize("kind", READ_KINDS)
@pytest.mark.parametrize("call", READS)
def test_a_read_that_is_nonsense_proves_nothing(broker, user, account, call, kind):
    bought = make_order(user, account, "100.02")
    resting = make_order(user, account, symbol="MSFT")
    for order in (bought, resting):
        send(order)
    wait_until(lambda: broker.book(account.broker_account_id)["executions"])
    reconcile_account(account.pk)
    before, statuses = money(account), (fresh(bought).status, fresh(resting).status)
    assert statuses == ("filled", "accepted")
    endpoint, fields, number = READS[call]
    damage = {"fields": [number], "value": "NaN"} if kind == "unknown_enum" else {"fields": fields}
    broker.fault(kind, endpoint=endpoint, count=None, **damage)

    for _ in range(2):
        reconcile_account(account.pk)

    broker.clear_faults()
    assert kept(account, call)
    assert money(account) == before
    assert (fresh(bought).status, fresh(resting).status) == statuses
    assert not Break.objects.exists(), "a broken answer never counts as an empty account"
    reconcile_account(account.pk)
    assert not Break.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["garbage", "half", "html", "wrong_id", "null_fields"])
def test_a_look_up_that_is_nonsense_leaves_the_order_unconfirmed(broker, user, account, kind):
    broker.fault("drop_after", endpoint="orders.create")
    order = make_order(user, account)
    message = send(order)
    broker.fault(kind, endpoint="orders.by_client_id", fields=["id"])

    resolve_unknown(message.pk)

    assert fresh(order).status == "unconfirmed"
    assert kept(account, "find_order")
    resolve_unknown(message.pk)
    assert fresh(order).status == "accepted"


ACTIVITY_NONSENSE = {
    "garbage": {"kind": "garbage"},
    "half a reply": {"kind": "half"},
    "HTML": {"kind": "html"},
    "a null amount": {"kind": "null_fields", "fields": ["net_amount"]},
    "no amount": {"kind": "missing_fields", "fields": ["net_amount"]},
    "an amount that is a word": {"kind": "unknown_enum", "fields": ["net_amount"], "value": "many"},
    "an amount beyond all money": {"kind": "unknown_enum", "fields": ["net_amount"], "value": "1e30"},
    "a null id": {"kind": "null_fields", "fields": ["id"]},
    "an id without end": {"kind": "unknown_enum", "fields": ["id"], "value": "9" * 500},
    "an id with a null byte": {"kind": "unknown_enum", "fields": ["id"], "value": "2026\x00"},
    "a null day": {"kind": "null_fields", "fields": ["date"]},
    "a day that is none": {"kind": "unknown_enum", "fields": ["date"], "value": "31 February"},
    "a day of years ago": {"kind": "unknown_enum", "fields": ["date"], "value": "1999-12-31"},
    "a null kind": {"kind": "null_fields", "fields": ["activity_type"]},
    "an unknown kind": {"kind": "unknown_enum", "fields": ["activity_type"], "value": "GIFT"},
    "a symbol without end": {"kind": "unknown_enum", "fields": ["symbol"], "value": "A" * 500},
    "a currency that is not ours": {"kind": "unknown_enum", "fields": ["currency"], "value": "XAU"},
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", ACTIVITY_NONSENSE)
def test_a_transfer_told_in_nonsense_is_not_booked_but_seen(broker, user, name):
    account, other = link(broker, user, cash="0"), link(broker, user, cash="0")
    for one in (account, other):
        broker.control("cash", account_id=one.broker_account_id, amount="250")
    before = money(account)
    broker.fault(
        endpoint="activities.list",
        account_id=account.broker_account_id,
        count=None,
        **ACTIVITY_NONSENSE[name],
    )

    for one in (account, other):
        sync_book(account_id=one.pk, read_activities=True)

    assert money(account) == before
    flagged = FlaggedEvent.objects.exclude(problem="").filter(account=account)
    assert flagged.exists() or Break.objects.filter(portfolio__account=account).exists()
    assert not FlaggedEvent.objects.exclude(problem="").filter(account=other).exists()
    assert money(other)[0] == 250, "the other account goes on"
    broker.clear_faults()
    for _ in range(2):
        sync_book(account_id=account.pk, read_activities=True)
    assert money(account)[0] == 250, "told in full, it is booked once"


STREAM_NONSENSE = {
    "an id that is not ours": {"kind": "wrong_id"},
    "an unknown status": {"kind": "unknown_enum"},
    "a fill larger than the order": {"kind": "unknown_enum", "fields": ["filled_qty"], "value": "9999"},
    "null fields": {"kind": "null_fields", "fields": ["id", "symbol", "filled_qty"]},
    "no order id": {"kind": "missing_fields", "fields": ["id", "client_order_id"]},
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", STREAM_NONSENSE)
def test_nonsense_in_one_stream_books_nothing_wrong_and_others_go_on(broker, user, account, name):
    other = link(broker, user)
    broker.fault(
        endpoint="stream.trade_updates",
        account_id=account.broker_account_id,
        count=None,
        **STREAM_NONSENSE[name],
    )
    service = StreamService(
        apply_events=apply_or_ask,
        backfill=backfill_account,
        timings=QUICK,
        quotes=False,
        practice=False,
        workers=1,
    )
    thread = threading.Thread(target=lambda: asyncio.run(service.run()))
    thread.start()
    try:
        wait_until(lambda: service.live == 2)
        orders = [make_order(user, one, "100.02") for one in (account, other)]
        for order in orders:
            send(order)
        wait_until(lambda: fresh(orders[1]).status == "filled")
        wait_until(lambda: BrokerEvent.objects.filter(account=account).count() >= 2)
    finally:
        service.stop()
        thread.join(DEADLINE)
    assert not thread.is_alive()

    broker.clear_faults()
    reconcile_account(account.pk)
    apply_pending_events(account.pk)

    assert fresh(orders[0]).status == "filled", "the broker's lists tell the truth"
    for one in (account, other):
        there = broker.book(one.broker_account_id)
        assert Execution.objects.filter(account=one).count() == len(there["executions"])
        assert Portfolio.objects.get(account=one).cash == D(there["cash"][one.broker_account_id])
    assert not FlaggedEvent.objects.exclude(problem="").filter(account=other).exists()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)
