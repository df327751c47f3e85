"""Calls of an account at its broker, watched: an answer that makes no sense is kept before it is refused."""

from collections.abc import Callable
from typing import Any, TypeVar, cast
from uuid import UUID

from brokers.adapters.base import BrokerInterface
from brokers.exceptions import BrokerError
from brokers.services.inbox import keep_bad_reply

Answer = TypeVar("Answer")

WRITES = frozenset({"place_order", "replace_order", "cancel_order"})
# Reads of the account itself. Prices and lists of securities are nobody's money and are not kept.
WATCHED = WRITES | {
    "authenticate",
    "get_account_info",
    "get_positions",
    "get_order_status",
    "find_order",
    "list_orders",
    "list_executions",
    "list_activities",
}


def watch_writes(adapter: BrokerInterface) -> BrokerInterface:
    """Wrap an adapter so that what the broker answers to it is kept when it cannot be used."""
    return cast(BrokerInterface, _Watched(adapter))


def keep_if_unusable(
    account_id: UUID, name: str, call: Callable[..., Answer], *args: Any, **kwargs: Any
) -> Answer:
    """Make one call; an answer that makes no sense is stored, and the failure goes on its way."""
    try:
        return call(*args, **kwargs)
    except BrokerError as error:
        if name in WATCHED:
            keep_bad_reply(account_id=account_id, call=name, error=error, is_write=name in WRITES)
        raise


class _Watched:
    def __init__(self, adapter: BrokerInterface) -> None:
        self._adapter = adapter

    def __repr__(self) -> str:
        return f"<trader of {self._adapter.key}>"

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._adapter, name)
        if name not in WATCHED:
            return member
        account_id = self._adapter.handle.account_id

        def watched(*args: Any, **kwargs: Any) -> Any:
            return keep_if_unusable(account_id, name, member, *args, **kwargs)

        return watched
