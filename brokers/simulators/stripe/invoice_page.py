"""The hosted invoice page, its PDF, and the receipt of a charge."""

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from brokers.simulators.stripe import pages
from brokers.simulators.stripe.cards import BadCard, behavior, read_card
from brokers.simulators.stripe.checkout_page import read_form
from brokers.simulators.stripe.invoicing import collect_invoice, subscription_of
from brokers.simulators.stripe.payments import decide_page, method_for, save_card
from brokers.simulators.stripe.pdf import text_pdf
from brokers.simulators.stripe.state import StripeState, Thing


class InvoicePages:
    """``/invoices/{id}``, ``/invoices/{id}/pdf`` and ``/receipts/{id}``."""

    def __init__(self, state: StripeState) -> None:
        self.state = state

    def routes(self) -> list[Route]:
        """The routes below the prefix."""
        return [
            Route("/invoices/{id}", self.show, methods=["GET"]),
            Route("/invoices/{id}", self.pay, methods=["POST"]),
            Route("/invoices/{id}/confirm", self.confirm, methods=["POST"]),
            Route("/invoices/{id}/pdf", self.pdf, methods=["GET"]),
            Route("/receipts/{id}", self.receipt, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """What the invoice says, and a form while it is open."""
        invoice = self._invoice(request)
        return HTMLResponse(self._page(invoice)) if invoice else _missing()

    async def pay(self, request: Request) -> Response:
        """Pay with the saved card or another one."""
        invoice = self._invoice(request)
        if invoice is None:
            return _missing()
        if invoice["status"] != "open":
            return RedirectResponse(pages.path("invoices", invoice), status_code=303)
        form = await read_form(request)
        try:
            method = self._method(invoice, form)
        except BadCard as problem:
            return HTMLResponse(self._page(invoice, str(problem)), status_code=422)
        if method is not None and behavior(self.state.notes[method["id"]]["behavior"]).asks:
            with self.state.transaction():
                self.state.note(invoice["id"], waiting=method["id"])
            amount = pages.money(invoice["amount_remaining"], invoice["currency"])
            return HTMLResponse(
                pages.confirm_page(action=pages.path("invoices", invoice, "/confirm"), amount=amount)
            )
        return self._collect(invoice, method, confirmed=False)

    async def confirm(self, request: Request) -> Response:
        """The answer to the bank's question."""
        invoice = self._invoice(request)
        if invoice is None:
            return _missing()
        waiting = self.state.notes[invoice["id"]].get("waiting")
        form = await read_form(request)
        if invoice["status"] != "open" or waiting is None or form.get("confirm") != "yes":
            return HTMLResponse(
                self._page(invoice, "Your bank did not confirm the payment. Nothing was charged."),
                status_code=402,
            )
        return self._collect(invoice, self.state.objects[waiting], confirmed=True)

    async def pdf(self, request: Request) -> Response:
        """The invoice as a document."""
        invoice = self._invoice(request)
        if invoice is None:
            return _missing()
        lines = [
            f"Invoice {invoice['number']}",
            "Simulated: no real money moved.",
            f"Date {pages.day(invoice['created'])}",
            f"Bill to {invoice['customer_email'] or ''}",
            "",
            *[
                f"{self._line_words(line)}    {pages.money(line['amount'], line['currency'])}"
                for line in invoice["lines"]["data"]
            ],
            "",
            f"Total {pages.money(invoice['total'], invoice['currency'])}",
            f"Paid {pages.money(invoice['amount_paid'], invoice['currency'])}",
        ]
        name = f'attachment; filename="Invoice-{invoice["number"]}.pdf"'
        return Response(text_pdf(lines), media_type="application/pdf", headers={"Content-Disposition": name})

    async def receipt(self, request: Request) -> Response:
        """The receipt of a charge."""
        charge = self.state.objects.get(request.path_params["id"])
        if charge is None or charge["object"] != "charge" or not charge["paid"]:
            return _missing()
        facts = {
            "Date": pages.day(charge["created"]),
            "Card": pages.card_words({"card": charge["payment_method_details"]["card"]}),
            "Refunded": pages.money(charge["amount_refunded"], charge["currency"]),
        }
        amount = pages.money(charge["amount"], charge["currency"])
        content = f'<div class="card"><h1>Receipt</h1><p class="amount">{amount}</p>{_facts(facts)}</div>'
        return HTMLResponse(pages.frame("Receipt", content))

    def _method(self, invoice: Thing, form: dict[str, str]) -> Thing | None:
        if form.get("with") != "new":
            return method_for(self.state, subscription_of(self.state, invoice))
        moment = self.state.date(self.state.now())
        key, card = read_card(form, {"year": moment.year, "month": moment.month})
        refused = decide_page(key)
        if refused:
            raise BadCard(refused)
        billing = {"email": invoice["customer_email"], "name": form.get("name", "").strip()}
        with self.state.transaction():
            return save_card(self.state, invoice["customer"], key, card, billing)

    def _collect(self, invoice: Thing, method: Thing | None, *, confirmed: bool) -> Response:
        with self.state.transaction():
            self.state.note(invoice["id"], waiting=None)
            outcome = collect_invoice(
                self.state, invoice["id"], method=method, present=True, confirmed=confirmed
            )
        if not outcome["paid"]:
            changed = self.state.objects[invoice["id"]]
            return HTMLResponse(self._page(changed, outcome["message"]), status_code=402)
        return RedirectResponse(pages.path("invoices", invoice), status_code=303)

    def _invoice(self, request: Request) -> Thing | None:
        found = self.state.objects.get(request.path_params["id"])
        if found is None or found["object"] != "invoice" or found["status"] == "draft":
            return None
        return found

    def _line_words(self, line: Thing) -> str:
        price = self.state.objects[line["pricing"]["price_details"]["price"]]
        start, end = pages.day(line["period"]["start"]), pages.day(line["period"]["end"])
        extra = "Trial, " if line["description"] == "Trial period" else ""
        if line["parent"]["subscription_item_details"]["proration"]:
            extra = "Unused time, " if line["amount"] < 0 else "Remaining time, "
        return f"{pages.product_name(self.state, price)} ({extra}{start} to {end})"

    def _page(self, invoice: Thing, problem: str = "") -> str:
        rows = "".join(
            f"<tr><td>{escape(self._line_words(line))}</td>"
            f'<td class="num">{pages.money(line["amount"], line["currency"])}</td></tr>'
            for line in invoice["lines"]["data"]
        )
        currency = invoice["currency"]
        total = pages.money(invoice["amount_due"], currency)
        facts = {
            "Number": invoice["number"],
            "Date": pages.day(invoice["created"]),
            "Billed to": invoice["customer_email"] or "-",
            "Paid": pages.money(invoice["amount_paid"], currency),
        }
        return pages.frame(
            f"Invoice {invoice['number']}",
            f'<div class="card"><h1>Invoice {pages.badge(invoice["status"])}</h1>'
            f'<p class="amount">{total}</p>{pages.problem_box(problem)}{_facts(facts)}'
            f"<table><tbody>{rows}"
            f'<tr class="total"><td>Amount due</td><td class="num">{total}</td></tr></tbody></table>'
            f'<p><a href="{escape(invoice["invoice_pdf"])}">Download as PDF</a></p>'
            f"{self._form(invoice)}</div>",
        )

    def _form(self, invoice: Thing) -> str:
        if invoice["status"] != "open":
            return ""
        saved = method_for(self.state, subscription_of(self.state, invoice))
        action = pages.path("invoices", invoice)
        with_saved = ""
        if saved is not None:
            with_saved = (
                f'<form method="post" action="{action}">'
                '<button class="allow wide" name="with" value="saved">'
                f"Pay with {escape(pages.card_words(saved))}</button></form>"
            )
        return (
            f"{with_saved}<details><summary>Pay with another card</summary><br>"
            f'<form method="post" action="{action}" novalidate>{pages.card_fields({})}'
            '<button class="allow wide" name="with" value="new">Pay</button></form>'
            f"{pages.card_table()}</details>"
        )


def _facts(facts: dict[str, str]) -> str:
    rows = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{rows}</dl>'


def _missing() -> Response:
    text = "There is no invoice or receipt at this address."
    return HTMLResponse(pages.message_page("Page not found", text), status_code=404)
