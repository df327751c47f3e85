"""What a subscription amounts to, as a table written by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from billing.life_cycle import NoticeKind, Stage, Standing, SubscriptionState, notices_due, standing_of

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def state(status: str = "active", **values) -> SubscriptionState:
    return SubscriptionState(status=status, **{"current_period_end": NOW + 10 * DAY, **values})


TABLE = [
    # status, what else Stripe says, stage, until
    ("active", {}, Stage.ACTIVE, NOW + 10 * DAY),
    ("active", {"ends_at": NOW + 10 * DAY}, Stage.ENDING, NOW + 10 * DAY),
    ("active", {"ends_at": NOW}, Stage.CANCELED, NOW),
    ("active", {"ends_at": NOW + timedelta(seconds=1)}, Stage.ENDING, NOW + timedelta(seconds=1)),
    ("active", {"current_period_end": NOW - 71 * HOUR}, Stage.ACTIVE, NOW - 71 * HOUR),
    ("active", {"current_period_end": NOW - 72 * HOUR}, Stage.LAPSED, NOW),
    ("active", {"is_refunded": True}, Stage.REFUNDED, None),
    ("active", {"is_disputed": True}, Stage.DISPUTED, None),
    ("active", {"is_disputed": True, "is_refunded": True}, Stage.DISPUTED, None),
    ("trialing", {"trial_end": NOW + 3 * DAY}, Stage.TRIAL, NOW + 3 * DAY),
    ("trialing", {"trial_end": NOW + DAY, "ends_at": NOW + DAY}, Stage.ENDING, NOW + DAY),
    ("trialing", {"trial_end": NOW - 72 * HOUR}, Stage.LAPSED, NOW),
    ("past_due", {"past_due_since": NOW}, Stage.PAST_DUE, NOW + 72 * HOUR),
    ("past_due", {"past_due_since": NOW - 71 * HOUR}, Stage.PAST_DUE, NOW + HOUR),
    ("past_due", {"past_due_since": NOW - 72 * HOUR}, Stage.LAPSED, NOW),
    ("past_due", {}, Stage.LAPSED, None),
    ("past_due", {"past_due_since": NOW, "ends_at": NOW - HOUR}, Stage.CANCELED, NOW - HOUR),
    ("past_due", {"past_due_since": NOW, "is_disputed": True}, Stage.DISPUTED, None),
    ("unpaid", {"past_due_since": NOW - 80 * HOUR}, Stage.LAPSED, NOW - 80 * HOUR),
    ("paused", {}, Stage.LAPSED, None),
    ("canceled", {"ended_at": NOW - DAY}, Stage.CANCELED, NOW - DAY),
    ("canceled", {"ended_at": NOW - DAY, "ended_by_failed_payment": True}, Stage.LAPSED, NOW - DAY),
    ("canceled", {"ended_at": NOW - DAY, "is_refunded": True}, Stage.REFUNDED, None),
    ("incomplete", {}, Stage.INCOMPLETE, None),
    ("incomplete_expired", {"ended_at": NOW}, Stage.INCOMPLETE, None),
    ("a word of next year", {}, Stage.LAPSED, None),
]


@pytest.mark.parametrize(("status", "values", "stage", "until"), TABLE)
def test_what_a_subscription_amounts_to(status, values, stage, until):
    assert standing_of(state(status, **values), NOW) == Standing(stage, until)


@pytest.mark.parametrize("stage", Stage)
def test_only_these_stages_give_the_plan(stage):
    giving = {"granted", "trial", "active", "ending", "past_due"}

    assert Standing(stage).gives_plan is (stage.value in giving)


@pytest.mark.parametrize(
    ("before", "standing", "kinds"),
    [
        (None, Standing(Stage.ACTIVE, NOW + DAY), []),
        (Stage.ACTIVE, Standing(Stage.PAST_DUE, NOW + 72 * HOUR), [NoticeKind.PAYMENT_FAILED]),
        (Stage.PAST_DUE, Standing(Stage.PAST_DUE, NOW + 25 * HOUR), []),
        (Stage.PAST_DUE, Standing(Stage.PAST_DUE, NOW + 24 * HOUR), [NoticeKind.GRACE_ENDING]),
        (Stage.PAST_DUE, Standing(Stage.LAPSED, NOW), [NoticeKind.LAPSED]),
        (Stage.LAPSED, Standing(Stage.LAPSED, NOW), []),
        (Stage.ACTIVE, Standing(Stage.ENDING, NOW + DAY), [NoticeKind.CANCELED]),
        (Stage.ENDING, Standing(Stage.CANCELED, NOW), [NoticeKind.ENDED]),
        (Stage.ACTIVE, Standing(Stage.REFUNDED), [NoticeKind.REFUNDED]),
        (Stage.ACTIVE, Standing(Stage.DISPUTED), [NoticeKind.DISPUTED]),
        (None, Standing(Stage.DISPUTED), [NoticeKind.DISPUTED]),
        (None, Standing(Stage.CANCELED, NOW - 400 * DAY), []),
        (None, Standing(Stage.LAPSED, NOW - 400 * DAY), []),
        (None, Standing(Stage.TRIAL, NOW + 10 * DAY), []),
        (Stage.TRIAL, Standing(Stage.TRIAL, NOW + 3 * DAY), [NoticeKind.TRIAL_ENDING]),
    ],
)
def test_what_people_are_told(before, standing, kinds):
    assert list(notices_due(before, standing, NOW)) == kinds
