"""Events as the platform receives them: signed, repeated until accepted, and spoiled on purpose."""

import json

import pytest
import stripe

from tests.brokers.simulators.conftest import wait_for
from tests.brokers.simulators.stripe.conftest import SECRET


def delivered(shop):
    return [
        one for one in shop.server.read("stripe/deliveries")["deliveries"] if one["status"] == "delivered"
    ]


def received(heard, event_type):
    return [one for one in heard.events() if one.type == event_type]


def test_every_event_arrives_and_the_library_accepts_its_signature(shop, heard):
    shop.subscribe()
    made = {one["id"] for one in shop.events() if one["pending_webhooks"] or one["type"].startswith("c")}

    wait_for(lambda: {one.id for one in heard.events()} >= made)

    event = heard.wait("checkout.session.completed")
    assert (event.object, event.livemode, event.data.object.status) == ("event", False, "complete")
    wait_for(lambda: shop.api.events.retrieve(event.id).pending_webhooks == 0)


def test_an_event_names_the_request_that_caused_it(shop, heard):
    made = shop.api.customers.create({"email": "a@example.com"}, {"idempotency_key": "one"})

    event = heard.wait("customer.created")

    assert event.request.id == made.last_response.request_id
    assert event.request.idempotency_key == "one"


def test_a_wrong_secret_or_a_changed_body_is_not_accepted(shop, heard):
    shop.api.customers.create({"email": "a@example.com"})
    heard.wait("customer.created")
    body, header = heard.deliveries[0]

    for payload, secret in ((body, "whsec_other"), (body.replace(b"a@", b"b@"), SECRET)):
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(payload, header, secret)


def test_delivery_is_tried_again_until_it_succeeds(shop, heard):
    heard.answers = [500, 302, 404]

    shop.api.customers.create({"email": "a@example.com"})

    found = wait_for(lambda: delivered(shop))[0]
    assert [one["status"] for one in found["attempts"]] == [500, 302, 404, 200]
    assert len(heard.deliveries) == 4
    assert len({body for body, _ in heard.deliveries}) == 1


def test_a_platform_that_is_down_gets_the_event_later(shop, heard):
    shop.server.control("stripe/webhook", url="http://127.0.0.1:9/billing/webhook/")
    shop.api.customers.create({"email": "a@example.com"})
    wait_for(lambda: shop.server.read("stripe/deliveries")["deliveries"][0]["attempts"])
    assert shop.server.read("stripe/deliveries")["deliveries"][0]["attempts"][0]["error"] == "ConnectError"

    shop.server.control("stripe/webhook", url=heard.url)

    heard.wait("customer.created")


def test_two_secrets_sign_while_one_is_rotated(shop, heard):
    shop.server.control("stripe/secrets", extra=["whsec_next"])

    shop.api.customers.create({"email": "a@example.com"})
    heard.wait("customer.created")

    assert heard.deliveries[0][1].count("v1=") == 2
    assert heard.events("whsec_next")[0].type == "customer.created"


def test_an_event_can_be_sent_again(shop, heard):
    shop.api.customers.create({"email": "a@example.com"})
    event = heard.wait("customer.created")
    wait_for(lambda: delivered(shop))

    shop.server.control("stripe/events/resend", event=event.id)

    wait_for(lambda: len(received(heard, "customer.created")) == 2)
    assert {one.id for one in received(heard, "customer.created")} == {event.id}


def test_a_duplicated_event_arrives_twice(shop, heard):
    shop.server.fault("duplicate", endpoint="stripe.webhooks.customer.created")

    shop.api.customers.create({"email": "a@example.com"})

    wait_for(lambda: len(received(heard, "customer.created")) == 2)


def test_a_reordered_event_arrives_after_a_later_one(shop, heard):
    shop.server.fault("reorder", endpoint="stripe.webhooks.customer.created")

    made = shop.api.customers.create({"email": "a@example.com"})
    shop.api.customers.update(made.id, {"name": "Ada"})

    wait_for(lambda: len(heard.deliveries) == 2)
    assert [one.type for one in heard.events()] == ["customer.updated", "customer.created"]


def test_a_lost_event_arrives_only_when_it_is_sent_again(shop, heard):
    shop.server.fault("lost", endpoint="stripe.webhooks.customer.created")

    made = shop.api.customers.create({"email": "a@example.com"})
    shop.api.customers.update(made.id, {"name": "Ada"})
    heard.wait("customer.updated")
    lost = wait_for(
        lambda: [
            one for one in shop.server.read("stripe/deliveries")["deliveries"] if one["status"] == "lost"
        ]
    )[0]
    assert received(heard, "customer.created") == []

    shop.server.control("stripe/events/resend", event=lost["event"])
    heard.wait("customer.created")


def test_a_late_event_arrives_after_its_delay(shop, heard):
    shop.server.fault("late", endpoint="stripe.webhooks.customer.created", seconds=0.5)

    made = shop.api.customers.create({"email": "a@example.com"})
    shop.api.customers.update(made.id, {"name": "Ada"})

    wait_for(lambda: len(heard.deliveries) == 2)
    assert heard.events()[-1].type == "customer.created"


def test_a_corrupted_event_fails_its_signature(shop, heard):
    shop.server.fault("corrupt", endpoint="stripe.webhooks.*")

    shop.api.customers.create({"email": "a@example.com"})

    body, header = wait_for(lambda: heard.deliveries)[0]
    assert json.loads(body)["type"] == "customer.created"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, header, SECRET)


def test_events_are_listed_by_type_and_by_delivery(shop, heard):
    heard.answers = [500] * 3
    made = shop.api.customers.create({"email": "a@example.com"})
    heard.wait("customer.created")

    assert [one.type for one in shop.api.events.list({"type": "customer.*"}).data] == ["customer.created"]
    assert shop.api.events.list({"types": ["invoice.paid"]}).data == []
    assert [one.data.object.id for one in shop.api.events.list({"delivery_success": False}).data] == [made.id]


def test_a_slow_platform_does_not_hold_the_stand_in(shop, heard):
    heard.answers = []
    shop.server.fault("late", endpoint="stripe.webhooks.*", seconds=60, count=None)

    shop.subscribe()

    assert shop.event_types()[-1] == "checkout.session.completed"
    assert heard.deliveries == []
