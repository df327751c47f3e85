"""What an owner changes in a subscription: its end, its price, its trial."""

from typing import Any

from brokers.simulators.stripe import billing_shapes as shapes
from brokers.simulators.stripe.errors import StripeError, card_declined, invalid
from brokers.simulators.stripe.invoicing import (
    collect_invoice,
    draft_invoice,
    finalize_invoice,
    new_invoice_id,
)
from brokers.simulators.stripe.lifecycle import LIVE, current_period, renew
from brokers.simulators.stripe.periods import period_end, unused
from brokers.simulators.stripe.shapes import merge_metadata, plan_of
from brokers.simulators.stripe.state import StripeState, Thing


def update_subscription(
    state: StripeState, subscription_id: str, values: dict[str, Any], *, present: bool = False
) -> Thing:
    """Apply an update and publish it as one event. Raises StripeError; then nothing has changed."""
    before = state.find("subscription", subscription_id)
    if before["status"] in ("canceled", "incomplete_expired"):
        raise StripeError(
            "A canceled subscription can only update its cancellation_details and metadata.",
            param="items" if "items" in values else None,
        )
    _update_plain(state, before, values)
    _update_end(state, before, values)
    if "items" in values:
        _change_items(state, subscription_id, values, present=present)
    if "trial_end" in values:
        _change_trial(state, subscription_id, values["trial_end"])
    after = state.objects[subscription_id]
    if after is not before and after != before:
        state.emit("customer.subscription.updated", after, before)
    if values.get("trial_end") == "now" and before["status"] == "trialing":
        renew(state, subscription_id)
    return state.objects[subscription_id]


def schedule_end(state: StripeState, subscription_id: str, *, flexible: bool) -> Thing:
    """Let a subscription end with its period, as the portal does.

    In flexible billing mode the portal sets ``cancel_at`` and leaves ``cancel_at_period_end`` false.
    """
    before = state.objects[subscription_id]
    period = current_period(before)
    changed = state.change(
        subscription_id,
        cancel_at=period[1],
        cancel_at_period_end=not flexible,
        canceled_at=state.now(),
        cancellation_details={**before["cancellation_details"], "reason": "cancellation_requested"},
    )
    state.emit("customer.subscription.updated", changed, before)
    return changed


def withdraw_end(state: StripeState, subscription_id: str) -> Thing:
    """Take a planned end back."""
    before = state.objects[subscription_id]
    changed = state.change(subscription_id, **_no_end(before))
    state.emit("customer.subscription.updated", changed, before)
    return changed


def _update_plain(state: StripeState, before: Thing, values: dict[str, Any]) -> None:
    plain: Thing = {}
    if "metadata" in values:
        plain["metadata"] = merge_metadata(before["metadata"], values["metadata"])
    if "description" in values:
        plain["description"] = values["description"]
    if "cancellation_details" in values:
        plain["cancellation_details"] = {**before["cancellation_details"], **values["cancellation_details"]}
    if "default_payment_method" in values:
        method = state.find(
            "payment_method", values["default_payment_method"], param="default_payment_method", status=400
        )
        if method["customer"] != before["customer"]:
            raise invalid("The payment method belongs to another customer.", "default_payment_method")
        plain["default_payment_method"] = method["id"]
    if plain:
        state.change(before["id"], **plain)


def _update_end(state: StripeState, before: Thing, values: dict[str, Any]) -> None:
    if "cancel_at" in values and "cancel_at_period_end" in values:
        raise invalid("You may only specify one of these parameters: cancel_at, cancel_at_period_end.")
    if "cancel_at" not in values and "cancel_at_period_end" not in values:
        return
    at_period_end = values.get("cancel_at_period_end")
    moment = values.get("cancel_at")
    if at_period_end or moment in ("min_period_end", "max_period_end"):
        moment = current_period(before)[1]
    if moment is None:
        state.change(before["id"], **_no_end(before))
        return
    if moment <= state.now():
        raise invalid("Invalid timestamp: must be in the future.", "cancel_at")
    current = state.objects[before["id"]]
    state.change(
        before["id"],
        cancel_at=moment,
        cancel_at_period_end=bool(at_period_end),
        canceled_at=state.now(),
        cancellation_details={**current["cancellation_details"], "reason": "cancellation_requested"},
    )


def _no_end(subscription: Thing) -> Thing:
    return {
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {**subscription["cancellation_details"], "reason": None},
    }


def _change_trial(state: StripeState, subscription_id: str, end: str | int) -> None:
    subscription = state.objects[subscription_id]
    moment = state.now() if isinstance(end, str) else end
    if subscription["status"] != "trialing":
        raise invalid("The simulated Stripe changes the end of a running trial only.", "trial_end")
    if moment < state.now():
        raise invalid("Invalid timestamp: must be in the future.", "trial_end")
    rows = [{**item, "current_period_end": moment} for item in subscription["items"]["data"]]
    state.change(
        subscription_id,
        billing_cycle_anchor=moment,
        items={**subscription["items"], "data": rows},
        trial_end=moment,
    )


def _change_items(state: StripeState, subscription_id: str, values: dict[str, Any], *, present: bool) -> None:
    subscription = state.objects[subscription_id]
    rows = list(subscription["items"]["data"])
    for index, wanted in enumerate(values["items"]):
        place = _place_of(rows, wanted, index)
        rows[place] = _changed_item(state, rows[place], wanted, index)
    old, new = subscription["items"]["data"], rows
    if subscription["status"] not in LIVE:
        raise invalid(f"A subscription that is {subscription['status']} cannot change its price.")
    priced = [(row["price"]["id"], row["quantity"]) for row in old] != [
        (row["price"]["id"], row["quantity"]) for row in new
    ]
    items = {**subscription["items"], "data": new}
    if not priced or subscription["status"] == "trialing":
        state.change(subscription_id, items=items)
        return
    _bill_change(state, subscription, new, values, present=present)


def _place_of(rows: list[Thing], wanted: Thing, index: int) -> int:
    if "id" not in wanted:
        raise invalid(
            "The simulated Stripe changes items that exist; give the item's id.", f"items[{index}][id]"
        )
    for place, row in enumerate(rows):
        if row["id"] == wanted["id"]:
            return place
    raise StripeError(
        f"No such subscription item: '{wanted['id']}'",
        code="resource_missing",
        param=f"items[{index}][id]",
    )


def _changed_item(state: StripeState, row: Thing, wanted: Thing, index: int) -> Thing:
    changed = {**row, "quantity": wanted.get("quantity", row["quantity"])}
    if "metadata" in wanted:
        changed["metadata"] = merge_metadata(row["metadata"], wanted["metadata"])
    if "price" in wanted:
        price = state.find("price", wanted["price"], param=f"items[{index}][price]", status=400)
        if price["recurring"] is None:
            raise invalid("The price must be recurring.", f"items[{index}][price]")
        if price["currency"] != row["price"]["currency"]:
            raise invalid("The price must have the subscription's currency.", f"items[{index}][price]")
        changed |= {"price": price, "plan": plan_of(price)}
    return changed


def _bill_change(
    state: StripeState, before: Thing, rows: list[Thing], values: dict[str, Any], *, present: bool
) -> None:
    """Charge the difference of a price change as its proration behaviour says."""
    now, period = state.now(), current_period(before)
    old_row, new_row = before["items"]["data"][0], rows[0]
    behavior = values.get("proration_behavior", "create_prorations")
    restarts = _rhythm(old_row) != _rhythm(new_row)
    changes: Thing = {}
    if restarts:
        fresh = (now, period_end(now, new_row["price"], now))
        rows = [{**row, "current_period_start": fresh[0], "current_period_end": fresh[1]} for row in rows]
        changes["billing_cycle_anchor"] = now
    subscription = state.change(before["id"], items={**before["items"], "data": rows}, **changes)
    invoice_id = new_invoice_id()
    lines = []
    if behavior != "none":
        credit = -unused(_amount(old_row), period, now)
        lines.append(_line(invoice_id, old_row, credit, (now, period[1]), "Unused"))
    if restarts:
        lines.append(_line(invoice_id, rows[0], _amount(rows[0]), fresh, "New"))
    elif behavior != "none":
        left = unused(_amount(new_row), period, now)
        lines.append(_line(invoice_id, rows[0], left, (now, period[1]), "Remaining"))
    if not restarts and behavior != "always_invoice":
        pending = state.notes[before["id"]].get("pending", [])
        state.note(before["id"], pending=[*pending, *lines])
        return
    draft_invoice(
        state, subscription, lines, invoice_id=invoice_id, reason="subscription_update", period=(now, now)
    )
    finalize_invoice(state, invoice_id)
    outcome = collect_invoice(state, invoice_id, present=present, confirmed=present)
    if not outcome["paid"] and values.get("payment_behavior") == "error_if_incomplete":
        raise card_declined(
            outcome["message"], code=outcome["code"], decline_code=outcome.get("decline_code"), charge=None
        )


def _line(invoice_id: str, item: Thing, amount: int, period: tuple[int, int], word: str) -> Thing:
    text = f"{word} time on {item['price']['id']}"
    return shapes.invoice_line(
        invoice_id=invoice_id, item=item, amount=amount, period=period, text=text, proration=word != "New"
    )


def _amount(row: Thing) -> int:
    return int(row["price"]["unit_amount"] * row["quantity"])


def _rhythm(row: Thing) -> tuple[str, int]:
    recurring = row["price"]["recurring"]
    return recurring["interval"], recurring["interval_count"]
