"""Our record of subscriptions against Stripe's own, customer by customer.

Webhooks may be lost for good; this finds what they would have told. Differences are kept, and Stripe's side
is taken over: money that was or was not paid is a fact of theirs.
"""

from collections.abc import Iterator

import structlog

from billing import stripe_client
from billing.exceptions import StripeObjectMissing
from billing.models import Customer, StripeDifference, Subscription
from billing.services.customers import sync_customer
from tradeplatform.common.clock import utc_now

logger = structlog.get_logger(__name__)

_COMPARED = (
    "status",
    "plan_id",
    "price_id",
    "current_period_end",
    "trial_end",
    "ends_at",
    "ended_at",
    "past_due_since",
    "is_refunded",
    "is_disputed",
)
Row = dict[str, str]


def compare_with_stripe() -> list[StripeDifference]:
    """Look at every customer that either side knows; return the differences found, which are stored."""
    theirs = set(stripe_client.list_customer_ids())
    ours = set(Customer.objects.exclude(stripe_id=None).values_list("stripe_id", flat=True))
    found: list[StripeDifference] = []
    for stripe_id in sorted(filter(None, ours)):
        found += _compare_customer(stripe_id)
    found += [_foreign(stripe_id) for stripe_id in sorted(theirs - ours)]
    StripeDifference.objects.bulk_create(found)
    logger.info("stripe_compared", customers=len(ours), differences=len(found))
    return found


def _compare_customer(stripe_id: str) -> list[StripeDifference]:
    before = _rows(stripe_id)
    try:
        customer = sync_customer(stripe_id=stripe_id)
    except StripeObjectMissing:
        # Another Stripe account's key, or data that was deleted there: a person has to look.
        return [StripeDifference(subject=stripe_id, field="customer", ours="known", theirs="missing")]
    after = _rows(stripe_id)
    return [
        StripeDifference(
            subject=subject,
            user=customer.user if customer else None,
            field=field,
            ours=ours[:120],
            theirs=theirs[:120],
            corrected_at=utc_now(),
        )
        for subject, field, ours, theirs in _differences(before, after)
    ]


def _differences(before: dict[str, Row], after: dict[str, Row]) -> Iterator[tuple[str, str, str, str]]:
    for subject, row in after.items():
        known = before.get(subject)
        if known is None:
            yield subject, "subscription", "unknown", row["status"]
            continue
        for field in _COMPARED:
            if known[field] != row[field]:
                yield subject, field, known[field], row[field]


def _rows(stripe_id: str) -> dict[str, Row]:
    rows = Subscription.objects.filter(customer__stripe_id=stripe_id).values("stripe_id", *_COMPARED)
    return {
        row["stripe_id"]: {name: "" if row[name] is None else str(row[name]) for name in _COMPARED}
        for row in rows
    }


def _foreign(stripe_id: str) -> StripeDifference:
    """A customer at Stripe whom we do not know: the Stripe account may serve other sites too."""
    return StripeDifference(subject=stripe_id, field="customer", ours="unknown", theirs="has subscriptions")
