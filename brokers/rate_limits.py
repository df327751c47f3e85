"""The right to one request to a broker, as the sender of orders asks for it."""

from brokers.models import BrokerAccount
from brokers.rate_windows import Priority, scope_key, take_from
from brokers.registry import manager


def take_token(account: BrokerAccount, *, priority: Priority, now: float | None = None) -> float:
    """Take the right to one request; return 0.0, or the seconds after which to ask again.

    `now` is Unix time in seconds, for tests. Readers take theirs by themselves.
    """
    limit = manager.capabilities_of(account).rate_limit
    return take_from(limit, scope_key(account, limit), priority=priority, now=now)
