"""The life of a subscription: start, trial, renewal, failed payments, end."""

from brokers.simulators.stripe import billing_shapes as shapes
from brokers.simulators.stripe.invoicing import (
    DRAFT_SECONDS,
    collect_invoice,
    draft_invoice,
    finalize_invoice,
    new_invoice_id,
    renewal_lines,
)
from brokers.simulators.stripe.payments import method_for
from brokers.simulators.stripe.periods import period_end
from brokers.simulators.stripe.state import StripeState, Thing, new_id

LIVE = ("trialing", "active", "past_due", "unpaid")


def start_subscription(
    state: StripeState, values: Thing, wanted: list[tuple[Thing, int]], *, confirmed: bool
) -> tuple[Thing, Thing]:
    """Begin a subscription to ``wanted`` (price, quantity) pairs; returns it and its first invoice.

    Without a trial the first invoice is paid at once; when that fails the subscription stays incomplete.
    """
    now, subscription_id = state.now(), new_id("sub")
    trial_end = values.get("trial_end")
    anchor = trial_end or now
    items = []
    for price, quantity in wanted:
        end = trial_end or period_end(now, price, now)
        items.append(shapes.subscription_item(price, quantity, subscription_id, (now, end), now))
    subscription = shapes.subscription(
        {
            **values,
            "id": subscription_id,
            "billing_cycle_anchor": anchor,
            "currency": wanted[0][0]["currency"],
            "status": "trialing" if trial_end else "incomplete",
        },
        items,
        now,
    )
    state.add(subscription)
    invoice_id = new_invoice_id()
    lines = renewal_lines(invoice_id, subscription, trial=bool(trial_end))
    draft_invoice(
        state,
        subscription,
        lines,
        invoice_id=invoice_id,
        reason="subscription_create",
        period=(now, now),
    )
    if state.objects[values["customer"]]["currency"] is None:
        state.change(values["customer"], currency=subscription["currency"])
    state.emit("customer.subscription.created", state.objects[subscription_id])
    finalize_invoice(state, invoice_id)
    collect_invoice(state, invoice_id, present=True, confirmed=confirmed)
    return state.objects[subscription_id], state.objects[invoice_id]


def renew(state: StripeState, subscription_id: str) -> None:
    """The period is over: the next one begins and its invoice is drafted."""
    before = state.objects[subscription_id]
    ends_trial = before["status"] == "trialing"
    if ends_trial and method_for(state, before) is None:
        behavior = before["trial_settings"]["end_behavior"]["missing_payment_method"]
        if behavior == "cancel":
            cancel_now(state, subscription_id, reason="payment_failed")
            return
        if behavior == "pause":
            _pause(state, before)
            return
    invoice_id = new_invoice_id()
    period = current_period(before)
    renewed = state.change(
        subscription_id,
        items=next_period(before),
        status="active" if ends_trial else before["status"],
    )
    lines = [*_take_pending(state, subscription_id, invoice_id), *renewal_lines(invoice_id, renewed)]
    draft_invoice(state, renewed, lines, invoice_id=invoice_id, reason="subscription_cycle", period=period)
    if before["status"] == "unpaid":
        state.change(invoice_id, auto_advance=False)
    else:
        state.change(invoice_id, automatically_finalizes_at=state.now() + DRAFT_SECONDS)
    state.emit("customer.subscription.updated", state.objects[subscription_id], before)


def settle(state: StripeState, invoice_id: str) -> None:
    """Finalize a draft, or try an open invoice again; after the last failed try the subscription ends."""
    if state.objects[invoice_id]["status"] == "draft":
        finalize_invoice(state, invoice_id)
    outcome = collect_invoice(state, invoice_id)
    invoice = state.objects[invoice_id]
    if outcome["paid"] or invoice["next_payment_attempt"] is not None:
        return
    subscription = state.objects[invoice["parent"]["subscription_details"]["subscription"]]
    if subscription["status"] != "past_due":
        return
    after = state.settings.after_retries
    if after == "cancel":
        cancel_now(state, subscription["id"], reason="payment_failed")
    elif after == "unpaid":
        changed = state.change(subscription["id"], status="unpaid")
        state.emit("customer.subscription.updated", changed, subscription)


def cancel_now(
    state: StripeState, subscription_id: str, *, reason: str, details: Thing | None = None
) -> Thing:
    """End a subscription; its unpaid invoices are not tried any more."""
    before = state.objects[subscription_id]
    for invoice in state.every("invoice"):
        owner = invoice["parent"]["subscription_details"]["subscription"]
        if owner == subscription_id and invoice["status"] in ("draft", "open"):
            state.change(
                invoice["id"],
                auto_advance=False,
                automatically_finalizes_at=None,
                next_payment_attempt=None,
            )
    ended = state.change(
        subscription_id,
        canceled_at=before["canceled_at"] or state.now(),
        cancellation_details={**before["cancellation_details"], **(details or {}), "reason": reason},
        ended_at=state.now(),
        status="canceled",
    )
    state.emit("customer.subscription.deleted", ended)
    return ended


def resume(state: StripeState, subscription_id: str, *, present: bool, confirmed: bool) -> Thing:
    """Let a paused subscription go on from now, with a first payment; returns the bank's answer."""
    before = state.objects[subscription_id]
    now = state.now()
    rows = [
        {
            **item,
            "current_period_start": now,
            "current_period_end": period_end(now, item["price"], now),
        }
        for item in before["items"]["data"]
    ]
    running = state.change(
        subscription_id,
        billing_cycle_anchor=now,
        items={**before["items"], "data": rows},
        status="active",
        status_details=None,
    )
    invoice_id = new_invoice_id()
    lines = renewal_lines(invoice_id, running)
    draft_invoice(
        state, running, lines, invoice_id=invoice_id, reason="subscription_update", period=(now, now)
    )
    finalize_invoice(state, invoice_id)
    outcome = collect_invoice(state, invoice_id, present=present, confirmed=confirmed)
    resumed = state.objects[subscription_id]
    state.emit("customer.subscription.resumed", resumed)
    state.emit("customer.subscription.updated", resumed, before)
    return outcome


def current_period(subscription: Thing) -> tuple[int, int]:
    """The running period; all items of a subscription here share one rhythm."""
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def next_period(subscription: Thing) -> Thing:
    """The items with their following period."""
    anchor = subscription["billing_cycle_anchor"]
    rows = [
        {
            **item,
            "current_period_start": item["current_period_end"],
            "current_period_end": period_end(item["current_period_end"], item["price"], anchor),
        }
        for item in subscription["items"]["data"]
    ]
    return {**subscription["items"], "data": rows}


def _pause(state: StripeState, before: Thing) -> None:
    paused = state.change(before["id"], status="paused")
    state.emit("customer.subscription.paused", paused)
    state.emit("customer.subscription.updated", paused, before)


def _take_pending(state: StripeState, subscription_id: str, invoice_id: str) -> list[Thing]:
    """Prorations that waited for the next invoice."""
    pending = state.notes[subscription_id].get("pending", [])
    state.note(subscription_id, pending=[])
    return [{**line, "invoice": invoice_id} for line in pending]
