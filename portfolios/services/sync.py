"""Comparing a linked book with its broker: read first, then one transaction that records what was found."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import structlog
from django.db import transaction

from brokers.models import BrokerAccount
from brokers.types import BrokerPosition, format_decimal
from portfolios.comparison import (
    BookPosition,
    BookState,
    Difference,
    DifferenceKind,
    InFlightOrder,
    compare_books,
)
from portfolios.drift import Reading, classify_differences
from portfolios.drift_catalogue import Drift
from portfolios.models import Portfolio, Position
from portfolios.services.booking import book_activity
from portfolios.services.breaks import BreakChanges, publish_breaks, record_differences
from portfolios.services.broker_reading import (
    BrokerBook,
    BrokerUnreadable,
    is_comparable,
    newest_entry_id,
    read_broker_book,
)
from portfolios.services.evidence import gather_evidence
from portfolios.services.ledger import lock_account_book
from portfolios.services.opening import open_book
from portfolios.services.snapshots import take_snapshot
from portfolios.statements import (
    BREAK_OF_BOOK,
    LINKED_ACCOUNT,
    LOCKED_ACCOUNT,
    LOCKED_POSITIONS,
    OPENED_BOOK,
    SAVE_PRICE,
)
from tradeplatform.common.clock import utc_now
from tradeplatform.common.events import publish_event
from tradeplatform.common.prepared import one_round_trip

logger = structlog.get_logger(__name__)

ACTIVITY_LOOK_BACK = dt.timedelta(days=7)
CLOSED_WORDS = frozenset({"CLOSED", "ACCOUNT_CLOSED", "TERMINATED", "DELETED"})


class SyncOutcome(StrEnum):
    """MOVED: our book changed while we read, so nothing was compared; the next look will."""

    OPENED = "opened"
    COMPARED = "compared"
    MOVED = "moved"
    UNREADABLE = "unreadable"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """What one sync found: differences first seen, breaks opened and resolved, differences explained."""

    account_id: UUID
    outcome: SyncOutcome
    reason: str = ""
    seen: int = 0
    opened: int = 0
    resolved: int = 0
    explained: int = 0


def sync_book(
    *, account_id: UUID, in_flight: Sequence[InFlightOrder] = (), read_activities: bool = False
) -> SyncReport:
    """Read the broker and record how our book compares; never call it inside a transaction.

    `in_flight` are the orders that may have filled without our knowing. Dividends, fees and transfers are
    read too when asked, and whenever the cash did not agree at the last look. A book that was never opened
    is opened. An answer that cannot be read changes nothing: it never counts as an empty account.
    """
    if LINKED_ACCOUNT.first(id=account_id) is None:
        return SyncReport(account_id=account_id, outcome=SyncOutcome.INACTIVE)
    portfolio = OPENED_BOOK.first(account=account_id)
    try:
        since, has_breaks = _facts_since(portfolio), _has_breaks(portfolio)
        book = read_broker_book(
            account_id,
            activities_since=since if read_activities or has_breaks else None,
            executions_since=since if has_breaks else None,
            refuse_other_account=portfolio is None,
        )
    except BrokerUnreadable as problem:
        logger.warning("sync_unreadable", account=str(account_id), reason=problem.reason)
        return SyncReport(account_id=account_id, outcome=SyncOutcome.UNREADABLE, reason=problem.reason)
    if portfolio is None:
        open_book(account_id=account_id, info=book.info, positions=book.positions, at=book.read_at)
        return SyncReport(account_id=account_id, outcome=SyncOutcome.OPENED)
    return record_broker_book(account_id=account_id, book=book, in_flight=in_flight, now=utc_now())


def record_broker_book(
    *, account_id: UUID, book: BrokerBook, in_flight: Sequence[InFlightOrder], now: dt.datetime
) -> SyncReport:
    """Record one broker answer in one transaction: activities, prices, snapshot, breaks, events."""
    with transaction.atomic():
        account = _lock_account(account_id)
        whole = account_differences(account, book)
        if whole:
            return _record_account_differences(account, whole, now)
        moved = newest_entry_id(account_id) > book.last_entry_id
        for activity in book.activities:
            book_activity(account=account, activity=activity)
        portfolio = lock_account_book(account)
        held = _store_prices(portfolio, book.positions, at=book.read_at)
        snapshot = take_snapshot(
            portfolio=portfolio, equity=book.info.equity, cash=book.info.cash, at=book.read_at
        )
        changes = BreakChanges() if moved else _compare(portfolio, held, book, in_flight, now)
        if snapshot is not None:
            payload = {
                "account": str(account_id),
                "portfolio": str(portfolio.pk),
                "equity": format_decimal(snapshot.equity),
                "cash": format_decimal(portfolio.cash),
            }
            publish_event(user_id=portfolio.user_id, kind="balance", payload=payload)
        publish_breaks(portfolio, [*changes.opened, *changes.resolved])
    return SyncReport(
        account_id=account_id,
        outcome=SyncOutcome.MOVED if moved else SyncOutcome.COMPARED,
        seen=changes.seen,
        opened=len(changes.opened),
        resolved=len(changes.resolved),
        explained=changes.explained,
    )


def _lock_account(account_id: UUID) -> BrokerAccount:
    account = LOCKED_ACCOUNT.first(id=account_id)
    if account is None:
        raise BrokerAccount.DoesNotExist("The account to compare does not exist.")
    return account


def account_differences(account: BrokerAccount, book: BrokerBook) -> list[tuple[Difference, Reading]]:
    """Return what makes the whole answer unusable: another account, a closed one, another currency."""
    info = book.info
    if not is_comparable(account, info):
        drift, ours, theirs = Drift.REKEYED_ACCOUNT, account.broker_account_id, info.broker_account_id
        cause = "The broker answered for another account id. Nothing of the answer was used."
    elif info.status.strip().upper() in CLOSED_WORDS:
        drift, ours, theirs = Drift.CLOSED_ACCOUNT, "open", info.status
        cause = "The broker says that this account is closed. Its figures were not compared."
    elif info.currency and account.portfolio.currency != info.currency:
        drift, ours, theirs = Drift.FOREIGN_CURRENCY, account.portfolio.currency, info.currency
        cause = "The broker reports this account in another currency. Its figures were not compared."
    else:
        return []
    return [(Difference(DifferenceKind.ACCOUNT, "", ours, theirs), Reading(drift=drift, cause=cause))]


def _record_account_differences(
    account: BrokerAccount, found: list[tuple[Difference, Reading]], now: dt.datetime
) -> SyncReport:
    portfolio = lock_account_book(account)
    changes = record_differences(
        portfolio,
        [difference for difference, _ in found],
        their_prices={},
        now=now,
        readings=[reading for _, reading in found],
        kinds=frozenset({DifferenceKind.ACCOUNT}),
    )
    publish_breaks(portfolio, [*changes.opened, *changes.resolved])
    logger.error("account_not_compared", account=str(account.pk), drift=str(found[0][1].drift))
    return SyncReport(
        account_id=account.pk, outcome=SyncOutcome.COMPARED, seen=changes.seen, opened=len(changes.opened)
    )


def _compare(
    portfolio: Portfolio,
    held: Sequence[Position],
    book: BrokerBook,
    in_flight: Sequence[InFlightOrder],
    now: dt.datetime,
) -> BreakChanges:
    prices = {row.symbol: row.avg_price for row in book.positions}
    ours = BookState(
        cash=portfolio.cash,
        positions={
            row.symbol: BookPosition(row.quantity, _comparable_average(row, prices.get(row.symbol)))
            for row in held
            if row.quantity
        },
    )
    theirs = BookState(
        cash=book.info.cash,
        positions={row.symbol: BookPosition(row.quantity, row.avg_price) for row in book.positions},
    )
    differences = compare_books(ours, theirs, in_flight)
    readings = (
        classify_differences(differences, gather_evidence(portfolio, book, now=now)) if differences else []
    )
    changes = record_differences(portfolio, differences, their_prices=prices, now=now, readings=readings)
    if changes.opened:
        logger.warning("breaks_opened", portfolio=str(portfolio.pk), count=len(changes.opened))
    return changes


def _comparable_average(row: Position, theirs: Decimal | None) -> Decimal:
    """Our average by the broker's way of averaging, as near as it can be known.

    Some brokers average the open lots, some the entries, some change from one to the other overnight; so
    anything between the two agrees.
    """
    if theirs is None:
        return row.avg_price
    low, high = sorted((row.avg_price, row.entry_price))
    return min(max(theirs, low), high)


def _store_prices(
    portfolio: Portfolio, positions: Sequence[BrokerPosition], *, at: dt.datetime
) -> Sequence[Position]:
    """Store the broker's prices of what is held; return the positions, locked."""
    by_symbol = {row.symbol: row for row in positions if row.market_price is not None}
    held = LOCKED_POSITIONS.all(portfolio=portfolio.pk)
    with one_round_trip():
        for row in held:
            if theirs := by_symbol.get(row.symbol):
                SAVE_PRICE.write(
                    id=row.pk,
                    market_price=theirs.market_price,
                    previous_close=theirs.previous_close,
                    priced_at=at,
                )
    return held


def _facts_since(portfolio: Portfolio | None) -> dt.datetime | None:
    """Return the moment from which facts may explain something: the opening, at most a week ago."""
    if portfolio is None or portfolio.opened_at is None:
        return None
    return max(portfolio.opened_at, utc_now() - ACTIVITY_LOOK_BACK)


def _has_breaks(portfolio: Portfolio | None) -> bool:
    """Say whether the last look left a difference of the book, which recorded facts may explain."""
    return portfolio is not None and BREAK_OF_BOOK.first(portfolio=portfolio.pk) is not None
