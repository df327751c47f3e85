"""The look of the admin: the site's accent and icon, and a menu of what staff look at most."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

# The site's accent, from light to dark.
ACCENT = {
    "50": "#eff4fe",
    "100": "#e7eefc",
    "200": "#c9d9f9",
    "300": "#9dbbf5",
    "400": "#6ea0ff",
    "500": "#4a7dea",
    "600": "#2459d3",
    "700": "#1b49b4",
    "800": "#183d92",
    "900": "#172f6b",
    "950": "#172442",
}

# Title, icon and model of each entry; the dashboard has none.
_MENU: Sequence[tuple[str, Sequence[tuple[str, str, str]]]] = (
    (
        "Watch",
        (
            ("Operations", "monitoring", ""),
            ("Orders", "receipt_long", "orders.order"),
            ("Differences", "difference", "portfolios.break"),
            ("Audit", "history", "tradeplatform.auditentry"),
        ),
    ),
    (
        "Risk",
        (
            ("Trading halts", "front_hand", "risk.tradinghalt"),
            ("Limits", "tune", "risk.risklimit"),
            ("Decisions", "gavel", "risk.riskdecisionrecord"),
        ),
    ),
    (
        "People",
        (
            ("People", "group", "tradeplatform.user"),
            ("Links", "link", "brokers.brokerconnection"),
            ("Plan grants", "card_membership", "billing.plangrant"),
        ),
    ),
    (
        "Payments",
        (
            ("Plans", "sell", "billing.plan"),
            ("Subscriptions", "autorenew", "billing.subscription"),
            ("Stripe's events", "bolt", "billing.stripeevent"),
            ("Differences to Stripe", "compare_arrows", "billing.stripedifference"),
        ),
    ),
)


def look(*, site_name: str, is_demo: bool) -> dict[str, Any]:
    """Return the settings of the package that draws the admin."""
    return {
        "SITE_TITLE": f"{site_name} admin",
        "SITE_HEADER": site_name,
        "SITE_SUBHEADER": "Practice and simulated brokers" if is_demo else None,
        "SITE_SYMBOL": "monitoring",
        "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": icon}],
        "COLORS": {"primary": ACCENT},
        "STYLES": [stylesheet],
        "SHOW_VIEW_ON_SITE": True,
        "SIDEBAR": {
            "show_search": True,
            "show_all_applications": True,
            "navigation": "tradeplatform.admin_look.navigation",
        },
    }


def icon(request: HttpRequest) -> str:
    """Return the address of the site's icon."""
    return static("img/icon.svg")


def stylesheet(request: HttpRequest) -> str:
    """Return the address of what the site adds to the admin's styles."""
    return static("css/admin.css")


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the menu of the signed-in person: what they may see of it."""
    return [
        {
            "title": title,
            "items": [
                {"title": name, "icon": icon, "link": _link(model)}
                for name, icon, model in entries
                if not model or request.user.has_perm(model.replace(".", ".view_"))
            ],
        }
        for title, entries in _MENU
    ]


def _link(model: str) -> str:
    """Return the address of a model's list; without a model, of the dashboard."""
    return reverse(f"admin:{model.replace('.', '_')}_changelist") if model else reverse("operations")
