"""The life of an invoice: draft, finalized, tried, paid; and what that means for its subscription."""

from brokers.simulators.stripe import billing_shapes as shapes
from brokers.simulators.stripe.payments import (
    ASKS,
    PAID,
    attempt,
    decide,
    method_for,
    open_payment,
    payment_of,
)
from brokers.simulators.stripe.state import StripeState, Thing, new_id

DAY = 86400
DRAFT_SECONDS = 3600
RETRY_DAYS = (3, 5, 7)
"""Waits between the attempts to collect a renewal; after the last one the subscription ends or is unpaid."""


def draft_invoice(
    state: StripeState,
    subscription: Thing,
    lines: list[Thing],
    *,
    invoice_id: str,
    reason: str,
    period: tuple[int, int],
) -> Thing:
    """Create a draft and make it the subscription's latest invoice."""
    invoice = state.add(
        shapes.invoice(
            invoice_id=invoice_id,
            subscription=subscription,
            customer=state.objects[subscription["customer"]],
            lines=lines,
            reason=reason,
            period=period,
            now=state.now(),
        )
    )
    state.emit("invoice.created", invoice)
    state.change(subscription["id"], latest_invoice=invoice["id"])
    return invoice


def renewal_lines(invoice_id: str, subscription: Thing, *, trial: bool = False) -> list[Thing]:
    """What the current period costs, one line per item."""
    lines = []
    for item in subscription["items"]["data"]:
        amount = 0 if trial else item["price"]["unit_amount"] * item["quantity"]
        text = "Trial period" if trial else f"{item['quantity']} × subscription"
        period = (item["current_period_start"], item["current_period_end"])
        lines.append(
            shapes.invoice_line(invoice_id=invoice_id, item=item, amount=amount, period=period, text=text)
        )
    return lines


def finalize_invoice(state: StripeState, invoice_id: str) -> Thing:
    """Give the draft its number and addresses and open it; nothing can change its lines from then on."""
    invoice = state.objects[invoice_id]
    customer = state.objects[invoice["customer"]]
    number, balance = customer["next_invoice_sequence"], customer["balance"]
    owed = balance + invoice["total"]
    state.change(customer["id"], next_invoice_sequence=number + 1, balance=min(owed, 0))
    pages = f"{state.settings.pages_url}/invoices/{invoice_id}"
    invoice = state.change(
        invoice_id,
        amount_due=max(owed, 0),
        amount_remaining=max(owed, 0),
        automatically_finalizes_at=None,
        effective_at=state.now(),
        ending_balance=min(owed, 0),
        starting_balance=balance,
        hosted_invoice_url=pages,
        invoice_pdf=f"{pages}/pdf",
        number=f"{customer['invoice_prefix']}-{number:04d}",
        status="open",
        status_transitions={**invoice["status_transitions"], "finalized_at": state.now()},
    )
    state.emit("invoice.finalized", invoice)
    if invoice["amount_due"] > 0:
        open_payment(state, invoice)
    return invoice


def collect_invoice(
    state: StripeState,
    invoice_id: str,
    *,
    method: Thing | None = None,
    present: bool = False,
    confirmed: bool = False,
) -> Thing:
    """Try to take the money; returns the bank's answer. ``method`` None: the subscription's own card."""
    invoice = state.objects[invoice_id]
    subscription = subscription_of(state, invoice)
    if invoice["amount_due"] == 0:
        _mark_paid(state, invoice, attempted=False)
        return PAID
    method = method or method_for(state, subscription)
    outcome = decide(state, method, invoice["customer"], present=present, confirmed=confirmed)
    attempt(state, invoice, method, outcome)
    if outcome["paid"]:
        _mark_paid(state, invoice, attempted=True)
    else:
        _mark_failed(state, invoice, outcome)
    return outcome


def subscription_of(state: StripeState, invoice: Thing) -> Thing:
    """The subscription that an invoice belongs to."""
    return state.objects[invoice["parent"]["subscription_details"]["subscription"]]


def void_invoice(state: StripeState, invoice_id: str) -> None:
    """Take an unpaid invoice back."""
    invoice = state.objects[invoice_id]
    state.change(
        invoice_id,
        auto_advance=False,
        next_payment_attempt=None,
        status="void",
        status_transitions={**invoice["status_transitions"], "voided_at": state.now()},
    )
    state.emit("invoice.voided", state.objects[invoice_id])
    link = payment_of(state, invoice_id)
    if link is not None:
        transitions = {"canceled_at": state.now(), "paid_at": None}
        state.change(link["id"], status="canceled", status_transitions=transitions)


def _mark_paid(state: StripeState, invoice: Thing, *, attempted: bool) -> None:
    paid = state.change(
        invoice["id"],
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
        attempt_count=invoice["attempt_count"] + attempted,
        attempted=True,
        auto_advance=False,
        next_payment_attempt=None,
        status="paid",
        status_transitions={**invoice["status_transitions"], "paid_at": state.now()},
    )
    state.emit("invoice.paid", paid)
    state.emit("invoice.payment_succeeded", paid)
    subscription = subscription_of(state, paid)
    recovers = subscription["status"] in ("incomplete", "past_due", "unpaid")
    if recovers and subscription["latest_invoice"] == paid["id"]:
        state.emit(
            "customer.subscription.updated",
            state.change(subscription["id"], status="active"),
            subscription,
        )


def _mark_failed(state: StripeState, invoice: Thing, outcome: Thing) -> None:
    tries = invoice["attempt_count"] + 1
    renewal = invoice["billing_reason"] in ("subscription_cycle", "subscription_update")
    again = None
    if renewal and tries <= len(RETRY_DAYS) and invoice["auto_advance"]:
        again = state.now() + RETRY_DAYS[tries - 1] * DAY
    failed = state.change(invoice["id"], attempt_count=tries, attempted=True, next_payment_attempt=again)
    state.emit("invoice.payment_failed", failed)
    if outcome is ASKS:
        state.emit("invoice.payment_action_required", failed)
    subscription = subscription_of(state, failed)
    if renewal and subscription["status"] in ("active", "trialing"):
        state.emit(
            "customer.subscription.updated",
            state.change(subscription["id"], status="past_due"),
            subscription,
        )


def new_invoice_id() -> str:
    """A fresh invoice id."""
    return new_id("in")
