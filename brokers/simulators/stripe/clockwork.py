"""What happens by itself as time passes, one due thing after the other, each at its own moment."""

from collections.abc import Callable, Iterator

from brokers.simulators.stripe import billing_shapes as shapes
from brokers.simulators.stripe.checkout import expire_session
from brokers.simulators.stripe.invoicing import DAY, new_invoice_id, renewal_lines
from brokers.simulators.stripe.lifecycle import LIVE, cancel_now, current_period, next_period, renew, settle
from brokers.simulators.stripe.state import StripeState, Thing

TRIAL_NOTICE = 3 * DAY
UPCOMING_NOTICE = 7 * DAY
Step = tuple[int, str, Callable[[StripeState, str], object]]


def run_due(state: StripeState, until: int | None = None) -> int:
    """Do everything that is due by ``until`` (now), in order of time; returns how much there was."""
    until = state.now() if until is None else until
    done = 0
    while True:
        due = [step for step in _steps(state) if step[0] <= until]
        if not due:
            return done
        moment, thing_id, act = min(due, key=lambda step: step[0])
        with state.at(moment), state.transaction():
            act(state, thing_id)
        done += 1


def next_due(state: StripeState) -> int | None:
    """When the next thing happens by itself."""
    return min((step[0] for step in _steps(state)), default=None)


def _steps(state: StripeState) -> Iterator[Step]:
    for subscription in state.every("subscription"):
        if subscription["status"] in LIVE:
            yield from _subscription_steps(state, subscription)
    for invoice in state.every("invoice"):
        if invoice["status"] == "draft" and invoice["automatically_finalizes_at"] is not None:
            yield invoice["automatically_finalizes_at"], invoice["id"], settle
        elif invoice["status"] == "open" and invoice["next_payment_attempt"] is not None:
            yield invoice["next_payment_attempt"], invoice["id"], settle
    for session in state.every("checkout.session"):
        if session["status"] == "open":
            yield session["expires_at"], session["id"], expire_session


def _subscription_steps(state: StripeState, subscription: Thing) -> Iterator[Step]:
    thing_id, notes = subscription["id"], state.notes[subscription["id"]]
    end, ends_at = current_period(subscription)[1], subscription["cancel_at"]
    if ends_at is not None and ends_at <= end:
        yield ends_at, thing_id, _end
    else:
        yield end, thing_id, renew
        if notes.get("announced") != end and end - UPCOMING_NOTICE > subscription["created"]:
            yield end - UPCOMING_NOTICE, thing_id, _announce_invoice
    if subscription["status"] == "trialing" and notes.get("trial_notice") != end:
        yield max(end - TRIAL_NOTICE, subscription["created"]), thing_id, _announce_trial_end


def _end(state: StripeState, subscription_id: str) -> None:
    cancel_now(state, subscription_id, reason="cancellation_requested")


def _announce_trial_end(state: StripeState, subscription_id: str) -> None:
    subscription = state.objects[subscription_id]
    state.note(subscription_id, trial_notice=current_period(subscription)[1])
    state.emit("customer.subscription.trial_will_end", subscription)


def _announce_invoice(state: StripeState, subscription_id: str) -> None:
    """The picture of the invoice to come; it has an id of its own kind and cannot be retrieved."""
    subscription = state.objects[subscription_id]
    period = current_period(subscription)
    state.note(subscription_id, announced=period[1])
    invoice_id = f"upcoming_{new_invoice_id()}"
    following = {**subscription, "items": next_period(subscription)}
    invoice = shapes.invoice(
        invoice_id=invoice_id,
        subscription=subscription,
        customer=state.objects[subscription["customer"]],
        lines=renewal_lines(invoice_id, following),
        reason="upcoming",
        period=period,
        now=period[1],
    )
    state.emit("invoice.upcoming", {**invoice, "next_payment_attempt": period[1] + 3600})
