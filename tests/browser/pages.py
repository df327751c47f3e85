"""Every page that a signed-in person can open, found in the URL configuration."""

import json
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.browser.conftest import Platform, wait_until
from tradeplatform.services.demo import DEMO_LOGIN

# Not pages of this site's look, pages that end the session, and a page that only a mailed link opens.
LEFT_OUT_PREFIXES = ("admin:", "api", "schema", "account_log", "account_signup")
LEFT_OUT = frozenset(
    {
        "account_confirm_email",
        "account_reset_password_from_key",
        "events",
        # Parts of the ticket that need a symbol in the query.
        "orders:quote",
        "orders:chart",
        "orders:bars",
        # A practice account is never linked again; a broker's answer needs a state.
        "brokers:relink",
        "brokers:oauth_callback",
        # The demo login has no second factor.
        "mfa_deactivate_totp",
        "mfa_view_recovery_codes",
        "mfa_download_recovery_codes",
    }
)
FIND_IDS = """
import json
from brokers.models import BrokerAccount
from orders.models import Order
from portfolios.models import Break, ImportBatch, Lot, Portfolio
from tradeplatform.models import User
user = User.objects.get(email="%s")
account = BrokerAccount.objects.get(user=user)
found = Break.objects.filter(portfolio__user=user).first()
imported = Portfolio.objects.filter(user=user, account=None).first()
book = found.portfolio if found else imported or account.portfolio
order = Order.objects.filter(user=user, status="accepted").first()
print(json.dumps({
    "account_id": str(account.pk), "connection_id": str(account.connection_id),
    "portfolio_id": str(book.pk),
    "break_id": found.pk if found else None,
    "batch_id": str(ImportBatch.objects.filter(user=user).first().pk),
    "order_id": str(order.pk) if order else None,
    "symbol": Lot.objects.filter(portfolio=book).first().symbol,
    "key": "alpaca", "kind": "ledger", "name": "sample-trade-log.csv",
}))
"""


@dataclass(frozen=True)
class PageAddress:
    name: str
    path: str


def ids_of_the_demo(platform: Platform) -> dict[str, Any]:
    """Wait until the demo account has its past and its open order, and return one id of each thing."""

    def find() -> dict[str, Any] | None:
        found = json.loads(platform.command("shell", "-v", "0", "-c", FIND_IDS % DEMO_LOGIN.email))
        return found if found["order_id"] else None

    return dict(wait_until(find, "the demo account's open order"))


def page_addresses(ids: dict[str, Any]) -> list[PageAddress]:
    """Return every named route whose arguments are known; what is no page is sorted out by opening it."""
    return [
        PageAddress(name, reverse(name, kwargs={key: ids[key] for key in arguments}))
        for name, arguments in _routes(get_resolver("tradeplatform.urls"), "")
        if not name.startswith(LEFT_OUT_PREFIXES)
        and name not in LEFT_OUT
        and all(ids.get(key) is not None for key in arguments)
    ]


def _routes(
    resolver: URLResolver, namespace: str, given: tuple[str, ...] = ()
) -> list[tuple[str, tuple[str, ...]]]:
    """Return (name, arguments) of every named route, those of its parents included."""
    found = []
    for entry in resolver.url_patterns:
        arguments = (*given, *entry.pattern.regex.groupindex)
        if isinstance(entry, URLResolver):
            below = f"{namespace}{entry.namespace}:" if entry.namespace else namespace
            found += _routes(entry, below, arguments)
        elif isinstance(entry, URLPattern) and entry.name:
            found.append((f"{namespace}{entry.name}", arguments))
    return found


def sign_in(page: Any, platform: Platform) -> None:
    page.goto(f"{platform.site}/accounts/login/")
    page.fill("input[name=login]", DEMO_LOGIN.email)
    page.fill("input[name=password]", DEMO_LOGIN.password)
    page.locator("main form button[type=submit]").first.click()
    page.wait_for_url("**/dashboard/")


def is_page(context: Any, address: str) -> bool:
    """Say whether a GET answers with a whole page here; anything broken counts as one, so that it is seen."""
    answer = context.request.get(address, max_redirects=0, fail_on_status_code=False)
    if answer.status in (301, 302, 405):
        return False
    if answer.status >= 400:
        return True
    kind = answer.headers.get("content-type", "")
    return kind.startswith("text/html") and "<html" in answer.text()


def pages_of(context: Any, platform: Platform) -> list[PageAddress]:
    ids = ids_of_the_demo(platform)
    return [page for page in page_addresses(ids) if is_page(context, f"{platform.site}{page.path}")]
