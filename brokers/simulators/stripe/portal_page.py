"""The customer portal: plan, card and invoices of one customer."""

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from brokers.simulators.stripe import pages
from brokers.simulators.stripe.cards import BadCard, behavior, read_card
from brokers.simulators.stripe.changes import schedule_end, update_subscription, withdraw_end
from brokers.simulators.stripe.checkout_page import read_form
from brokers.simulators.stripe.errors import StripeError
from brokers.simulators.stripe.lifecycle import LIVE, cancel_now, current_period, resume
from brokers.simulators.stripe.payments import decide_page, save_card
from brokers.simulators.stripe.portal_setup import features_of, offered_prices
from brokers.simulators.stripe.state import StripeState, Thing

LIFE_SECONDS = 3600
PRORATION_WORDS = {
    "always_invoice": "The difference for the rest of the period is charged at once.",
    "create_prorations": "The difference for the rest of the period is on the next invoice.",
    "none": "The new price counts from the next period on.",
}
DONE = {
    "change": "Your plan has been changed.",
    "cancel": "Your plan will end with the period that is paid.",
    "renew": "Your plan goes on.",
    "resume": "Your plan goes on.",
    "card": "Your card has been updated.",
}


class PortalPages:
    """``/portal/{id}``; every form on it posts to the same address with its ``action``."""

    def __init__(self, state: StripeState) -> None:
        self.state = state

    def routes(self) -> list[Route]:
        """The routes below the prefix."""
        return [
            Route("/portal/{id}", self.show, methods=["GET"]),
            Route("/portal/{id}", self.act, methods=["POST"]),
            Route("/portal/{id}/confirm", self.confirm, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The portal of the session's customer."""
        session = self._session(request)
        if session is None:
            return _closed()
        done = DONE.get(request.query_params.get("done", ""), "")
        return HTMLResponse(self._page(session, done=done))

    async def act(self, request: Request) -> Response:
        """Do what a form asks."""
        session = self._session(request)
        if session is None:
            return _closed()
        form = await read_form(request)
        action = form.get("action", "")
        try:
            if action == "card":
                return self._update_card(session, form)
            if action not in DONE:
                raise BadCard("Choose what to do.")
            with self.state.transaction():
                self._apply(session, action, form)
        except (BadCard, StripeError) as problem:
            return HTMLResponse(self._page(session, problem=str(problem)), status_code=422)
        return _back(session, action)

    async def confirm(self, request: Request) -> Response:
        """The answer to the bank's question about a new card."""
        session = self._session(request)
        if session is None:
            return _closed()
        waiting = self.state.notes[session["id"]].get("waiting")
        form = await read_form(request)
        if waiting is None or form.get("confirm") != "yes":
            text = "Your bank did not confirm the card. Nothing has changed."
            return HTMLResponse(self._page(session, problem=text), status_code=402)
        with self.state.transaction():
            self.state.note(session["id"], waiting=None)
            self._keep_card(session, waiting["key"], waiting["card"], waiting["name"])
        return _back(session, "card")

    def _apply(self, session: Thing, action: str, form: dict[str, str]) -> None:
        subscription = self.state.objects.get(form.get("subscription", ""), {})
        if subscription not in self._subscriptions(session):
            raise BadCard("This plan has ended or does not belong to you.")
        if (action == "resume") != (subscription["status"] == "paused"):
            raise BadCard("This is not possible while the plan is as it is.")
        features = features_of(self.state, session)
        if action == "cancel" and features["subscription_cancel"]["enabled"]:
            if features["subscription_cancel"]["mode"] == "immediately":
                cancel_now(self.state, subscription["id"], reason="cancellation_requested")
                return
            schedule_end(
                self.state,
                subscription["id"],
                flexible=subscription["billing_mode"]["type"] == "flexible",
            )
        elif action == "renew":
            withdraw_end(self.state, subscription["id"])
        elif action == "resume":
            outcome = resume(self.state, subscription["id"], present=True, confirmed=True)
            if not outcome["paid"]:
                raise BadCard(outcome["message"])
        elif form.get("price") not in [one["id"] for one in offered_prices(self.state, session)]:
            raise BadCard("This is not offered here.")
        else:
            item = subscription["items"]["data"][0]
            update_subscription(
                self.state,
                subscription["id"],
                {
                    "items": [{"id": item["id"], "price": form["price"]}],
                    "proration_behavior": features["subscription_update"]["proration_behavior"],
                    "payment_behavior": "error_if_incomplete",
                },
                present=True,
            )

    def _update_card(self, session: Thing, form: dict[str, str]) -> Response:
        moment = self.state.date(self.state.now())
        key, card = read_card(form, {"year": moment.year, "month": moment.month})
        refused = decide_page(key)
        if refused:
            raise BadCard(refused)
        name = form.get("name", "").strip()
        if behavior(key).asks:
            with self.state.transaction():
                self.state.note(session["id"], waiting={"key": key, "card": card, "name": name})
            action = pages.path("portal", session, "/confirm")
            return HTMLResponse(pages.confirm_page(action=action, amount="nothing now, and save the card"))
        with self.state.transaction():
            self._keep_card(session, key, card, name)
        return _back(session, "card")

    def _keep_card(self, session: Thing, key: str, card: Thing, name: str) -> None:
        """Save the card and let every running plan use it."""
        state = self.state
        email = state.objects[session["customer"]]["email"]
        method = save_card(state, session["customer"], key, card, {"email": email, "name": name})
        for subscription in self._subscriptions(session):
            if subscription["default_payment_method"] is not None:
                changed = state.change(subscription["id"], default_payment_method=method["id"])
                state.emit("customer.subscription.updated", changed, subscription)

    def _session(self, request: Request) -> Thing | None:
        found = self.state.objects.get(request.path_params["id"])
        if found is None or found["object"] != "billing_portal.session":
            return None
        fresh = found["created"] + LIFE_SECONDS > self.state.now()
        return found if fresh and not self.state.objects[found["customer"]].get("deleted") else None

    def _subscriptions(self, session: Thing) -> list[Thing]:
        return [
            row
            for row in self.state.every("subscription")
            if row["customer"] == session["customer"] and row["ended_at"] is None
        ]

    def _page(self, session: Thing, *, done: str = "", problem: str = "") -> str:
        back = ""
        if session["return_url"]:
            back = f'<a class="back" href="{escape(session["return_url"])}">&larr; Back to the website</a>'
        note = f'<div class="note" role="status">{done}</div>' if done else ""
        email = escape(self.state.objects[session["customer"]]["email"] or "")
        plans = "".join(self._plan(session, row) for row in self._subscriptions(session))
        features = features_of(self.state, session)
        card, invoices = self._card(session, features), ""
        if features["invoice_history"]["enabled"]:
            invoices = f"<section><h2>Invoices</h2>{self._invoices(session)}</section>"
        return pages.frame(
            "Billing",
            f'{back}<div class="card"><h1>Your billing</h1><p>{email}</p>{note}{pages.problem_box(problem)}'
            f"<section><h2>Current plan</h2>{plans or '<p>You have no plan.</p>'}</section>"
            f"<section><h2>Payment method</h2>{card}</section>{invoices}</div>",
        )

    def _plan(self, session: Thing, subscription: Thing) -> str:
        state, item = self.state, subscription["items"]["data"][0]
        price = item["price"]
        end = current_period(subscription)[1]
        ending = subscription["cancel_at"] is not None
        if ending:
            until = f"Ends on {pages.day(subscription['cancel_at'])}"
        elif subscription["status"] == "trialing":
            until = f"Trial until {pages.day(end)}"
        else:
            until = f"Renews on {pages.day(end)}"
        amount = pages.money(price["unit_amount"] * item["quantity"], price["currency"])
        name = escape(pages.product_name(state, price))
        facts = (
            f'<p class="amount">{name} {pages.badge(subscription["status"])}</p>'
            f"<p>{amount} {pages.rhythm(price)}. {until}.</p>"
        )
        forms = ""
        if subscription["status"] == "paused":
            forms = _button(session, subscription, "resume", "Resume plan", look="allow")
        elif ending:
            forms = _button(session, subscription, "renew", "Keep my plan", look="allow")
        elif subscription["status"] in LIVE:
            forms = self._change_form(session, subscription, price)
            if features_of(self.state, session)["subscription_cancel"]["enabled"]:
                forms += _button(session, subscription, "cancel", "Cancel plan")
        return facts + forms

    def _change_form(self, session: Thing, subscription: Thing, current: Thing) -> str:
        options = "".join(
            f'<option value="{price["id"]}">{escape(pages.product_name(self.state, price))}: '
            f"{pages.money(price['unit_amount'], price['currency'])} {pages.rhythm(price)}</option>"
            for price in offered_prices(self.state, session)
            if price["id"] != current["id"] and price["currency"] == current["currency"]
        )
        if not options:
            return ""
        behavior = features_of(self.state, session)["subscription_update"]["proration_behavior"]
        return (
            f'<form method="post" action="{pages.path("portal", session)}">'
            f'<input type="hidden" name="subscription" value="{subscription["id"]}">'
            f'<label class="field">Another plan<select name="price">{options}</select></label>'
            f"<p>{PRORATION_WORDS[behavior]}</p>"
            '<button class="allow wide" name="action" value="change">Change plan</button></form><br>'
        )

    def _card(self, session: Thing, features: Thing) -> str:
        customer = self.state.objects[session["customer"]]
        saved = customer["invoice_settings"]["default_payment_method"]
        words = escape(pages.card_words(self.state.objects.get(saved) if saved else None))
        if not features["payment_method_update"]["enabled"]:
            return f"<p>{words}</p>"
        return (
            f"<p>{words}</p><details><summary>Update card</summary><br>"
            f'<form method="post" action="{pages.path("portal", session)}" novalidate>{pages.card_fields({})}'
            '<button class="allow wide" name="action" value="card">Save card</button></form>'
            f"{pages.card_table()}</details>"
        )

    def _invoices(self, session: Thing) -> str:
        rows = ""
        for invoice in reversed(self.state.every("invoice")):
            if invoice["customer"] != session["customer"] or invoice["status"] == "draft":
                continue
            address = escape(invoice["hosted_invoice_url"])
            rows += (
                f'<tr><td><a href="{address}">{pages.day(invoice["created"])}</a></td>'
                f"<td>{pages.badge(invoice['status'])}</td>"
                f'<td class="num">{pages.money(invoice["total"], invoice["currency"])}</td></tr>'
            )
        if not rows:
            return "<p>No invoices yet.</p>"
        return (
            '<table><thead><tr><th>Date</th><th>Status</th><th class="num">Amount</th></tr></thead>'
            f"<tbody>{rows}</tbody></table>"
        )


def _button(session: Thing, subscription: Thing, action: str, words: str, *, look: str = "") -> str:
    return (
        f'<form method="post" action="{pages.path("portal", session)}">'
        f'<input type="hidden" name="subscription" value="{subscription["id"]}">'
        f'<button class="wide {look}" name="action" value="{action}">{words}</button></form>'
    )


def _back(session: Thing, action: str) -> Response:
    return RedirectResponse(pages.path("portal", session, f"?done={action}"), status_code=303)


def _closed() -> Response:
    text = "Open the portal again from the website."
    return HTMLResponse(pages.message_page("This page has expired", text), status_code=410)
