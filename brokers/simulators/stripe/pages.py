"""Pieces that the pages of the stand-in share. Everything that comes from outside is escaped."""

from datetime import UTC, datetime
from html import escape

from brokers.simulators.page_frame import page_frame
from brokers.simulators.stripe.cards import CARDS
from brokers.simulators.stripe.state import StripeState, Thing

BANNER = "Simulated payment page. This is not Stripe; no real money moves. Never type a real card number."
STYLE = """
main{max-width:34rem}
.columns{display:grid;gap:1.25rem;grid-template-columns:1fr}
@media(min-width:52rem){main:has(.columns){max-width:60rem}.columns{grid-template-columns:1fr 1.15fr}}
h2{font-size:1.05rem;margin:0 0 .75rem}section+section{margin-top:1.75rem}
.back{display:inline-block;margin-bottom:1rem;color:var(--soft);text-decoration:none}
.back:hover{text-decoration:underline}
.amount{font-size:2rem;font-weight:650;font-variant-numeric:tabular-nums;margin:.25rem 0;color:var(--ink)}
.amount small{font-size:1rem;font-weight:400;color:var(--soft)}
table{width:100%;border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:.5rem 0;border-top:1px solid var(--line);text-align:left;font-weight:400;vertical-align:top}
thead th{border-top:0;color:var(--soft);font-size:.85rem;padding-top:0}
td:first-child,th:first-child{padding-right:1rem}
td.num,th.num{text-align:right;white-space:nowrap;padding-left:1rem}tr.total td{font-weight:650}
label.field{display:block;margin-bottom:1rem;font-size:.9rem;color:var(--soft)}
label.field input,label.field select{color:var(--ink);font-size:1rem;background:var(--card)}
label.field select option{background:var(--card)}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:.75rem}
input[type=tel],input[type=password]{width:100%;padding:.55rem .7rem;border:1px solid var(--line);
border-radius:8px;background:transparent;color:inherit;font:inherit;margin-top:.25rem}
.fixed{color:var(--ink);display:block;font-size:1rem;overflow-wrap:anywhere}
button.wide{width:100%}.actions{flex-wrap:wrap}.actions form{flex:1;display:flex}
.badge{display:inline-block;vertical-align:middle;font-weight:400;
border:1px solid var(--line);border-radius:99px;padding:0 .6rem;font-size:.85rem}
.badge.good{border-color:var(--go)}.badge.bad{border-color:#b3261e}
.note{border-left:4px solid var(--go);padding:.5rem .75rem;margin-bottom:1rem}
details{margin-top:1.25rem;color:var(--soft);font-size:.9rem}summary{cursor:pointer}
code{font:.9em ui-monospace,SFMono-Regular,Menlo,monospace;color:var(--ink)}
a{color:var(--go)}.facts{margin:0 0 1rem}.facts div{display:flex;justify-content:space-between;gap:1rem;
padding:.4rem 0;border-top:1px solid var(--line)}.facts dt{color:var(--soft);white-space:nowrap}
.facts dd{margin:0;text-align:right;overflow-wrap:anywhere}
:focus-visible{outline:2px solid var(--go);outline-offset:2px}
"""
COUNTRIES = (("US", "United States"), ("CA", "Canada"), ("DE", "Germany"), ("GB", "United Kingdom"))
STATUS_WORDS = {
    "active": "Active",
    "trialing": "Trial",
    "past_due": "Payment failed",
    "unpaid": "Unpaid",
    "canceled": "Ended",
    "paused": "Paused",
    "incomplete": "Incomplete",
    "draft": "Draft",
    "open": "Open",
    "paid": "Paid",
    "void": "Void",
    "uncollectible": "Not collectible",
}


def path(kind: str, thing: Thing, rest: str = "") -> str:
    """The address of an object's page on this host."""
    return f"/stripe/{kind}/{thing['id']}{rest}"


def frame(title: str, content: str) -> str:
    """A page of the stand-in."""
    return page_frame(title, content, banner=BANNER, style=STYLE)


def message_page(title: str, text: str, *, link: tuple[str, str] | None = None) -> str:
    """A page with one message and, where there is somewhere to go, a link of (address, words)."""
    go = f'<p><a href="{escape(link[0])}">{escape(link[1])}</a></p>' if link else ""
    return frame(title, f'<div class="card"><h1>{escape(title)}</h1><p>{escape(text)}</p>{go}</div>')


def confirm_page(*, action: str, amount: str) -> str:
    """The bank's own page for 3-D Secure."""
    return frame(
        "Confirm with your bank",
        '<div class="card"><h1>Confirm with your bank</h1>'
        f"<p>3-D Secure (simulated): your bank asks whether you are paying {escape(amount)}.</p>"
        f'<form method="post" action="{escape(action)}" class="actions">'
        '<button name="confirm" value="no">Refuse</button>'
        '<button class="allow" name="confirm" value="yes">Confirm payment</button></form></div>',
    )


def problem_box(text: str) -> str:
    """A sentence about what went wrong; nothing for an empty one."""
    return f'<div class="problem" role="alert">{escape(text)}</div>' if text else ""


def card_fields(form: dict[str, str]) -> str:
    """The fields of a card. What was typed is never written back, except the name."""
    return (
        '<label class="field">Card number'
        '<input type="tel" name="number" inputmode="numeric" autocomplete="off" required'
        ' placeholder="4242 4242 4242 4242" maxlength="23"></label>'
        '<div class="pair"><label class="field">Expiration'
        '<input type="tel" name="expiry" autocomplete="off" required placeholder="MM / YY" maxlength="7">'
        '</label><label class="field">Security code'
        '<input type="tel" name="cvc" autocomplete="off" required placeholder="CVC" maxlength="4">'
        "</label></div>"
        '<label class="field">Name on card'
        f'<input type="text" name="name" autocomplete="off" required value="{escape(form.get("name", ""))}">'
        "</label>"
    )


def country_field(form: dict[str, str]) -> str:
    """Country and postal code, for taxes."""
    chosen = form.get("country", "US")
    options = "".join(
        f'<option value="{code}"{" selected" if code == chosen else ""}>{name}</option>'
        for code, name in COUNTRIES
    )
    return (
        f'<div class="pair"><label class="field">Country<select name="country">{options}</select></label>'
        '<label class="field">Postal code<input type="text" name="postal_code" autocomplete="off"'
        f' value="{escape(form.get("postal_code", ""))}"></label></div>'
    )


def card_table() -> str:
    """The test cards and what each does."""
    rows = "".join(
        f"<tr><td><code>{number[:4]} {number[4:8]} {number[8:12]} {number[12:]}</code></td>"
        f"<td>{escape(card.what)}</td></tr>"
        for number, card in CARDS.items()
    )
    return (
        "<details><summary>Test cards</summary><p>Any date in the future, any security code.</p>"
        f"<table><thead><tr><th>Number</th><th>What it does</th></tr></thead><tbody>{rows}</tbody></table>"
        "</details>"
    )


def money(amount: int, currency: str) -> str:
    """Cents as an amount with its currency."""
    sign = "-" if amount < 0 else ""
    return (
        f"{sign}${abs(amount) / 100:,.2f}" if currency == "usd" else f"{amount / 100:,.2f} {currency.upper()}"
    )


def rhythm(price: Thing) -> str:
    """``per month``, ``every 3 months``."""
    count, interval = price["recurring"]["interval_count"], price["recurring"]["interval"]
    return f"per {interval}" if count == 1 else f"every {count} {interval}s"


def day(seconds: int | None) -> str:
    """A date in words, in UTC."""
    if seconds is None:
        return "-"
    moment = datetime.fromtimestamp(seconds, tz=UTC)
    return f"{moment:%B} {moment.day}, {moment.year}"


def product_name(state: StripeState, price: Thing) -> str:
    """The name of what a price sells."""
    return str(state.objects[price["product"]]["name"])


def badge(status: str) -> str:
    """A status in words with a shape of its own."""
    look = {"active": "good", "trialing": "good", "paid": "good", "past_due": "bad", "unpaid": "bad"}
    return f'<span class="badge {look.get(status, "")}">{STATUS_WORDS.get(status, escape(status))}</span>'


def card_words(method: Thing | None) -> str:
    """A saved card as people know it."""
    if method is None:
        return "No card saved"
    card = method["card"]
    brand = card["brand"].capitalize()
    return f"{brand} ending in {card['last4']}, expires {card['exp_month']:02d}/{card['exp_year']}"
