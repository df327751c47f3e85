"""What a subscription amounts to at a moment. Pure: no database, no network, no clock.

Everything follows from Stripe's present state and the time, never from the order in which events arrived.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

GRACE = timedelta(hours=72)
"""How long a plan goes on after a payment failed; also how long a renewal may stay unheard of."""

GRACE_WARNING = timedelta(hours=24)
TRIAL_WARNING = timedelta(days=3)


class Stage(StrEnum):
    """Where a person stands. The first five give the plan, the others give the default plan."""

    GRANTED = "granted"
    TRIAL = "trial"
    ACTIVE = "active"
    ENDING = "ending"
    PAST_DUE = "past_due"
    LAPSED = "lapsed"
    CANCELED = "canceled"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    INCOMPLETE = "incomplete"
    NONE = "none"


GIVING = frozenset({Stage.GRANTED, Stage.TRIAL, Stage.ACTIVE, Stage.ENDING, Stage.PAST_DUE})
WITHDRAWN = frozenset({Stage.LAPSED, Stage.CANCELED, Stage.REFUNDED, Stage.DISPUTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionState:
    """What decides, as Stripe tells it. `status` is Stripe's word; `ends_at` a cancellation on record."""

    status: str
    current_period_end: datetime | None = None
    trial_end: datetime | None = None
    ends_at: datetime | None = None
    ended_at: datetime | None = None
    past_due_since: datetime | None = None
    ended_by_failed_payment: bool = False
    is_refunded: bool = False
    is_disputed: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """`until` is when the stage ends by itself (a giving one) or when it began (an ended one), if known."""

    stage: Stage
    until: datetime | None = None

    @property
    def gives_plan(self) -> bool:
        return self.stage in GIVING


def standing_of(state: SubscriptionState, now: datetime) -> Standing:
    """Return what a subscription amounts to at `now`.

    Money that went back or is disputed ends the plan before anything else is asked. A status that we do
    not know gives nothing: exits need no plan.
    """
    if state.status in ("incomplete", "incomplete_expired"):
        return Standing(Stage.INCOMPLETE)
    if state.is_disputed:
        return Standing(Stage.DISPUTED)
    if state.is_refunded:
        return Standing(Stage.REFUNDED)
    if state.status == "canceled" or state.ended_at is not None:
        return Standing(Stage.LAPSED if state.ended_by_failed_payment else Stage.CANCELED, state.ended_at)
    if state.ends_at is not None and state.ends_at <= now:
        return Standing(Stage.CANCELED, state.ends_at)
    if state.status == "past_due":
        return _past_due(state, now)
    if state.status in ("active", "trialing"):
        return _running(state, now)
    return Standing(Stage.LAPSED, state.past_due_since)


def _past_due(state: SubscriptionState, now: datetime) -> Standing:
    if state.past_due_since is None:
        return Standing(Stage.LAPSED)
    until = state.past_due_since + GRACE
    return Standing(Stage.PAST_DUE if now < until else Stage.LAPSED, until)


def _running(state: SubscriptionState, now: datetime) -> Standing:
    period_end = state.trial_end if state.status == "trialing" else state.current_period_end
    if state.ends_at is not None:
        return Standing(Stage.ENDING, state.ends_at)
    if period_end is not None and now >= period_end + GRACE:
        return Standing(Stage.LAPSED, period_end + GRACE)
    return Standing(Stage.TRIAL if state.status == "trialing" else Stage.ACTIVE, period_end)


class NoticeKind(StrEnum):
    """What a person is told by e-mail."""

    TRIAL_ENDING = "trial_ending"
    PAYMENT_FAILED = "payment_failed"
    GRACE_ENDING = "grace_ending"
    LAPSED = "lapsed"
    CANCELED = "canceled"
    ENDED = "ended"
    REFUNDED = "refunded"
    DISPUTED = "disputed"


_ON_ARRIVAL = {
    Stage.PAST_DUE: NoticeKind.PAYMENT_FAILED,
    Stage.ENDING: NoticeKind.CANCELED,
    Stage.LAPSED: NoticeKind.LAPSED,
    Stage.CANCELED: NoticeKind.ENDED,
    Stage.REFUNDED: NoticeKind.REFUNDED,
    Stage.DISPUTED: NoticeKind.DISPUTED,
}


def notices_due(before: Stage | None, standing: Standing, now: datetime) -> Iterator[NoticeKind]:
    """Yield what a person is owed an e-mail about, given the stage known before (None: never seen).

    Whoever stores them keeps each only once per subscription and invoice. A subscription that was over when
    it was first seen is no news.
    """
    is_old_news = before is None and standing.stage in (Stage.LAPSED, Stage.CANCELED)
    if standing.stage != before and not is_old_news and (kind := _ON_ARRIVAL.get(standing.stage)):
        yield kind
    if standing.until is None:
        return
    if standing.stage is Stage.PAST_DUE and now >= standing.until - GRACE_WARNING:
        yield NoticeKind.GRACE_ENDING
    if standing.stage is Stage.TRIAL and now >= standing.until - TRIAL_WARNING:
        yield NoticeKind.TRIAL_ENDING
