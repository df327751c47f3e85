"""Reading an account's state from its broker, outside any transaction."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from brokers.adapters.base import BrokerInterface
from brokers.exceptions import AuthorizationExpired, BrokerError
from brokers.models import BrokerAccount
from brokers.registry import manager
from brokers.services.accounts import store_account_info
from brokers.services.link_health import mark_needs_relink
from brokers.types import AccountInfo, BrokerActivity, BrokerExecution, BrokerPosition
from portfolios.statements import LINKED_ACCOUNT, NEWEST_ENTRY
from tradeplatform.common.clock import utc_now


class BrokerUnreadable(Exception):
    """The broker gave no answer that can be trusted; nothing may be concluded, least of all "flat"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerBook:
    """What the broker says the account holds.

    `read_at` is the moment before the first call and `last_entry_id` our newest ledger entry then: when it
    has grown, the book moved while we read and the two cannot be compared.
    """

    info: AccountInfo
    positions: tuple[BrokerPosition, ...]
    read_at: dt.datetime
    last_entry_id: int
    activities: tuple[BrokerActivity, ...] = ()
    executions: tuple[BrokerExecution, ...] | None = None
    executions_since: dt.datetime | None = None


def read_broker_book(
    account_id: UUID,
    *,
    activities_since: dt.datetime | None = None,
    executions_since: dt.datetime | None = None,
    refuse_other_account: bool = False,
) -> BrokerBook:
    """Read balances, positions and (when asked, and the broker has them) activities and fills.

    Fills only help to explain a difference, so a list of them that cannot be read is no obstacle. Also
    stores the balances on the account, unless they are another account's, and notes a link that expired.
    Raises BrokerUnreadable when any part cannot be read: half an answer is no answer.
    """
    account = LINKED_ACCOUNT.first(id=account_id)
    if account is None:
        raise BrokerUnreadable("The account is not linked.")
    read_at = utc_now()
    last_entry_id = newest_entry_id(account_id)
    try:
        reader = manager.get_reader(account, purpose="sync")
        info = reader.get_account_info()
        positions = tuple(reader.get_positions())
        activities: tuple[BrokerActivity, ...] = ()
        if activities_since is not None and manager.capabilities_of(account).activities:
            activities = tuple(reader.list_activities(since=activities_since))
        executions = _read_executions(reader, executions_since)
    except AuthorizationExpired as error:
        mark_needs_relink(connection_id=account.connection_id, reason=error.message)
        raise BrokerUnreadable("The link to the broker has expired; link the account again.") from error
    except BrokerError as error:
        raise BrokerUnreadable(f"{type(error).__name__}: {error.message}") from error
    if is_comparable(account, info):
        store_account_info(account_id, info, at=read_at)
    elif refuse_other_account:
        raise BrokerUnreadable("The broker answered for another account; link the account again.")
    return BrokerBook(
        info=info,
        positions=positions,
        read_at=read_at,
        last_entry_id=last_entry_id,
        activities=activities,
        executions=executions,
        executions_since=executions_since,
    )


def is_comparable(account: BrokerAccount, info: AccountInfo) -> bool:
    """Say whether the answer is about the linked account."""
    return not info.broker_account_id or info.broker_account_id == account.broker_account_id


def _read_executions(
    reader: BrokerInterface, since: dt.datetime | None
) -> tuple[BrokerExecution, ...] | None:
    if since is None:
        return None
    try:
        return tuple(reader.list_executions(since=since))
    except AuthorizationExpired:
        raise
    except BrokerError:
        return None


def newest_entry_id(account_id: UUID) -> int:
    """Return the id of the newest ledger entry of the account's book, 0 for an empty one."""
    return NEWEST_ENTRY.first(account=account_id) or 0
