"""Subscriptions and invoices in their published shape."""

from brokers.simulators.stripe.shapes import listing, plan_of
from brokers.simulators.stripe.state import Thing, new_id

SELLER = {"account_country": "US", "account_name": "Trading platform (simulated)"}


def subscription(values: Thing, items: list[Thing], now: int) -> Thing:
    """A subscription. ``values``: customer, currency, trial_end and the like; the rest starts as usual."""
    subscription_id = values["id"]
    tax = values.get("automatic_tax", False)
    mode = values.get("billing_mode") or {"type": "flexible"}
    flexible = mode.get("flexible") or {"proration_discounts": "included"}
    behavior = values.get("missing_payment_method", "create_invoice")
    return {
        "id": subscription_id,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": tax,
            "liability": {"type": "self"} if tax else None,
        },
        "billing_cycle_anchor": values["billing_cycle_anchor"],
        "billing_cycle_anchor_config": None,
        "billing_mode": {
            "flexible": flexible if mode["type"] == "flexible" else None,
            "type": mode["type"],
            "updated_at": now if mode["type"] == "flexible" else None,
        },
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {
            "comment": None,
            "feedback": None,
            "feedback_option": None,
            "reason": None,
        },
        "collection_method": "charge_automatically",
        "created": now,
        "currency": values["currency"],
        "customer": values["customer"],
        "customer_account": None,
        "days_until_due": None,
        "default_payment_method": values.get("default_payment_method"),
        "default_source": None,
        "default_tax_rates": [],
        "description": values.get("description"),
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": None,
            "footer": None,
            "issuer": {"type": "self"},
        },
        "items": listing(items, f"/v1/subscription_items?subscription={subscription_id}", count=True),
        "latest_invoice": None,
        "livemode": False,
        "metadata": values.get("metadata", {}),
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": now,
        "status": values["status"],
        "test_clock": None,
        "transfer_data": None,
        "trial_end": values.get("trial_end"),
        "trial_settings": {
            "end_behavior": {"billing_cycle_anchor": None, "missing_payment_method": behavior}
        },
        "trial_start": now if values.get("trial_end") else None,
    }


def subscription_item(
    price: Thing, quantity: int, subscription_id: str, period: tuple[int, int], now: int
) -> Thing:
    """One price of a subscription with its current period."""
    return {
        "id": new_id("si", 14),
        "object": "subscription_item",
        "billed_until": None,
        "billing_thresholds": None,
        "created": now,
        "current_period_end": period[1],
        "current_period_start": period[0],
        "discounts": [],
        "metadata": {},
        "plan": plan_of(price),
        "price": price,
        "quantity": quantity,
        "subscription": subscription_id,
        "tax_rates": [],
    }


def invoice(
    *,
    invoice_id: str,
    subscription: Thing,
    customer: Thing,
    lines: list[Thing],
    reason: str,
    period: tuple[int, int],
    now: int,
) -> Thing:
    """A draft invoice of a subscription."""
    total = sum(line["amount"] for line in lines)
    due = max(total, 0)
    tax = subscription["automatic_tax"]["enabled"]
    return {
        "id": invoice_id,
        "object": "invoice",
        **SELLER,
        "account_tax_ids": None,
        "amount_due": due,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": due,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": tax,
            "liability": {"type": "self"} if tax else None,
            "provider": "stripe" if tax else None,
            "status": "complete" if tax else None,
        },
        "automatically_finalizes_at": None,
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "created": now,
        "currency": subscription["currency"],
        "custom_fields": None,
        "customer": customer["id"],
        "customer_account": None,
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": None,
        "customer_tax_exempt": customer["tax_exempt"],
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": listing(lines, f"/v1/invoices/{invoice_id}/lines", count=True),
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": {
            "quote_details": None,
            "subscription_details": {
                "metadata": subscription["metadata"],
                "subscription": subscription["id"],
            },
            "type": "subscription_details",
        },
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_end": period[1],
        "period_start": period[0],
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "test_clock": None,
        "total": total,
        "total_discount_amounts": [],
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": now,
    }


def invoice_line(
    *,
    invoice_id: str,
    item: Thing,
    amount: int,
    period: tuple[int, int],
    text: str,
    proration: bool = False,
) -> Thing:
    """One line of a subscription's invoice; ``item`` is the subscription item that it charges."""
    price = item["price"]
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": price["currency"],
        "description": text,
        "discount_amounts": [],
        "discountable": not proration,
        "discounts": [],
        "invoice": invoice_id,
        "livemode": False,
        "metadata": {},
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": proration,
                "proration_details": {"credited_items": None},
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        "period": {"end": period[1], "start": period[0]},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        "quantity": item["quantity"],
        "subscription": item["subscription"],
        "subtotal": amount,
        "taxes": [],
    }
