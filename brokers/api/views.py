"""Accounts."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from brokers.api.serializers import AccountSerializer
from brokers.models import BrokerAccount
from brokers.registry import manager
from brokers.selectors import accounts_for, get_account_for
from brokers.types import Capabilities, format_decimal
from tradeplatform.common.api_permissions import HasScope, caller_of

CanRead = HasScope("read", "trade:paper", "trade:live")


class AccountList(APIView):
    permission_classes = [CanRead]

    @extend_schema(operation_id="list_accounts", responses=AccountSerializer(many=True), tags=["accounts"])
    def get(self, request: Request) -> Response:
        """List your linked accounts."""
        return Response([account_document(account) for account in accounts_for(caller_of(request))])


class AccountDetail(APIView):
    permission_classes = [CanRead]

    @extend_schema(operation_id="get_account", responses=AccountSerializer, tags=["accounts"])
    def get(self, request: Request, account_id: UUID) -> Response:
        """Show one account with its balances and what can be ordered there."""
        return Response(account_document(get_account_for(caller_of(request), account_id)))


def account_document(account: BrokerAccount) -> dict[str, Any]:
    """Return an account as the API shows it: no credentials, no full account number."""
    return {
        "id": str(account.pk),
        "broker": account.broker,
        "environment": account.environment,
        "label": account.label,
        "status": "restricted" if account.restriction else account.connection.status,
        "restriction": account.restriction or None,
        "currency": account.currency,
        "equity": format_decimal(account.equity),
        "cash": format_decimal(account.cash),
        "buying_power": format_decimal(account.buying_power),
        "synced_at": account.synced_at.isoformat().replace("+00:00", "Z") if account.synced_at else None,
        "armed": account.armed_at is not None,
        "capabilities": capabilities_document(manager.capabilities_of(account)),
    }


def capabilities_document(capabilities: Capabilities) -> dict[str, Any]:
    return {
        "order_rules": [
            {
                "order_type": str(rule.order_type),
                "times_in_force": sorted(map(str, rule.times_in_force)),
                "fractional_times_in_force": sorted(map(str, rule.fractional_times_in_force)),
                "extended_hours_times_in_force": sorted(map(str, rule.extended_hours_times_in_force)),
                "order_classes": sorted(map(str, rule.order_classes)),
            }
            for rule in capabilities.order_rules
        ],
        "fractional": capabilities.fractional,
        "notional": capabilities.notional,
        "replace": capabilities.replace,
        "replace_fields": sorted(capabilities.replace_fields),
        "short_selling": capabilities.short_selling,
        "stream": capabilities.stream,
        "margin_regime": str(capabilities.margin_regime),
    }
