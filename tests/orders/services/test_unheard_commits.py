"""Commits that fail or go through unheard: a sender that knows more than its row says so."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import OperationalError, connection

from brokers.enums import DedupeClass
from brokers.exceptions import NotSent, Rejected
from brokers.models import BrokerAccount
from orders.enums import OutboxStatus
from orders.models import Order, OutboxMessage
from orders.services import submit
from orders.services.claim import claim_message
from orders.services.resolve import expire_leases
from orders.services.submit import claim_and_send
from tests.orders.helpers import fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedBook
from tests.orders.services.test_doubt import let_lease_lapse
from tradeplatform.models import User

pytestmark = pytest.mark.django_db(transaction=True)

FAILED, UNHEARD = "failed", "unheard"


@dataclass
class Commits:
    """What becomes of the next commits, and what happens right after one that goes wrong."""

    plan: list[str] = field(default_factory=list)
    then: Callable[[], object] = lambda: None

    def after_send(self, kind: str, error: Exception | None = None) -> Callable[[], None]:
        """Return what the broker does: the commit that stores its answer is of this kind."""

        def answer() -> None:
            self.plan = [kind]
            if error is not None:
                raise error

        return answer


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> Commits:
    planned = Commits()
    commit = connection.commit

    def maybe_commit() -> None:
        kind = planned.plan.pop(0) if planned.plan else ""
        if kind != FAILED:
            commit()
        if kind:
            raise OperationalError("the connection to the database was lost")

    def close_and_go_on() -> None:
        planned.then()

    monkeypatch.setattr(connection, "commit", maybe_commit)
    monkeypatch.setattr(submit, "close_old_connections", close_and_go_on)
    return planned


@pytest.fixture(params=list(DedupeClass))
def order(request: pytest.FixtureRequest, user: User, account: BrokerAccount, book: ScriptedBook) -> Order:
    book.dedupe = request.param
    return place(user, account).order


def make_due(order: Order) -> None:
    message = outbox(order)
    OutboxMessage.objects.filter(pk=message.pk).update(not_before=message.created_at)


@pytest.mark.parametrize("kind", [FAILED, UNHEARD])
def test_an_order_whose_claim_is_in_doubt_goes_back_and_is_sent_once(
    order: Order, book: ScriptedBook, commits: Commits, kind: str
) -> None:
    commits.plan = [kind]
    assert not send(order)
    assert book.posts == []
    assert (outbox(order).status, fresh(order).status) == (OutboxStatus.READY, "queued")
    make_due(order)
    assert send(order)
    assert fresh(order).status == "accepted"
    assert book.posts == [order.client_order_id]


def test_a_claim_in_doubt_leaves_alone_what_another_sender_has_claimed(
    order: Order, book: ScriptedBook, commits: Commits
) -> None:
    """The failed claim's fence was given out again: the rival's row looks the same but for its owner."""
    claims: list[Any] = []
    commits.plan = [FAILED]
    commits.then = lambda: claims.append(claim_message(outbox(order).pk, worker="rival"))
    assert not send(order)
    assert claims[0].fence == outbox(order).fence
    assert (outbox(order).status, fresh(order).status) == (OutboxStatus.CLAIMED, "submitting")


def test_a_claim_in_doubt_does_not_end_the_doubt_about_another_sender(
    order: Order, book: ScriptedBook, commits: Commits
) -> None:
    def claim_and_vanish() -> None:
        assert claim_message(outbox(order).pk, worker="rival") is not None
        let_lease_lapse(order)

    commits.plan = [FAILED]
    commits.then = claim_and_vanish
    assert not send(order)
    assert (outbox(order).status, fresh(order).status) == (OutboxStatus.UNKNOWN, "unconfirmed")


def test_a_claim_that_nobody_could_take_back_is_in_doubt_once_its_lease_is_over(
    order: Order, book: ScriptedBook, commits: Commits
) -> None:
    commits.plan = [UNHEARD, FAILED]
    with pytest.raises(OperationalError):
        send(order)
    assert expire_leases() == 0
    let_lease_lapse(order)
    assert book.posts == []


def test_a_sender_that_fails_before_it_sends_puts_the_row_back(
    order: Order, book: ScriptedBook, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> float:
        raise OperationalError("the connection to the database was lost")

    with monkeypatch.context() as patch:
        patch.setattr(submit, "take_token", fail)
        assert not send(order)
    assert (outbox(order).status, fresh(order).status) == (OutboxStatus.READY, "queued")
    make_due(order)
    assert send(order)
    assert book.posts == [order.client_order_id]


def test_a_sender_that_has_lost_its_claim_says_that_nothing_left(
    order: Order, book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    still_ours = submit.still_ours

    def lose(claim: Any) -> bool:
        let_lease_lapse(order)
        return still_ours(claim)

    monkeypatch.setattr(submit, "still_ours", lose)
    assert not send(order)
    assert (outbox(order).status, fresh(order).status) == (OutboxStatus.DROPPED, "not_sent")
    assert book.posts == []


@pytest.mark.parametrize("kind", [FAILED, UNHEARD])
def test_an_answer_whose_commit_goes_wrong_is_stored_all_the_same(
    order: Order, book: ScriptedBook, commits: Commits, kind: str
) -> None:
    book.before.append(commits.after_send(kind))
    assert send(order)
    assert (outbox(order).status, fresh(order).status) == (OutboxStatus.DONE, "accepted")
    kinds = [event.kind for event in order.journal.all()]
    assert kinds == ["placed", "claimed", "accepted"]


@pytest.mark.parametrize(
    ("error", "row", "status"),
    [
        (NotSent("connection refused"), OutboxStatus.READY, "queued"),
        (Rejected("insufficient buying power"), OutboxStatus.DONE, "rejected"),
    ],
)
@pytest.mark.parametrize("kind", [FAILED, UNHEARD])
def test_what_was_proven_is_stored_all_the_same(
    order: Order,
    book: ScriptedBook,
    commits: Commits,
    kind: str,
    error: Exception,
    row: OutboxStatus,
    status: str,
) -> None:
    book.before.append(commits.after_send(kind, error))
    assert send(order)
    assert (outbox(order).status, fresh(order).status) == (row, status)


def test_a_row_put_back_unheard_is_not_put_back_again_from_under_the_next_sender(
    order: Order, book: ScriptedBook, commits: Commits
) -> None:
    def claim_again() -> None:
        make_due(order)
        assert claim_message(outbox(order).pk, worker="rival") is not None

    book.before.append(commits.after_send(UNHEARD, NotSent("connection refused")))
    commits.then = claim_again
    claim_and_send(outbox(order).pk, worker="test")
    assert (outbox(order).status, fresh(order).status) == (OutboxStatus.CLAIMED, "submitting")
