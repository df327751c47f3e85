"""Storing a link that was proven to work, and the accounts that it covers."""

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from django.db import transaction

from brokers.credentials import dump_credentials
from brokers.enums import ConnectionStatus
from brokers.models import BrokerAccount, BrokerConnection
from brokers.registry import manager
from brokers.services.link_health import apply_account_info, publish_link_event
from brokers.signals import account_linked
from brokers.types import Credentials, LinkedAccount
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.models import User

_LABEL_LENGTH = 60


def store_link(
    *,
    user: User,
    broker: str,
    credentials: Credentials,
    found: Sequence[LinkedAccount],
    label: str = "",
) -> list[BrokerAccount]:
    """Store a link with its accounts, or repair the one that covered any of them.

    An account that was linked before keeps its row, and with it its history. Sends `account_linked` for
    each account after the commit.
    """
    with transaction.atomic():
        # The user's row is the lock of all links, so that two callbacks at once make one account.
        User.objects.select_for_update().get(pk=user.pk)
        known = _known_accounts(user, broker, found)
        connection = _store_connection(user, broker, credentials, known)
        accounts = [_store_account(connection, item, known, label=label) for item in found]
        record_audit(
            actor=user.email,
            action="broker_relinked" if known else "broker_linked",
            object_type="broker_connection",
            object_id=connection.pk,
            data={
                "broker": broker,
                "kind": str(connection.kind),
                "accounts": [str(account.pk) for account in accounts],
            },
        )
        for account in accounts:
            transaction.on_commit(
                partial(_announce, account_id=account.pk, created=account.pk not in _ids(known))
            )
        publish_link_event(connection)
    return accounts


def _announce(*, account_id: UUID, created: bool) -> None:
    account_linked.send_robust(sender=BrokerAccount, account_id=account_id, created=created)


def _known_accounts(
    user: User, broker: str, found: Sequence[LinkedAccount]
) -> dict[tuple[str, str], BrokerAccount]:
    """Return the rows of accounts that were linked before, active ones first, then the newest."""
    keys = {(str(item.environment), item.info.broker_account_id) for item in found}
    rows = (
        BrokerAccount.objects.select_related("connection")
        .filter(user=user, broker=broker, broker_account_id__in=[number for _, number in keys])
        .order_by("is_active", "created_at")
    )
    return {key: row for row in rows if (key := (str(row.environment), row.broker_account_id)) in keys}


def _ids(known: dict[tuple[str, str], BrokerAccount]) -> set[UUID]:
    return {account.pk for account in known.values()}


def _store_connection(
    user: User,
    broker: str,
    credentials: Credentials,
    known: dict[tuple[str, str], BrokerAccount],
) -> BrokerConnection:
    """Reuse a link only if the new credentials cover all its active accounts; else the rest would break."""
    connection = None
    for account in known.values():
        others = account.connection.accounts.filter(is_active=True).exclude(pk__in=_ids(known))
        if not others.exists():
            connection = account.connection
    now = utc_now()
    connection = connection or BrokerConnection(user=user, broker=broker)
    connection.kind = credentials.kind
    connection.status = ConnectionStatus.ACTIVE
    connection.status_reason = ""
    connection.linked_at = now
    connection.last_ok_at = now
    connection.unlinked_at = None
    connection.credentials = dump_credentials(credentials.values)  # type: ignore[assignment]
    connection.save()
    return connection


def _store_account(
    connection: BrokerConnection,
    item: LinkedAccount,
    known: dict[tuple[str, str], BrokerAccount],
    *,
    label: str,
) -> BrokerAccount:
    account = known.get((str(item.environment), item.info.broker_account_id))
    if account is None:
        account = BrokerAccount(
            user=connection.user,
            broker=connection.broker,
            environment=item.environment,
            broker_account_id=item.info.broker_account_id,
            label=_choose_label(connection, item, label),
        )
    elif label.strip():
        account.label = label.strip()[:_LABEL_LENGTH]
    account.connection = connection
    account.is_active = True
    apply_account_info(account, item.info, at=utc_now())
    account.save()
    return account


def _choose_label(connection: BrokerConnection, item: LinkedAccount, label: str) -> str:
    """Name it after the broker and environment, numbered when the person has several of them."""
    wanted = label.strip()
    if not wanted:
        capabilities = manager.capabilities(connection.broker, item.environment)
        wanted = f"{capabilities.display_name} {item.environment.label.lower()}"
    taken = set(
        BrokerAccount.objects.filter(user=connection.user, is_active=True).values_list("label", flat=True)
    )
    name, number = wanted[:_LABEL_LENGTH], 2
    while name in taken:
        name = f"{wanted[: _LABEL_LENGTH - 4]} {number}"
        number += 1
    return name
