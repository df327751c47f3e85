"""A running stand-in, the official library pointed at it, a shop with prices, and a receiver of webhooks."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import stripe

from brokers.simulators.stripe.state import StripeOptions
from brokers.simulators.testing import SimulatorServer
from tests.brokers.simulators.conftest import wait_for

KEY, SECRET = "sk_test_simulated", "whsec_simulated_demo"
GOOD, DECLINED, POOR = "4242 4242 4242 4242", "4000 0000 0000 0002", "4000 0000 0000 9995"
LATER, ASKS_ONCE, ASKS_ALWAYS = "4000 0000 0000 0341", "4000 0025 0000 3155", "4000 0027 6000 3184"
DAY = 86400


class Receiver:
    """The platform's end: keeps every delivery and answers with the statuses it is told, 200 otherwise."""

    def __init__(self) -> None:
        self.deliveries: list[tuple[bytes, str]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.deliveries.append((body, self.headers["Stripe-Signature"]))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Stay quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/billing/webhook/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    def events(self, secret: str = SECRET) -> list[stripe.Event]:
        """What arrived, verified by the official library."""
        return [stripe.Webhook.construct_event(body, header, secret) for body, header in self.deliveries]

    def wait(self, event_type: str) -> stripe.Event:
        """The first event of a type, once it is here."""
        return wait_for(lambda: next((one for one in self.events() if one.type == event_type), None))


class Shop:
    """The stand-in with the calls that most tests make."""

    def __init__(self, server: SimulatorServer) -> None:
        self.server = server
        self.client = stripe.StripeClient(
            KEY, base_addresses={"api": server.stripe_url}, max_network_retries=0
        )
        self.api = self.client.v1

    def price(self, amount: int = 2900, interval: str = "month", **extra: object) -> stripe.Price:
        product = self.api.products.create({"name": extra.pop("name", "Plus")})
        body = {"product": product.id, "currency": "usd", "unit_amount": amount}
        return self.api.prices.create({**body, "recurring": {"interval": interval}, **extra})

    def session(self, price: stripe.Price, **extra: object) -> stripe.checkout.Session:
        body = {
            "mode": "subscription",
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": "http://shop.example/done?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://shop.example/back",
        }
        return self.api.checkout.sessions.create({**body, **extra})

    def offer(self, *prices: stripe.Price, **update: object) -> None:
        """Let the portal offer these prices."""
        default = self.api.billing_portal.configurations.list({"is_default": True}).data[0]
        products = [{"product": one.product, "prices": [one.id]} for one in prices]
        change = {
            "enabled": True,
            "default_allowed_updates": ["price"],
            "proration_behavior": "always_invoice",
            "products": products,
            **update,
        }
        features = {"features": {"subscription_update": change}}
        self.api.billing_portal.configurations.update(default.id, features)

    def pay(self, url: str, number: str = GOOD, **fields: str) -> httpx.Response:
        """Fill in the form of a page as a person does."""
        form = {"number": number, "expiry": "12 / 34", "cvc": "123", "name": "Ada Lovelace", **fields}
        return httpx.post(url, data=form, trust_env=False)

    def subscribe(self, price: stripe.Price | None = None, *, number: str = GOOD, **extra: object):
        """A subscription through Checkout; ``trial`` days without a charge."""
        days = extra.pop("trial", None)
        if days:
            extra["subscription_data"] = {"trial_period_days": days}
        session = self.session(price or self.price(), **{"customer_email": "ada@example.com", **extra})
        answer = self.pay(session.url, number)
        if answer.status_code == 200:
            answer = httpx.post(f"{session.url}/confirm", data={"confirm": "yes"}, trust_env=False)
        assert answer.status_code == 303, answer.text
        done = self.api.checkout.sessions.retrieve(session.id)
        return self.api.subscriptions.retrieve(done.subscription)

    def subscription(self, subscription: stripe.Subscription) -> stripe.Subscription:
        return self.api.subscriptions.retrieve(subscription.id)

    def period_end(self, subscription: stripe.Subscription) -> int:
        return self.subscription(subscription)["items"].data[0].current_period_end

    def to_period_end(self, subscription: stripe.Subscription) -> None:
        self.server.control("stripe/clock", to_period_end_of=subscription.id)

    def advance(self, seconds: int) -> None:
        self.server.control("stripe/clock", advance=seconds)

    def fail_next(self, **body: str) -> None:
        self.server.control("stripe/payments/fail_next", **body)

    def events(self, *types: str) -> list[dict]:
        """Events so far, oldest first; of these types only, when given."""
        found = self.server.read("stripe/events")["events"]
        return [one for one in found if not types or one["type"] in types]

    def event_types(self) -> list[str]:
        return [one["type"] for one in self.events()]


@pytest.fixture(scope="module")
def stripe_server() -> Iterator[SimulatorServer]:
    with SimulatorServer(stripe=StripeOptions()) as running:
        yield running


@pytest.fixture
def shop(stripe_server) -> Shop:
    stripe_server.reset()
    return Shop(stripe_server)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def heard(shop, receiver) -> Receiver:
    """The receiver, with the stand-in delivering to it."""
    shop.server.control("stripe/webhook", url=receiver.url)
    return receiver
