"""What the broker says about an account, kept as its latest snapshot."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from brokers.enums import ConnectionStatus
from brokers.exceptions import AuthorizationExpired
from brokers.models import BrokerAccount, BrokerConnection
from brokers.registry import manager
from brokers.services.link_health import (
    ACCOUNT_INFO_FIELDS,
    apply_account_info,
    balances_of,
    mark_needs_relink,
)
from brokers.types import AccountInfo
from tradeplatform.common.clock import utc_now
from tradeplatform.common.events import publish_event
from tradeplatform.common.prepared import PreparedQuery, PreparedUpdate, slot

_LOCKED_ACCOUNT = PreparedQuery(
    lambda: BrokerAccount.objects.select_for_update().filter(pk=slot(BrokerAccount, "id")).order_by()
)
_SAVE_INFO = PreparedUpdate(
    lambda: BrokerAccount.objects.filter(pk=slot(BrokerAccount, "id")),
    **{name: slot(BrokerAccount, name) for name in ACCOUNT_INFO_FIELDS},
)
_NOTE_OK = PreparedUpdate(
    lambda: BrokerConnection.objects.filter(pk=slot(BrokerConnection, "id"), status=ConnectionStatus.ACTIVE),
    last_ok_at=slot(BrokerConnection, "last_ok_at"),
)


def sync_account(account_id: UUID, *, purpose: str) -> AccountInfo | None:
    """Read balances and restrictions from the broker and store them.

    Returns None when the account is gone or unlinked. Raises the broker's failure; an authorization that
    expired is first noted on the link.
    """
    account = BrokerAccount.objects.select_related("connection").filter(pk=account_id, is_active=True).first()
    if account is None:
        return None
    # The moment before the question: what happens while the broker answers may not be in the answer.
    asked_at = utc_now()
    try:
        info = manager.get_reader(account, purpose=purpose).get_account_info()
    except AuthorizationExpired as error:
        mark_needs_relink(connection_id=account.connection_id, reason=error.message)
        raise
    store_account_info(account_id, info, at=asked_at)
    return info


def store_account_info(account_id: UUID, info: AccountInfo, *, at: datetime) -> bool:
    """Store a snapshot unless a newer one is there; publish a balance event when a number changed."""
    with transaction.atomic():
        account = _LOCKED_ACCOUNT.first(id=account_id)
        if account is None or (account.synced_at is not None and account.synced_at > at):
            return False
        before = balances_of(account)
        apply_account_info(account, info, at=at)
        _SAVE_INFO.run(id=account.pk, **{name: getattr(account, name) for name in ACCOUNT_INFO_FIELDS})
        _NOTE_OK.run(id=account.connection_id, last_ok_at=at)
        if balances_of(account) != before:
            publish_event(user_id=account.user_id, kind="balance", payload={"account": str(account.pk)})
    return True
