"""Opening a book: what the account held when it was linked becomes its opening balance.

The cut: `opened_at` is the moment just before the broker's snapshot was read. Executions at or before it are
inside the opening balances and are not booked again, unless they belong to an order of ours.
"""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from uuid import UUID

import structlog
from django.db import transaction

from brokers.models import BrokerAccount
from brokers.types import AccountInfo, BrokerPosition
from portfolios.enums import EntryKind
from portfolios.lots import ZERO
from portfolios.models import LedgerEntry, Portfolio, Position
from portfolios.services.broker_reading import BrokerUnreadable, read_broker_book
from portfolios.services.ledger import apply_entry, insert_entry, lock_account_book, publish_book_change
from portfolios.services.snapshots import take_snapshot
from portfolios.statements import OPENED_BOOK
from tradeplatform.common.audit import record_audit

logger = structlog.get_logger(__name__)


def open_book(
    *, account_id: UUID, info: AccountInfo, positions: Sequence[BrokerPosition], at: dt.datetime
) -> Portfolio:
    """Open the account's book from the broker's snapshot, once; a later call returns the book as it is.

    Each position becomes one opening lot at the broker's average entry price. An account that was linked
    before continues its earlier book.
    """
    with transaction.atomic():
        account = BrokerAccount.objects.select_for_update().get(pk=account_id)
        _take_over_earlier_book(account)
        portfolio = lock_account_book(account)
        if portfolio.opened_at is not None:
            return portfolio
        booked = _sum_booked_before(portfolio, at)
        portfolio.opened_at = at
        portfolio.currency = info.currency
        portfolio.save(update_fields=["opened_at", "currency"])
        _open_cash(portfolio, amount=info.cash - booked.pop("", ZERO), at=at)
        for position in positions:
            _open_position(portfolio, position, booked=booked.get(position.symbol, ZERO), at=at)
        take_snapshot(portfolio=portfolio, equity=info.equity, cash=info.cash, at=at, source="opening")
        record_audit(
            actor="system:book",
            action="book_opened",
            object_type="portfolio",
            object_id=portfolio.pk,
            data={"account": str(account.pk), "cash": str(info.cash), "positions": len(positions)},
        )
        publish_book_change(portfolio, None)
    logger.info("book_opened", portfolio=str(portfolio.pk), positions=len(positions))
    return portfolio


def open_linked_account(account_id: UUID) -> Portfolio | None:
    """Read the broker and open the book of a linked account; never inside a transaction.

    Returns the existing book if there is one, and None when the broker's answer could not be read: the next
    sync tries again.
    """
    portfolio = OPENED_BOOK.first(account=account_id)
    if portfolio is not None:
        return portfolio
    try:
        book = read_broker_book(account_id, refuse_other_account=True)
    except BrokerUnreadable as problem:
        logger.warning("book_not_opened", account=str(account_id), reason=problem.reason)
        return None
    return open_book(account_id=account_id, info=book.info, positions=book.positions, at=book.read_at)


def _take_over_earlier_book(account: BrokerAccount) -> None:
    """Move the book of an earlier, now inactive link of the very same brokerage account to this one."""
    if Portfolio.objects.filter(account=account).exists():
        return
    earlier = (
        Portfolio.objects.select_for_update()
        .filter(
            user_id=account.user_id,
            account__broker=account.broker,
            account__environment=account.environment,
            account__broker_account_id=account.broker_account_id,
            account__is_active=False,
        )
        .order_by("-created_at")
        .first()
    )
    if earlier is not None:
        earlier.account = account
        earlier.save(update_fields=["account"])


def _sum_booked_before(portfolio: Portfolio, at: dt.datetime) -> dict[str, Decimal]:
    """Cash (under "") and shares by symbol that fills booked ahead of the opening have moved already."""
    moved: dict[str, Decimal] = {}
    for entry in LedgerEntry.objects.filter(portfolio=portfolio, occurred_at__lte=at):
        moved[""] = moved.get("", ZERO) + entry.amount
        if entry.symbol:
            moved[entry.symbol] = moved.get(entry.symbol, ZERO) + entry.quantity
    return moved


def _open_cash(portfolio: Portfolio, *, amount: Decimal, at: dt.datetime) -> None:
    entry = insert_entry(
        portfolio, kind=EntryKind.OPENING_CASH, source_key="opening:cash", amount=amount, occurred_at=at
    )
    if entry is not None:
        apply_entry(portfolio, entry)


def _open_position(
    portfolio: Portfolio, position: BrokerPosition, *, booked: Decimal, at: dt.datetime
) -> None:
    quantity = position.quantity - booked
    if quantity:
        entry = insert_entry(
            portfolio,
            kind=EntryKind.OPENING_LOT,
            source_key=f"opening:lot:{position.symbol}",
            symbol=position.symbol,
            quantity=quantity,
            price=position.avg_price,
            occurred_at=at,
        )
        if entry is not None:
            apply_entry(portfolio, entry)
    Position.objects.filter(portfolio=portfolio, symbol=position.symbol).update(
        market_price=position.market_price, previous_close=position.previous_close, priced_at=at
    )
