"""Takes one safeguard out of the real code, to show that the campaign notices."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from unittest.mock import patch

from django.db import transaction

MUTATIONS = ("fence", "lease", "unique_key", "commit_before_send")


@contextmanager
def apply_mutation(name: str) -> Iterator[None]:
    """Run the block with the named safeguard removed; "" removes nothing."""
    if not name:
        yield
        return
    with _MUTATORS[name]():
        yield


@contextmanager
def _without_fence() -> Iterator[None]:
    """A sender sends and writes whether or not the row is still its own."""
    from orders.models import OutboxMessage
    from orders.services import claimed_row, submit

    def update_row(claim: Any, **values: object) -> bool:
        return bool(OutboxMessage.objects.filter(pk=claim.message.pk).update(**values))

    def finish_row(claim: Any, *, at: datetime, problem: str = "") -> bool:
        return update_row(claim, status="done", done_at=at, problem=problem[:300])

    with (
        patch.object(claimed_row, "_update_row", update_row),
        patch.object(claimed_row, "finish_row", finish_row),
        patch.object(submit, "finish_row", finish_row),
        patch.object(submit, "still_ours", lambda _: True),
    ):
        yield


@contextmanager
def _without_lease() -> Iterator[None]:
    """A claim is for ever: nobody notices that its owner is gone."""
    from orders import dispatcher

    original = dispatcher.OrderDispatcher.__init__

    def init(self: Any, **kwargs: Any) -> None:
        original(self, **kwargs)
        self.timers = [timer for timer in self.timers if timer.work is not dispatcher.expire_leases]

    with patch.object(dispatcher.OrderDispatcher, "__init__", init):
        yield


@contextmanager
def _without_unique_key() -> Iterator[None]:
    """The idempotency key is stored but never looked at: every press is a new order."""
    from orders.models import IdempotencyRecord
    from orders.services import place

    def claim_key(*, user: Any, key: str, body_hash: str) -> tuple[Any, bool]:
        number = IdempotencyRecord.objects.count()
        return (
            IdempotencyRecord.objects.create(user=user, key=f"{key[:60]}#{number}", body_hash=body_hash),
            True,
        )

    with patch.object(place, "claim_key", claim_key), patch.object(place, "find_answer", lambda **_: None):
        yield


@contextmanager
def _without_commit_before_send() -> Iterator[None]:
    """The claim and the send share one transaction: the bytes leave before SUBMITTING is durable."""
    from benchmarks.faults import campaign
    from orders import dispatcher
    from orders.services import submit

    original = submit.claim_and_send

    def claim_and_send(outbox_id: int, *, worker: str) -> bool:
        with transaction.atomic():
            return original(outbox_id, worker=worker)

    with (
        patch.object(dispatcher, "claim_and_send", claim_and_send),
        patch.object(campaign, "claim_and_send", claim_and_send),
    ):
        yield


_MUTATORS: dict[str, Callable[[], Any]] = {
    "fence": _without_fence,
    "lease": _without_lease,
    "unique_key": _without_unique_key,
    "commit_before_send": _without_commit_before_send,
}
