"""Every route of the site with what it shows and whose it is. A route that is missing here fails the tests.

`ROUTES` is the one table to extend: a public page, a page about the person who asks ("own"), or a page about
one object, whose arguments are taken from the owner's world by name.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.urls import get_resolver, reverse
from django.urls.resolvers import URLPattern, URLResolver

# What installed packages bring along; their own tests and the admin's role tests cover it.
FOREIGN_PREFIXES = ("accounts/", "admin/", "api/schema/", "api/docs/", "static/")
METHODS = ("get", "post", "patch", "put", "delete")


class Kind(StrEnum):
    PUBLIC = "public"
    OWN = "own"
    OBJECT = "object"


@dataclass(frozen=True)
class Route:
    """What one route is about. `objects` names the attributes of a world that fill its arguments."""

    kind: Kind
    objects: tuple[tuple[str, str], ...] = ()
    fixed: tuple[tuple[str, str], ...] = ()

    def arguments(self, world: Any) -> dict[str, Any]:
        """Return the URL arguments that lead to this world's object."""
        found = {name: getattr(world, attribute) for name, attribute in self.objects}
        return {**found, **dict(self.fixed)}


PUBLIC = Route(Kind.PUBLIC)
OWN = Route(Kind.OWN)


def own(**fixed: str) -> Route:
    return Route(Kind.OWN, fixed=tuple(fixed.items()))


def of(fixed: dict[str, str] | None = None, **objects: str) -> Route:
    return Route(Kind.OBJECT, objects=tuple(objects.items()), fixed=tuple((fixed or {}).items()))


ORDER = of(order_id="order_id")
ACCOUNT = of(account_id="account_id")
CONNECTION = of(connection_id="connection_id")
BOOK = of(portfolio_id="portfolio_id")
BATCH = of(batch_id="batch_id")
BROKER = own(key="scripted")
HALT = of(halt_id="halt_id")

ROUTES = {
    "landing": PUBLIC,
    "pricing": PUBLIC,
    "disclosures": PUBLIC,
    "status": PUBLIC,
    "demo_mail": PUBLIC,
    "healthz": PUBLIC,
    "readyz": PUBLIC,
    "metrics": PUBLIC,
    "events": OWN,
    "dashboard": OWN,
    "onboarding": OWN,
    "switch_account": OWN,
    "orders:ticket": OWN,
    "orders:preview": OWN,
    "orders:prepare": OWN,
    "orders:review": OWN,
    "orders:place": OWN,
    "orders:search": OWN,
    "orders:quote": OWN,
    "orders:chart": OWN,
    "orders:bars": OWN,
    "orders:list": OWN,
    "orders:export": OWN,
    "orders:unconfirmed": OWN,
    "orders:settle": ORDER,
    "orders:detail": ORDER,
    "orders:messages": ORDER,
    "orders:approval": ORDER,
    "orders:approve": ORDER,
    "orders:reject": ORDER,
    "orders:cancel": ORDER,
    "orders:change": ORDER,
    "orders:change_preview": ORDER,
    "orders:replace": ORDER,
    "billing:overview": OWN,
    "billing:status": OWN,
    "billing:invoices": OWN,
    "billing:checkout": OWN,
    "billing:portal": OWN,
    "billing:done": OWN,
    "billing:webhook": PUBLIC,
    "brokers:list": OWN,
    "brokers:accounts_panel": OWN,
    "brokers:open_practice": OWN,
    "brokers:link": BROKER,
    "brokers:link_keys": BROKER,
    "brokers:oauth_start": BROKER,
    "brokers:oauth_callback": BROKER,
    "brokers:rename": ACCOUNT,
    "brokers:sync": ACCOUNT,
    "brokers:arm": ACCOUNT,
    "brokers:disarm": ACCOUNT,
    "brokers:access_log": CONNECTION,
    "brokers:relink": CONNECTION,
    "brokers:unlink": CONNECTION,
    "portfolios:overview": OWN,
    "portfolios:detail": BOOK,
    "portfolios:holdings_panel": BOOK,
    "portfolios:performance": BOOK,
    "portfolios:realised": BOOK,
    "portfolios:activity": BOOK,
    "portfolios:lots": of(portfolio_id="portfolio_id", symbol="symbol"),
    "portfolios:export": of({"kind": "ledger"}, portfolio_id="portfolio_id"),
    "portfolios:differences": BOOK,
    "portfolios:difference": of(portfolio_id="portfolio_id", break_id="break_id"),
    "portfolios:import": OWN,
    "portfolios:import_sample": own(name="sample-trade-log.csv"),
    "portfolios:import_detail": BATCH,
    "portfolios:import_apply": BATCH,
    "portfolios:import_discard": BATCH,
    "portfolios:import_undo": BATCH,
    "settings:profile": OWN,
    "settings:order_defaults": OWN,
    "settings:api_keys": OWN,
    "settings:api_key_revoke": of(key_id="key_id"),
    "settings:disclosures": OWN,
    "settings:data": OWN,
    "settings:export": OWN,
    "settings:close": OWN,
    "api_account_list": OWN,
    "api_account": ACCOUNT,
    "api_positions": ACCOUNT,
    "api_performance": ACCOUNT,
    "api_order_list": OWN,
    "api_order_preview": OWN,
    "api_order": ORDER,
    "api_order_cancel": ORDER,
    "api_order_approve": ORDER,
    "api_order_reject": ORDER,
    "api_order_timeline": ORDER,
    "api_events": OWN,
    "api_halts": OWN,
    "api_halt": HALT,
    "api_breaks": OWN,
    "api_break_resolve": of(break_id="break_id"),
    "risk:overview": OWN,
    "risk:halt": OWN,
    "risk:resume": HALT,
}


@dataclass(frozen=True)
class Found:
    """A route as the resolver has it."""

    name: str
    pattern: str
    view: Callable[..., Any]

    @property
    def is_foreign(self) -> bool:
        return self.pattern.startswith(FOREIGN_PREFIXES)

    @property
    def is_api(self) -> bool:
        return self.pattern.startswith("api/")


def find_routes() -> list[Found]:
    """Return every route of the URLconf, those of packages included."""
    return list(_walk(get_resolver(), "", ()))


def _walk(resolver: URLResolver, prefix: str, namespaces: tuple[str, ...]) -> Iterator[Found]:
    for entry in resolver.url_patterns:
        pattern = f"{prefix}{entry.pattern}"
        if isinstance(entry, URLResolver):
            inner = (*namespaces, entry.namespace) if entry.namespace else namespaces
            yield from _walk(entry, pattern, inner)
        elif isinstance(entry, URLPattern):
            yield Found(":".join((*namespaces, entry.name or "")), pattern, entry.callback)


OURS = {found.name: found for found in find_routes() if not found.is_foreign}


def names_of(*kinds: Kind) -> list[str]:
    """Return the routes of these kinds that exist; a stale row is another test's finding."""
    return [name for name, route in ROUTES.items() if route.kind in kinds and name in OURS]


def address(name: str, world: Any) -> str:
    """Return the address under which this world's owner finds the route."""
    return reverse(name, kwargs=ROUTES[name].arguments(world))
