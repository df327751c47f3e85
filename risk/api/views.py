"""The kill switch over the API: the same services as the page."""

from typing import Any
from uuid import UUID

from django.db import DatabaseError
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from brokers.enums import Environment
from brokers.selectors import accounts_for, get_account_for
from risk.api.serializers import HaltRequestSerializer, HaltSerializer, ResumeSerializer
from risk.enums import HaltScope
from risk.models import TradingHalt
from risk.selectors import get_halt_for, halts_for
from risk.services.halts import halt_trading, latch_halt, resume_trading
from tradeplatform.common.api_permissions import HasScope, caller_of, require_scope
from tradeplatform.common.database import note_unwritable
from tradeplatform.models import User

CanRead = HasScope("read", "trade:paper", "trade:live")
CanTrade = HasScope("trade:paper", "trade:live")


class HaltList(APIView):
    permission_classes = [CanRead]

    def get_permissions(self) -> Any:
        return [CanTrade()] if self.request.method == "POST" else super().get_permissions()

    @extend_schema(operation_id="list_halts", responses=HaltSerializer(many=True), tags=["risk"])
    def get(self, request: Request) -> Response:
        """List the halts in force over you, your accounts and their brokers, newest first."""
        return Response([halt_document(halt) for halt in halts_for(caller_of(request))])

    @extend_schema(
        operation_id="halt_trading",
        request=HaltRequestSerializer,
        responses={201: HaltSerializer, 202: HaltSerializer},
        tags=["risk"],
    )
    def post(self, request: Request) -> Response:
        """Stop trading. 202: the database cannot be written; the halt is kept in a file and holds."""
        user = caller_of(request)
        asked = HaltRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = asked.validated_data
        scope, key = HaltScope.USER.value, str(user.pk)
        if wanted["scope"] == HaltScope.ACCOUNT:
            scope, key = wanted["scope"], str(get_account_for(user, str(wanted.get("account", ""))).pk)
        values = {"scope": scope, "scope_key": key, "reason": wanted["reason"]}
        try:
            halt = halt_trading(**values, actor=user, cancel_open=wanted["cancel_open"])
        except DatabaseError as error:
            if not note_unwritable(error):
                raise
            latched = latch_halt(**values, actor=user.email, cancel_open=wanted["cancel_open"])
            unsaved = TradingHalt(
                **values,
                started_by=user.email,
                started_at=latched.moment,
                cancel_open=latched.cancel_open,
            )
            return Response(halt_document(unsaved), status=202)
        return Response(halt_document(halt), status=201)


class HaltDetail(APIView):
    permission_classes = [CanRead]

    def get_permissions(self) -> Any:
        return [CanTrade()] if self.request.method == "DELETE" else super().get_permissions()

    @extend_schema(operation_id="get_halt", responses=HaltSerializer, tags=["risk"])
    def get(self, request: Request, halt_id: UUID) -> Response:
        """Show one halt over you, lifted ones too, with what it measured."""
        return Response(halt_document(get_halt_for(caller_of(request), halt_id)))

    @extend_schema(
        operation_id="resume_trading", request=ResumeSerializer, responses=HaltSerializer, tags=["risk"]
    )
    def delete(self, request: Request, halt_id: UUID) -> Response:
        """Lift a halt that you made. A key needs trade:live where live money would trade again."""
        user = caller_of(request)
        halt = get_halt_for(user, halt_id)
        if _reaches_live_money(user, halt):
            require_scope(request, "trade:live")
        asked = ResumeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        lifted = resume_trading(halt_id=halt.pk, reason=asked.validated_data["reason"], actor=user)
        return Response(halt_document(lifted))


def _reaches_live_money(user: User, halt: TradingHalt) -> bool:
    accounts = accounts_for(user).filter(environment=Environment.LIVE)
    if halt.scope == HaltScope.ACCOUNT:
        accounts = accounts.filter(pk=halt.scope_key)
    return accounts.exists()


def halt_document(halt: TradingHalt) -> dict[str, Any]:
    """Return a halt as JSON-ready values."""
    return {
        "id": None if halt._state.adding else str(halt.pk),
        "scope": str(halt.scope),
        "scope_key": halt.scope_key,
        "kind": str(halt.kind),
        "reason": halt.reason,
        "started_by": halt.started_by,
        "started_at": _time(halt.started_at),
        "cancel_open": halt.cancel_open,
        "cancels_requested_at": _time(halt.cancels_requested_at),
        "in_flight": halt.in_flight,
        "last_send_at": _time(halt.last_send_at),
        "last_byte_at": _time(halt.last_byte_at),
        "late_sends": halt.late_sends,
        "lifted_at": _time(halt.lifted_at),
        "lifted_by": halt.lifted_by or None,
    }


def _time(moment: Any) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None
