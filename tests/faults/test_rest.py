"""The judge at rest: what is over at the broker is over here, whatever was annulled meanwhile."""

from decimal import Decimal
from uuid import uuid4

import pytest

from benchmarks.faults.book import Book, HeldOrder
from benchmarks.faults.oracle import Violations
from benchmarks.faults.rest import RestChecks
from benchmarks.faults.workload import Workload
from benchmarks.faults.world import World
from brokers.enums import OrderType, Side, TimeInForce
from brokers.models import BrokerAccount, BrokerConnection
from brokers.types import OrderRequest, ReplaceRequest
from orders.models import Execution, Order
from tradeplatform.models import User

pytestmark = pytest.mark.django_db
TEN = Decimal(10)


class Stage:
    """A broker's book with one order, and the platform's row of it."""

    def __init__(self) -> None:
        self.world = World(1)
        self.book = Book(self.world, has_client_ids=True)
        self.book.open_account("A", cash=Decimal(100_000))
        user = User.objects.create_user("owner@example.com", "correct-horse-battery")
        link = BrokerConnection.objects.create(user=user, broker="sim_d", kind="api_key")
        self.account = BrokerAccount.objects.create(
            user=user, connection=link, broker="sim_d", environment="paper", broker_account_id="A", label="A"
        )
        request = OrderRequest(
            symbol="ACME",
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.DAY,
            quantity=TEN,
            limit_price=TEN,
        )
        self.held = self.book._hold("A", request, "ours")
        self.ours = Order.objects.create(
            id=uuid4(),
            user=user,
            account=self.account,
            client_order_id="ours",
            broker_order_id=self.held.id,
            symbol="ACME",
            side="buy",
            order_type="limit",
            time_in_force="day",
            quantity=TEN,
            status="accepted",
            origin="external",
        )

    def fill(self, held: HeldOrder, quantity: int) -> None:
        self.book._fill(held, Decimal(quantity))

    def bust_last(self, held: HeldOrder) -> None:
        self.book._bust(held, self.book.accounts["A"].executions[-1])

    def replace(self) -> HeldOrder:
        view = self.book.replace(self.held.id, ReplaceRequest(limit_price=Decimal(9)), "ours-2")
        return self.book.orders[view.broker_order_id]

    def count(self, held: HeldOrder, number: int, quantity: int) -> None:
        Execution.objects.create(
            order=self.ours,
            account=self.account,
            exec_id=held.executions[number],
            last_qty=Decimal(quantity),
            last_px=TEN,
            transact_time=self.world.now(),
        )

    def judge(self, status: str, cum_qty: int, held: HeldOrder | None = None) -> list[str]:
        names = {"broker_order_id": (held or self.held).id, "status": status, "cum_qty": cum_qty}
        Order.objects.filter(pk=self.ours.pk).update(**names)
        violations = Violations()
        workload = Workload(world=self.world, book=self.book, watch=None, broker="sim_d", wanted=1)  # type: ignore[arg-type]
        RestChecks(self.world, self.book, workload, violations).run()
        return [one for one in violations.examples if "state differs" in one]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_an_order_that_is_filled_there_with_an_annulled_fill_may_not_stay_open_here(stage: Stage) -> None:
    stage.fill(stage.held, 10)
    stage.bust_last(stage.held)
    assert "open at one place only" in stage.judge("accepted", 0)[0]
    assert stage.judge("canceled", 0) == []


def test_the_total_is_what_really_filled_not_what_a_replacing_order_goes_on_counting(stage: Stage) -> None:
    stage.fill(stage.held, 4)
    new = stage.replace()
    stage.bust_last(stage.held)
    stage.fill(new, 6)
    assert new.view.cum_qty == TEN
    assert "open at one place only" in stage.judge("partially_filled", 6, new)[0]
    assert "it must be 6" in stage.judge("filled", 10, new)[0]
    assert stage.judge("canceled", 6, new) == []


def test_a_fill_whose_bust_was_never_told_still_counts_here(stage: Stage) -> None:
    stage.fill(stage.held, 10)
    stage.count(stage.held, 0, 10)
    stage.bust_last(stage.held)
    assert stage.judge("filled", 10) == []
    Execution.objects.update(busted_at=stage.world.now())
    assert "it must be 0" in stage.judge("filled", 10)[0]


def test_without_a_bust_the_state_must_be_the_same(stage: Stage) -> None:
    stage.fill(stage.held, 10)
    assert "another state" in stage.judge("canceled", 10)[0]
    assert stage.judge("filled", 10) == []
