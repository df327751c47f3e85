"""The Checkout page: what is bought, who pays, with which card."""

from html import escape
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from brokers.simulators.stripe import pages
from brokers.simulators.stripe.cards import BadCard, behavior, read_card
from brokers.simulators.stripe.checkout import complete_session, return_address, trial_end_of
from brokers.simulators.stripe.payments import decide_page
from brokers.simulators.stripe.state import StripeState, Thing


class CheckoutPages:
    """``/checkout/{id}`` and the bank's question behind it."""

    def __init__(self, state: StripeState) -> None:
        self.state = state

    def routes(self) -> list[Route]:
        """The routes below the prefix."""
        return [
            Route("/checkout/{id}", self.show, methods=["GET"]),
            Route("/checkout/{id}", self.pay, methods=["POST"]),
            Route("/checkout/{id}/confirm", self.confirm, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The page of an open session."""
        session = self._session(request)
        if session is None or session["status"] != "open":
            return _closed(session)
        return HTMLResponse(self._page(session, {}))

    async def pay(self, request: Request) -> Response:
        """Try the card."""
        session = self._session(request)
        if session is None or session["status"] != "open":
            return _closed(session)
        form = await read_form(request)
        try:
            person, card = self._read(session, form)
        except BadCard as problem:
            return HTMLResponse(self._page(session, form, str(problem)), status_code=422)
        if card is not None:
            refused = decide_page(card[0])
            if refused:
                return HTMLResponse(self._page(session, form, refused), status_code=402)
            if behavior(card[0]).asks:
                with self.state.transaction():
                    self.state.note(session["id"], waiting={"card": list(card), "person": person})
                action = pages.path("checkout", session, "/confirm")
                due = pages.money(session["amount_total"], session["currency"])
                return HTMLResponse(pages.confirm_page(action=action, amount=due))
        return self._complete(session, card, person, form)

    async def confirm(self, request: Request) -> Response:
        """The answer to the bank's question."""
        session = self._session(request)
        if session is None or session["status"] != "open":
            return _closed(session)
        waiting = self.state.notes[session["id"]].get("waiting")
        form = await read_form(request)
        if waiting is None or form.get("confirm") != "yes":
            problem = "We are unable to authenticate your payment method. Please choose a different one."
            return HTMLResponse(self._page(session, {}, problem), status_code=402)
        key, card = waiting["card"]
        return self._complete(session, (key, card), waiting["person"], {}, confirmed=True)

    def _complete(
        self,
        session: Thing,
        card: tuple[str, Thing] | None,
        person: Thing,
        form: dict[str, str],
        *,
        confirmed: bool = False,
    ) -> Response:
        try:
            with self.state.transaction():
                self.state.note(session["id"], waiting=None)
                done = complete_session(
                    self.state, session["id"], card=card, person=person, confirmed=confirmed
                )
                if done["payment_status"] == "paid" and self._unpaid(done):
                    raise BadCard("Your card was declined.")
        except BadCard as problem:
            return HTMLResponse(self._page(session, form, str(problem)), status_code=402)
        return RedirectResponse(return_address(done), status_code=303)

    def _unpaid(self, session: Thing) -> bool:
        return bool(self.state.objects[session["subscription"]]["status"] == "incomplete")

    def _session(self, request: Request) -> Thing | None:
        found = self.state.objects.get(request.path_params["id"])
        return found if found is not None and found["object"] == "checkout.session" else None

    def _read(self, session: Thing, form: dict[str, str]) -> tuple[Thing, tuple[str, Thing] | None]:
        """Who pays and with what. Raises BadCard with a sentence to show."""
        email = self._known_email(session) or form.get("email", "").strip()
        if email.count("@") != 1 or email.startswith("@") or email.endswith("@"):
            raise BadCard("Your email is incomplete.")
        where = None
        if self._asks_address(session):
            if not form.get("postal_code", "").strip():
                raise BadCard("Your postal code is incomplete.")
            where = {"country": form.get("country", "US"), "postal_code": form["postal_code"].strip()}
        card = None
        if self._asks_card(session):
            if not form.get("name", "").strip():
                raise BadCard("The name on the card is missing.")
            moment = self.state.date(self.state.now())
            card = read_card(form, {"year": moment.year, "month": moment.month})
        return {"email": email, "name": form.get("name", "").strip() or None, "address": where}, card

    def _asks_card(self, session: Thing) -> bool:
        return session["payment_method_collection"] == "always" or session["amount_total"] > 0

    def _asks_address(self, session: Thing) -> bool:
        return bool(
            session["automatic_tax"]["enabled"] or session["billing_address_collection"] == "required"
        )

    def _known_email(self, session: Thing) -> str:
        if session["customer"]:
            return self.state.objects[session["customer"]]["email"] or ""
        return session["customer_email"] or ""

    def _page(self, session: Thing, form: dict[str, str], problem: str = "") -> str:
        back = ""
        if session["cancel_url"]:
            back = f'<a class="back" href="{escape(session["cancel_url"])}">&larr; Back without paying</a>'
        email = self._known_email(session)
        if email:
            who = f'<p class="field">Email<span class="fixed">{escape(email)}</span></p>'
        else:
            typed = escape(form.get("email", ""))
            who = (
                '<label class="field">Email<input type="email" name="email" required'
                f' value="{typed}"></label>'
            )
        code = ""
        if session["allow_promotion_codes"]:
            code = "<p>Promotion codes: the simulation has none, so this step is left out.</p>"
        fields = (
            pages.card_fields(form)
            if self._asks_card(session)
            else "<p>No card is needed for this trial.</p>"
        )
        address = pages.country_field(form) if self._asks_address(session) else ""
        trial = trial_end_of(self.state, session) is not None
        word = "Start trial" if trial else "Subscribe"
        return pages.frame(
            "Checkout",
            f'{back}<div class="columns"><div class="card">{self._summary(session)}{code}</div>'
            f'<div class="card"><h2>Pay with card</h2>{pages.problem_box(problem)}'
            f'<form method="post" action="{pages.path("checkout", session)}" novalidate>{who}{fields}'
            f'{address}<button class="allow wide">{word}</button></form>{pages.card_table()}</div></div>',
        )

    def _summary(self, session: Thing) -> str:
        state, notes = self.state, self.state.notes[session["id"]]
        rows, total = "", 0
        for price_id, quantity in notes["wanted"]:
            price = state.objects[price_id]
            total += price["unit_amount"] * quantity
            rows += (
                f"<tr><td>{escape(pages.product_name(state, price))}</td>"
                f'<td class="num">{pages.money(price["unit_amount"] * quantity, price["currency"])}</td></tr>'
            )
        price = state.objects[notes["wanted"][0][0]]
        amount = pages.money(total, session["currency"])
        end = trial_end_of(state, session)
        if end is None:
            head = f'<p class="amount">{amount} <small>{pages.rhythm(price)}</small></p>'
            due = amount
        else:
            days = round((end - state.now()) / 86400)
            later = f"Then {amount} {pages.rhythm(price)} from {pages.day(end)}."
            head = f'<p class="amount">{days} days free</p><p>{later}</p>'
            due = pages.money(0, session["currency"])
        tax = '<tr><td>Tax</td><td class="num">$0.00</td></tr>' if session["automatic_tax"]["enabled"] else ""
        return (
            f"<h1>Subscribe to {escape(pages.product_name(state, price))}</h1>{head}<table><tbody>{rows}{tax}"
            f'<tr class="total"><td>Due today</td><td class="num">{due}</td></tr></tbody></table>'
        )


def _closed(session: Thing | None) -> Response:
    if session is None:
        return HTMLResponse(
            pages.message_page("Page not found", "There is no payment at this address."), status_code=404
        )
    link = None
    if session["status"] == "complete":
        link = (return_address(session), "Go back to the shop")
        text = "This payment is complete."
    else:
        text = "This payment page has expired. Nothing was charged."
        if session["cancel_url"]:
            link = (session["cancel_url"], "Go back to the shop")
    return HTMLResponse(pages.message_page("Nothing to pay here", text, link=link), status_code=410)


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a posted form."""
    return dict(parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True))
