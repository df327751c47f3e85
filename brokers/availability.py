"""How reachable the brokers are, counted over everybody's accounts for those who run the platform."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Q

from brokers.enums import ConnectionStatus, StreamState
from brokers.models import BrokerAccount, BrokerEvent
from brokers.presentation import broker_name
from brokers.registry import UnknownBroker, manager

# Balances are read every minute; a broker that gave none for so long is not answering.
ANSWERED_WITHIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """Active accounts at one broker and how they can be reached.

    `answered` ones gave their balances within ANSWERED_WITHIN; `oldest_answer` is the oldest balance of an
    account whose link works. `streaming` is None where the broker has no streams.
    """

    broker: str
    environment: str
    name: str
    accounts: int
    links: int
    needs_relink: int
    restricted: int
    answered: int
    oldest_answer: datetime | None
    streaming: int | None

    @property
    def working(self) -> int:
        return self.accounts - self.needs_relink


@dataclass(frozen=True, slots=True)
class Inbox:
    """Broker messages stored and not applied yet; `since` is when the oldest came."""

    waiting: int
    since: datetime | None


def read_availability(*, now: datetime) -> list[Availability]:
    """Return the state of all active accounts by broker and environment."""
    relink = Q(connection__status=ConnectionStatus.NEEDS_RELINK)
    listening = Q(stream__state=StreamState.LIVE, stream__holder__alive_until__gte=now)
    rows: Any = (
        BrokerAccount.objects.filter(is_active=True)
        .values("broker", "environment")
        .annotate(
            accounts=Count("pk"),
            links=Count("connection", distinct=True),
            needs_relink=Count("pk", filter=relink),
            restricted=Count("pk", filter=~Q(restriction="")),
            answered=Count("pk", filter=~relink & Q(synced_at__gte=now - ANSWERED_WITHIN)),
            oldest_answer=Min("synced_at", filter=~relink),
            streaming=Count("pk", filter=~relink & listening),
        )
        .order_by("broker", "environment")
    )
    return [_as_availability(dict(row)) for row in rows]


def _as_availability(row: dict[str, Any]) -> Availability:
    if not _has_streams(row["broker"], row["environment"]):
        row["streaming"] = None
    return Availability(**row, name=broker_name(row["broker"]))


def read_inbox() -> Inbox:
    """Return how many broker messages wait to be applied."""
    waiting = BrokerEvent.objects.filter(applied_at=None)
    found = waiting.aggregate(number=Count("pk"), since=Min("received_at"))
    return Inbox(waiting=found["number"], since=found["since"])


def _has_streams(broker: str, environment: str) -> bool:
    try:
        return bool(manager.capabilities(broker, environment).stream)
    except UnknownBroker:
        return False
