"""Noting that a link stopped working, and what a broker's account snapshot changes in our row."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from brokers.enums import ConnectionStatus
from brokers.models import BrokerAccount, BrokerConnection
from brokers.types import AccountInfo
from tradeplatform.common.audit import record_audit
from tradeplatform.common.events import publish_event

_REASON_LENGTH = 200

ACCOUNT_INFO_FIELDS = (
    "account_number",
    "currency",
    "broker_status",
    "restriction",
    "cash",
    "equity",
    "last_equity",
    "buying_power",
    "multiplier",
    "shorting_enabled",
    "synced_at",
)


def mark_needs_relink(*, connection_id: UUID, reason: str) -> bool:
    """Note that the broker refuses a link's credentials. Says whether this changed anything.

    Idempotent: the first caller writes the audit entry and tells the user, later ones do nothing. Orders
    and positions stay as they are.
    """
    with transaction.atomic():
        connection = (
            BrokerConnection.objects.select_for_update()
            .filter(pk=connection_id, status=ConnectionStatus.ACTIVE)
            .first()
        )
        if connection is None:
            return False
        connection.status = ConnectionStatus.NEEDS_RELINK
        connection.status_reason = reason[:_REASON_LENGTH]
        connection.save(update_fields=["status", "status_reason"])
        record_audit(
            actor="system:brokers",
            action="broker_link_expired",
            object_type="broker_connection",
            object_id=connection.pk,
            data={"broker": connection.broker, "reason": connection.status_reason},
        )
        publish_link_event(connection)
    return True


def publish_link_event(connection: BrokerConnection) -> None:
    """Tell the owner's pages that a link changed. Call it last in the transaction."""
    publish_event(
        user_id=connection.user_id,
        kind="link",
        payload={"id": str(connection.pk), "broker": connection.broker, "status": str(connection.status)},
    )


def apply_account_info(account: BrokerAccount, info: AccountInfo, *, at: datetime) -> None:
    """Copy a snapshot into the row without saving it."""
    account.account_number = mask_account_number(info.account_number)
    account.currency = info.currency or account.currency
    account.broker_status = info.status[:40]
    account.restriction = info.restriction[:200]
    account.cash = info.cash
    account.equity = info.equity
    account.last_equity = info.last_equity
    account.buying_power = info.buying_power
    account.multiplier = info.multiplier
    account.shorting_enabled = info.shorting_enabled
    account.synced_at = at


def balances_of(account: BrokerAccount) -> tuple[Decimal | str | None, ...]:
    """Return what a balance event is about, for comparing two states of a row."""
    return (account.cash, account.equity, account.buying_power, account.restriction, account.broker_status)


def mask_account_number(number: str) -> str:
    """Keep the last four characters: enough to recognise an account, not enough to use it."""
    return f"••••{number[-4:]}" if len(number) > 4 else number
