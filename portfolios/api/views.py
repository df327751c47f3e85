"""The book of an account: positions and performance."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from brokers.selectors import get_account_for
from brokers.types import format_decimal
from portfolios.api.serializers import BookSerializer, PerformanceSerializer
from portfolios.holdings import HoldingRow, HoldingsView
from portfolios.models import Portfolio
from portfolios.selectors import PerformanceView, equity_curve, holdings_view, performance_of, portfolio_of
from tradeplatform.common.api_permissions import HasScope, caller_of
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import ConflictError

CanRead = HasScope("read", "trade:paper", "trade:live")
BENCHMARK = "SPY"


class AccountPositions(APIView):
    permission_classes = [CanRead]

    @extend_schema(operation_id="list_positions", responses=BookSerializer, tags=["accounts"])
    def get(self, request: Request, account_id: UUID) -> Response:
        """Show positions and cash of an account at the newest prices."""
        return Response(book_document(holdings_view(_book(request, account_id), now=utc_now())))


class AccountPerformance(APIView):
    permission_classes = [CanRead]

    @extend_schema(operation_id="get_performance", responses=PerformanceSerializer, tags=["accounts"])
    def get(self, request: Request, account_id: UUID) -> Response:
        """Show returns, risk figures and the equity curve of an account."""
        book = _book(request, account_id)
        curve = equity_curve(book, benchmark=BENCHMARK)
        return Response(performance_document(performance_of(book, benchmark=BENCHMARK), curve))


def _book(request: Request, account_id: UUID) -> Portfolio:
    book = portfolio_of(get_account_for(caller_of(request), account_id))
    if book is None:
        raise ConflictError(
            "The opening balances of this account have not been read yet. Try again in a minute.",
            code="book_not_open",
        )
    return book


def book_document(view: HoldingsView) -> dict[str, Any]:
    return {
        "currency": view.currency,
        "cash": format_decimal(view.cash),
        "market_value": format_decimal(view.market_value),
        "equity": format_decimal(view.equity),
        "unrealised_pnl": format_decimal(view.unrealised_pnl),
        "realised_pnl": format_decimal(view.realised_pnl),
        "day_pnl": format_decimal(view.day_pnl),
        "positions": [position_document(row) for row in view.rows],
    }


def position_document(row: HoldingRow) -> dict[str, Any]:
    return {
        "symbol": row.symbol,
        "quantity": format_decimal(row.quantity),
        "avg_price": format_decimal(row.avg_price),
        "cost": format_decimal(row.cost),
        "last": format_decimal(row.last),
        "priced_at": row.priced_at.isoformat().replace("+00:00", "Z") if row.priced_at else None,
        "market_value": format_decimal(row.market_value),
        "unrealised_pnl": format_decimal(row.unrealised_pnl),
        "day_pnl": format_decimal(row.day_pnl),
        "share": format_decimal(row.share),
        "realised_pnl": format_decimal(row.realised_pnl),
    }


def performance_document(view: PerformanceView, curve: dict[str, Any]) -> dict[str, Any]:
    return {
        "currency": view.currency,
        "benchmark": view.benchmark,
        "start": view.start.isoformat() if view.start else None,
        "end": view.end.isoformat() if view.end else None,
        "start_equity": format_decimal(view.start_equity),
        "end_equity": format_decimal(view.end_equity),
        "net_flow": format_decimal(view.net_flow),
        "figures": [
            {
                "key": figure.key,
                "label": figure.label,
                "value": format_decimal(figure.value),
                "reason": figure.reason,
            }
            for figure in view.figures
        ],
        "equity_curve": curve,
    }
