"""What the customer portal offers, and the sessions that open it.

The account has its default configuration from the start, as one has whose owner saved the portal's settings
once: cards, invoices and cancelling at the period's end, but no change of plan until products are listed.
"""

from typing import Any

from brokers.simulators.stripe import shapes
from brokers.simulators.stripe.errors import invalid, parameter_missing
from brokers.simulators.stripe.state import StripeState, Thing, new_id

DEFAULT_ID = "bpc_simulated"
ONE_EACH = {"enabled": False, "maximum": None, "minimum": 1}
FEATURES: Thing = {
    "customer_update": {"allowed_updates": [], "enabled": False},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True, "payment_method_configuration": None},
    "subscription_cancel": {
        "cancellation_reason": {"enabled": False, "options": []},
        "enabled": True,
        "mode": "at_period_end",
        "proration_behavior": "none",
    },
    "subscription_pause": {"duration": {"interval_options": [], "type": "indefinite"}, "enabled": False},
    "subscription_update": {
        "billing_cycle_anchor": None,
        "default_allowed_updates": [],
        "enabled": False,
        "products": [],
        "proration_behavior": "none",
        "schedule_at_period_end": {"conditions": []},
        "trial_update_behavior": "end_trial",
    },
}


def default_configuration(state: StripeState) -> Thing:
    """The configuration of sessions that name none."""
    found = state.objects.get(DEFAULT_ID)
    if found is not None:
        return found
    with state.transaction():
        return state.add(_configuration({}, FEATURES, state.now(), configuration_id=DEFAULT_ID))


def create_configuration(state: StripeState, values: dict[str, Any]) -> Thing:
    """A further configuration; sessions use it when they name it."""
    off = {name: {**part, "enabled": False} for name, part in FEATURES.items()}
    features = _merge(state, off, values["features"])
    configuration = state.add(_configuration(values, features, state.now(), configuration_id=new_id("bpc")))
    state.emit("billing_portal.configuration.created", configuration)
    return configuration


def update_configuration(state: StripeState, configuration_id: str, values: dict[str, Any]) -> Thing:
    """Change a configuration."""
    default_configuration(state)
    before = state.find("billing_portal.configuration", configuration_id)
    changes = dict(values)
    if "features" in changes:
        changes["features"] = _merge(state, before["features"], changes["features"])
    if "metadata" in changes:
        changes["metadata"] = shapes.merge_metadata(before["metadata"], changes["metadata"])
    configuration = state.change(configuration_id, **changes, updated=state.now())
    state.emit("billing_portal.configuration.updated", configuration, before)
    return configuration


def create_portal_session(state: StripeState, values: dict[str, Any]) -> Thing:
    """A session of the customer portal."""
    if "customer" not in values:
        raise parameter_missing("customer")
    customer = state.find("customer", values["customer"], param="customer", status=400)
    if customer.get("deleted"):
        raise invalid(f"Customer {customer['id']} is deleted.", "customer", "resource_missing")
    configuration = default_configuration(state)
    if "configuration" in values:
        wanted = values["configuration"]
        configuration = state.find("billing_portal.configuration", wanted, param="configuration", status=400)
        if not configuration["active"]:
            raise invalid(f"The configuration {wanted} is not active.", "configuration")
    return state.add(
        shapes.portal_session(
            {"return_url": configuration["default_return_url"], **values},
            state.now(),
            url=f"{state.settings.pages_url}/portal/",
            configuration=configuration["id"],
        )
    )


def features_of(state: StripeState, session: Thing) -> Thing:
    """What the portal of a session offers."""
    features: Thing = state.objects[session["configuration"]]["features"]
    return features


def offered_prices(state: StripeState, session: Thing) -> list[Thing]:
    """The prices to which a person may change in the portal of a session."""
    update = features_of(state, session)["subscription_update"]
    if not update["enabled"] or "price" not in update["default_allowed_updates"]:
        return []
    listed = [price_id for product in update["products"] for price_id in product["prices"]]
    return [state.objects[price_id] for price_id in listed if state.objects[price_id]["active"]]


def _merge(state: StripeState, features: Thing, given: Thing) -> Thing:
    """Features with the given values in them. Raises StripeError for products that do not exist."""
    merged = {name: {**part, **given.get(name, {})} for name, part in features.items()}
    for part, name in (
        ("customer_update", "allowed_updates"),
        ("subscription_update", "default_allowed_updates"),
        ("subscription_update", "products"),
    ):
        merged[part][name] = merged[part][name] or []
    for index, row in enumerate(merged["subscription_update"]["products"]):
        where = f"features[subscription_update][products][{index}]"
        state.find("product", row["product"], param=f"{where}[product]", status=400)
        for place, price_id in enumerate(row["prices"]):
            param = f"{where}[prices][{place}]"
            price = state.find("price", price_id, param=param, status=400)
            if price["product"] != row["product"] or price["recurring"] is None:
                raise invalid(f"{price_id} is not a recurring price of {row['product']}.", param)
    update = merged["subscription_update"]
    update["products"] = [{**row, "adjustable_quantity": ONE_EACH} for row in update["products"]]
    if update["enabled"] and not (update["products"] and update["default_allowed_updates"]):
        raise invalid(
            "`products` and `default_allowed_updates` are needed when `subscription_update` is enabled.",
            "features[subscription_update][products]",
        )
    return merged


def _configuration(values: dict[str, Any], features: Thing, now: int, *, configuration_id: str) -> Thing:
    return {
        "id": configuration_id,
        "object": "billing_portal.configuration",
        "active": True,
        "application": None,
        "business_profile": {"headline": None, "privacy_policy_url": None, "terms_of_service_url": None},
        "created": now,
        "default_return_url": values.get("default_return_url"),
        "features": features,
        "is_default": configuration_id == DEFAULT_ID,
        "livemode": False,
        "login_page": {"enabled": False, "url": None},
        "metadata": shapes.merge_metadata({}, values.get("metadata", {})),
        "name": values.get("name"),
        "updated": now,
    }
