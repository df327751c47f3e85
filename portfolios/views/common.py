"""What the portfolio pages share: whose book, its tabs and what leads to the others."""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest
from django.urls import reverse

from portfolios.enums import PortfolioKind
from portfolios.models import Portfolio
from portfolios.selectors import breaks_for, get_portfolio_for, portfolios_for
from tradeplatform.common.exceptions import NotFoundError
from tradeplatform.models import User

TABS = (
    ("detail", "Holdings"),
    ("performance", "Performance"),
    ("realised", "Realised"),
    ("activity", "Activity"),
    ("differences", "Differences"),
)


def person(request: HttpRequest) -> User:
    """Return who is signed in; for views that require it."""
    return request.user  # type: ignore[return-value]


def find_portfolio(request: HttpRequest, portfolio_id: UUID) -> Portfolio:
    try:
        return get_portfolio_for(person(request), portfolio_id)
    except NotFoundError as error:
        raise Http404(error.message) from error


def shell(request: HttpRequest, portfolio: Portfolio, *, active: str) -> dict[str, Any]:
    """Return what every page about one book needs: the book, the choice of books and the tabs."""
    open_breaks = breaks_for(person(request), portfolio=portfolio).count()
    return {
        "portfolio": portfolio,
        "portfolios": list(portfolios_for(person(request))),
        "is_imported": portfolio.kind == PortfolioKind.IMPORTED,
        "open_breaks": open_breaks,
        "tabs": [
            {
                "text": f"{text} ({open_breaks})" if name == "differences" and open_breaks else text,
                "href": reverse(f"portfolios:{name}", args=[portfolio.pk]),
                "active": name == active,
            }
            for name, text in TABS
        ],
    }
