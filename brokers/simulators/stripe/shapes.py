"""Objects of the catalogue, the customer, Checkout and the portal in their published shape."""

from decimal import Decimal
from typing import Any

from brokers.simulators.stripe.state import Thing, new_id

LOOK = {
    "background_color": "#ffffff",
    "border_style": "rounded",
    "button_color": "#1f6f54",
    "display_name": "Trading platform",
    "font_family": "default",
    "icon": None,
    "logo": None,
}


def product(values: Thing, now: int) -> Thing:
    """A product."""
    return {
        "id": values.get("id") or new_id("prod", 14),
        "object": "product",
        "active": values.get("active", True),
        "created": now,
        "default_price": None,
        "description": values.get("description"),
        "images": values.get("images", []),
        "livemode": False,
        "marketing_features": [],
        "metadata": merge_metadata({}, values.get("metadata", {})),
        "name": values["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": values.get("statement_descriptor"),
        "tax_code": values.get("tax_code"),
        "type": values.get("type", "service"),
        "unit_label": values.get("unit_label"),
        "updated": now,
        "url": values.get("url"),
    }


def price(values: Thing, now: int) -> Thing:
    """A price; recurring when ``values`` has an interval."""
    recurring = values.get("recurring")
    if recurring is not None:
        recurring = {
            "interval": recurring["interval"],
            "interval_count": recurring.get("interval_count", 1),
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        }
    exact = values.get("unit_amount_decimal")
    amount = values.get("unit_amount")
    if amount is None and exact is not None and exact == exact.to_integral_value():
        amount = int(exact)
    return {
        "id": new_id("price"),
        "object": "price",
        "active": values.get("active", True),
        "billing_scheme": "per_unit",
        "created": now,
        "currency": values["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": values.get("lookup_key"),
        "metadata": merge_metadata({}, values.get("metadata", {})),
        "nickname": values.get("nickname"),
        "product": values["product"],
        "recurring": recurring,
        "tax_behavior": values.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": str(exact if exact is not None else Decimal(amount or 0)),
    }


def plan_of(price: Thing) -> Thing:
    """The older ``plan`` picture of a recurring price, which subscription items still carry."""
    recurring = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring["interval"],
        "interval_count": recurring["interval_count"],
        "livemode": False,
        "metadata": price["metadata"],
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def customer(values: Thing, now: int) -> Thing:
    """A customer."""
    return {
        "id": new_id("cus", 14),
        "object": "customer",
        "address": address(values["address"]) if values.get("address") else None,
        "balance": 0,
        "business_name": None,
        "created": now,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": values.get("description"),
        "discount": None,
        "email": values.get("email"),
        "individual_name": None,
        "invoice_prefix": new_id("x", 8)[2:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": merge_metadata({}, values.get("metadata") or {}),
        "name": values.get("name"),
        "next_invoice_sequence": 1,
        "phone": values.get("phone"),
        "preferred_locales": values.get("preferred_locales", []),
        "shipping": None,
        "tax_exempt": values.get("tax_exempt") or "none",
        "test_clock": None,
    }


def address(values: Thing) -> Thing:
    """An address with every published field."""
    names = ("city", "country", "line1", "line2", "postal_code", "state")
    return {name: values.get(name) for name in names}


def payment_method(card: Thing, customer_id: str, billing: Thing, now: int) -> Thing:
    """A saved card; of its number only the last four digits and a fingerprint remain."""
    return {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "limited",
        "billing_details": {
            "address": address(billing.get("address") or {}),
            "email": billing.get("email"),
            "name": billing.get("name"),
            "phone": None,
            "tax_id": None,
        },
        "card": {
            "brand": card["brand"],
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": "pass",
            },
            "country": "US",
            "display_brand": card["brand"],
            "exp_month": card["exp_month"],
            "exp_year": card["exp_year"],
            "fingerprint": card["fingerprint"],
            "funding": "credit",
            "generated_from": None,
            "last4": card["last4"],
            "networks": {"available": [card["brand"]], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": now,
        "customer": customer_id,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def checkout_session(values: Thing, now: int, *, url: str, amount: int, currency: str) -> Thing:
    """An open Checkout session in subscription mode; ``url`` ends where the id belongs."""
    session_id = new_id("cs_test", 58)
    tax = values.get("automatic_tax", {}).get("enabled", False)
    trial = bool({"trial_period_days", "trial_end"} & values.get("subscription_data", {}).keys())
    due = 0 if trial else amount
    return {
        "id": session_id,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "after_expiration": None,
        "allow_promotion_codes": values.get("allow_promotion_codes"),
        "amount_subtotal": due,
        "amount_total": due,
        "automatic_tax": {
            "enabled": tax,
            "liability": {"type": "self"} if tax else None,
            "provider": "stripe" if tax else None,
            "status": "requires_location_inputs" if tax else None,
        },
        "billing_address_collection": values.get("billing_address_collection"),
        "branding_settings": LOOK,
        "cancel_url": values.get("cancel_url"),
        "client_reference_id": values.get("client_reference_id"),
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": now,
        "currency": currency,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": values.get("customer"),
        "customer_account": None,
        "customer_creation": None if values.get("customer") else "always",
        "customer_details": _details(values.get("customer_email")),
        "customer_email": values.get("customer_email"),
        "discounts": [],
        "expires_at": values.get("expires_at", now + 24 * 3600),
        "invoice": None,
        "invoice_creation": None,
        "livemode": False,
        "locale": values.get("locale"),
        "metadata": merge_metadata({}, values.get("metadata", {})),
        "mode": "subscription",
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": values.get("payment_method_collection", "always"),
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": {
            "allow_redisplay_filters": ["always"],
            "payment_method_remove": "disabled",
            "payment_method_save": None,
        },
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": values.get("submit_type"),
        "subscription": None,
        "success_url": values["success_url"],
        "tax_id_collection": {
            "enabled": values.get("tax_id_collection", {}).get("enabled", False),
            "required": "never",
        },
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": url + session_id,
        "wallet_options": None,
    }


def _details(email: str | None) -> Thing | None:
    return customer_details(email=email) if email else None


def customer_details(
    *, email: str | None, name: str | None = None, where: Thing | None = None
) -> dict[str, Any]:
    """What a person gave on the Checkout page."""
    return {
        "address": address(where) if where else None,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }


def line_item(item: Thing, price: Thing, name: str, *, due: bool) -> Thing:
    """A line of a Checkout session; nothing is due now while a trial runs."""
    amount = price["unit_amount"] * item["quantity"] if due else 0
    return {
        "id": new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": name,
        "metadata": {},
        "price": price,
        "quantity": item["quantity"],
    }


def portal_session(values: Thing, now: int, *, url: str, configuration: str) -> Thing:
    """A portal session; ``url`` ends where the id belongs."""
    session_id = new_id("bps")
    return {
        "id": session_id,
        "object": "billing_portal.session",
        "after_expiration": None,
        "configuration": configuration,
        "created": now,
        "customer": values["customer"],
        "customer_account": None,
        "flow": None,
        "livemode": False,
        "locale": values.get("locale"),
        "on_behalf_of": None,
        "return_url": values.get("return_url"),
        "url": url + session_id,
    }


def merge_metadata(old: dict[str, str], given: dict[str, str] | None) -> dict[str, str]:
    """Metadata after an update: an empty value removes one, None all."""
    if given is None:
        return {}
    return {name: value for name, value in {**old, **given}.items() if value != ""}


def listing(data: list[Thing], url: str, *, more: bool = False, count: bool = False) -> Thing:
    """A list object, as replies and as part of other objects."""
    total = {"total_count": len(data)} if count else {}
    return {"object": "list", "data": data, "has_more": more, **total, "url": url}
