"""The only door to Stripe, and the only file that imports its library (when it is first needed).

Each function makes the calls of one question and returns our own records. Network failures become
StripeUnavailable, refusals StripeRefused; no message of either holds a secret. Writing calls carry an
idempotency key, so the library's retries cannot do anything twice.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings

from billing.exceptions import (
    BadSignature,
    PaymentsNotConfigured,
    PriceMissing,
    StripeObjectMissing,
    StripeRefused,
    StripeUnavailable,
)
from billing.stripe_objects import (
    ChargeReport,
    EventNotice,
    InvoiceLine,
    SubscriptionReport,
    id_of,
    read_charge,
    read_event,
    read_invoices,
    read_subscription,
)

logger = structlog.get_logger(__name__)

SIGNATURE_TOLERANCE_SECONDS = 300
_TIMEOUTS_SECONDS = (3.05, 10.0)
_RETRIES = 2
_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutPage:
    """A page at Stripe on which a person pays."""

    session_id: str
    url: str


def is_configured() -> bool:
    """Say whether this installation takes payments."""
    return bool(settings.STRIPE_SECRET_KEY)


def verify_event(payload: bytes, header: str) -> EventNotice:
    """Return what a webhook's raw body names, after proof that Stripe signed it in the last five minutes.

    Every secret of STRIPE_WEBHOOK_SECRETS is tried, so that they can be rotated. Raises BadSignature.
    """
    import stripe

    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        try:
            stripe.WebhookSignature.verify_header(payload, header, secret, SIGNATURE_TOLERANCE_SECONDS)
        except (stripe.SignatureVerificationError, ValueError):
            continue
        return _notice(payload)
    raise BadSignature("The signature does not fit this message, or it is too old. Nothing was stored.")


def _notice(payload: bytes) -> EventNotice:
    try:
        return read_event(json.loads(payload))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadSignature("This is not an event of Stripe. Nothing was stored.") from error


def create_customer(*, email: str, reference: str) -> str:
    """Create a customer and return its id; the same reference gives the same one."""
    params = {"email": email, "metadata": {"reference": reference}}
    made = call("customers.create", params, idempotency_key=f"customer-{reference}")
    return str(made["id"])


def create_checkout(
    *,
    customer_id: str,
    lookup_key: str,
    unit_amount: int,
    trial_days: int,
    reference: str,
    success_url: str,
    cancel_url: str,
) -> CheckoutPage:
    """Open a page on which the customer subscribes at the price of this lookup key.

    `unit_amount` is what our page says, in the currency's smallest unit: another price is never sold.
    """
    prices = call("prices.list", {"lookup_keys": [lookup_key], "active": True, "limit": 1})["data"]
    if not prices or prices[0].get("unit_amount") != unit_amount:
        raise PriceMissing(
            "This plan cannot be bought at the moment: its price is not at Stripe. Nothing was charged. "
            "Tell the operator of this site."
        )
    _close_open_pages(customer_id)
    params: dict[str, Any] = {
        "mode": "subscription",
        "customer": customer_id,
        "client_reference_id": reference,
        "line_items": [{"price": prices[0]["id"], "quantity": 1}],
        "success_url": success_url,
        "cancel_url": cancel_url,
    }
    if trial_days:
        params["subscription_data"] = {"trial_period_days": trial_days}
    if settings.STRIPE_AUTOMATIC_TAX:
        params |= {"automatic_tax": {"enabled": True}, "customer_update": {"address": "auto"}}
    made = call("checkout.sessions.create", params)
    return CheckoutPage(session_id=str(made["id"]), url=str(made["url"]))


def _close_open_pages(customer_id: str) -> None:
    """Let nobody pay twice in two tabs: only the page that was opened last can be paid."""
    params = {"customer": customer_id, "status": "open", "limit": _PAGE}
    for session in call("checkout.sessions.list", params)["data"]:
        try:
            call("checkout.sessions.expire", session["id"])
        except StripeRefused:
            # Paid or expired in this very moment; Stripe's event tells which.
            continue


def create_portal(*, customer_id: str, return_url: str) -> str:
    """Return the address of the page at Stripe where the customer changes or cancels."""
    made = call("billing_portal.sessions.create", {"customer": customer_id, "return_url": return_url})
    return str(made["url"])


def cancel_now(subscription_id: str) -> None:
    """End a subscription at once: for somebody who closes their account."""
    call("subscriptions.cancel", subscription_id, {}, idempotency_key=f"cancel-{subscription_id}")


def read_customer(customer_id: str) -> list[SubscriptionReport]:
    """Return everything that Stripe knows of a customer's subscriptions now, ended ones included."""
    params = {
        "customer": customer_id,
        "status": "all",
        "limit": _PAGE,
        "expand": ["data.latest_invoice"],
    }
    subscriptions = call("subscriptions.list", params)["data"]
    charges = _troubled_charges(customer_id) if subscriptions else []
    owed: list[dict[str, Any]] = []
    if any(found.get("status") in ("past_due", "unpaid") for found in subscriptions):
        owed = call("invoices.list", {"customer": customer_id, "status": "open", "limit": _PAGE})["data"]
    return [read_subscription(found, charges, owed) for found in subscriptions]


def read_subscription_alone(subscription_id: str) -> SubscriptionReport:
    """Return one subscription: of a customer who was deleted at Stripe nothing else is left to read."""
    return read_subscription(call("subscriptions.retrieve", subscription_id, {"expand": ["latest_invoice"]}))


def _troubled_charges(customer_id: str) -> list[ChargeReport]:
    found = call("charges.list", {"customer": customer_id, "limit": _PAGE})["data"]
    return [_read_troubled(charge) for charge in found if charge.get("refunded") or charge.get("disputed")]


def _read_troubled(charge: Mapping[str, Any]) -> ChargeReport:
    disputes: Sequence[Mapping[str, Any]] = []
    if charge.get("disputed"):
        disputes = call("disputes.list", {"charge": charge["id"], "limit": _PAGE})["data"]
    return read_charge(charge, disputes, _invoice_paid_by(charge))


def _invoice_paid_by(charge: Mapping[str, Any]) -> str:
    intent = id_of(charge.get("payment_intent"))
    if not intent:
        return ""
    asked = {"payment": {"type": "payment_intent", "payment_intent": intent}, "limit": 1}
    payments = call("invoice_payments.list", asked)["data"]
    return id_of(payments[0].get("invoice")) if payments else ""


def customer_of_dispute(dispute_id: str) -> str:
    """Return the customer whose charge a dispute is about; empty if it has none."""
    found = call("disputes.retrieve", dispute_id, {"expand": ["charge"]})
    charge = found.get("charge")
    return id_of(charge.get("customer")) if isinstance(charge, Mapping) else ""


def list_customer_ids() -> Iterator[str]:
    """Yield the ids of all customers at Stripe that have or had a subscription, each once."""
    seen: set[str] = set()
    after: dict[str, str] = {}
    while True:
        page = call("subscriptions.list", {"status": "all", "limit": _PAGE, **after})
        for found in page["data"]:
            customer = id_of(found.get("customer"))
            if customer not in seen:
                seen.add(customer)
                yield customer
        if not page.get("has_more") or not page["data"]:
            return
        after = {"starting_after": page["data"][-1]["id"]}


def list_invoices(customer_id: str, *, limit: int = 24) -> list[InvoiceLine]:
    """Return a customer's newest invoices."""
    return list(read_invoices(call("invoices.list", {"customer": customer_id, "limit": limit})["data"]))


def call(path: str, *args: Any, idempotency_key: str = "") -> dict[str, Any]:
    """Make the library's call `v1.<path>` and return its answer as plain data.

    Raises PaymentsNotConfigured, StripeUnavailable, StripeRefused or StripeObjectMissing.
    """
    import stripe

    client = _open()
    function: Callable[..., Any] = client.v1
    for name in path.split("."):
        function = getattr(function, name)
    options = {"options": {"idempotency_key": idempotency_key}} if idempotency_key else {}
    try:
        answer = function(*args, **options)
    except stripe.StripeError as error:
        raise _translate(path, error) from error
    return dict(answer.to_dict())


def _translate(path: str, error: Any) -> StripeUnavailable | StripeRefused:
    import stripe

    logger.warning(
        "stripe_call_failed",
        call=path,
        error=type(error).__name__,
        status=error.http_status,
        code=error.code,
        request_id=error.request_id,
    )
    details = {"stripe_code": error.code, "stripe_request": error.request_id}
    is_passing = isinstance(error, (stripe.APIConnectionError, stripe.RateLimitError))
    if is_passing or (error.http_status or 500) >= 500:
        return StripeUnavailable(
            "Stripe does not answer at the moment. Nothing was charged; your plan stays as it is. Try again "
            "in a minute.",
            details=details,
        )
    if error.code == "resource_missing":
        return StripeObjectMissing("Stripe knows no such object. Nothing was charged.", details=details)
    return StripeRefused(
        "Stripe refused this. Nothing was charged and your plan stays as it is. Tell the operator of this "
        "site if it happens again.",
        details=details,
    )


def _open() -> Any:
    """Return a client for the configured key and address; each call of ours opens its own connection."""
    import stripe

    if not is_configured():
        raise PaymentsNotConfigured("This installation takes no payments; an administrator grants plans.")
    return stripe.StripeClient(
        settings.STRIPE_SECRET_KEY,
        base_addresses={"api": settings.STRIPE_API_URL},
        http_client=build_http_client(),
        max_network_retries=_RETRIES,
    )


def build_http_client() -> Any:
    """Return what carries the calls: short time-outs, so that a slow Stripe never holds a page for long."""
    import stripe

    return stripe.RequestsClient(timeout=_TIMEOUTS_SECONDS)
