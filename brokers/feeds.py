"""Where an account's market data comes from.

A linked account reads the feed of its own broker with its own credentials. The practice account has no feed:
it uses the first linked account of its owner that has one, else the operator's source from the settings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from brokers.adapters.base import BrokerInterface
from brokers.enums import ConnectionStatus, Environment, LinkKind
from brokers.models import BrokerAccount
from brokers.rate_windows import scope_key_of
from brokers.registry import manager, restrict_to_reading
from brokers.types import AccountHandle, Capabilities, Credentials

PLATFORM_KEY = "platform"
_NO_ACCOUNT = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Feed:
    """One source of quotes, bars, assets and the clock.

    `key` is the same for accounts that share credentials: a broker allows one quote stream for each.
    `broker` is the name that quotes and instruments of this feed are stored under, `description` a sentence
    for people, `connection_id` the link it depends on (None for the operator's).
    """

    key: str
    broker: str
    description: str
    capabilities: Capabilities
    connection_id: UUID | None
    open_reader: Callable[[str], BrokerInterface]

    def open(self, *, purpose: str) -> BrokerInterface:
        """Return a reader; raises AuthorizationExpired when the link behind it does not work."""
        return self.open_reader(purpose)


def feed_for(account: BrokerAccount) -> Feed | None:
    """Return the feed of an account; None when there is no source of prices for it."""
    if account.connection.kind == LinkKind.BUILT_IN:
        return practice_feed(account.user_id)
    capabilities = manager.capabilities_of(account)
    return _feed_of_link(account, capabilities) if capabilities.quotes else None


def practice_feed(user_id: int) -> Feed | None:
    """Return the feed that a person's practice accounts trade against."""
    linked = (
        BrokerAccount.objects.filter(
            user_id=user_id, is_active=True, connection__status=ConnectionStatus.ACTIVE
        )
        .exclude(connection__kind=LinkKind.BUILT_IN)
        .select_related("connection")
        .order_by("created_at")
    )
    for account in linked:
        capabilities = manager.capabilities_of(account)
        if capabilities.quotes:
            return _feed_of_link(account, capabilities)
    return platform_feed()


def platform_feed() -> Feed | None:
    """Return the operator's own source of prices; None when no data keys are set."""
    broker = getattr(settings, "PRACTICE_DATA_BROKER", "")
    key_id = getattr(settings, "PRACTICE_DATA_KEY_ID", "")
    secret = getattr(settings, "PRACTICE_DATA_SECRET", "")
    if not (broker and key_id and secret):
        return None
    capabilities = manager.capabilities(broker, Environment.PAPER)
    label = getattr(settings, "PRACTICE_DATA_LABEL", "") or f"Prices from {capabilities.display_name}"
    credentials = Credentials(LinkKind.API_KEY, {"key_id": key_id, "secret_key": secret})
    return Feed(
        key=PLATFORM_KEY,
        broker=broker,
        description=f"{label}.",
        capabilities=capabilities,
        connection_id=None,
        open_reader=lambda purpose: _open_platform_reader(broker, capabilities, credentials),
    )


def _feed_of_link(account: BrokerAccount, capabilities: Capabilities) -> Feed:
    return Feed(
        key=f"connection:{account.connection_id}",
        broker=account.broker,
        description=f"Prices from your {capabilities.display_name} link.",
        capabilities=capabilities,
        connection_id=account.connection_id,
        open_reader=lambda purpose: manager.get_reader(account, purpose=purpose),
    )


def _open_platform_reader(
    broker: str, capabilities: Capabilities, credentials: Credentials
) -> BrokerInterface:
    handle = AccountHandle(
        account_id=_NO_ACCOUNT,
        broker=broker,
        environment=Environment.PAPER,
        broker_account_id="",
        currency="USD",
        credentials=credentials,
    )
    return restrict_to_reading(
        manager.adapter_class(broker)(handle),
        limit=capabilities.rate_limit,
        limit_key=scope_key_of(broker, Environment.PAPER, PLATFORM_KEY),
    )
