"""Pages of lists, and the expanding of ids into objects."""

from collections.abc import Callable
from typing import Any

from brokers.simulators.stripe.errors import StripeError, invalid
from brokers.simulators.stripe.shapes import listing
from brokers.simulators.stripe.state import StripeState, Thing

DEFAULT_LIMIT, DEEPEST = 10, 4

EXPANDABLE: dict[str, frozenset[str]] = {
    "product": frozenset({"default_price"}),
    "price": frozenset({"product"}),
    "plan": frozenset({"product"}),
    "payment_method": frozenset({"customer"}),
    "billing_portal.session": frozenset({"configuration"}),
    "checkout.session": frozenset({"customer", "invoice", "subscription"}),
    "subscription": frozenset({"customer", "default_payment_method", "latest_invoice"}),
    "invoice": frozenset({"customer"}),
    "invoice_payment": frozenset({"invoice"}),
    "charge": frozenset({"customer", "payment_intent"}),
    "payment_intent": frozenset({"customer", "latest_charge", "payment_method"}),
    "refund": frozenset({"charge", "payment_intent"}),
    "dispute": frozenset({"charge", "payment_intent"}),
    "line_item": frozenset({"subscription"}),
}
"""Fields with an id that a request may ask to see as an object."""
EXPANDABLE_INSIDE = {
    ("customer", "invoice_settings"): frozenset({"default_payment_method"}),
    ("invoice", "subscription_details"): frozenset({"subscription"}),
    ("invoice_payment", "payment"): frozenset({"payment_intent"}),
    ("line_item", "price_details"): frozenset({"price"}),
}
"""The same for objects without a name of their own, by the object around them and their field."""


def paginate(rows: list[Thing], values: dict[str, Any], url: str) -> Thing:
    """One page of ``rows`` (newest first). Raises StripeError for a cursor that is not among them."""
    bounds = values.get("created")
    if bounds:
        rows = [row for row in rows if within(row["created"], bounds)]
    limit = values.get("limit", DEFAULT_LIMIT)
    if "starting_after" in values and "ending_before" in values:
        raise invalid("You cannot specify both `starting_after` and `ending_before`.")
    if "ending_before" in values:
        end = _place(rows, values["ending_before"], "ending_before")
        start = max(0, end - limit)
        return listing(rows[start:end], url, more=start > 0)
    start = _place(rows, values["starting_after"], "starting_after") + 1 if "starting_after" in values else 0
    return listing(rows[start : start + limit], url, more=len(rows) > start + limit)


def within(moment: int, bounds: dict[str, int]) -> bool:
    """Whether a time keeps bounds such as ``{"gte": 5}``."""
    return (
        moment > bounds.get("gt", moment - 1)
        and moment >= bounds.get("gte", moment)
        and moment < bounds.get("lt", moment + 1)
        and moment <= bounds.get("lte", moment)
    )


def _place(rows: list[Thing], thing_id: str, param: str) -> int:
    for place, row in enumerate(rows):
        if row["id"] == thing_id:
            return place
    raise StripeError(f"No such object: '{thing_id}'", code="resource_missing", param=param)


def expand(state: StripeState, reply: Thing, paths: list[str]) -> Thing:
    """A copy of ``reply`` with the objects that ``paths`` ask for. Raises StripeError for other paths."""
    for path in paths:
        parts = path.split(".")
        if len(parts) > DEEPEST + (parts[0] == "data"):
            raise StripeError(
                f"You cannot expand more than {DEEPEST} levels of a property ({path}).",
                code="property_expansion_max_depth",
                param="expand",
            )
        reply = _expand(state, reply, parts, path, ("", ""))
    return reply


def _expand(state: StripeState, value: Any, parts: list[str], path: str, inside: tuple[str, str]) -> Any:
    """``inside``: the named object around an unnamed one, and the field that holds it."""
    if not parts or value is None:
        return value
    if isinstance(value, list):
        return [_expand(state, row, parts, path, inside) for row in value]
    name, rest = parts[0], parts[1:]
    kind = value.get("object", "")
    extra = INCLUDABLE.get((kind, name))
    if extra is not None and name not in value:
        value = {**value, name: extra(state, value)}
    if name not in value:
        raise _not_expandable(path)
    held = value[name]
    allowed = EXPANDABLE.get(kind, frozenset()) if kind else EXPANDABLE_INSIDE.get(inside, frozenset())
    if isinstance(held, str):
        if name not in allowed:
            raise _not_expandable(path)
        held = shown(state, held)
    elif held is not None and not isinstance(held, dict | list):
        raise _not_expandable(path)
    around = (kind, name) if kind else (inside[0], name)
    return {**value, name: _expand(state, held, rest, path, around)}


def shown(state: StripeState, thing_id: str) -> Thing:
    """The object as a reply shows it; of a deleted one only its id remains."""
    thing = state.objects[thing_id]
    if thing.get("deleted"):
        return {"id": thing_id, "object": thing["object"], "deleted": True}
    return thing


def _not_expandable(path: str) -> StripeError:
    last = path.rsplit(".", 1)[-1]
    return StripeError(
        f"This property cannot be expanded ({last}). You may want to try expanding other properties.",
        param="expand",
    )


def _session_lines(state: StripeState, session: Thing) -> Thing:
    lines = state.notes[session["id"]]["lines"]
    return listing(lines, f"/v1/checkout/sessions/{session['id']}/line_items")


def _payments(state: StripeState, invoice: Thing) -> Thing:
    rows = [row for row in state.every("invoice_payment") if row["invoice"] == invoice["id"]]
    return listing(rows, f"/v1/invoice_payments?invoice={invoice['id']}")


def _refunds(state: StripeState, charge: Thing) -> Thing:
    rows = [row for row in state.every("refund") if row["charge"] == charge["id"]]
    return listing(rows, f"/v1/charges/{charge['id']}/refunds")


def _subscriptions(state: StripeState, customer: Thing) -> Thing:
    rows = [
        row
        for row in state.every("subscription")
        if row["customer"] == customer["id"] and row["ended_at"] is None
    ]
    return listing(rows, f"/v1/customers/{customer['id']}/subscriptions")


INCLUDABLE: dict[tuple[str, str], Callable[[StripeState, Thing], Thing]] = {
    ("checkout.session", "line_items"): _session_lines,
    ("invoice", "payments"): _payments,
    ("charge", "refunds"): _refunds,
    ("customer", "subscriptions"): _subscriptions,
}
"""Lists that an object has only when a request asks for them."""
