"""Products, prices and customers."""

import re
from typing import Any

from brokers.simulators.stripe import shapes
from brokers.simulators.stripe.errors import StripeError, invalid
from brokers.simulators.stripe.lifecycle import cancel_now
from brokers.simulators.stripe.state import StripeState, Thing

_CLAUSE = re.compile(
    r"""\s*(?:(?P<field>email|name|phone)|metadata\[(?P<quote>["'])(?P<key>[^"']+)(?P=quote)\])\s*"""
    r"""(?P<how>[:~])\s*(?P<mark>["'])(?P<value>[^"']*)(?P=mark)\s*"""
)


def create_product(state: StripeState, values: dict[str, Any]) -> Thing:
    """A new product. Raises StripeError when its id is taken."""
    if values.get("id") in state.objects:
        raise StripeError("Product already exists.", code="resource_already_exists", param="id")
    product = state.add(shapes.product(values, state.now()))
    state.emit("product.created", product)
    return product


def update_product(state: StripeState, product_id: str, values: dict[str, Any]) -> Thing:
    """Change a product."""
    before = state.find("product", product_id)
    changes = dict(values)
    if "metadata" in changes:
        changes["metadata"] = shapes.merge_metadata(before["metadata"], changes["metadata"])
    if "images" in changes:
        changes["images"] = changes["images"] or []
    if "default_price" in changes:
        state.find("price", changes["default_price"], param="default_price", status=400)
    product = state.change(product_id, **changes, updated=state.now())
    state.emit("product.updated", product, before)
    return product


def create_price(state: StripeState, values: dict[str, Any]) -> Thing:
    """A new price. Raises StripeError as Stripe does."""
    if "product" not in values:
        raise StripeError(
            "You must specify either `product` or `product_data` when creating a price.",
            code="parameter_missing",
            param="product",
        )
    product = state.find("product", values["product"], param="product", status=400)
    if not product["active"]:
        raise invalid(f"Product {product['id']} is not active.", "product")
    if len(values["currency"]) != 3 or not values["currency"].isalpha():
        raise invalid(f"Invalid currency: {values['currency']}.", "currency")
    if ("unit_amount" in values) == ("unit_amount_decimal" in values):
        raise invalid("Exactly one of unit_amount and unit_amount_decimal is needed.", "unit_amount")
    _take_lookup_key(state, values, owner=None)
    price = state.add(shapes.price(values, state.now()))
    state.emit("price.created", price)
    return price


def update_price(state: StripeState, price_id: str, values: dict[str, Any]) -> Thing:
    """Change what may change of a price; its amount never does."""
    before = state.find("price", price_id)
    _take_lookup_key(state, values, owner=price_id)
    changes = {name: value for name, value in values.items() if name != "transfer_lookup_key"}
    if "metadata" in changes:
        changes["metadata"] = shapes.merge_metadata(before["metadata"], changes["metadata"])
    price = state.change(price_id, **changes)
    state.emit("price.updated", price, before)
    return price


def create_customer(state: StripeState, values: dict[str, Any]) -> Thing:
    """A new customer."""
    _check_email(values)
    customer = state.add(shapes.customer(values, state.now()))
    state.emit("customer.created", customer)
    return customer


def update_customer(state: StripeState, customer_id: str, values: dict[str, Any]) -> Thing:
    """Change a customer."""
    before = state.find("customer", customer_id)
    if before.get("deleted"):
        raise invalid(f"Customer {customer_id} is deleted.", "id", "resource_missing")
    _check_email(values)
    changes = dict(values)
    if "metadata" in changes:
        changes["metadata"] = shapes.merge_metadata(before["metadata"], changes["metadata"])
    if "address" in changes:
        changes["address"] = shapes.address(changes["address"]) if changes["address"] else None
    if "tax_exempt" in changes:
        changes["tax_exempt"] = changes["tax_exempt"] or "none"
    if "invoice_settings" in changes:
        chosen = changes["invoice_settings"].get("default_payment_method")
        if chosen is not None:
            method = state.find("payment_method", chosen, param="invoice_settings[default_payment_method]")
            if method["customer"] != customer_id:
                raise invalid("The payment method belongs to another customer.", "invoice_settings")
        changes["invoice_settings"] = {**before["invoice_settings"], **changes["invoice_settings"]}
    customer = state.change(customer_id, **changes)
    state.emit("customer.updated", customer, before)
    return customer


def delete_customer(state: StripeState, customer_id: str) -> Thing:
    """Delete a customer: the subscriptions end at once, the id stays known as deleted."""
    before = state.find("customer", customer_id)
    for subscription in state.every("subscription"):
        if subscription["customer"] == customer_id and subscription["ended_at"] is None:
            cancel_now(state, subscription["id"], reason="cancellation_requested")
    state.emit("customer.deleted", before)
    state.change(customer_id, deleted=True)
    return {"id": customer_id, "object": "customer", "deleted": True}


def search_customers(state: StripeState, query: str) -> list[Thing]:
    """Customers that match all clauses of a search, newest first. Raises StripeError for other queries."""
    clauses = []
    for part in re.split(r"\s+AND\s+", query):
        match = _CLAUSE.fullmatch(part)
        if match is None:
            raise invalid(f"We were unable to parse your search query: {query}", "query")
        clauses.append(match)
    found = [row for row in state.every("customer") if not row.get("deleted")]
    return [row for row in reversed(found) if all(_matches(row, clause) for clause in clauses)]


def _matches(customer: Thing, clause: re.Match[str]) -> bool:
    key, field = clause["key"], clause["field"]
    held = customer["metadata"].get(key) if key else customer[field]
    if held is None:
        return False
    wanted = clause["value"].lower()
    return wanted in held.lower() if clause["how"] == "~" else held.lower() == wanted


def _check_email(values: dict[str, Any]) -> None:
    email = values.get("email")
    if email is not None and not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
        raise StripeError(f"Invalid email address: {email}", code="email_invalid", param="email")


def _take_lookup_key(state: StripeState, values: dict[str, Any], *, owner: str | None) -> None:
    """A lookup key belongs to one active price; it moves only when the request says so."""
    key = values.get("lookup_key")
    if key is None:
        return
    for price in state.every("price"):
        if price["lookup_key"] != key or price["id"] == owner or not price["active"]:
            continue
        if not values.get("transfer_lookup_key"):
            raise invalid(f"A price (`{price['id']}`) already uses that lookup key.", "lookup_key")
        state.emit("price.updated", state.change(price["id"], lookup_key=None), price)
