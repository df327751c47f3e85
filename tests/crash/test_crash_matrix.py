"""Every commit and every call to the broker, died at before, during and after, with both broker classes.

After each death the platform restarts, whoever was at work tries again, and the story goes on. At its end
the broker's private book and ours must agree, and nothing may have been sent twice.
"""

from collections import Counter
from decimal import Decimal

import pytest

from brokers.enums import BrokerOrderStatus, DedupeClass
from brokers.models import BrokerAccount
from orders.models import Execution, IdempotencyRecord, Order
from portfolios.models import Portfolio, Position
from tests.crash.points import TIMINGS, Crash, Points, armed, forget_open_transaction
from tests.crash.story import Story, StoryClock
from tests.orders.conftest import *  # noqa: F403 - the scripted broker and its fixtures
from tests.orders.conftest import make_account
from tests.orders.scripted_broker import BOOK
from tradeplatform.common.clock import use_clock
from tradeplatform.models import User

pytestmark = pytest.mark.django_db(transaction=True)

# How many points the story passes. A new commit or call on the path of an order must be added here.
POINTS = {DedupeClass.D: 44, DedupeClass.N: 42}
CASES = [
    pytest.param(dedupe, number, timing, id=f"{dedupe}-{number}-{timing}")
    for dedupe, count in POINTS.items()
    for number in range(count)
    for timing in TIMINGS
]


@pytest.fixture
def story(user: User) -> Story:
    return Story(user=user, account=make_account(user), clock=StoryClock())


def tell(story: Story, points: Points) -> None:
    """Run the story to its end, dying once on the way if the points say so."""
    with use_clock(story.clock):
        for name, step in story.steps():
            points.step = name
            try:
                with armed(points):
                    step()
            except Crash:
                forget_open_transaction()
                story.recover()
                step()
        story.recover()


@pytest.mark.parametrize("dedupe", list(DedupeClass))
def test_the_story_without_a_death(story: Story, dedupe: DedupeClass) -> None:
    BOOK.dedupe = dedupe
    points = Points()
    tell(story, points)
    check(story)
    first, second = story.order("first"), story.order("second")
    assert first is not None
    assert second is not None
    assert (first.status, first.cum_qty, second.status) == ("filled", Decimal(80), "canceled")
    assert len(points.names) == POINTS[dedupe], points.names


@pytest.mark.parametrize(("dedupe", "number", "timing"), CASES)
def test_a_death_at_every_point(story: Story, dedupe: DedupeClass, number: int, timing: str) -> None:
    BOOK.dedupe = dedupe
    points = Points(die_at=number, timing=timing)
    tell(story, points)
    assert points.has_died, "the story ended before this point"
    check(story)


def test_the_matrix_is_as_large_as_promised() -> None:
    assert len(CASES) >= 240


def check(story: Story) -> None:
    """Compare the broker's private book with ours, order by order, fill by fill, cent by cent."""
    assert all(count == 1 for count in Counter(key for key in BOOK.by_client_id).values())
    live = {key: one for key, one in BOOK.orders.items() if one.status is not BrokerOrderStatus.REPLACED}
    intents = Order.objects.filter(origin="api")
    assert len(live) <= intents.count()
    assert IdempotencyRecord.objects.count() == intents.count()
    if BOOK.dedupe is DedupeClass.N:
        assert max(Counter(BOOK.posts).values(), default=0) <= 1
    for key, theirs in live.items():
        ours = Order.objects.get(account=story.account, broker_order_id=key)
        assert ours.cum_qty == sum_fills(ours)
        assert (ours.status in ("filled", "canceled")) == (
            theirs.status in (BrokerOrderStatus.FILLED, BrokerOrderStatus.CANCELED)
        )
    for order in intents.exclude(broker_order_id__in=list(live)):
        is_doubtful = order.status == "unconfirmed" and order.needs_person_at is not None
        assert is_doubtful or order.status in ("denied", "not_sent"), order.status
    assert {one.exec_id for one in BOOK.executions} == set(
        Execution.objects.filter(account=story.account).values_list("exec_id", flat=True)
    )
    check_money(story.account)


def sum_fills(order: Order) -> Decimal:
    return sum((one.last_qty for one in BOOK.executions if one.symbol == order.symbol), Decimal(0))


def check_money(account: BrokerAccount) -> None:
    spent = sum((one.last_qty * one.last_px for one in BOOK.executions), Decimal(0))
    shares = sum((one.last_qty for one in BOOK.executions), Decimal(0))
    portfolio = Portfolio.objects.get(account=account)
    held = sum((row.quantity for row in Position.objects.filter(portfolio=portfolio)), Decimal(0))
    assert (portfolio.cash, held) == (Decimal(100000) - spent, shares)
