"""Every row lock of the order path. Order: account, order, portfolio, position, event cursor.

The account row is the lock of all its orders: whoever decides, claims, cancels or books for an account
holds it, so checks made under it stay true until the commit. On SQLite the whole write transaction is
the lock (transaction_mode IMMEDIATE).
"""

import sqlite3
from uuid import UUID

from django.db import OperationalError, connection, transaction

from brokers.models import BrokerAccount
from orders.models import Order
from tradeplatform.common.exceptions import NotFoundError
from tradeplatform.common.prepared import PreparedQuery, run_sql, slot

_LOCKED_ACCOUNT = PreparedQuery(
    lambda: (
        BrokerAccount.objects.select_for_update(no_key=True, of=("self",))
        .select_related("connection")
        .filter(pk=slot(BrokerAccount, "id"))
        .order_by()
    )
)
_LOCKED_ORDER = PreparedQuery(
    lambda: Order.objects.select_for_update(no_key=True).filter(pk=slot(Order, "id")).order_by()
)


def lock_account(account_id: UUID) -> BrokerAccount:
    """Lock and return the account with its link. Must run inside a transaction; raises NotFoundError."""
    _require_transaction()
    account = _LOCKED_ACCOUNT.first(id=account_id)
    if account is None:
        raise NotFoundError("There is no such account.")
    return account


def lock_order(order_id: UUID) -> Order:
    """Lock and return the order, whose account must be locked already."""
    _require_transaction()
    order = _LOCKED_ORDER.first(id=order_id)
    if order is None:
        raise Order.DoesNotExist("The order to lock does not exist.")
    return order


def limit_lock_wait(seconds: int) -> None:
    """Give up on locks of this transaction after `seconds` (PostgreSQL; SQLite has its busy time-out)."""
    _require_transaction()
    if connection.vendor == "postgresql":
        run_sql(f"SET LOCAL lock_timeout = '{int(seconds)}s'")


def is_lock_timeout(error: OperationalError) -> bool:
    """Tell whether the database gave up waiting for a lock, as opposed to any other failure.

    PostgreSQL says lock_not_available (55P03), SQLite says busy once its own time-out has passed.
    """
    cause = error.__cause__
    if getattr(cause, "sqlstate", None) == "55P03":
        return True
    return getattr(cause, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _require_transaction() -> None:
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("Row locks need a transaction.")
