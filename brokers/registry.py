"""Where adapters are found: settings name them, they are imported on first use, and all else asks here."""

import time
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from brokers.adapters.base import BrokerInterface
from brokers.credentials import open_credentials
from brokers.enums import Environment
from brokers.exceptions import RateLimited
from brokers.models import BrokerAccount
from brokers.rate_windows import scope_key, take_from
from brokers.types import AccountHandle, Capabilities, RateLimit
from brokers.witness import WRITES, keep_if_unusable, watch_writes
from tradeplatform.common.exceptions import NotFoundError

DEFAULT_ADAPTERS: Mapping[str, str] = {
    "alpaca": "brokers.adapters.alpaca.adapter.AlpacaAdapter",
    "paper": "brokers.adapters.paper.adapter.PaperAdapter",
}
READS = frozenset(
    {
        "authenticate",
        "get_account_info",
        "get_positions",
        "get_order_status",
        "find_order",
        "list_orders",
        "list_executions",
        "list_activities",
        "get_asset",
        "list_assets",
        "get_quote",
        "get_quotes",
        "get_bars",
        "get_clock",
    }
)
READ_WAIT_SECONDS = 2.0


class UnknownBroker(NotFoundError, code="unknown_broker"):
    """No adapter is configured under this key."""


class BrokerManager:
    """The registry of adapters. Holds no state of its own, so any instance is as good as another."""

    def keys(self) -> tuple[str, ...]:
        """Return the keys of all configured brokers, in the order of the setting."""
        return tuple(_configured())

    def adapter_class(self, key: str) -> type[BrokerInterface]:
        """Return the adapter of a broker.

        Raises UnknownBroker for a key that is not configured and ImproperlyConfigured for an entry that
        does not lead to an adapter.
        """
        try:
            path = _configured()[key]
        except KeyError:
            raise UnknownBroker(f"There is no broker called {key!r} on this site.") from None
        return _load_adapter(key, path)

    def capabilities(self, key: str, environment: Environment | str) -> Capabilities:
        """Return what a broker can do in an environment."""
        return self.adapter_class(key).capabilities(Environment(environment))

    def capabilities_of(self, account: BrokerAccount) -> Capabilities:
        """Return what can be done with an account."""
        return self.capabilities(account.broker, account.environment)

    def get_reader(self, account: BrokerAccount, *, purpose: str) -> BrokerInterface:
        """Return an adapter that reads: it refuses every write and keeps to the broker's rate limit.

        Decrypts the credentials and logs that with `purpose`. Raises AuthorizationExpired when the account's
        link does not work any more.
        """
        limit = self.capabilities_of(account).rate_limit
        adapter = self._open(account, purpose=purpose)
        return restrict_to_reading(
            adapter, limit=limit, limit_key=scope_key(account, limit), account_id=account.pk
        )

    def get_trader(self, account: BrokerAccount, *, purpose: str) -> BrokerInterface:
        """Return an adapter that may also write. Only the services that submit, cancel and replace may call
        this, after taking their own rate token; each order write still needs a decision token.
        """
        return watch_writes(self._open(account, purpose=purpose))

    def get_canceller(
        self, account: BrokerAccount, *, purpose: str, note_access: Callable[[UUID], None]
    ) -> BrokerInterface:
        """Return an adapter that reads and cancels, for the hour in which the database cannot be written.

        Nothing is written to the database: `note_access` gets the connection's id to keep for the access
        log. Placing and changing orders is refused.
        """
        limit = self.capabilities_of(account).rate_limit
        adapter = self._open(account, purpose=purpose, note_access=note_access)
        return restrict_to_reading(
            adapter, limit=limit, limit_key=scope_key(account, limit), allowed=frozenset({"cancel_order"})
        )

    def _open(
        self, account: BrokerAccount, *, purpose: str, note_access: Callable[[UUID], None] | None = None
    ) -> BrokerInterface:
        credentials = open_credentials(account.connection, purpose=purpose, note_access=note_access)
        return self.adapter_class(account.broker)(
            AccountHandle(
                account_id=account.pk,
                broker=account.broker,
                environment=Environment(account.environment),
                broker_account_id=account.broker_account_id,
                currency=account.currency,
                credentials=credentials,
            )
        )


def restrict_to_reading(
    adapter: BrokerInterface,
    *,
    limit: RateLimit,
    limit_key: str,
    allowed: frozenset[str] = frozenset(),
    account_id: UUID | None = None,
) -> BrokerInterface:
    """Wrap an adapter so that it takes a rate token for each read and refuses writes but the `allowed`.

    With an `account_id`, answers that make no sense are kept in that account's inbox.
    """
    return cast(BrokerInterface, _Reader(adapter, limit, limit_key, allowed, account_id))


class _Reader:
    """Passes reads on, one rate token each, and refuses writes."""

    def __init__(
        self,
        adapter: BrokerInterface,
        limit: RateLimit,
        limit_key: str,
        allowed: frozenset[str],
        account_id: UUID | None,
    ) -> None:
        self._adapter = adapter
        self._allowed = allowed
        self._limit = limit
        self._limit_key = limit_key
        self._account_id = account_id

    def __repr__(self) -> str:
        return f"<reader of {self._adapter.key}>"

    def __getattr__(self, name: str) -> Any:
        if name in WRITES - self._allowed:
            raise PermissionError(f"A reader may not call {name}.")
        member = getattr(self._adapter, name)
        if name not in READS:
            return member

        @wraps(member)
        def read(*args: Any, **kwargs: Any) -> Any:
            self._wait_for_token()
            if self._account_id is None:
                return member(*args, **kwargs)
            return keep_if_unusable(self._account_id, name, member, *args, **kwargs)

        return read

    def _wait_for_token(self) -> None:
        deadline = time.monotonic() + READ_WAIT_SECONDS
        while wait := take_from(self._limit, self._limit_key, priority="read"):
            if time.monotonic() + wait > deadline:
                raise RateLimited(
                    "Too many requests to the broker right now; reads wait so that orders get through.",
                    retry_after_seconds=wait,
                )
            time.sleep(wait)


def _configured() -> Mapping[str, str]:
    return getattr(settings, "BROKER_ADAPTERS", DEFAULT_ADAPTERS)


@lru_cache(maxsize=64)
def _load_adapter(key: str, path: str) -> type[BrokerInterface]:
    try:
        loaded = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(
            f"BROKER_ADAPTERS[{key!r}] = {path!r} cannot be imported: {error}"
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, BrokerInterface)):
        raise ImproperlyConfigured(f"BROKER_ADAPTERS[{key!r}] = {path!r} is not a broker adapter.")
    return loaded


manager = BrokerManager()
