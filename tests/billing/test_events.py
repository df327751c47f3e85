"""Events in any order, any number of times, however late: the state is the one of a table written by hand."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
import time_machine
from django.core import mail

from billing.exceptions import StripeRefused
from billing.models import BillingNotice, StripeEvent, Subscription
from billing.selectors import plan_for, plan_standing
from billing.services.customers import settle_all, store_reports, sync_customer
from billing.services.events import MAX_ATTEMPTS, process_event, replay_event
from billing.services.notices import send_waiting_notices
from tests.billing.conftest import work
from tradeplatform.models import AuditEntry, UserEvent

pytestmark = pytest.mark.django_db

# Five things that happen to one subscription, each as a change at Stripe and the event that tells of it.
HAPPENINGS = {
    "renewed": ("customer.subscription.updated", lambda fake, sub: None),
    "failed": ("invoice.payment_failed", lambda fake, sub: fake.fail_payment(sub)),
    "recovered": ("invoice.paid", lambda fake, sub: fake.recover(sub)),
    "canceled": ("customer.subscription.updated", lambda fake, sub: fake.cancel_at_end(sub)),
    "ended": ("customer.subscription.deleted", lambda fake, sub: fake.end(sub)),
}

# Written by hand: the happenings end in this order at Stripe, and this is what that amounts to.
LAST_WORDS = [
    # what happened at Stripe, in order, and where the person stands afterwards
    (["renewed"], "active", "plus"),
    (["failed"], "past_due", "plus"),
    (["failed", "recovered"], "active", "plus"),
    (["canceled"], "ending", "plus"),
    (["canceled", "failed"], "past_due", "plus"),
    (["failed", "recovered", "canceled"], "ending", "plus"),
    (["failed", "ended"], "canceled", "free"),
    (["renewed", "failed", "recovered", "canceled", "ended"], "canceled", "free"),
]

# Some of the orders in which five events may arrive after all of it has happened at Stripe. The life cycle
# at the simulated Stripe goes through all of them.
FIVE = ("renewed", "failed", "recovered", "canceled", "ended")
ORDERS = list(permutations(FIVE))[::11]
DELIVERIES = ("once", "twice", "late")


def happen(fake, subscription, names):
    """Let these things happen at Stripe, and return their events in that order."""
    events = {}
    for name in names:
        kind, change = HAPPENINGS[name]
        change(fake, subscription)
        events[name] = fake.event(kind, subscription)
    return events


@pytest.mark.parametrize("way", DELIVERIES)
def test_orders_of_five_events_end_alike(way, stripe_server, customer, deliver, user):
    assert {order[0] for order in ORDERS} == {order[-1] for order in ORDERS} == set(FIVE)
    for order in ORDERS:
        subscription = _begin_anew(stripe_server, customer)
        events = happen(stripe_server, subscription, FIVE)
        _deliver(deliver, [events[name] for name in order], way)
        assert _state(subscription) == ("canceled", "canceled"), order
        assert plan_for(user).key == "free", order


def _begin_anew(fake, customer):
    Subscription.objects.all().delete()
    StripeEvent.objects.all().delete()
    fake.forget()
    return fake.subscribe(customer)


def _deliver(deliver, events, way):
    if way == "late":
        # Stripe gives up after three days; each try is signed anew.
        with time_machine.travel(datetime.now(UTC) + timedelta(days=3), tick=False):
            _send(deliver, events)
        return
    _send(deliver, events)
    if way == "twice":
        _send(deliver, events)


def _send(deliver, events):
    for event in events:
        assert deliver(event) == 200
        work()


def _state(subscription):
    stored = Subscription.objects.get(stripe_id=subscription["id"])
    return stored.stage, stored.status


@pytest.mark.parametrize(("names", "stage", "plan"), LAST_WORDS)
def test_what_happened_last_at_stripe_counts(names, stage, plan, stripe_server, customer, deliver, user):
    for order in permutations(names) if len(names) < 5 else [names, names[::-1]]:
        subscription = _begin_anew(stripe_server, customer)
        events = happen(stripe_server, subscription, names)
        _send(deliver, [events[name] for name in order])
        assert (_state(subscription)[0], plan_for(user).key) == (stage, plan)


def test_an_older_look_at_stripe_never_overwrites_a_newer_one(stripe_server, customer, user):
    from billing import stripe_client
    from billing.models import Customer

    subscription = stripe_server.subscribe(customer)
    before = stripe_client.read_customer(customer)
    stripe_server.end(subscription)
    sync_customer(stripe_id=customer)
    sync_customer(stripe_id=customer)

    store_reports(customer_id=Customer.objects.get().pk, number=1, reports=before)

    assert Subscription.objects.get().status == "canceled"


def test_refund_and_dispute_end_the_plan_and_a_won_dispute_brings_it_back(
    stripe_server, customer, deliver, user
):
    subscription = stripe_server.subscribe(customer)
    sync_customer(stripe_id=customer)
    dispute = stripe_server.dispute(subscription)
    about_charge = {name: value for name, value in dispute.items() if name != "customer"}

    deliver(stripe_server.event("charge.dispute.created", about_charge))
    work()
    assert (plan_standing(user).stage, plan_for(user).key) == ("disputed", "free")

    dispute["status"] = "won"
    deliver(stripe_server.event("charge.dispute.closed", dispute))
    work()
    assert (plan_standing(user).stage, plan_for(user).key) == ("active", "plus")

    stripe_server.refund(subscription)
    deliver(stripe_server.event("charge.refunded", stripe_server.charge_of(subscription)))
    work()
    assert (plan_standing(user).stage, plan_for(user).key) == ("refunded", "free")


def test_an_inquiry_and_a_refund_of_an_older_payment_take_nothing_away(stripe_server, customer, user):
    subscription = stripe_server.subscribe(customer)
    stripe_server.refund(subscription)
    stripe_server.bill(subscription, status="paid")
    stripe_server.dispute(subscription, status="warning_needs_response")

    sync_customer(stripe_id=customer)

    assert plan_standing(user).stage == "active"


def test_a_lost_dispute_ends_the_subscription_that_it_paid(stripe_server, customer, user):
    stripe_server.dispute(stripe_server.subscribe(customer), status="lost")

    sync_customer(stripe_id=customer)

    assert plan_standing(user).stage == "disputed"


def test_grace_runs_72_hours_from_the_failed_invoice_not_from_the_news(stripe_server, customer, user):
    with time_machine.travel("2026-11-27T12:00Z", tick=False):
        subscription = stripe_server.subscribe(customer)
        sync_customer(stripe_id=customer)
        stripe_server.fail_payment(subscription)
    with time_machine.travel("2026-11-29T12:00Z", tick=False):
        sync_customer(stripe_id=customer)
        standing = plan_standing(user)
        assert (standing.stage, standing.until) == ("past_due", datetime(2026, 11, 30, 12, tzinfo=UTC))
    with time_machine.travel("2026-11-30T12:00Z", tick=False):
        assert (plan_standing(user).stage, plan_for(user).key) == ("lapsed", "free")
        assert plan_standing(user).is_reduce_only


def test_a_further_unpaid_invoice_does_not_begin_the_grace_anew(stripe_server, customer, user):
    with time_machine.travel("2026-11-01T12:00Z", tick=False):
        subscription = stripe_server.subscribe(customer)
        stripe_server.fail_payment(subscription)
    with time_machine.travel("2026-12-01T12:00Z", tick=False):
        stripe_server.fail_payment(subscription)
        sync_customer(stripe_id=customer)

        assert plan_standing(user).stage == "lapsed"


def test_a_key_of_another_stripe_account_takes_nobodys_plan_away(stripe_server, customer, user):
    stripe_server.subscribe(customer)
    sync_customer(stripe_id=customer)
    stripe_server.failure = 404

    with pytest.raises(StripeRefused):
        sync_customer(stripe_id=customer)
    assert plan_for(user).key == "plus"


def test_an_answer_that_cannot_be_read_does_not_hold_up_the_events_behind_it(
    stripe_server, customer, deliver, user
):
    subscription = stripe_server.subscribe(customer)
    subscription["items"]["data"][0]["price"]["unit_amount"] = 29.5
    deliver(stripe_server.event("customer.subscription.updated", subscription))
    work()
    assert StripeEvent.objects.get().state == "failed"

    subscription["items"]["data"][0]["price"]["unit_amount"] = 2900
    work()
    assert plan_for(user).key == "plus"


def test_people_are_told_once_whatever_is_repeated(stripe_server, customer, user, mailoutbox):
    with time_machine.travel("2026-11-27T12:00Z", tick=False):
        subscription = stripe_server.subscribe(customer)
        sync_customer(stripe_id=customer)
        stripe_server.fail_payment(subscription)
        _repeat(customer)
    with time_machine.travel("2026-11-29T13:00Z", tick=False):
        _repeat(customer)
    with time_machine.travel("2026-11-30T13:00Z", tick=False):
        _repeat(customer)

    assert [one.subject for one in mailoutbox] == [
        "Tradeplatform: A payment for Plus failed",
        "Tradeplatform: Your Plus plan lapses within a day",
        "Tradeplatform: Your Plus plan has lapsed",
    ]
    assert all("close or reduce positions" in one.body and one.to == [user.email] for one in mailoutbox)
    assert "30 November 2026, 12:00 UTC" in mailoutbox[0].body


def _repeat(customer):
    for _ in range(3):
        sync_customer(stripe_id=customer)
        settle_all()
        send_waiting_notices()


def test_mail_that_cannot_be_sent_waits(stripe_server, customer, user, settings, monkeypatch, mailoutbox):
    subscription = stripe_server.subscribe(customer)
    sync_customer(stripe_id=customer)
    stripe_server.refund(subscription)
    sync_customer(stripe_id=customer)

    settings.EMAIL_BACKEND = "tests.billing.test_events.BrokenBackend"
    assert send_waiting_notices() == 0
    assert BillingNotice.objects.get().sent_at is None
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    assert send_waiting_notices() == 1
    assert len(mail.outbox) == 1


class BrokenBackend:
    def __init__(self, **options):
        pass

    def send_messages(self, messages):
        raise ConnectionRefusedError


def test_every_change_of_stage_is_on_record_and_told_to_open_pages(stripe_server, customer, user):
    stripe_server.subscribe(customer, "pro")
    sync_customer(stripe_id=customer)
    sync_customer(stripe_id=customer)

    event = UserEvent.objects.get(user=user, kind="plan")
    assert (event.payload["plan"], event.payload["stage"]) == ("pro", "active")
    entry = AuditEntry.objects.get(action="plan_stage_changed")
    assert (entry.data["before"], entry.data["after"]) == ("", "active")


def test_a_stripe_that_is_away_is_asked_again_and_given_up_in_the_end(stripe_server, customer, deliver, user):
    stripe_server.subscribe(customer)
    stripe_server.failure = 503
    deliver(stripe_server.event("customer.subscription.created", stripe_server.of("subscription")[0]))
    event = StripeEvent.objects.get()
    StripeEvent.objects.update(attempts=MAX_ATTEMPTS - 2)

    assert process_event(event_pk=event.pk) == "failed"
    assert process_event(event_pk=event.pk) == "given_up"
    stripe_server.failure = None
    assert replay_event(event_pk=event.pk, actor="admin@example.com") == "done"
    assert plan_for(user).key == "plus"


def test_the_best_of_several_subscriptions_counts(stripe_server, customer, user):
    pro = stripe_server.subscribe(customer, "pro")
    stripe_server.subscribe(customer, "plus")
    sync_customer(stripe_id=customer)
    assert plan_for(user).key == "pro"

    stripe_server.end(pro)
    sync_customer(stripe_id=customer)
    assert plan_for(user).key == "plus"


def test_a_price_that_is_none_of_ours_gives_nothing(stripe_server, customer, user):
    stripe_server.subscribe(customer, "sandwich")

    sync_customer(stripe_id=customer)

    assert plan_for(user).key == "free"
    assert Subscription.objects.get().plan is None


def test_a_subscription_that_stripe_no_longer_has_is_over(stripe_server, customer, user):
    subscription = stripe_server.subscribe(customer)
    sync_customer(stripe_id=customer)
    del stripe_server.objects[subscription["id"]]

    sync_customer(stripe_id=customer)

    assert (plan_for(user).key, plan_standing(user).stage) == ("free", "canceled")
