"""Moves the resting orders of all practice accounts; the stream service calls it every second."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import DatabaseError

from brokers import calendar
from brokers.adapters.paper.book import lock_book
from brokers.adapters.paper.engine import (
    match_open_orders,
    pass_sessions,
    session_changed,
    start_session,
    would_act,
)
from brokers.adapters.paper.models import OPEN_STATUSES, PracticeBook, PracticeEvent, PracticeOrder
from brokers.enums import Session
from brokers.exceptions import BrokerError
from brokers.feeds import Feed, practice_feed
from brokers.services.market_data import read_quotes, read_session
from brokers.types import QuoteInfo

logger = structlog.get_logger(__name__)

QUOTE_AGE = timedelta(seconds=3)
EVENTS_KEPT = timedelta(days=30)


@dataclass
class _FeedGroup:
    """The books that trade against one feed, with their working orders."""

    feed: Feed
    books: dict[UUID, PracticeBook] = field(default_factory=dict)
    orders: dict[UUID, list[PracticeOrder]] = field(default_factory=lambda: defaultdict(list))

    @property
    def symbols(self) -> set[str]:
        return {order.symbol for orders in self.orders.values() for order in orders}


def drive_practice_orders(now: datetime) -> int:
    """Match all working practice orders against current quotes; return how many books were touched.

    Books without anything to do are not locked. One book's failure does not stop the others.
    """
    touched = 0
    for group in _collect_groups():
        session = read_session(group.feed, now=now).session
        quotes = read_quotes(group.feed, group.symbols, max_age=QUOTE_AGE, now=now)
        for book_id, orders in group.orders.items():
            if _has_work(group.books[book_id], orders, quotes, session, now=now):
                touched += _drive_book(book_id, quotes, session, now=now)
    return touched


def drive_book(
    book_id: UUID | str, quotes: Mapping[str, QuoteInfo], session: Session, *, now: datetime
) -> int:
    """Let one book live through session changes and meet these quotes; return how many orders acted."""
    with lock_book(book_id) as book:
        pass_sessions(book, quotes, session, now=now)
        return match_open_orders(book, quotes, session, now=now)


def fill_new_order(
    book_id: UUID | str, quotes: Mapping[str, QuoteInfo], session: Session, *, now: datetime
) -> None:
    """Match a book right after an order came in. If a session change is due, the next round does both."""
    with lock_book(book_id) as book:
        if not session_changed(book, session, calendar.trade_date(now)):
            match_open_orders(book, quotes, session, now=now)


def settle_session(book: PracticeBook, session: Session, *, now: datetime) -> None:
    """Bring a locked book without working orders to the present, so that a new order starts there."""
    if book.orders.filter(status__in=OPEN_STATUSES).exists():
        return
    if session_changed(book, session, calendar.trade_date(now)):
        start_session(book, session, now=now)


def drop_old_events(now: datetime) -> int:
    """Delete stream messages that every reader has had long ago; returns how many."""
    return PracticeEvent.objects.filter(created_at__lt=now - EVENTS_KEPT).delete()[0]


def _collect_groups() -> Sequence[_FeedGroup]:
    """Read all working orders with one query and sort them by feed."""
    groups: dict[str, _FeedGroup] = {}
    feeds: dict[int, Feed | None] = {}
    for order in PracticeOrder.objects.filter(status__in=OPEN_STATUSES).select_related("book"):
        user_id = order.book.user_id
        if user_id not in feeds:
            feeds[user_id] = practice_feed(user_id)
        feed = feeds[user_id]
        if feed is None:
            continue
        group = groups.setdefault(feed.key, _FeedGroup(feed))
        group.books[order.book_id] = order.book
        group.orders[order.book_id].append(order)
    return list(groups.values())


def _has_work(
    book: PracticeBook,
    orders: Sequence[PracticeOrder],
    quotes: Mapping[str, QuoteInfo],
    session: Session,
    *,
    now: datetime,
) -> bool:
    if session_changed(book, session, calendar.trade_date(now)):
        return True
    return would_act(orders, quotes, session, now=now)


def _drive_book(book_id: UUID, quotes: Mapping[str, QuoteInfo], session: Session, *, now: datetime) -> int:
    try:
        drive_book(book_id, quotes, session, now=now)
    except (BrokerError, DatabaseError, ValueError) as error:
        logger.warning("practice_book_not_driven", book=str(book_id), error=type(error).__name__)
        return 0
    return 1
