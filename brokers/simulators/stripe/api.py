"""What each call of the API does. The table of calls is in :mod:`brokers.simulators.stripe.operations`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from brokers.simulators.stripe import catalog, shapes
from brokers.simulators.stripe.errors import card_declined, invalid
from brokers.simulators.stripe.invoicing import collect_invoice, finalize_invoice
from brokers.simulators.stripe.lifecycle import cancel_now, current_period, resume
from brokers.simulators.stripe.lists import paginate, shown, within
from brokers.simulators.stripe.portal_setup import default_configuration
from brokers.simulators.stripe.state import StripeState, Thing


@dataclass(frozen=True, slots=True)
class Call:
    """One authorized request with checked parameters. ``thing_id`` is the id in the path."""

    state: StripeState
    path: str
    thing_id: str
    values: dict[str, Any]


Handler = Callable[[Call], Thing]


def retrieve(kind: str) -> Handler:
    """Read one object by its id."""

    def handler(call: Call) -> Thing:
        call.state.find(kind, call.thing_id)
        return shown(call.state, call.thing_id)

    return handler


def list_all(kind: str, *filters: str) -> Handler:
    """List objects of a kind, newest first, by equality of the fields that ``filters`` name."""

    def handler(call: Call) -> Thing:
        rows = [row for row in reversed(call.state.every(kind)) if not row.get("deleted")]
        for name in filters:
            if name in call.values:
                rows = [row for row in rows if row[name] == call.values[name]]
        return paginate(rows, call.values, call.path)

    return handler


def list_products(call: Call) -> Thing:
    """Products, by ids as well."""
    rows = list(reversed(call.state.every("product")))
    if "ids" in call.values:
        rows = [row for row in rows if row["id"] in call.values["ids"]]
    if "active" in call.values:
        rows = [row for row in rows if row["active"] == call.values["active"]]
    return paginate(rows, call.values, call.path)


def list_prices(call: Call) -> Thing:
    """Prices, by lookup keys and interval as well."""
    rows, values = list(reversed(call.state.every("price"))), call.values
    for name in ("active", "currency", "product", "type"):
        if name in values:
            rows = [row for row in rows if row[name] == values[name]]
    if "lookup_keys" in values:
        rows = [row for row in rows if row["lookup_key"] in values["lookup_keys"]]
    if "interval" in values.get("recurring", {}):
        wanted = values["recurring"]["interval"]
        rows = [row for row in rows if (row["recurring"] or {}).get("interval") == wanted]
    return paginate(rows, values, call.path)


def search_customers(call: Call) -> Thing:
    """Customers by metadata, email or name; one page only."""
    rows = catalog.search_customers(call.state, call.values["query"])
    limit = call.values.get("limit", 10)
    return {
        "object": "search_result",
        "data": rows[:limit],
        "has_more": len(rows) > limit,
        "next_page": None,
        "url": call.path,
    }


def list_sessions(call: Call) -> Thing:
    """Checkout sessions."""
    rows, values = list(reversed(call.state.every("checkout.session"))), call.values
    for name in ("customer", "status", "subscription"):
        if name in values:
            rows = [row for row in rows if row[name] == values[name]]
    if "customer_details" in values:
        email = values["customer_details"]["email"]
        rows = [row for row in rows if (row["customer_details"] or {}).get("email") == email]
    return paginate(rows, values, call.path)


def list_line_items(call: Call) -> Thing:
    """The lines of a Checkout session."""
    call.state.find("checkout.session", call.thing_id)
    return paginate(call.state.notes[call.thing_id]["lines"], call.values, call.path)


def list_configurations(call: Call) -> Thing:
    """Configurations of the portal, the default one among them from the start."""
    default_configuration(call.state)
    return list_all("billing_portal.configuration", "active", "is_default")(call)


def list_subscriptions(call: Call) -> Thing:
    """Subscriptions; canceled ones only when asked for."""
    rows, values = list(reversed(call.state.every("subscription"))), call.values
    status = values.get("status")
    if status is None:
        rows = [row for row in rows if row["status"] != "canceled"]
    elif status == "ended":
        rows = [row for row in rows if row["status"] in ("canceled", "incomplete_expired")]
    elif status != "all":
        rows = [row for row in rows if row["status"] == status]
    if "customer" in values:
        rows = [row for row in rows if row["customer"] == values["customer"]]
    if "price" in values:
        rows = [
            row for row in rows if values["price"] in [one["price"]["id"] for one in row["items"]["data"]]
        ]
    for place, name in enumerate(("current_period_start", "current_period_end")):
        if name in values:
            rows = [row for row in rows if within(current_period(row)[place], values[name])]
    return paginate(rows, values, call.path)


def cancel_subscription(call: Call) -> Thing:
    """End a subscription now."""
    subscription = call.state.find("subscription", call.thing_id)
    if subscription["status"] == "canceled":
        raise invalid(f"No such subscription: '{call.thing_id}'", "id", "resource_missing")
    details = call.values.get("cancellation_details")
    return cancel_now(call.state, call.thing_id, reason="cancellation_requested", details=details)


def resume_subscription(call: Call) -> Thing:
    """Let a paused subscription go on, paid by its saved card."""
    subscription = call.state.find("subscription", call.thing_id)
    if subscription["status"] != "paused":
        raise invalid("Only a paused subscription can be resumed.")
    outcome = resume(call.state, call.thing_id, present=False, confirmed=False)
    _raise_refusal(outcome)
    return call.state.objects[call.thing_id]


def list_invoices(call: Call) -> Thing:
    """Invoices, by subscription as well."""
    rows, values = list(reversed(call.state.every("invoice"))), call.values
    for name in ("customer", "status"):
        if name in values:
            rows = [row for row in rows if row[name] == values[name]]
    if "subscription" in values:
        wanted = values["subscription"]
        rows = [row for row in rows if row["parent"]["subscription_details"]["subscription"] == wanted]
    return paginate(rows, values, call.path)


def pay_invoice(call: Call) -> Thing:
    """Try to collect an invoice now. Raises StripeError 402 when the bank refuses; the try is on record."""
    state, values = call.state, call.values
    invoice = state.find("invoice", call.thing_id)
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid")
    if invoice["status"] not in ("draft", "open"):
        raise invalid(f"Invoice is {invoice['status']} and cannot be paid.")
    method = None
    if "payment_method" in values:
        method = state.find("payment_method", values["payment_method"], param="payment_method", status=400)
    if invoice["status"] == "draft":
        finalize_invoice(state, call.thing_id)
    outcome = collect_invoice(state, call.thing_id, method=method)
    if not outcome["paid"]:
        raise Refusal(outcome)
    return state.objects[call.thing_id]


class Refusal(Exception):
    """The bank refused and the attempt stays on record: the answer is an error, the changes are kept."""

    def __init__(self, outcome: Thing) -> None:
        super().__init__(outcome["message"])
        self.outcome = outcome


def _raise_refusal(outcome: Thing) -> None:
    if not outcome["paid"]:
        raise card_declined(
            outcome["message"],
            code=outcome["code"],
            decline_code=outcome.get("decline_code"),
            charge=None,
        )


def list_invoice_payments(call: Call) -> Thing:
    """Payments of invoices."""
    rows, values = list(reversed(call.state.every("invoice_payment"))), call.values
    for name in ("invoice", "status"):
        if name in values:
            rows = [row for row in rows if row[name] == values[name]]
    if "payment_intent" in values.get("payment", {}):
        wanted = values["payment"]["payment_intent"]
        rows = [row for row in rows if row["payment"]["payment_intent"] == wanted]
    return paginate(rows, values, call.path)


def update_refund(call: Call) -> Thing:
    """Change a refund's metadata."""
    before = call.state.find("refund", call.thing_id)
    if "metadata" not in call.values:
        return before
    merged = shapes.merge_metadata(before["metadata"], call.values["metadata"])
    refund = call.state.change(call.thing_id, metadata=merged)
    call.state.emit("refund.updated", refund, before)
    return refund


def list_events(call: Call) -> Thing:
    """Events, by type and by whether they were delivered."""
    rows, values = list(reversed(call.state.every("event"))), call.values
    wanted = values.get("types", [values["type"]] if "type" in values else None)
    if wanted is not None:
        rows = [row for row in rows if any(_is_of(row["type"], name) for name in wanted)]
    if "delivery_success" in values:
        rows = [row for row in rows if (row["pending_webhooks"] == 0) == values["delivery_success"]]
    return paginate(rows, values, call.path)


def _is_of(event_type: str, wanted: str) -> bool:
    return event_type == wanted or (wanted.endswith(".*") and event_type.startswith(wanted[:-1]))
