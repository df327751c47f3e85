"""People, plans and a small Stripe for the tests of this app."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from billing import stripe_client
from billing.models import Customer, StripeEvent
from billing.services import ensure_plans
from billing.services.events import process_waiting_events
from tests.billing.fake_stripe import KEY, OLD_SECRET, SECRET, FakeStripe, encode, sign
from tradeplatform.models import User


@pytest.fixture
def stripe_server(settings: Any, monkeypatch: pytest.MonkeyPatch) -> FakeStripe:
    """Payments are configured, and a Stripe of this process answers."""
    settings.STRIPE_SECRET_KEY = KEY
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET, OLD_SECRET]
    settings.STRIPE_API_URL = "http://stripe.test"
    cache.clear()
    fake = FakeStripe()
    monkeypatch.setattr(stripe_client, "build_http_client", lambda: fake)
    return fake


@pytest.fixture
def user(db: None) -> User:
    ensure_plans()
    return User.objects.create_user("owner@example.com", "x")


@pytest.fixture
def customer(user: User, stripe_server: FakeStripe) -> str:
    """The user's id at Stripe."""
    made = stripe_server.add("customer", "cus", email=user.email)
    Customer.objects.create(user=user, stripe_id=made["id"])
    return made["id"]


@pytest.fixture
def deliver(client: Client) -> Callable[..., int]:
    """Send an event as Stripe does and return the status; the work on it waits for `work`."""

    def send(event: dict[str, Any] | bytes, *, header: str | None = None, **signing: Any) -> int:
        payload = event if isinstance(event, bytes) else encode(event)
        return client.post(
            "/billing/webhook/",
            data=payload,
            content_type="application/json",
            headers={"Stripe-Signature": sign(payload, **signing) if header is None else header},
        ).status_code

    return send


def work() -> None:
    """Do what waits to be done about stored events."""
    StripeEvent.objects.update(next_try_at="2020-01-01T00:00Z")
    process_waiting_events()
