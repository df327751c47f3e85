"""A small Stripe in this process: it answers the official library with objects of Stripe's form.

Tests change its objects directly, which is what happens at Stripe; our side only learns of it by asking.
"""

import hashlib
import hmac
import json
import time
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import stripe

from tradeplatform.common.clock import utc_now

SECRET = "whsec_test_new"
OLD_SECRET = "whsec_test_old"
KEY = "sk_test_fake_canary_5150"


def stamp(moment: datetime) -> int:
    return int(moment.timestamp())


class FakeStripe(stripe.HTTPClient):
    """Objects by id, and an answer for each call that we make. `failure` answers everything with an error."""

    name = "fake"

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str, dict[str, str]]] = []
        self.idempotent: dict[str, str] = {}
        self.failure: int | None = None
        self._numbers = count(1)

    def _sleep_time_seconds(self, *args: Any, **options: Any) -> float:
        """Ask again at once: the library's pause is not what is tested."""
        return 0

    def forget(self) -> None:
        """Drop everything but the customers."""
        self.objects = {key: one for key, one in self.objects.items() if one["object"] == "customer"}

    # --- What happens at Stripe -----------------------------------------------------------------------

    def add(self, kind: str, prefix: str, **values: Any) -> dict[str, Any]:
        made = {
            "id": values.pop("id", f"{prefix}_{next(self._numbers)}"),
            "object": kind,
            "created": stamp(utc_now()),
            **values,
        }
        self.objects[made["id"]] = made
        return made

    def price(self, plan: str = "plus", interval: str = "month") -> dict[str, Any]:
        key = f"{plan}_{'monthly' if interval == 'month' else 'yearly'}"
        found = [one for one in self.of("price") if one["lookup_key"] == key]
        amount = {"plus": 2900, "pro": 9900}.get(plan, 500) * (10 if interval == "year" else 1)
        return (
            found[0]
            if found
            else self.add(
                "price",
                "price",
                active=True,
                lookup_key=key,
                currency="usd",
                unit_amount=amount,
                product=f"tradeplatform_{plan}",
                recurring={"interval": interval},
                metadata={},
            )
        )

    def subscribe(
        self,
        customer: str,
        plan: str = "plus",
        *,
        interval: str = "month",
        status: str = "active",
        days: int = 30,
    ) -> dict[str, Any]:
        """Let a customer pay: subscription, paid invoice and charge."""
        price = self.price(plan, interval)
        subscription = self.add(
            "subscription",
            "sub",
            customer=customer,
            status=status,
            currency="usd",
            cancel_at=None,
            cancel_at_period_end=False,
            canceled_at=None,
            ended_at=None,
            trial_end=stamp(utc_now() + timedelta(days=days)) if status == "trialing" else None,
            cancellation_details={"reason": None},
            items={
                "object": "list",
                "data": [
                    {
                        "id": "si_1",
                        "object": "subscription_item",
                        "price": price,
                        "current_period_end": stamp(utc_now() + timedelta(days=days)),
                    }
                ],
            },
        )
        self.bill(subscription, status="paid")
        return subscription

    def bill(self, subscription: dict[str, Any], *, status: str) -> dict[str, Any]:
        """Make the subscription's next invoice; a paid one has a charge."""
        now = stamp(utc_now())
        invoice = self.add(
            "invoice",
            "in",
            customer=subscription["customer"],
            number=f"A-{next(self._numbers)}",
            status=status,
            total=2900,
            currency="usd",
            hosted_invoice_url="https://invoice.stripe.com/i/test",
            status_transitions={"finalized_at": now},
            parent={"subscription_details": {"subscription": subscription["id"]}},
        )
        subscription["latest_invoice"] = invoice["id"]
        if status == "paid":
            intent = f"pi_{next(self._numbers)}"
            self.add(
                "charge",
                "ch",
                customer=subscription["customer"],
                payment_intent=intent,
                refunded=False,
                disputed=False,
                invoice_for_tests=invoice["id"],
            )
            self.add(
                "invoice_payment",
                "inpay",
                invoice=invoice["id"],
                payment={"type": "payment_intent", "payment_intent": intent},
            )
        return invoice

    def charge_of(self, subscription: dict[str, Any]) -> dict[str, Any]:
        return next(
            one for one in self.of("charge") if one["invoice_for_tests"] == subscription["latest_invoice"]
        )

    def fail_payment(self, subscription: dict[str, Any]) -> None:
        subscription["status"] = "past_due"
        self.bill(subscription, status="open")

    def recover(self, subscription: dict[str, Any]) -> None:
        subscription["status"] = "active"
        self.objects[subscription["latest_invoice"]]["status"] = "void"
        self.bill(subscription, status="paid")

    def cancel_at_end(self, subscription: dict[str, Any]) -> None:
        subscription["cancel_at_period_end"] = True

    def end(self, subscription: dict[str, Any], *, reason: str = "cancellation_requested") -> None:
        subscription |= {"status": "canceled", "ended_at": stamp(utc_now())}
        subscription["cancellation_details"] = {"reason": reason}

    def refund(self, subscription: dict[str, Any]) -> None:
        self.charge_of(subscription)["refunded"] = True

    def dispute(self, subscription: dict[str, Any], *, status: str = "needs_response") -> dict[str, Any]:
        charge = self.charge_of(subscription)
        charge["disputed"] = True
        return self.add("dispute", "dp", charge=charge["id"], status=status)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.objects.values() if one["object"] == kind]

    # --- What it answers ------------------------------------------------------------------------------

    def request(
        self, method: str, url: str, headers: Any = None, post_data: Any = None, **_: Any
    ) -> tuple[str, int, dict[str, str]]:
        parts = urlsplit(url)
        path = parts.path.split("/v1/", 1)[1].split("/")
        values = dict(parse_qsl(post_data or parts.query, keep_blank_values=True))
        self.calls.append((method, "/".join(path), values))
        if self.failure is not None:
            return self._error(self.failure, "The test wants this to fail.", "api_error")
        key = (headers or {}).get("Idempotency-Key", "")
        if method == "post" and key in self.idempotent:
            return self.idempotent[key], 200, {}
        status, answer = self._answer(method, path, values)
        text = json.dumps(answer)
        if method == "post" and status == 200:
            self.idempotent[key] = text
        return text, status, {"Request-Id": "req_test"}

    def _answer(self, method: str, path: list[str], values: dict[str, str]) -> tuple[int, dict[str, Any]]:
        kind = {
            "customers": ("customer", "cus"),
            "products": ("product", "prod"),
            "prices": ("price", "price"),
            "subscriptions": ("subscription", "sub"),
            "invoices": ("invoice", "in"),
            "charges": ("charge", "ch"),
            "disputes": ("dispute", "dp"),
            "invoice_payments": ("invoice_payment", "inpay"),
            "checkout": ("checkout.session", "cs"),
        }.get(path[0], (path[-1], "obj"))
        if path[:2] == ["billing_portal", "sessions"]:
            page = f"http://stripe.test/p/{values['customer']}"
            return 200, self.add("billing_portal.session", "bps", url=page)
        if path[:2] == ["billing_portal", "configurations"]:
            kind = ("billing_portal.configuration", "bpc")
            path = path[1:]
        elif path[0] == "checkout":
            path = path[1:]
        if len(path) == 1:
            return (200, self._list(kind[0], values)) if method == "get" else (200, self._make(kind, values))
        found = self.objects.get(path[1])
        if found is None:
            return 404, {"error": {"code": "resource_missing", "message": "No such object", "type": "x"}}
        if method == "delete" and kind[0] == "subscription":
            self.end(found)
        elif method == "post":
            found |= _nested(values)
        return 200, self._expanded(found)

    def _make(self, kind: tuple[str, str], values: dict[str, str]) -> dict[str, Any]:
        wanted = _nested(values)
        if kind[0] == "checkout.session":
            wanted["url"] = f"http://stripe.test/c/{next(self._numbers)}"
        if kind[0] == "price":
            wanted["unit_amount"] = int(wanted["unit_amount"])
            for other in self.of("price"):
                if other["lookup_key"] == wanted["lookup_key"]:
                    other["lookup_key"] = None
        return self.add(*kind, **{"active": True, "metadata": {}, **wanted})

    def _list(self, kind: str, values: dict[str, str]) -> dict[str, Any]:
        found = self.of(kind)
        for name in ("customer", "charge"):
            if name in values:
                found = [one for one in found if one.get(name) == values[name]]
        if kind == "invoice" and "status" in values:
            found = [one for one in found if one["status"] == values["status"]]
        if kind == "price":
            found = [one for one in found if one["lookup_key"] == values["lookup_keys[0]"] and one["active"]]
        if "payment[payment_intent]" in values:
            wanted = values["payment[payment_intent]"]
            found = [one for one in found if one["payment"]["payment_intent"] == wanted]
        return {
            "object": "list",
            "has_more": False,
            "url": "/",
            "data": [self._expanded(one) for one in reversed(found)],
        }

    def _expanded(self, found: dict[str, Any]) -> dict[str, Any]:
        shown = dict(found)
        if found["object"] == "subscription":
            shown["latest_invoice"] = self.objects[found["latest_invoice"]]
        if found["object"] == "dispute":
            shown["charge"] = self.objects[found["charge"]]
        return shown

    @staticmethod
    def _error(status: int, text: str, kind: str) -> tuple[str, int, dict[str, str]]:
        return json.dumps({"error": {"message": text, "type": kind}}), status, {}

    # --- What it sends --------------------------------------------------------------------------------

    def event(self, kind: str, about: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": f"evt_{next(self._numbers)}",
            "object": "event",
            "type": kind,
            "created": stamp(utc_now()),
            "livemode": False,
            "data": {"object": json.loads(json.dumps(about))},
        }


def _nested(values: dict[str, str]) -> dict[str, Any]:
    """Turn `recurring[interval]=month` into a nested table."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        place, parts = made, name.replace("]", "").split("[")
        for part in parts[:-1]:
            place = place.setdefault(part, {})
        place[parts[-1]] = {"true": True, "false": False}.get(value, value)
    return {name: _with_lists(value) for name, value in made.items()}


def _with_lists(value: Any) -> Any:
    """Turn tables whose names are numbers into lists."""
    if not isinstance(value, dict):
        return value
    inner = {name: _with_lists(one) for name, one in value.items()}
    return list(inner.values()) if inner and all(name.isdigit() for name in inner) else inner


def sign(payload: bytes, *, secret: str = SECRET, age: float = 0) -> str:
    """Return the header with which Stripe signs these bytes."""
    at = int(time.time() - age)
    digest = hmac.new(secret.encode(), f"{at}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def encode(event: dict[str, Any]) -> bytes:
    return json.dumps(event, indent=2).encode()
