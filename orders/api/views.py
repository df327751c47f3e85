"""Orders over the API: the same services as the pages, nothing of their own."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from brokers.models import BrokerAccount
from brokers.selectors import get_account_for
from orders.api.filters import OrderFilter
from orders.api.serializers import (
    ApprovalAnswerSerializer,
    OrderChangesSerializer,
    OrderDetailSerializer,
    OrderRequestSerializer,
    OrderSerializer,
    PreviewSerializer,
    ProblemSerializer,
    RejectionSerializer,
    TimelineEntrySerializer,
)
from orders.drafts import parse_changes, parse_order
from orders.enums import OrderOrigin
from orders.exceptions import InvalidOrder
from orders.models import Order
from orders.representation import execution_document, order_document, preview_document, timeline_document
from orders.selectors import approval_of, get_order_for, orders_for, timeline_of
from orders.services.approve import approve_order, reject_order
from orders.services.cancel import cancel_order
from orders.services.place import place_order
from orders.services.preview import preview_order
from orders.services.replace import replace_order
from orders.views.common import needs_factor
from tradeplatform.common.api_permissions import HasScope, caller_of, require_scope
from tradeplatform.common.pagination import DefaultCursorPagination
from tradeplatform.common.step_up import FactorRequired
from tradeplatform.models import ApiKey

CanRead = HasScope("read", "trade:paper", "trade:live")
CanTrade = HasScope("trade:paper", "trade:live")
KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    required=True,
    description="At most 128 characters, new for each order. A repeat gets the first answer again.",
)


class OrderCursor(DefaultCursorPagination):
    ordering = ("-created_at", "-id")  # type: ignore[assignment]


class OrderDocuments(BaseSerializer[Order]):
    """Lets the paginated list answer with the same documents as everything else."""

    def to_representation(self, instance: Order) -> dict[str, Any]:
        # Prefetched for the whole page, so that a page costs one query more and not one per order.
        newest = max(instance.approvals.all(), key=lambda found: found.requested_at, default=None)
        return order_document(instance, newest)


class OrderList(ListAPIView[Order]):
    permission_classes = [CanRead]
    serializer_class = OrderDocuments
    pagination_class = OrderCursor
    filterset_class = OrderFilter

    def get_queryset(self) -> Any:
        return (
            orders_for(caller_of(self.request)).prefetch_related("approvals")
            if self.request.user.is_authenticated
            else Order.objects.none()
        )

    def get_permissions(self) -> Any:
        return [CanTrade()] if self.request.method == "POST" else super().get_permissions()

    @extend_schema(operation_id="list_orders", responses=OrderSerializer(many=True), tags=["orders"])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List your orders, newest first."""
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="place_order",
        parameters=[KEY],
        request=OrderRequestSerializer,
        responses={
            201: OrderSerializer,
            202: OrderSerializer,
            400: ProblemSerializer,
            409: ProblemSerializer,
            422: ProblemSerializer,
        },
        tags=["orders"],
    )
    def post(self, request: Request) -> Response:
        """Place an order. 201: queued; 202: waits for your approval; 422 tells what the risk gate found."""
        body = _body(request)
        account = _trading_account(request, body)
        _require_factor(request, account)
        placed = place_order(
            user=caller_of(request),
            account_id=account.pk,
            request=parse_order(body),
            idempotency_key=request.headers.get("Idempotency-Key", ""),
            origin=OrderOrigin.API,
            confirm=_confirmed(body),
            note=str(body.get("note") or "")[:200],
        )
        headers = {"Idempotent-Replayed": "true"} if placed.replayed else {}
        return Response(placed.document, status=placed.http_status, headers=headers)


class OrderPreview(APIView):
    permission_classes = [CanRead]

    @extend_schema(
        operation_id="preview_order",
        request=OrderRequestSerializer,
        responses={200: PreviewSerializer, 422: ProblemSerializer},
        tags=["orders"],
    )
    def post(self, request: Request) -> Response:
        """Show what the risk gate says and what the order would change. Nothing is stored or sent."""
        body = _body(request)
        account = _account(request, body)
        preview = preview_order(
            user=caller_of(request),
            account_id=account.pk,
            request=parse_order(body),
            confirm=_confirmed(body),
            origin=OrderOrigin.API,
        )
        return Response(preview_document(preview))


class OrderDetail(APIView):
    permission_classes = [CanRead]

    def get_permissions(self) -> Any:
        return [CanTrade()] if self.request.method == "PATCH" else super().get_permissions()

    @extend_schema(operation_id="get_order", responses=OrderDetailSerializer, tags=["orders"])
    def get(self, request: Request, order_id: UUID) -> Response:
        """Show one order with its executions and exits."""
        return Response(detail_document(get_order_for(caller_of(request), order_id)))

    @extend_schema(
        operation_id="replace_order",
        request=OrderChangesSerializer,
        responses={202: OrderSerializer, 409: ProblemSerializer, 422: ProblemSerializer},
        tags=["orders"],
    )
    def patch(self, request: Request, order_id: UUID) -> Response:
        """Ask for new terms of an open order. 202: asked; the order's status tells how it ended."""
        order = get_order_for(caller_of(request), order_id)
        _require_trading(request, order.account)
        _require_factor(request, order.account)
        body = _body(request)
        changed = replace_order(
            user=caller_of(request), order_id=order.pk, changes=parse_changes(body), confirm=_confirmed(body)
        )
        return Response(order_document(changed, approval_of(changed)), status=202)


class OrderCancel(APIView):
    permission_classes = [CanTrade]

    @extend_schema(
        operation_id="cancel_order",
        request=None,
        responses={202: OrderSerializer, 409: ProblemSerializer},
        tags=["orders"],
    )
    def post(self, request: Request, order_id: UUID) -> Response:
        """Ask for the cancellation of an order; asking twice is asking once."""
        order = get_order_for(caller_of(request), order_id)
        _require_trading(request, order.account)
        canceled = cancel_order(user=caller_of(request), order_id=order.pk)
        return Response(order_document(canceled, approval_of(canceled)), status=202)


class OrderApprove(APIView):
    permission_classes = [CanTrade]

    @extend_schema(
        operation_id="approve_order",
        request=ApprovalAnswerSerializer,
        responses={
            202: OrderSerializer,
            403: ProblemSerializer,
            409: ProblemSerializer,
            422: ProblemSerializer,
        },
        tags=["orders"],
    )
    def post(self, request: Request, order_id: UUID) -> Response:
        """Approve an order that waits for it. 202: queued. Codes of refusals: approval_expired,
        approval_price_moved, approval_already_decided, approval_not_requested (409),
        approval_hash_mismatch, confirmation_required, order_denied (422)."""
        order = get_order_for(caller_of(request), order_id)
        _require_trading(request, order.account)
        _require_factor(request, order.account)
        body = _body(request)
        approved = approve_order(
            user=caller_of(request),
            order_id=order.pk,
            order_hash=_text(body, "order_hash"),
            approval_id=_approval_id(body),
            confirm=_confirmed(body),
        )
        return Response(order_document(approved, approval_of(approved)), status=202)


class OrderReject(APIView):
    permission_classes = [CanTrade]

    @extend_schema(
        operation_id="reject_order",
        request=RejectionSerializer,
        responses={200: OrderSerializer, 409: ProblemSerializer, 422: ProblemSerializer},
        tags=["orders"],
    )
    def post(self, request: Request, order_id: UUID) -> Response:
        """Reject an order that waits for approval: it ends as not_sent."""
        order = get_order_for(caller_of(request), order_id)
        _require_trading(request, order.account)
        body = _body(request)
        rejected = reject_order(
            user=caller_of(request),
            order_id=order.pk,
            order_hash=_text(body, "order_hash"),
            reason=_text(body, "reason"),
        )
        return Response(order_document(rejected, approval_of(rejected)))


class OrderTimeline(APIView):
    permission_classes = [CanRead]

    @extend_schema(
        operation_id="get_order_timeline", responses=TimelineEntrySerializer(many=True), tags=["orders"]
    )
    def get(self, request: Request, order_id: UUID) -> Response:
        """Show the order's story: every change of status and every fact, with who and when."""
        order = get_order_for(caller_of(request), order_id)
        return Response([timeline_document(entry) for entry in timeline_of(order)])


def detail_document(order: Order) -> dict[str, Any]:
    return order_document(order, approval_of(order)) | {
        "executions": [execution_document(execution) for execution in order.executions.all()],
        "legs": [order_document(leg) for leg in order.legs.order_by("created_at")],
    }


def _body(request: Request) -> Mapping[str, Any]:
    if not isinstance(request.data, Mapping):
        raise InvalidOrder("Send a JSON object. Nothing was sent.", http_status=400)
    return request.data


def _account(request: Request, body: Mapping[str, Any]) -> BrokerAccount:
    account_id = body.get("account")
    if not account_id:
        raise InvalidOrder(
            "Account: This is required. Nothing was sent.", fields={"account": ["This is required."]}
        )
    return get_account_for(caller_of(request), str(account_id))


def _trading_account(request: Request, body: Mapping[str, Any]) -> BrokerAccount:
    account = _account(request, body)
    _require_trading(request, account)
    return account


def _require_trading(request: Request, account: BrokerAccount) -> None:
    """A key must name the kind of money it may move: trade:paper or trade:live."""
    require_scope(request, f"trade:{account.environment}")


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise InvalidOrder(f"{name}: Give a text. Nothing was sent.", fields={name: ["Give a text."]})
    return value


def _approval_id(body: Mapping[str, Any]) -> UUID | None:
    value = _text(body, "approval")
    try:
        return UUID(value) if value else None
    except ValueError:
        raise InvalidOrder(
            "approval: Give the id of a request for approval. Nothing was sent.",
            fields={"approval": ["Give the id of a request for approval."]},
        ) from None


def _require_factor(request: Request, account: BrokerAccount) -> None:
    """A browser's session proves itself before real money moves as it does on the pages; a key needs not."""
    if not isinstance(request.auth, ApiKey) and needs_factor(request._request, account):
        raise FactorRequired


def _confirmed(body: Mapping[str, Any]) -> frozenset[str]:
    codes = body.get("confirm") or []
    if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
        raise InvalidOrder(
            "Confirm: Give a list of codes. Nothing was sent.", fields={"confirm": ["Give a list of codes."]}
        )
    return frozenset(codes)
