"""Only what Stripe signed within five minutes is taken, once, and answered before any work is done."""

import json

import pytest
from django.test import Client

from billing.models import StripeEvent, Subscription
from billing.selectors import plan_for
from tests.billing.conftest import work
from tests.billing.fake_stripe import OLD_SECRET, SECRET, encode, sign

pytestmark = pytest.mark.django_db


@pytest.fixture
def event(stripe_server, customer):
    return stripe_server.event("customer.subscription.created", stripe_server.subscribe(customer))


def test_a_signed_event_is_stored_answered_and_worked_on_later(event, deliver, user, stripe_server):
    assert deliver(event) == 200

    stored = StripeEvent.objects.get()
    assert (stored.event_id, stored.kind, stored.state) == (
        event["id"],
        "customer.subscription.created",
        "waiting",
    )
    assert stripe_server.calls == []
    work()
    assert plan_for(user).key == "plus"
    assert StripeEvent.objects.get().state == "done"


def test_the_same_event_twice_is_one_event(event, deliver, stripe_server):
    assert [deliver(event), deliver(event)] == [200, 200]

    work()
    calls = len(stripe_server.calls)
    assert deliver(event) == 200
    work()
    assert StripeEvent.objects.count() == 1
    assert len(stripe_server.calls) == calls


def test_the_older_secret_counts_while_secrets_are_rotated(event, deliver, settings):
    assert deliver(event, secret=OLD_SECRET) == 200

    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    assert deliver(event, secret=OLD_SECRET) == 400


FORGERIES = {
    "no header": (lambda body: body, lambda body: ""),
    "nonsense for a header": (lambda body: body, lambda body: "hello"),
    "another secret": (lambda body: body, lambda body: sign(body, secret="whsec_of_somebody_else")),
    "over five minutes old": (lambda body: body, lambda body: sign(body, age=301)),
    "encoded anew": (lambda body: json.dumps(json.loads(body)).encode(), sign),
    "truncated": (lambda body: body[:-20], sign),
    "longer": (lambda body: body + b" ", sign),
    "one letter changed": (lambda body: body.replace(b"created", b"updated", 1), sign),
    "a time that was not signed": (
        lambda body: body,
        lambda body: sign(body, age=400).replace("t=", "t=9", 1),
    ),
    "signed with a scheme of tests": (lambda body: body, lambda body: sign(body).replace("v1=", "v0=")),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_are_refused_and_leave_nothing(name, event, deliver, user):
    change, make_header = FORGERIES[name]
    original = encode(event)

    status = deliver(change(original), header=make_header(original))

    assert status == 400
    assert not StripeEvent.objects.exists()
    assert not Subscription.objects.exists()
    assert plan_for(user).key == "free"


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b"not json", b'{"id": 1}', b'{"object": "event", "data": 3}', b"\xff\xfe"]
)
def test_signed_nonsense_is_refused(body, deliver, stripe_server, user):
    assert deliver(body) == 400
    assert not StripeEvent.objects.exists()


def test_an_event_of_299_seconds_ago_still_counts(event, deliver):
    assert deliver(event, age=295) == 200


def test_what_the_event_claims_is_not_believed(stripe_server, customer, deliver, user):
    """The signature proves where it comes from; what it says may be old. Stripe is asked again."""
    subscription = stripe_server.subscribe(customer, "plus")
    old = stripe_server.event("customer.subscription.updated", {**subscription, "status": "active"})
    stripe_server.end(subscription)

    deliver(old)
    work()

    assert plan_for(user).key == "free"
    assert Subscription.objects.get().stage == "canceled"


def test_without_a_key_there_is_no_such_address(client, settings, db):
    settings.STRIPE_SECRET_KEY = ""

    assert client.post("/billing/webhook/", b"{}", "application/json").status_code == 404


def test_it_needs_no_form_token_and_takes_nothing_but_posts(event, stripe_server):
    browser = Client(enforce_csrf_checks=True)
    body = encode(event)

    sent = browser.post(
        "/billing/webhook/", body, "application/json", headers={"Stripe-Signature": sign(body)}
    )

    assert sent.status_code == 200
    assert browser.get("/billing/webhook/").status_code == 405


def test_events_about_others_and_of_other_kinds_are_put_aside(stripe_server, customer, deliver, user):
    deliver(stripe_server.event("customer.subscription.updated", {"id": "sub_x", "customer": "cus_unknown"}))
    deliver(stripe_server.event("payout.paid", {"id": "po_1", "object": "payout"}))
    work()

    assert {event.state for event in StripeEvent.objects.all()} == {"ignored"}
    assert not Subscription.objects.exists()
