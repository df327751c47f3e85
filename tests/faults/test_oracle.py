"""The judge of what leaves: by the broker's book, as strict as the gate and no stricter."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from benchmarks.faults.book import Book, HeldOrder
from benchmarks.faults.oracle import SendWatch, Violations
from benchmarks.faults.world import START, World
from brokers.credentials import dump_credentials
from brokers.enums import Environment, LinkKind, OrderType, Side, TimeInForce
from brokers.models import BrokerAccount, BrokerConnection
from brokers.types import AccountHandle, Credentials, OrderRequest
from orders.models import Execution, Order, OrderEvent
from tradeplatform.models import User

D = Decimal
NUMBER = "A00001"
HANDLE = AccountHandle(
    account_id=UUID(int=1),
    broker="sim_d",
    environment=Environment.PAPER,
    broker_account_id=NUMBER,
    currency="USD",
    credentials=Credentials(LinkKind.API_KEY),
)


def make_watch(
    *, position: str = "0", largest: str = "250000", cash: str = "100000", has_client_ids: bool = True
) -> SendWatch:
    """A judge over an account with so much ACME, whose orders may be worth so much at 10 a share."""
    book = Book(World(1), has_client_ids=has_client_ids)
    book.open_account(NUMBER, cash=D(cash))
    book.accounts[NUMBER].positions["ACME"] = D(position)
    watch = SendWatch(book.world, book, Violations())
    watch.limit_log[NUMBER] = [(0.0, D(largest))]
    return watch


def order(side: Side, quantity: str) -> OrderRequest:
    return OrderRequest(
        symbol="ACME",
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        quantity=D(quantity),
        limit_price=D(10),
    )


def enter(watch: SendWatch, side: Side, quantity: str, *, filled: str = "0", intent: str = "c1") -> HeldOrder:
    """Put an order into the broker's book as it is after a part has filled."""
    held = watch.book._hold(NUMBER, order(side, quantity), intent)
    held.view = replace(held.view, cum_qty=D(filled))
    return held


def judge_order(watch: SendWatch, request: OrderRequest, intent: str = "new") -> list[str]:
    watch.check_limits(watch.order_write(HANDLE, request, intent))
    return [example.partition(" s: ")[2] for example in watch.violations.examples]


def judge_replace(watch: SendWatch, request: OrderRequest, old: HeldOrder) -> list[str]:
    watch.check_limits(watch.replace_write(HANDLE, request, old))
    return [example.partition(" s: ")[2] for example in watch.violations.examples]


@pytest.mark.parametrize(
    ("position", "bought_back", "quantity", "is_exit"),
    [
        ("-100", "", "100", True),
        ("-100", "", "101", False),
        ("-100", "40", "60", True),
        ("-100", "40", "61", False),
        ("0", "", "1", False),
        ("100", "", "1", False),
    ],
)
def test_buying_back_is_an_exit_up_to_what_is_short_and_not_bought_back_already(
    position: str, bought_back: str, quantity: str, is_exit: bool
) -> None:
    watch = make_watch(position=position, largest="5")
    if bought_back:
        enter(watch, Side.BUY, bought_back)
    found = judge_order(watch, order(Side.BUY, quantity))
    assert (f"order value over 5 at {NUMBER}" in found) is not is_exit


def test_buying_back_does_not_count_what_is_bought_of_another_symbol() -> None:
    watch = make_watch(position="-100", largest="5")
    other = enter(watch, Side.BUY, "40")
    other.view = replace(other.view, symbol="BOLT")
    assert judge_order(watch, order(Side.BUY, "100")) == []


def test_more_than_is_held_and_not_on_sale_already_is_oversold() -> None:
    watch = make_watch(position="100")
    enter(watch, Side.SELL, "70", filled="30")
    assert judge_order(watch, order(Side.SELL, "60")) == []
    assert judge_order(watch, order(Side.SELL, "61")) == [f"oversold ACME at {NUMBER}"]


def test_a_change_to_more_than_is_held_is_oversold() -> None:
    watch = make_watch(position="60")  # 100 before 40 of them were sold
    old = enter(watch, Side.SELL, "70", filled="40")
    enter(watch, Side.SELL, "20", intent="c2")
    assert judge_replace(watch, order(Side.SELL, "80"), old) == []
    assert judge_replace(watch, order(Side.SELL, "81"), old) == [f"oversold ACME at {NUMBER}"]


def test_a_change_is_worth_what_may_still_fill() -> None:
    watch = make_watch(largest="500")
    old = enter(watch, Side.BUY, "60", filled="50")
    assert judge_replace(watch, order(Side.BUY, "100"), old) == []
    assert judge_replace(watch, order(Side.BUY, "101"), old) == [f"order value over 500 at {NUMBER}"]


def test_the_money_that_an_order_holds_back_may_be_spent_on_its_change() -> None:
    watch = make_watch(cash="10000")
    watch.book.accounts[NUMBER].positions["CORE"] = D(10_000)
    old = enter(watch, Side.BUY, "900")
    assert judge_replace(watch, order(Side.BUY, "1000"), old) == []
    assert judge_replace(watch, order(Side.BUY, "1001"), old) == [f"overspent at {NUMBER}"]


def test_a_repeat_adds_nothing_where_the_broker_knows_its_copy() -> None:
    watch = make_watch(position="0")  # all 100 have been sold by the copy whose answer was lost
    enter(watch, Side.SELL, "100", filled="100")
    assert judge_order(watch, order(Side.SELL, "100"), "c1") == []


def test_a_repeat_is_a_second_order_where_the_broker_cannot_tell() -> None:
    watch = make_watch(position="100", has_client_ids=False)
    enter(watch, Side.SELL, "100")
    assert judge_order(watch, order(Side.SELL, "100"), "c1") == [f"oversold ACME at {NUMBER}"]


@pytest.fixture
def account(db: None) -> BrokerAccount:
    user = User.objects.create_user("owner@example.com", "correct-horse-battery")
    connection = BrokerConnection.objects.create(
        user=user, broker="sim_d", kind="api_key", credentials=dump_credentials({"key_id": "k"})
    )
    return BrokerAccount.objects.create(
        id=HANDLE.account_id,
        user=user,
        connection=connection,
        broker="sim_d",
        environment="paper",
        broker_account_id=NUMBER,
    )


def book_order(account: BrokerAccount, held: HeldOrder, *, told_after: float) -> Order:
    """Write an order of the broker's into our books."""
    ours = Order.objects.create(
        user=account.user,
        account=account,
        client_order_id=held.intent,
        broker_order_id=held.id,
        symbol="ACME",
        side=str(held.view.side),
        order_type="limit",
        time_in_force="day",
        quantity=held.view.quantity,
        origin="api",
        status="accepted",
    )
    OrderEvent.objects.create(order=ours, at=START + timedelta(seconds=told_after), kind="adopted")
    return ours


@pytest.mark.parametrize(("told_after", "is_judged"), [(None, False), (99.0, False), (50.0, True)])
def test_a_sale_is_judged_by_a_bust_that_was_told_before_it_was_decided_on(
    account: BrokerAccount, told_after: float | None, is_judged: bool
) -> None:
    watch = make_watch()  # it held 10 until they were busted
    watch.world.time = 100.0
    bought = enter(watch, Side.BUY, "10", filled="10")
    watch.book.accounts[NUMBER].touched_by_hand.add("ACME")
    Execution.objects.create(
        order=book_order(account, bought, told_after=1.0),
        account=account,
        exec_id="X1",
        last_qty=D(10),
        last_px=D(10),
        transact_time=START,
        received_at=START,
        busted_at=None if told_after is None else START + timedelta(seconds=told_after),
    )
    assert bool(judge_order(watch, order(Side.SELL, "10"))) is is_judged


@pytest.mark.parametrize(("told_after", "is_judged"), [(None, False), (99.0, False), (50.0, True)])
def test_a_sale_is_judged_by_an_order_placed_by_hand_that_was_told_before(
    account: BrokerAccount, told_after: float | None, is_judged: bool
) -> None:
    watch = make_watch(position="10")
    watch.world.time = 100.0
    by_hand = enter(watch, Side.SELL, "10", intent="hand1")
    watch.book.accounts[NUMBER].touched_by_hand.add("ACME")
    if told_after is not None:
        book_order(account, by_hand, told_after=told_after)
    assert bool(judge_order(watch, order(Side.SELL, "10"))) is is_judged
