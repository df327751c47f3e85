"""How far an account has used its limits. Orders are counted by the app above, which registers how."""

from collections.abc import Callable
from datetime import datetime

from brokers.models import BrokerAccount
from risk.facts import CountFacts

CountOrders = Callable[[BrokerAccount, datetime], CountFacts]

_sources: list[CountOrders] = []


def register_order_counts(source: CountOrders) -> None:
    """Say who counts orders; the newest registration holds."""
    _sources[:] = [source]


def order_counts(account: BrokerAccount, now: datetime) -> CountFacts | None:
    """Return the account's counts, None when nobody counts orders here."""
    return _sources[0](account, now) if _sources else None
