"""Checkout sessions: created by the platform, completed by a person, or expired."""

from typing import Any
from urllib.parse import urlsplit

from brokers.simulators.stripe import shapes
from brokers.simulators.stripe.errors import StripeError, invalid, parameter_missing
from brokers.simulators.stripe.lifecycle import start_subscription
from brokers.simulators.stripe.payments import save_card
from brokers.simulators.stripe.state import StripeState, Thing

DAY = 86400
SHORTEST, LONGEST = 30 * 60, DAY


def create_session(state: StripeState, values: dict[str, Any]) -> Thing:
    """Open a session. Raises StripeError as Stripe does for what does not fit together."""
    if "mode" not in values:
        raise parameter_missing("mode")
    if "success_url" not in values:
        raise parameter_missing("success_url")
    for name in ("success_url", "cancel_url"):
        if name in values:
            _check_address(values[name], name)
    if "customer" in values and "customer_email" in values:
        raise invalid("You may only specify one of these parameters: customer, customer_email.")
    _check_customer(state, values)
    wanted = _wanted_prices(state, values)
    _check_times(state, values)
    amount = sum(price["unit_amount"] * quantity for price, quantity in wanted)
    session = shapes.checkout_session(
        values,
        state.now(),
        url=f"{state.settings.pages_url}/checkout/",
        amount=amount,
        currency=wanted[0][0]["currency"],
    )
    due = session["amount_total"] > 0
    lines = [
        shapes.line_item(item, price, state.objects[price["product"]]["name"], due=due)
        for item, (price, _) in zip(_line_items(values), wanted, strict=True)
    ]
    return state.add(
        session,
        wanted=[[price["id"], quantity] for price, quantity in wanted],
        lines=lines,
        subscription_data=values.get("subscription_data", {}),
        customer_update=values.get("customer_update", {}),
    )


def expire_session(state: StripeState, session_id: str) -> Thing:
    """End an open session. Raises StripeError when it is not open."""
    session = state.find("checkout.session", session_id)
    if session["status"] != "open":
        raise invalid('Only Checkout Sessions with a status in ["open"] can be expired.')
    expired = state.change(session_id, status="expired", url=None)
    state.emit("checkout.session.expired", expired)
    return expired


def trial_end_of(state: StripeState, session: Thing) -> int | None:
    """When the trial that a session offers would end if it began now; None without a trial."""
    data = state.notes[session["id"]]["subscription_data"]
    if "trial_period_days" in data:
        return int(state.now() + data["trial_period_days"] * DAY)
    return data.get("trial_end")


def complete_session(
    state: StripeState, session_id: str, *, card: tuple[str, Thing] | None, person: Thing, confirmed: bool
) -> Thing:
    """The person pressed the button and the bank agreed: customer, card, subscription, first invoice.

    ``card`` is what :func:`brokers.simulators.stripe.cards.read_card` returned, None where no card is asked
    for. ``person`` has email, name and address.
    """
    session = state.find("checkout.session", session_id)
    customer = _customer_for(state, session, person)
    method = None
    if card is not None:
        billing = {"email": person["email"], "name": person["name"], "address": person["address"]}
        method = save_card(state, customer["id"], *card, billing)
    notes = state.notes[session_id]
    data = notes["subscription_data"]
    trial_end = trial_end_of(state, session)
    behavior = data.get("trial_settings", {}).get("end_behavior", {}).get("missing_payment_method")
    subscription, invoice = start_subscription(
        state,
        {
            "customer": customer["id"],
            "automatic_tax": session["automatic_tax"]["enabled"],
            "billing_mode": data.get("billing_mode"),
            "default_payment_method": method["id"] if method else None,
            "description": data.get("description"),
            "metadata": shapes.merge_metadata({}, data.get("metadata", {})),
            "missing_payment_method": behavior or "create_invoice",
            "trial_end": trial_end,
        },
        [(state.objects[price_id], quantity) for price_id, quantity in notes["wanted"]],
        confirmed=confirmed,
    )
    tax = session["automatic_tax"]
    details = shapes.customer_details(email=person["email"], name=person["name"], where=person["address"])
    completed = state.change(
        session_id,
        automatic_tax={**tax, "status": "complete"} if tax["enabled"] else tax,
        customer=customer["id"],
        customer_details=details,
        invoice=invoice["id"],
        payment_status="no_payment_required" if trial_end else "paid",
        status="complete",
        subscription=subscription["id"],
        url=None,
    )
    if subscription["status"] != "incomplete":
        state.emit("checkout.session.completed", completed)
    return completed


def return_address(session: Thing) -> str:
    """Where a person goes after paying."""
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _customer_for(state: StripeState, session: Thing, person: Thing) -> Thing:
    if session["customer"] is None:
        values = {"email": person["email"], "name": person["name"], "address": person["address"]}
        customer = state.add(shapes.customer(values, state.now()))
        state.emit("customer.created", customer)
        return customer
    before = state.objects[session["customer"]]
    update = state.notes[session["id"]]["customer_update"]
    changes: Thing = {}
    if update.get("address") == "auto" and person["address"]:
        changes["address"] = shapes.address(person["address"])
    if update.get("name") == "auto":
        changes["name"] = person["name"]
    if before["email"] is None:
        changes["email"] = person["email"]
    customer = state.change(before["id"], **changes)
    if customer != before:
        state.emit("customer.updated", customer, before)
    return customer


def _check_customer(state: StripeState, values: dict[str, Any]) -> None:
    if "customer_update" in values and "customer" not in values:
        raise invalid("`customer_update` can only be used with `customer`.", "customer_update")
    if "customer" not in values:
        return
    customer = state.find("customer", values["customer"], param="customer", status=400)
    if customer.get("deleted"):
        raise invalid(f"Customer {customer['id']} is deleted.", "customer", "resource_missing")
    wants_tax = values.get("automatic_tax", {}).get("enabled")
    saves = values.get("customer_update", {}).get("address") == "auto"
    if wants_tax and not saves and not (customer["address"] or {}).get("country"):
        raise StripeError(
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid "
            "address to the Customer or set either `customer_update[address]` to 'auto' or "
            "`customer_update[shipping]` to 'auto' to save the address entered in Checkout to the Customer.",
            code="customer_tax_location_invalid",
        )


def _line_items(values: dict[str, Any]) -> list[Thing]:
    return list(values.get("line_items", []))


def _wanted_prices(state: StripeState, values: dict[str, Any]) -> list[tuple[Thing, int]]:
    rows = _line_items(values)
    if not rows:
        raise parameter_missing("line_items")
    wanted = []
    for index, row in enumerate(rows):
        if "price" not in row:
            raise parameter_missing(f"line_items[{index}][price]")
        if "quantity" not in row:
            raise invalid(
                f"Quantity is required. Add `quantity` to `line_items[{index}]`", f"line_items[{index}]"
            )
        price = state.find("price", row["price"], param=f"line_items[{index}][price]", status=400)
        if not price["active"]:
            raise invalid(
                f"The price specified is inactive. This field only accepts active prices: {price['id']}.",
                f"line_items[{index}][price]",
            )
        if price["recurring"] is None:
            raise invalid(
                "You specified `subscription` mode but passed a one-time price; the simulated Stripe bills "
                "recurring prices only.",
                f"line_items[{index}][price]",
            )
        wanted.append((price, row["quantity"]))
    if len({(price["currency"], price["recurring"]["interval"]) for price, _ in wanted}) > 1:
        raise invalid("All prices must have the same currency and interval.", "line_items")
    return wanted


def _check_times(state: StripeState, values: dict[str, Any]) -> None:
    now, data = state.now(), values.get("subscription_data", {})
    if "trial_end" in data and "trial_period_days" in data:
        raise invalid("You may only specify one of these parameters: trial_end, trial_period_days.")
    if "trial_end" in data and data["trial_end"] < now + 2 * DAY:
        raise invalid(
            "The `trial_end` date has to be at least 2 days in the future.", "subscription_data[trial_end]"
        )
    expires = values.get("expires_at")
    if expires is not None and not SHORTEST <= expires - now <= LONGEST:
        raise invalid(
            "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session "
            "creation.",
            "expires_at",
        )


def _check_address(text: str, name: str) -> None:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise StripeError("Not a valid URL", code="url_invalid", param=name)
