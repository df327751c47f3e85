"""Taking money for an invoice, giving it back, and the bank's objections."""

from typing import Any

from brokers.simulators.stripe import payment_shapes as shapes
from brokers.simulators.stripe.cards import behavior
from brokers.simulators.stripe.errors import StripeError, invalid
from brokers.simulators.stripe.shapes import payment_method
from brokers.simulators.stripe.state import StripeState, Thing, new_id

PAID = {"paid": True}
NO_METHOD = {"paid": False, "code": "missing", "message": "This customer has no attached payment source."}
ASKS = {
    "paid": False,
    "code": "authentication_required",
    "decline_code": "authentication_required",
    "message": "Your card was declined. This transaction requires authentication.",
}


def save_card(state: StripeState, customer_id: str, key: str, card: Thing, billing: Thing) -> Thing:
    """Attach a card to a customer and make it the one for invoices."""
    method = state.add(payment_method(card, customer_id, billing, state.now()), behavior=key)
    state.emit("payment_method.attached", method)
    before = state.objects[customer_id]
    settings = {**before["invoice_settings"], "default_payment_method": method["id"]}
    state.emit("customer.updated", state.change(customer_id, invoice_settings=settings), before)
    return method


def method_for(state: StripeState, subscription: Thing) -> Thing | None:
    """The card that an invoice of ``subscription`` is charged to."""
    chosen = subscription["default_payment_method"]
    if chosen is None:
        customer = state.objects[subscription["customer"]]
        chosen = customer.get("invoice_settings", {}).get("default_payment_method")
    return state.objects.get(chosen) if chosen else None


def decide(
    state: StripeState, method: Thing | None, customer_id: str, *, present: bool, confirmed: bool
) -> Thing:
    """What the bank says. ``present``: the owner is at a page; ``confirmed``: passed 3-D Secure just now."""
    forced = state.settings.fail_next.pop(customer_id, None) or state.settings.fail_next.pop("*", None)
    if forced is not None:
        state.save_settings()
        return {"paid": False, "code": "card_declined", "decline_code": forced, "message": "Declined."}
    if method is None:
        return NO_METHOD
    card = behavior(state.notes[method["id"]]["behavior"])
    if card.refuses == "always" or (card.refuses == "later" and not present):
        return refusal(state.notes[method["id"]]["behavior"])
    if card.asks == "always" and not confirmed:
        return ASKS
    return PAID


def refusal(key: str) -> Thing:
    """The outcome of a card that refuses."""
    card = behavior(key)
    return {
        "paid": False,
        "code": card.code,
        "decline_code": card.decline_code,
        "message": card.message,
    }


def decide_page(key: str) -> str:
    """What a page says about a card that the bank refuses at once; nothing for one that it takes."""
    card = behavior(key)
    return card.message if card.refuses == "always" else ""


def open_payment(state: StripeState, invoice: Thing) -> None:
    """Prepare the payment of a finalized invoice."""
    starts = invoice["billing_reason"] == "subscription_create"
    intent = shapes.payment_intent(
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        customer_id=invoice["customer"],
        text="Subscription creation" if starts else "Subscription update",
        now=state.now(),
    )
    state.add(intent)
    state.emit("payment_intent.created", intent)
    state.add(shapes.invoice_payment(invoice, intent["id"], state.now()))


def payment_of(state: StripeState, invoice_id: str) -> Thing | None:
    """The invoice payment of an invoice; None while it is a draft or when nothing was due."""
    return next((one for one in state.every("invoice_payment") if one["invoice"] == invoice_id), None)


def attempt(state: StripeState, invoice: Thing, method: Thing | None, outcome: Thing) -> Thing | None:
    """Record one attempt to take the money of ``invoice``; returns the charge, if it came to one."""
    link = payment_of(state, invoice["id"])
    if link is None:
        raise RuntimeError(f"{invoice['id']} has no payment")
    intent = state.objects[link["payment"]["payment_intent"]]
    if method is None or outcome is ASKS:
        status = "requires_action" if outcome is ASKS else "requires_payment_method"
        _fail(state, intent, method, None, outcome, status=status)
        return None
    charge = state.add(shapes.charge(intent, method, outcome, state.now()))
    if not outcome["paid"]:
        state.emit("charge.failed", charge)
        _fail(state, intent, method, charge, outcome, status="requires_payment_method")
        return charge
    receipt = f"{state.settings.pages_url}/receipts/{charge['id']}"
    charge = state.change(charge["id"], receipt_url=receipt)
    state.emit("charge.succeeded", charge)
    intent = state.change(
        intent["id"],
        amount_received=intent["amount"],
        last_payment_error=None,
        latest_charge=charge["id"],
        next_action=None,
        payment_method=method["id"],
        status="succeeded",
    )
    state.emit("payment_intent.succeeded", intent)
    state.change(
        link["id"],
        amount_paid=intent["amount"],
        status="paid",
        status_transitions={"canceled_at": None, "paid_at": state.now()},
    )
    return charge


def _fail(
    state: StripeState,
    intent: Thing,
    method: Thing | None,
    charge: Thing | None,
    outcome: Thing,
    *,
    status: str,
) -> None:
    error = {
        "code": outcome["code"],
        "message": outcome["message"],
        "type": "invalid_request_error" if method is None else "card_error",
    }
    if outcome.get("decline_code"):
        error["decline_code"] = outcome["decline_code"]
    if charge is not None:
        error["charge"] = charge["id"]
    if method is not None:
        error["payment_method"] = method
    action = None
    if status == "requires_action":
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
    intent = state.change(
        intent["id"],
        last_payment_error=error,
        latest_charge=charge["id"] if charge else intent["latest_charge"],
        next_action=action,
        status=status,
    )
    if status == "requires_action":
        state.emit("payment_intent.requires_action", intent)
    state.emit("payment_intent.payment_failed", intent)


def create_refund(state: StripeState, values: dict[str, Any]) -> Thing:
    """Give money of a charge back. Raises StripeError as Stripe does."""
    charge = _charge_of(state, values)
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise StripeError(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if not charge["paid"]:
        raise invalid(f"Charge {charge['id']} has not been paid and cannot be refunded.")
    if charge["disputed"]:
        raise StripeError(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed"
        )
    amount = values.get("amount", left)
    if amount > left:
        raise invalid(
            f"Refund amount (${amount / 100:.2f}) is greater than unrefunded amount on charge "
            f"(${left / 100:.2f})",
            "amount",
        )
    refund = state.add(shapes.refund(charge, amount, values, state.now()))
    refunded = charge["amount_refunded"] + amount
    changed = state.change(charge["id"], amount_refunded=refunded, refunded=refunded == charge["amount"])
    state.emit("charge.refunded", changed, charge)
    state.emit("refund.created", refund)
    return refund


def _charge_of(state: StripeState, values: dict[str, Any]) -> Thing:
    if ("charge" in values) == ("payment_intent" in values):
        raise StripeError(
            "One of the following params should be provided for this request: payment_intent or charge.",
            code="parameter_missing",
        )
    if "charge" in values:
        return state.find("charge", values["charge"], param="charge")
    intent = state.find("payment_intent", values["payment_intent"], param="payment_intent")
    if intent["latest_charge"] is None:
        raise invalid(f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.")
    return state.objects[intent["latest_charge"]]


def open_dispute(state: StripeState, charge_id: str, reason: str) -> Thing:
    """The bank takes the money of a charge back and asks why it was charged."""
    charge = state.find("charge", charge_id, param="charge")
    if charge["disputed"] or not charge["paid"]:
        raise invalid(f"Charge {charge_id} cannot be disputed.")
    dispute = {
        "id": new_id("du"),
        "object": "dispute",
        "amount": charge["amount"] - charge["amount_refunded"],
        "balance_transactions": [],
        "charge": charge_id,
        "created": state.now(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": state.now() + 10 * 86400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": charge["payment_method_details"]["card"]["brand"],
                "case_type": "chargeback",
                "network": charge["payment_method_details"]["card"]["brand"],
                "network_reason_code": "10.4",
            },
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }
    state.add(dispute)
    state.change(charge_id, disputed=True)
    state.emit("charge.dispute.created", dispute)
    state.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_dispute(state: StripeState, dispute_id: str, *, won: bool) -> Thing:
    """End a dispute; the money comes back when it is won."""
    before = state.find("dispute", dispute_id)
    if before["status"] in ("won", "lost"):
        raise invalid(f"Dispute {dispute_id} is closed.")
    dispute = state.change(dispute_id, status="won" if won else "lost")
    state.emit("charge.dispute.closed", dispute, before)
    if won:
        state.emit("charge.dispute.funds_reinstated", dispute)
    return dispute
