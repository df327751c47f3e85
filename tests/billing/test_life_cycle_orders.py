"""Five things happen to a subscription in each of the 120 orders, and the platform ends as the table says.

They happen at the simulated Stripe, over real sockets and through the official library. Their signed events
reach the platform once and at once, twice, or late and last first: 360 runs. What the platform must make of
it is written down by hand below, not read from the simulator.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import httpx
import pytest
import stripe
from django.test import Client

from billing.models import Customer, StripeEvent, Subscription
from billing.selectors import plan_for
from billing.services import ensure_plans
from billing.services.catalogue import sync_plans_to_stripe
from brokers.simulators.testing import SimulatorServer
from tests.billing.conftest import work
from tradeplatform.models import User

pytestmark = pytest.mark.django_db

KEY, SECRET = "sk_test_simulated", "whsec_simulated_demo"
CARD = {"number": "4242424242424242", "expiry": "12/34", "cvc": "123", "name": "Ada Lovelace"}

# fail: the period ends and the bank refuses the renewal    pay: the owner pays what is open
# cancel: the owner cancels in the portal                    keep: the owner takes that back
# upgrade: from Plus to Pro
# A cancelled subscription ends with its period and nothing revives it. Paying helps after the failure only.
# The upgrade may come anywhere in between: it counts unless the subscription ends.
TABLE = {
    ("fail", "pay", "cancel", "keep"): "active",
    ("fail", "pay", "keep", "cancel"): "ending",
    ("fail", "cancel", "pay", "keep"): "active",
    ("fail", "cancel", "keep", "pay"): "active",
    ("fail", "keep", "pay", "cancel"): "ending",
    ("fail", "keep", "cancel", "pay"): "ending",
    ("pay", "fail", "cancel", "keep"): "past_due",
    ("pay", "fail", "keep", "cancel"): "past_due",
    ("pay", "cancel", "fail", "keep"): "canceled",
    ("pay", "cancel", "keep", "fail"): "past_due",
    ("pay", "keep", "fail", "cancel"): "past_due",
    ("pay", "keep", "cancel", "fail"): "canceled",
    ("cancel", "fail", "pay", "keep"): "canceled",
    ("cancel", "fail", "keep", "pay"): "canceled",
    ("cancel", "pay", "fail", "keep"): "canceled",
    ("cancel", "pay", "keep", "fail"): "past_due",
    ("cancel", "keep", "fail", "pay"): "active",
    ("cancel", "keep", "pay", "fail"): "past_due",
    ("keep", "fail", "pay", "cancel"): "ending",
    ("keep", "fail", "cancel", "pay"): "ending",
    ("keep", "pay", "fail", "cancel"): "past_due",
    ("keep", "pay", "cancel", "fail"): "canceled",
    ("keep", "cancel", "fail", "pay"): "canceled",
    ("keep", "cancel", "pay", "fail"): "canceled",
}
PLAN = {"active": "pro", "ending": "pro", "past_due": "pro", "canceled": "free"}
FIVE = ("fail", "pay", "cancel", "keep", "upgrade")
WAYS = ("once", "twice", "late")
TELLS = {
    "fail": ("invoice.payment_failed", "customer.subscription.deleted"),
    "pay": ("invoice.paid",),
    "cancel": ("customer.subscription.updated",),
    "keep": ("customer.subscription.updated",),
    "upgrade": ("customer.subscription.updated",),
}
"""The events that tell of what happened."""


@dataclass
class Subscriber:
    """A person with a subscription of their own at the simulated Stripe, whose events arrive in one way."""

    way: str
    user: User
    customer: str
    subscription: str
    events: list[dict[str, Any]] = field(default_factory=list)


class World:
    """The simulated Stripe, with the plans in its catalogue, and a browser for its pages."""

    def __init__(self, server: SimulatorServer, browser: httpx.Client) -> None:
        self.server, self.browser = server, browser
        self.api = stripe.StripeClient(KEY, base_addresses={"api": server.stripe_url}).v1
        server.reset()
        sync_plans_to_stripe()
        self.prices = {one.lookup_key: one.id for one in self.api.prices.list({"limit": 100}).data}

    def subscribe(self, way: str, user: User) -> Subscriber:
        customer = self.api.customers.create({"email": user.email}).id
        Customer.objects.create(user=user, stripe_id=customer)
        session = self.api.checkout.sessions.create(
            {
                "mode": "subscription",
                "customer": customer,
                "line_items": [{"price": self.prices["plus_monthly"], "quantity": 1}],
                "success_url": "http://platform.example/",
            }
        )
        assert self.browser.post(session.url, data=CARD).status_code == 303
        subscription = self.api.subscriptions.list({"customer": customer}).data[0].id
        return Subscriber(way, user, customer, subscription)

    def happen(self, name: str, people: list[Subscriber]) -> None:
        """Let one of the five happen to everybody, and hand out the events that tell of it."""
        last = self.api.events.list({"limit": 1}).data[0].id
        if name == "fail":
            for person in people:
                self.server.control("stripe/payments/fail_next", customer=person.customer)
            self.server.control("stripe/clock", to_period_end_of=people[-1].subscription)
        else:
            for person in people:
                getattr(self, name)(person)
        for event in self.server.read("stripe/events", after=last)["events"]:
            about = event["data"]["object"].get("customer")
            for person in people:
                if event["type"] in TELLS[name] and person.customer == about:
                    person.events.append(event)

    def pay(self, person: Subscriber) -> None:
        for invoice in self.api.invoices.list({"customer": person.customer, "status": "open"}).data:
            self.api.invoices.pay(invoice.id)

    def cancel(self, person: Subscriber) -> None:
        self.in_portal(person, "cancel")

    def keep(self, person: Subscriber) -> None:
        self.in_portal(person, "renew")

    def in_portal(self, person: Subscriber, action: str) -> None:
        url = self.api.billing_portal.sessions.create({"customer": person.customer}).url
        form = {"action": action, "subscription": person.subscription}
        answer = self.browser.post(url, data=form)
        assert answer.status_code in (303, 422)

    def upgrade(self, person: Subscriber) -> None:
        found = self.api.subscriptions.retrieve(person.subscription)
        if found.status != "canceled":
            item = {"id": found["items"].data[0].id, "price": self.prices["pro_monthly"]}
            change = {"items": [item], "proration_behavior": "none"}
            self.api.subscriptions.update(person.subscription, change)

    def leave(self, people: list[Subscriber]) -> None:
        """Take these subscriptions out of the way of the next run."""
        for person in people:
            self.api.customers.delete(person.customer)


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer() as running:
        yield running


@pytest.fixture
def world(server, settings) -> Iterator[World]:
    """The platform takes payments, through a Stripe that knows nobody yet."""
    settings.STRIPE_SECRET_KEY = KEY
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    settings.STRIPE_API_URL = server.stripe_url
    ensure_plans()
    with httpx.Client(trust_env=False) as browser:
        yield World(server, browser)


def send(events: list[dict[str, Any]]) -> None:
    """Deliver as Stripe does, and do the work that an event asks for."""
    for event in events:
        payload = json.dumps(event, indent=2)
        header = stripe.WebhookSignature.generate_signature_header(payload, SECRET)
        answer = Client().post(
            "/billing/webhook/",
            data=payload,
            content_type="application/json",
            headers={"Stripe-Signature": header},
        )
        assert answer.status_code == 200
        work()


def test_the_table_has_every_order_and_five_ways_to_upgrade_in_each():
    assert set(TABLE) == set(permutations(FIVE[:4]))
    assert len(list(permutations(FIVE))) == 120


@pytest.mark.parametrize("begin", list(permutations(FIVE, 2)), ids="-".join)
def test_every_order_ends_as_the_table_says(begin, world):
    """Six orders begin with each of the twenty pairs: with three ways of delivery, 18 of the 360 runs."""
    orders = [order for order in permutations(FIVE) if order[:2] == begin]
    for order in orders:
        run_order(order, world)
    assert len(orders) == 6


def run_order(order: tuple[str, ...], world: World) -> None:
    users = [User.objects.create_user(f"{'-'.join(order)}.{way}@example.com", "x") for way in WAYS]
    people = [world.subscribe(way, user) for way, user in zip(WAYS, users, strict=True)]
    for name in order:
        told = [len(person.events) for person in people]
        world.happen(name, people)
        for person, before in zip(people, told, strict=True):
            news = person.events[before:]
            if person.way == "once":
                send(news)
            elif person.way == "twice":
                send(news + news[::-1])
    for person in people:
        if person.way == "late":
            send(person.events[::-1])
    stage = TABLE[tuple(name for name in order if name != "upgrade")]
    for person in people:
        stored = Subscription.objects.get(customer__user=person.user)
        found = (stored.stripe_id, stored.stage, plan_for(person.user).key)
        assert found == (person.subscription, stage, PLAN[stage]), (order, person.way)
        states = set(
            StripeEvent.objects.filter(customer_stripe_id=person.customer).values_list("state", flat=True)
        )
        assert states == {"done"}
        assert len({one["id"] for one in person.events}) == len(person.events) > 1
    world.leave(people)
