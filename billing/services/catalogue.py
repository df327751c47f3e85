"""Bringing our plans to Stripe: a product for each, a price for each interval, and the portal.

Prices are found by lookup key (`plus_monthly`). A price at Stripe never changes: another amount is a new
price that takes the key over, and who subscribed at the old one keeps it.
"""

from decimal import Decimal
from typing import Any

from billing.exceptions import StripeObjectMissing, StripeRefused
from billing.models import Plan
from billing.stripe_client import call
from billing.stripe_objects import PRODUCT_PREFIX, lookup_key_for, smallest_units


def sync_plans_to_stripe() -> list[str]:
    """Make products and prices at Stripe equal to our public plans; return a line for each change.

    Raises PaymentsNotConfigured, StripeUnavailable or StripeRefused; run again, it goes on where it stopped.
    """
    done: list[str] = []
    offered: list[dict[str, Any]] = []
    for plan in Plan.objects.filter(is_public=True, is_default=False):
        done += _sync_product(plan)
        prices = []
        for interval, amount in (("month", plan.monthly_price), ("year", plan.yearly_price)):
            price_id, change = _sync_price(plan, interval, amount)
            done += [change] if change else []
            prices += [price_id] if price_id else []
        offered.append({"product": product_id_for(plan), "prices": prices})
    return done + _sync_portal(offered)


def product_id_for(plan: Plan) -> str:
    """Return the id that a plan's product has at Stripe."""
    return f"{PRODUCT_PREFIX}{plan.key}"


def _sync_product(plan: Plan) -> list[str]:
    wanted = {"name": plan.name, "description": plan.tagline or plan.name}
    try:
        found = call("products.retrieve", product_id_for(plan))
    except StripeObjectMissing:
        params = {"id": product_id_for(plan), "metadata": {"plan": plan.key}, **wanted}
        call("products.create", params)
        return [f"Created the product of {plan.name}."]
    if all(found.get(name) == value for name, value in wanted.items()) and found.get("active", True):
        return []
    call("products.update", product_id_for(plan), {**wanted, "active": True})
    return [f"Updated the product of {plan.name}."]


def _sync_price(plan: Plan, interval: str, amount: Decimal) -> tuple[str, str]:
    """Return the id of the price and what was done, both empty when there is nothing to sell."""
    lookup_key = lookup_key_for(plan.key, interval)
    found = call("prices.list", {"lookup_keys": [lookup_key], "active": True, "limit": 1})["data"]
    if not amount:
        return "", ""
    units = smallest_units(amount, plan.currency)
    if found and _is_same(found[0], plan, units, interval):
        return str(found[0]["id"]), ""
    made = call(
        "prices.create",
        {
            "product": product_id_for(plan),
            "currency": plan.currency.lower(),
            "unit_amount": units,
            "recurring": {"interval": interval},
            "lookup_key": lookup_key,
            "transfer_lookup_key": True,
            "metadata": {"plan": plan.key},
        },
    )
    if found:
        call("prices.update", found[0]["id"], {"active": False})
    return str(made["id"]), f"Created the price {lookup_key}: {amount} {plan.currency}."


def _is_same(price: dict[str, Any], plan: Plan, units: int, interval: str) -> bool:
    return (
        price.get("unit_amount") == units
        and str(price.get("currency", "")).upper() == plan.currency
        and (price.get("recurring") or {}).get("interval") == interval
    )


def _sync_portal(offered: list[dict[str, Any]]) -> list[str]:
    """Let the customer portal offer these prices, cancel at the end of the period, and show invoices."""
    features = {
        "customer_update": {"enabled": True, "allowed_updates": ["email", "address", "tax_id"]},
        "invoice_history": {"enabled": True},
        "payment_method_update": {"enabled": True},
        "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
        "subscription_update": {
            "enabled": bool(offered),
            "default_allowed_updates": ["price"],
            "proration_behavior": "create_prorations",
            "products": offered,
        },
    }
    try:
        found = call("billing_portal.configurations.list", {"is_default": True, "limit": 1})["data"]
        if not found:
            call("billing_portal.configurations.create", {"features": features})
            return ["Created the customer portal."]
        if _offers(found[0], offered):
            return []
        call("billing_portal.configurations.update", found[0]["id"], {"features": features})
    except StripeRefused:
        # A restricted key may sell plans without being allowed to change the portal.
        return ["Left the customer portal as it is set up at Stripe."]
    return ["Updated what the customer portal offers."]


def _offers(configuration: dict[str, Any], offered: list[dict[str, Any]]) -> bool:
    update = (configuration.get("features") or {}).get("subscription_update") or {}
    shown = {one["product"]: sorted(one["prices"]) for one in update.get("products") or []}
    return shown == {one["product"]: sorted(one["prices"]) for one in offered}
