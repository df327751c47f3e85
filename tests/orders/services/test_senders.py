"""A killed sender: its claim is in doubt at once, and a living or foreign one keeps its lease."""

import subprocess
import sys

import pytest

from brokers.models import BrokerAccount
from orders.enums import OutboxStatus
from orders.models import Order, OutboxMessage
from orders.services.claim import claim_message
from orders.services.resolve import expire_leases, resolve_unknown
from orders.services.senders import is_gone, mark_of_this_process
from tests.orders.helpers import fresh, outbox, place
from tests.orders.scripted_broker import ScriptedBook
from tradeplatform.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def claimed(user: User, account: BrokerAccount, book: ScriptedBook) -> Order:
    order = place(user, account).order
    assert claim_message(outbox(order).pk, worker="test") is not None
    return order


def mark_of_dead_process() -> str:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return f"{mark_of_this_process().rpartition('/')[0]}/{ended.pid}"


def hold(order: Order, mark: str) -> None:
    OutboxMessage.objects.filter(order=order).update(lease_owner=f"7@{mark}")


def test_a_claim_names_itself_and_the_process_that_holds_it(claimed: Order) -> None:
    number, _, process = outbox(claimed).lease_owner.partition("@")
    assert number.isdigit()
    assert process == mark_of_this_process()


def test_the_claim_of_a_dead_process_is_in_doubt_long_before_its_lease_ends(claimed: Order) -> None:
    hold(claimed, mark_of_dead_process())
    assert expire_leases() == 1
    assert outbox(claimed).status == OutboxStatus.UNKNOWN
    assert outbox(claimed).problem == "The sender vanished."
    assert fresh(claimed).status == "unconfirmed"


def test_an_order_whose_sender_died_before_the_first_byte_is_not_sent_again_at_once(claimed: Order) -> None:
    hold(claimed, mark_of_dead_process())
    expire_leases()
    resolve_unknown(outbox(claimed).pk)
    assert outbox(claimed).status == OutboxStatus.UNKNOWN


def test_the_claim_of_a_living_process_is_left_alone(claimed: Order) -> None:
    assert expire_leases() == 0
    assert outbox(claimed).status == OutboxStatus.CLAIMED


@pytest.mark.parametrize("mark", ["elsewhere/1/999999999", "dispatcher@host:7", ""])
def test_a_process_that_cannot_be_judged_keeps_its_lease(claimed: Order, mark: str) -> None:
    assert not is_gone(mark)
    hold(claimed, mark)
    assert expire_leases() == 0
