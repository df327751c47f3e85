"""Recording how orders differ from the broker's: breaks like any other, with their two looks."""

import datetime as dt
from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from brokers.models import BrokerAccount
from portfolios.comparison import ORDER_KINDS
from portfolios.order_drift import Found
from portfolios.services.breaks import BreakChanges, publish_breaks, record_differences
from portfolios.services.ledger import lock_account_book
from portfolios.statements import BREAK_OF_ORDER


def record_order_differences(*, account_id: UUID, found: Sequence[Found], now: dt.datetime) -> BreakChanges:
    """Bring the account's breaks about orders in line with one comparison of all its open orders."""
    if not found and not _unresolved(account_id):
        return BreakChanges()
    with transaction.atomic():
        account = BrokerAccount.objects.select_for_update().get(pk=account_id)
        portfolio = lock_account_book(account)
        changes = record_differences(
            portfolio,
            [difference for difference, _ in found],
            their_prices={},
            now=now,
            readings=[reading for _, reading in found],
            kinds=ORDER_KINDS,
        )
        publish_breaks(portfolio, [*changes.opened, *changes.resolved])
    return changes


def _unresolved(account_id: UUID) -> bool:
    return BREAK_OF_ORDER.first(account=account_id) is not None
