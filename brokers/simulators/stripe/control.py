"""Control of the stand-in, for tests and demonstrations: time, failures, disputes, deliveries."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from brokers.simulators.simulator import Simulator
from brokers.simulators.stripe.clockwork import next_due, run_due
from brokers.simulators.stripe.errors import StripeError
from brokers.simulators.stripe.invoicing import DRAFT_SECONDS
from brokers.simulators.stripe.lifecycle import current_period
from brokers.simulators.stripe.payments import close_dispute, create_refund, open_dispute
from brokers.simulators.stripe.state import Cause, StripeState, Thing
from brokers.simulators.stripe.webhooks import Dispatcher, signing_secrets

Body = dict[str, Any]
AFTER_RETRIES = ("cancel", "unpaid", "past_due")
LATEST_ROWS = 200


class StripeControl:
    """One method per action under ``/control/stripe``; each takes the JSON body and returns the answer."""

    def __init__(self, sim: Simulator, dispatcher: Dispatcher) -> None:
        self.sim, self.dispatcher = sim, dispatcher

    @property
    def state(self) -> StripeState:
        """The objects."""
        return self.sim.stripe

    def actions(self) -> dict[str, Callable[[Body], Any]]:
        """POST actions by path."""
        return {
            "stripe/clock": self.set_clock,
            "stripe/payments/fail_next": self.fail_next,
            "stripe/retries": self.set_after_retries,
            "stripe/refunds": self.refund,
            "stripe/disputes": self.dispute,
            "stripe/disputes/close": self.close_dispute,
            "stripe/events/resend": self.resend,
            "stripe/secrets": self.set_secrets,
            "stripe/webhook": self.set_webhook,
        }

    def reads(self) -> dict[str, Callable[[Any], Any]]:
        """GET answers by path."""
        return {
            "stripe/events": lambda request: self.events(request.query_params.get("after")),
            "stripe/deliveries": lambda request: self.deliveries(),
            "stripe/clock": lambda request: self._time(),
        }

    def set_clock(self, body: Body) -> Any:
        """Move the stand-in's own clock; everything due on the way happens at its own moment.

        One of ``advance`` (seconds), ``set`` (an ISO time), ``to_period_end_of`` (a subscription: the end of
        its period and the hour in which the renewal is a draft) or ``to_next`` (the next due thing).
        """
        state = self.state
        target = state.now()
        if "advance" in body:
            target += int(body["advance"])
        elif "set" in body:
            target = int(datetime.fromisoformat(body["set"]).timestamp())
        elif "to_period_end_of" in body:
            subscription = state.find("subscription", body["to_period_end_of"])
            target = current_period(subscription)[1] + DRAFT_SECONDS
        elif body.get("to_next"):
            target = next_due(state) or target
        if target < state.now():
            raise ValueError("time goes forward only")
        done = run_due(state, target)
        state.clock.set(state.date(target))
        state.save_settings()
        return {**self._time(), "happened": done}

    def fail_next(self, body: Body) -> Any:
        """Let the bank refuse the next payment of ``customer`` (or of anybody) with ``decline_code``."""
        customer = body.get("customer", "*")
        self.state.settings.fail_next[customer] = body.get("decline_code", "generic_decline")
        self.state.save_settings()
        return {"fail_next": self.state.settings.fail_next}

    def set_after_retries(self, body: Body) -> Any:
        """What happens after the last failed retry: cancel, unpaid or past_due."""
        if body["then"] not in AFTER_RETRIES:
            raise ValueError(f"then is one of {', '.join(AFTER_RETRIES)}")
        self.state.settings.after_retries = body["then"]
        self.state.save_settings()
        return {"then": body["then"]}

    def refund(self, body: Body) -> Any:
        """Refund a charge, as a person in Stripe's dashboard does; ``amount`` None refunds all."""
        names = ("charge", "payment_intent", "amount", "reason")
        values: Body = {name: body[name] for name in names if name in body}
        return self._do(lambda: create_refund(self.state, values))

    def dispute(self, body: Body) -> Any:
        """The bank disputes a charge."""
        reason = body.get("reason", "fraudulent")
        return self._do(lambda: open_dispute(self.state, body["charge"], reason))

    def close_dispute(self, body: Body) -> Any:
        """End a dispute; ``won`` for the seller."""
        return self._do(lambda: close_dispute(self.state, body["dispute"], won=bool(body.get("won"))))

    def resend(self, body: Body) -> Any:
        """Deliver an event again."""
        self.dispatcher.resend(body["event"])
        return {"status": "ok"}

    def set_secrets(self, body: Body) -> Any:
        """Set the signing secrets beside that of the start options, as while one is rotated."""
        self.state.settings.secrets = [str(one) for one in body["extra"]]
        self.state.save_settings()
        return {"secrets": len(signing_secrets(self.state))}

    def set_webhook(self, body: Body) -> Any:
        """Deliver events to another ``url``; an empty one stops deliveries."""
        self.state.set_webhook_url(str(body["url"]))
        return {"url": self.state.settings.webhook_url}

    def events(self, after: str | None) -> Any:
        """The latest events, oldest first; with an id only those that came ``after`` it."""
        rows = self.state.every("event")
        if after:
            self.state.find("event", after)
            rows = rows[[row["id"] for row in rows].index(after) + 1 :]
        return {"events": rows[-LATEST_ROWS:]}

    def deliveries(self) -> Any:
        """The latest deliveries with their attempts, oldest first."""
        return {"deliveries": self.state.every("_delivery")[-LATEST_ROWS:]}

    def _do(self, work: Callable[[], Thing]) -> Thing:
        try:
            with self.state.transaction(Cause()):
                return work()
        except StripeError as error:
            raise ValueError(error.message) from None

    def _time(self) -> Body:
        due = next_due(self.state)
        return {
            "now": self.state.date(self.state.now()).isoformat(),
            "next_due": self.state.date(due).isoformat() if due else None,
        }
