"""Reads of this app, always scoped to their owner where a person asks."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet

from brokers.enums import ConnectionStatus, LinkKind, StreamState
from brokers.models import BrokerAccount, BrokerConnection, BrokerEvent, CredentialAccess
from tradeplatform.common.exceptions import NotFoundError
from tradeplatform.common.prepared import PreparedQuery, slot
from tradeplatform.models import User

_NO_ACCOUNT = "There is no such account."
_NO_CONNECTION = "There is no such broker link."
_OWN_ACCOUNT = PreparedQuery(
    lambda: (
        BrokerAccount.objects.select_related("connection")
        .filter(pk=slot(BrokerAccount, "id"), user_id=slot(BrokerAccount, "user"))
        .order_by()
    )
)


def accounts_for(user: User, *, include_inactive: bool = False) -> QuerySet[BrokerAccount]:
    """Return the user's accounts, oldest first; unlinked ones only on request."""
    accounts = BrokerAccount.objects.filter(user=user).select_related("connection")
    return accounts if include_inactive else accounts.filter(is_active=True)


def get_account_for(user: User, account_id: UUID | str, *, include_inactive: bool = False) -> BrokerAccount:
    """Return one account of the user; raises NotFoundError for everything else, foreign ones included."""
    try:
        found = _OWN_ACCOUNT.first(id=account_id, user=user.pk)
    except (ValidationError, ValueError):
        found = None  # Text that is no id.
    if found is None or not (found.is_active or include_inactive):
        raise NotFoundError(_NO_ACCOUNT)
    return found


def connections_for(user: User, *, include_unlinked: bool = False) -> QuerySet[BrokerConnection]:
    """Return the user's links with their accounts, newest first."""
    links = BrokerConnection.objects.filter(user=user).prefetch_related("accounts__stream__holder")
    return links if include_unlinked else links.exclude(status=ConnectionStatus.UNLINKED)


def get_connection_for(user: User, connection_id: UUID | str) -> BrokerConnection:
    """Return one link of the user; raises NotFoundError."""
    found = _first_by_id(connections_for(user, include_unlinked=True), connection_id)
    if found is None:
        raise NotFoundError(_NO_CONNECTION)
    return found


def linked_brokers(user: User) -> list[str]:
    """Return the brokers that the user has linked, the one linked first first; practice does not count."""
    links = BrokerConnection.objects.filter(user=user).exclude(status=ConnectionStatus.UNLINKED)
    real = links.exclude(kind=LinkKind.BUILT_IN).order_by("linked_at")
    return list(dict.fromkeys(real.values_list("broker", flat=True)))


def brokers_linked_before(account: BrokerAccount) -> int:
    """Return how many other brokers the owner had linked before the one of this account."""
    brokers = linked_brokers(account.user)
    return brokers.index(account.broker) if account.broker in brokers else len(brokers)


def accesses_for(user: User, connection: BrokerConnection) -> QuerySet[CredentialAccess]:
    """Return when and why a link's credentials were decrypted, newest first."""
    return CredentialAccess.objects.filter(connection=connection, connection__user=user)


def streaming_accounts() -> QuerySet[BrokerAccount]:
    """Return every account whose link works, for the stream service."""
    return BrokerAccount.objects.filter(
        is_active=True, connection__status=ConnectionStatus.ACTIVE
    ).select_related("connection")


def stream_counts() -> dict[str, int]:
    """Return how many working accounts are in each state of their stream; those without a row wait."""
    states = dict.fromkeys(StreamState.values, 0)
    rows = streaming_accounts().order_by().values_list("stream__state").annotate(number=Count("pk"))
    for state, number in rows:
        states[state or StreamState.WAITING.value] += number
    return states


def unapplied_events(account_id: UUID | None = None, *, limit: int = 500) -> list[BrokerEvent]:
    """Return stored broker messages that nothing was made of yet, oldest first."""
    events = BrokerEvent.objects.filter(applied_at=None)
    if account_id is not None:
        events = events.filter(account_id=account_id)
    return list(events.order_by("id")[:limit])


def stale_accounts(*, before: datetime) -> QuerySet[BrokerAccount]:
    """Return working accounts whose balances were not read since `before`."""
    return streaming_accounts().filter(Q(synced_at=None) | Q(synced_at__lt=before))


def _first_by_id(rows: QuerySet[Any], row_id: UUID | str) -> Any | None:
    """Find by id; text that is no id finds nothing."""
    try:
        return rows.filter(pk=row_id).first()
    except (ValidationError, ValueError):
        return None
