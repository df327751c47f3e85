"""What we read out of Stripe's objects. Pure: dictionaries in, our own small records out.

Read tolerantly: unknown words, missing and further fields are fine. Money is strict: an amount that is not a
whole number of cents raises.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing.life_cycle import SubscriptionState

PRODUCT_PREFIX = "tradeplatform_"
INTERVALS = {"month": "monthly", "year": "yearly"}
_OPEN_DISPUTE = frozenset({"needs_response", "under_review"})
_LOST_DISPUTE = "lost"
# Currencies that Stripe counts in whole units.
_WHOLE_UNITS = frozenset(
    ("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof")
) | {"xpf"}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventNotice:
    """A verified event: what it is called and which objects it names. Nothing in it is taken as truth."""

    event_id: str
    kind: str
    object_id: str
    customer_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionReport:
    """One subscription as Stripe has it, with what its charges say about the money."""

    stripe_id: str
    customer_id: str
    plan_key: str
    price_id: str
    interval: str
    amount: Decimal
    currency: str
    latest_invoice_id: str
    created_at: datetime
    state: SubscriptionState


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeReport:
    """A charge that went back or is disputed, and the invoice that it paid."""

    invoice_id: str
    is_refunded: bool
    has_open_dispute: bool
    has_lost_dispute: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """An invoice as the billing page lists it. `url` is its page at Stripe."""

    number: str
    created_at: datetime
    total: Decimal
    currency: str
    status: str
    url: str


def read_event(event: Mapping[str, Any]) -> EventNotice:
    """Return what an event names. Raises KeyError, TypeError or ValueError for what is no event."""
    about = event["data"]["object"]
    is_customer = about.get("object") == "customer"
    return EventNotice(
        event_id=str(event["id"]),
        kind=str(event["type"]),
        object_id=str(about.get("id") or ""),
        customer_id=id_of(about.get("id") if is_customer else about.get("customer")),
        created_at=_required_time(event["created"]),
    )


def read_subscription(
    found: Mapping[str, Any],
    charges: Sequence[ChargeReport] = (),
    owed: Sequence[Mapping[str, Any]] = (),
) -> SubscriptionReport:
    """Return a subscription whose latest invoice is expanded. `owed` are the customer's open invoices.

    A dispute that is open concerns every subscription of the customer; what went back concerns the
    subscription whose latest invoice it had paid.
    """
    items = (found.get("items") or {}).get("data") or [{}]
    item = items[0]
    price = item.get("price") or {}
    recurring = price.get("recurring") or {}
    invoice = found.get("latest_invoice")
    invoice_id = id_of(invoice)
    own = [charge for charge in charges if charge.invoice_id and charge.invoice_id == invoice_id]
    currency = str(price.get("currency") or found.get("currency") or "")
    return SubscriptionReport(
        stripe_id=str(found["id"]),
        customer_id=id_of(found.get("customer")),
        plan_key=plan_key_of(price),
        price_id=str(price.get("id") or ""),
        interval=str(recurring.get("interval") or ""),
        amount=money(price.get("unit_amount") or 0, currency),
        currency=currency.upper(),
        latest_invoice_id=invoice_id,
        created_at=_required_time(found["created"]),
        state=SubscriptionState(
            status=str(found["status"]),
            current_period_end=_time(item.get("current_period_end")),
            trial_end=_time(found.get("trial_end")),
            ends_at=_ends_at(found, item),
            ended_at=_time(found.get("ended_at")),
            past_due_since=_past_due_since(found, invoice, owed),
            ended_by_failed_payment=(found.get("cancellation_details") or {}).get("reason")
            == "payment_failed",
            is_refunded=any(charge.is_refunded for charge in own),
            is_disputed=any(charge.has_open_dispute for charge in charges)
            or any(charge.has_lost_dispute for charge in own),
        ),
    )


def _ends_at(found: Mapping[str, Any], item: Mapping[str, Any]) -> datetime | None:
    """Return when a cancellation on record takes effect."""
    if found.get("cancel_at"):
        return _time(found["cancel_at"])
    if found.get("cancel_at_period_end"):
        return _time(
            found.get("trial_end") if found["status"] == "trialing" else item.get("current_period_end")
        )
    return None


def _past_due_since(
    found: Mapping[str, Any], invoice: Any, owed: Sequence[Mapping[str, Any]]
) -> datetime | None:
    """Return since when the oldest open invoice is owed: Stripe's time of it, whenever we hear of it.

    A further unpaid invoice does not begin the grace anew.
    """
    if found["status"] not in ("past_due", "unpaid"):
        return None
    own = [one for one in owed if _subscription_of(one) == found["id"]]
    times = [_owed_since(one) for one in own or [invoice] if isinstance(one, Mapping)]
    return _time(min(filter(None, times), default=None))


def _owed_since(invoice: Mapping[str, Any]) -> Any:
    return (invoice.get("status_transitions") or {}).get("finalized_at") or invoice.get("created")


def _subscription_of(invoice: Mapping[str, Any]) -> str:
    """Return which subscription an invoice is for."""
    parent = invoice.get("parent") or {}
    return id_of((parent.get("subscription_details") or {}).get("subscription"))


def read_charge(
    charge: Mapping[str, Any], disputes: Sequence[Mapping[str, Any]], invoice_id: str
) -> ChargeReport:
    """Return what became of a charge. A partial refund and an inquiry of the bank take nothing away."""
    statuses = {dispute.get("status") for dispute in disputes}
    return ChargeReport(
        invoice_id=invoice_id,
        is_refunded=bool(charge.get("refunded")),
        has_open_dispute=bool(statuses & _OPEN_DISPUTE),
        has_lost_dispute=_LOST_DISPUTE in statuses,
    )


def read_invoices(found: Sequence[Mapping[str, Any]]) -> Iterator[InvoiceLine]:
    """Yield the invoices that a person may see: drafts are not theirs yet."""
    for invoice in found:
        if invoice.get("status") == "draft":
            continue
        currency = str(invoice.get("currency") or "")
        yield InvoiceLine(
            number=str(invoice.get("number") or invoice["id"]),
            created_at=_required_time(invoice["created"]),
            total=money(invoice["total"], currency),
            currency=currency.upper(),
            status=str(invoice.get("status") or ""),
            url=str(invoice.get("hosted_invoice_url") or ""),
        )


def plan_key_of(price: Mapping[str, Any]) -> str:
    """Return which plan a price sells: by what we noted on it, its lookup key, or its product's id."""
    noted = (price.get("metadata") or {}).get("plan")
    if noted:
        return str(noted)
    for suffix in INTERVALS.values():
        lookup_key = str(price.get("lookup_key") or "")
        if lookup_key.endswith(f"_{suffix}"):
            return lookup_key.removesuffix(f"_{suffix}")
    product = id_of(price.get("product"))
    return product.removeprefix(PRODUCT_PREFIX) if product.startswith(PRODUCT_PREFIX) else ""


def lookup_key_for(plan_key: str, interval: str) -> str:
    """Return the name under which a plan's price is found at Stripe: `plus_monthly`."""
    return f"{plan_key}_{INTERVALS[interval]}"


def money(amount: Any, currency: str) -> Decimal:
    """Return an amount of smallest units as money. Raises ValueError when it is no whole number."""
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise ValueError("An amount of Stripe is a whole number of its smallest unit.")
    return Decimal(amount) if currency.lower() in _WHOLE_UNITS else Decimal(amount).scaleb(-2)


def smallest_units(amount: Decimal, currency: str) -> int:
    """Return money as Stripe counts it. Raises ValueError when it has fractions of the smallest unit."""
    scaled = amount if currency.lower() in _WHOLE_UNITS else amount.scaleb(2)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} {currency} has fractions of the smallest unit.")
    return int(scaled)


def id_of(value: Any) -> str:
    """Return the id of what is either an id or the object itself."""
    return str(value.get("id") or "") if isinstance(value, Mapping) else str(value or "")


def _time(seconds: Any) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def _required_time(seconds: Any) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
