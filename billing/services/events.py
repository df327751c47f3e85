"""Stripe's events: stored once, answered at once, worked on after the commit.

An event only says whom to look at. The look itself reads Stripe again, so a duplicate, a late or a reordered
event leads to the same state.
"""

from datetime import timedelta

import structlog
from django.db.models import F

from billing import stripe_client
from billing.models import StripeEvent
from billing.services.customers import sync_customer
from billing.stripe_objects import EventNotice
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import NotFoundError, PlatformError
from tradeplatform.common.prepared import insert_row
from tradeplatform.common.tasks import enqueue_on_commit

logger = structlog.get_logger(__name__)

MAX_ATTEMPTS = 12
FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(hours=2)
# A task normally takes an event at once; the sweep leaves it that long.
_HEAD_START = timedelta(seconds=2)
_BATCH = 50
_OURS = ("checkout.session.", "customer.subscription.", "invoice.", "charge.", "customer.deleted")


def record_event(notice: EventNotice) -> bool:
    """Store a verified event and queue the work on it; False when it is known already."""
    from billing.tasks import process_event as task

    now = utc_now()
    event = StripeEvent(
        event_id=notice.event_id,
        kind=notice.kind,
        object_id=notice.object_id,
        customer_stripe_id=notice.customer_id,
        created_at=notice.created_at,
        received_at=now,
        next_try_at=now + _HEAD_START,
    )
    # The unique id decides, also between two deliveries at one moment.
    is_new = insert_row(event, if_new=True)
    if is_new:
        enqueue_on_commit(task, event.pk)
    return is_new


def process_event(*, event_pk: int) -> StripeEvent.State:
    """Work on one stored event and return its state. Safe at any time, any number of times."""
    event = StripeEvent.objects.get(pk=event_pk)
    if event.state in (StripeEvent.State.DONE, StripeEvent.State.IGNORED):
        return StripeEvent.State(event.state)
    try:
        state = _work_on(event)
    except PlatformError as error:
        return _put_off(event, error.message, code=error.code)
    except Exception as error:
        # An object that we cannot read must not hold up the events behind it.
        logger.exception("stripe_event_unreadable", stripe_event=event.event_id)
        return _put_off(
            event, f"Stripe's answer could not be read: {type(error).__name__}.", code="unreadable"
        )
    now = utc_now()
    StripeEvent.objects.filter(pk=event.pk).update(
        state=state, done_at=now, problem="", attempts=F("attempts") + 1
    )
    logger.info("stripe_event_processed", event_kind=event.kind, stripe_event=event.event_id, state=state)
    return state


def _work_on(event: StripeEvent) -> StripeEvent.State:
    """Read the customer that the event is about from Stripe again."""
    if not event.kind.startswith(_OURS):
        return StripeEvent.State.IGNORED
    customer = _customer_of(event)
    if customer and sync_customer(stripe_id=customer) is not None:
        return StripeEvent.State.DONE
    return StripeEvent.State.IGNORED


def _customer_of(event: StripeEvent) -> str:
    """Return whom an event is about. A dispute names its charge only, which names the customer."""
    if event.customer_stripe_id or not event.kind.startswith("charge.dispute."):
        return event.customer_stripe_id
    return stripe_client.customer_of_dispute(event.object_id)


def _put_off(event: StripeEvent, problem: str, *, code: str) -> StripeEvent.State:
    attempts = event.attempts + 1
    state = StripeEvent.State.GIVEN_UP if attempts >= MAX_ATTEMPTS else StripeEvent.State.FAILED
    wait = min(FIRST_WAIT * 2 ** (attempts - 1), LONGEST_WAIT)
    StripeEvent.objects.filter(pk=event.pk).update(
        state=state, attempts=attempts, next_try_at=utc_now() + wait, problem=problem[:300]
    )
    logger.warning("stripe_event_failed", stripe_event=event.event_id, code=code, attempts=attempts)
    return state


def process_waiting_events() -> int:
    """Work on events whose task was lost or failed; return how many were taken."""
    due = StripeEvent.objects.filter(
        state__in=[StripeEvent.State.WAITING, StripeEvent.State.FAILED], next_try_at__lte=utc_now()
    ).order_by("received_at")
    taken = list(due.values_list("pk", flat=True)[:_BATCH])
    for event_pk in taken:
        process_event(event_pk=event_pk)
    return len(taken)


def replay_event(*, event_pk: int, actor: str) -> StripeEvent.State:
    """Work on an event again, whatever its state: it can only bring our record up to Stripe's."""
    if not StripeEvent.objects.filter(pk=event_pk).exists():
        raise NotFoundError("There is no such event.")
    StripeEvent.objects.filter(pk=event_pk).update(state=StripeEvent.State.WAITING, attempts=0)
    record_audit(actor=actor, action="stripe_event_replayed", object_type="stripe_event", object_id=event_pk)
    return process_event(event_pk=event_pk)
