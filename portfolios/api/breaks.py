"""Differences between books and brokers over the API. Nothing here trades."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from portfolios.api.serializers import BreakSerializer, ResolveBreakSerializer
from portfolios.enums import BreakChoice
from portfolios.models import Break
from portfolios.selectors import breaks_for, get_break_for
from portfolios.services.breaks import explain_break, resolve_break
from tradeplatform.common.api_permissions import HasScope, caller_of
from tradeplatform.common.pagination import DefaultCursorPagination

CanRead = HasScope("read", "trade:paper", "trade:live")
CanTrade = HasScope("trade:paper", "trade:live")


class BreakCursor(DefaultCursorPagination):
    ordering = ("-first_seen_at", "-id")  # type: ignore[assignment]


class BreakDocuments(BaseSerializer[Break]):
    """Lets the paginated list answer with the same documents as everything else."""

    def to_representation(self, instance: Break) -> dict[str, Any]:
        return break_document(instance)


class BreakList(ListAPIView[Break]):
    permission_classes = [CanRead]
    serializer_class = BreakDocuments
    pagination_class = BreakCursor

    def get_queryset(self) -> Any:
        if not self.request.user.is_authenticated:
            return Break.objects.none()
        everything = self.request.query_params.get("show") == "all"
        return breaks_for(caller_of(self.request), include_resolved=everything)

    @extend_schema(
        operation_id="list_breaks",
        parameters=[OpenApiParameter("show", OpenApiTypes.STR, description="all: the resolved ones too")],
        responses=BreakSerializer(many=True),
        tags=["reconciliation"],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the differences between your books and your brokers, newest first."""
        return super().get(request, *args, **kwargs)


class BreakResolve(APIView):
    permission_classes = [CanTrade]

    @extend_schema(
        operation_id="resolve_break",
        request=ResolveBreakSerializer,
        responses=BreakSerializer,
        tags=["reconciliation"],
    )
    def post(self, request: Request, break_id: int) -> Response:
        """Explain a difference, close it, or correct your book to the broker's value."""
        user = caller_of(request)
        found = get_break_for(user, break_id)
        asked = ResolveBreakSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        choice, text = asked.validated_data["choice"], asked.validated_data["text"]
        if choice == BreakChoice.EXPLAIN:
            done = explain_break(break_id=found.pk, explanation=text, actor=user.email, owner=user)
        else:
            adopt = choice == BreakChoice.ADOPT
            done = resolve_break(
                break_id=found.pk, resolution=text, actor=user.email, owner=user, adopt=adopt
            )
        return Response(break_document(get_break_for(user, done.pk)))


def break_document(row: Break) -> dict[str, Any]:
    """Return a difference as JSON-ready values."""
    account_id = row.portfolio.account_id
    return {
        "id": row.pk,
        "account": str(account_id) if account_id else None,
        "portfolio": str(row.portfolio_id),
        "kind": row.kind,
        "drift": row.drift,
        "cause": row.cause,
        "symbol": row.symbol,
        "order": row.subject or None,
        "ours": row.ours,
        "theirs": row.theirs,
        "status": str(row.status),
        "owner": row.owner,
        "explanation": row.explanation,
        "resolution": row.resolution,
        "times_seen": row.times_seen,
        "first_seen_at": _time(row.first_seen_at),
        "last_seen_at": _time(row.last_seen_at),
        "resolved_at": _time(row.resolved_at),
    }


def _time(moment: Any) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
