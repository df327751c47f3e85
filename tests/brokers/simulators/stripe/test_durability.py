"""What survives a restart of the stand-in."""

import sqlite3

import pytest
import stripe

from brokers.simulators.stripe.state import StripeOptions
from brokers.simulators.testing import SimulatorServer
from tests.brokers.simulators.conftest import wait_for
from tests.brokers.simulators.stripe.conftest import Shop


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "state.sqlite3")


def test_subscriptions_keys_clock_and_settings_survive(path):
    with SimulatorServer(state=path) as server:
        shop = Shop(server)
        subscription = shop.subscribe(shop.price(lookup_key="plus_monthly"), trial=14)
        made = shop.api.customers.create({"email": "a@example.com"}, {"idempotency_key": "one"})
        shop.server.control("stripe/retries", then="unpaid")
        shop.advance(86400)
        before, now = shop.events(), server.read("stripe/clock")["now"]

    with SimulatorServer(state=path, port=server.port) as server:
        shop = Shop(server)
        assert shop.subscription(subscription).to_dict() == subscription.to_dict()
        assert shop.api.customers.create({"email": "a@example.com"}, {"idempotency_key": "one"}).id == made.id
        assert shop.events() == before
        assert server.read("stripe/clock")["now"] >= now
        assert server.read("stripe/clock")["now"][:10] == now[:10]
        shop.to_period_end(subscription)
        assert shop.subscription(subscription).status == "active"
        assert [one["created"] for one in shop.events()] == sorted(one["created"] for one in shop.events())


def test_an_event_that_was_not_accepted_is_delivered_after_the_restart(path, receiver):
    nobody = StripeOptions(webhook_url="http://127.0.0.1:9/billing/webhook/")
    with SimulatorServer(state=path, stripe=nobody) as server:
        Shop(server).api.customers.create({"email": "a@example.com"})
        wait_for(lambda: server.read("stripe/deliveries")["deliveries"][0]["attempts"])

    with SimulatorServer(state=path, stripe=StripeOptions(webhook_url=receiver.url)):
        receiver.wait("customer.created")


def test_a_refused_request_leaves_nothing_in_the_file(path):
    with SimulatorServer(state=path) as server:
        shop = Shop(server)
        subscription = shop.subscribe()
        with sqlite3.connect(path) as db:
            before = db.execute("SELECT id, body FROM records WHERE kind = 'stripe' ORDER BY id").fetchall()
        with pytest.raises(stripe.InvalidRequestError):
            shop.api.subscriptions.update(
                subscription.id, {"metadata": {"a": "b"}, "cancel_at": 5}, {"idempotency_key": None}
            )
        with sqlite3.connect(path) as db:
            after = db.execute("SELECT id, body FROM records WHERE kind = 'stripe' ORDER BY id").fetchall()

    kept = [row for row in after if "_idempotency" not in row[1]]
    assert kept == [row for row in before if "_idempotency" not in row[1]]


def test_no_card_number_is_in_the_file(path):
    with SimulatorServer(state=path) as server:
        shop = Shop(server)
        subscription = shop.subscribe()
        shop.to_period_end(subscription)

    with open(path, "rb") as file:
        data = file.read()
    assert b"4242 4242" not in data
    assert b"4242424242424242" not in data


def test_a_reset_forgets_everything(path):
    with SimulatorServer(state=path) as server:
        Shop(server).subscribe()
        server.reset()
        assert Shop(server).api.events.list().data == []
        assert Shop(server).api.products.list().data == []
