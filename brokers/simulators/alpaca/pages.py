"""HTML of the consent page. Everything that comes from a request is escaped."""

from html import escape

from brokers.simulators.alpaca.wire import money
from brokers.simulators.page_frame import page_frame
from brokers.simulators.records import Account, Customer

_SCOPE_TEXT = {
    "trading": "Place, replace and cancel orders",
    "account:write": "Change account configurations and watchlists",
    "data": "Read market data",
}


def _frame(title: str, content: str) -> str:
    banner = "Alpaca simulator. This is not Alpaca; no real money is involved."
    return page_frame(title, f'<div class="card">{content}</div>', banner=banner)


def problem_page(message: str) -> str:
    """A page for a request that cannot be sent back to any application."""
    return _frame("Request refused", f"<h1>This request cannot be continued</h1><p>{escape(message)}</p>")


def consent_page(
    app_name: str,
    customers: list[tuple[Customer, list[Account]]],
    hidden: dict[str, str],
    problem: str = "",
) -> str:
    """The page that asks which customer lets ``app_name`` use which accounts."""
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in hidden.items()
    )
    scopes = hidden.get("scope", "").split()
    wishes = "".join(
        f"<li>{escape(text)}</li>"
        for text in [
            "Read account, orders and positions",
            *(_SCOPE_TEXT.get(scope, scope) for scope in scopes),
        ]
    )
    warning = f'<div class="problem" role="alert">{escape(problem)}</div>' if problem else ""
    content = (
        f"<h1>Allow {escape(app_name)} to use your account?</h1>"
        f"<p>{escape(app_name)} asks to:</p><ul>{wishes}</ul>{warning}"
        f'<form method="post" action="authorize">{fields}'
        f"<fieldset><legend>Log in as</legend>{_customer_rows(customers)}</fieldset>"
        f"{_environments(hidden.get('env', ''), customers)}"
        '<div class="actions"><button name="decision" value="deny">Deny</button>'
        '<button class="allow" name="decision" value="allow">Allow</button></div></form>'
    )
    return _frame(f"Connect {app_name}", content)


def _customer_rows(customers: list[tuple[Customer, list[Account]]]) -> str:
    rows = []
    for index, (customer, accounts) in enumerate(customers):
        held = ", ".join(f"{row.env} {row.number} (cash ${money(row.cash)})" for row in accounts)
        checked = " checked" if index == 0 else ""
        rows.append(
            f'<label class="row"><input type="radio" name="customer" value="{customer.id}"{checked}>'
            f"<span>{escape(customer.name)}"
            f"<small>{escape(customer.email)}: {held or 'no account yet'}</small></span></label>"
        )
    checked = "" if customers else " checked"
    rows.append(
        f'<label class="row"><input type="radio" name="customer" value="new"{checked}>'
        "<span>A new customer<small>Accounts are opened with 100,000 dollars on paper, 25,000 live.</small>"
        '<input type="text" name="name" placeholder="Name" aria-label="Name of the new customer">'
        '<input type="email" name="email" placeholder="Email" aria-label="Email of the new customer"></span>'
        "</label>"
    )
    return "".join(rows)


def _environments(env: str, customers: list[tuple[Customer, list[Account]]]) -> str:
    """The choice of paper and live; no choice when the application asked for one of them."""
    selects = "".join(_account_select(name, customers) for name in ("paper", "live"))
    if env:
        return f"<fieldset><legend>Account</legend><p>Your {escape(env)} account.</p>{selects}</fieldset>"
    boxes = (
        '<label class="row"><input type="checkbox" name="paper" value="on" checked>'
        "<span>Paper account<small>Simulated trading</small></span></label>"
        '<label class="row"><input type="checkbox" name="live" value="on" checked>'
        "<span>Live account<small>The simulator's stand-in for real money</small></span></label>"
    )
    return f"<fieldset><legend>Accounts</legend>{boxes}{selects}</fieldset>"


def _account_select(env: str, customers: list[tuple[Customer, list[Account]]]) -> str:
    """A list to pick from, for customers with several accounts of one environment."""
    several = [(customer, [row for row in accounts if row.env == env]) for customer, accounts in customers]
    options = "".join(
        f'<option value="{row.id}">{escape(customer.name)}: {row.number}</option>'
        for customer, rows in several
        if len(rows) > 1
        for row in rows
    )
    if not options:
        return ""
    return (
        f'<label>Which {env} account<select name="{env}_account"><option value="">The first</option>'
        f"{options}</select></label>"
    )
