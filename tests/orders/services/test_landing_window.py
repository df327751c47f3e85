"""How late an order may land at a broker, learned from those that were in doubt."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from brokers.exceptions import OutcomeUnknown
from brokers.models import BrokerAccount
from orders.models import OutboxMessage
from orders.services.landing_window import LONGEST_WINDOW, SHORTEST_WINDOW, landing_window
from orders.services.resolve import resolve_unknown
from tests.orders.conftest import make_account
from tests.orders.helpers import fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedBook
from tradeplatform.models import User

pytestmark = pytest.mark.django_db

Land = Callable[[float], OutboxMessage]


@pytest.fixture
def land(user: User, account: BrokerAccount, book: ScriptedBook) -> Land:
    """Lose the answer to an order that the broker enters so many seconds after it was sent, then find it."""

    def settle(seconds: float) -> OutboxMessage:
        book.raise_next(OutcomeUnknown("504"), after=True)
        order = place(user, account, key=f"after-{seconds}").order
        send(order)
        past = timezone.now() - timedelta(minutes=5)
        OutboxMessage.objects.filter(order=order).update(sent_at=past, unknown_since=past, not_before=past)
        for key, held in book.orders.items():
            book.orders[key] = replace(held, submitted_at=past + timedelta(seconds=seconds))
        assert resolve_unknown(outbox(order).pk) is True
        assert fresh(order).status == "accepted"
        return outbox(order)

    return settle


def test_nothing_learned_means_sixty_seconds(account: BrokerAccount) -> None:
    assert landing_window(account) == SHORTEST_WINDOW == timedelta(seconds=60)


@pytest.mark.parametrize(
    ("seconds", "stored", "window"),
    [
        (-1, None, 60),
        (0, None, 60),
        (12, 12_000, 60),
        (31.5, 31_500, 63),
        (60, 60_000, 75),
        (10 * 365 * 86_400, 75_000, 75),
    ],
)
def test_twice_the_longest_delay_counts_within_bounds(
    land: Land, account: BrokerAccount, seconds: float, stored: int | None, window: int
) -> None:
    assert land(seconds).landed_after_ms == stored
    assert landing_window(account) == timedelta(seconds=window) <= LONGEST_WINDOW


def test_old_delays_and_those_of_other_environments_do_not_count(
    land: Land, user: User, account: BrokerAccount
) -> None:
    message = land(35)
    assert landing_window(make_account(user, environment="live", number="L1")) == SHORTEST_WINDOW
    assert landing_window(make_account(user, number="S2")) == timedelta(seconds=70)
    OutboxMessage.objects.filter(pk=message.pk).update(done_at=timezone.now() - timedelta(days=31))
    assert landing_window(account) == SHORTEST_WINDOW
