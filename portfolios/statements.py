"""The statements that every comparison of a book with its broker runs, compiled once.

What each means stands where it is used. `tradeplatform.common.prepared` says why they are written so.
"""

from functools import cache

from django.db.models import QuerySet

from brokers.models import BrokerAccount
from portfolios.comparison import BOOK_KINDS, ORDER_KINDS, DifferenceKind
from portfolios.enums import EntryKind
from portfolios.models import Break, EquitySnapshot, LedgerEntry, Portfolio, Position
from tradeplatform.common.prepared import PreparedQuery, PreparedUpdate, slot

LINKED_ACCOUNT = PreparedQuery(
    lambda: (
        BrokerAccount.objects.select_related("connection")
        .filter(pk=slot(BrokerAccount, "id"), is_active=True)
        .order_by()
    )
)
LOCKED_ACCOUNT = PreparedQuery(
    lambda: (
        BrokerAccount.objects.select_for_update(of=("self",))
        .select_related("portfolio")
        .filter(pk=slot(BrokerAccount, "id"))
        .order_by()
    )
)
OPENED_BOOK = PreparedQuery(
    lambda: (
        Portfolio.objects.filter(account_id=slot(Portfolio, "account"))
        .exclude(opened_at=None)
        .order_by("created_at")[:1]
    )
)
LOCKED_POSITIONS = PreparedQuery(
    lambda: (
        Position.objects.select_for_update()
        .filter(portfolio_id=slot(Position, "portfolio"))
        .order_by("symbol")
    )
)
SAVE_PRICE = PreparedUpdate(
    lambda: Position.objects.filter(pk=slot(Position, "id")),
    **{name: slot(Position, name) for name in ("market_price", "previous_close", "priced_at")},
)
NEWEST_ENTRY = PreparedQuery(
    lambda: (
        LedgerEntry.objects.filter(portfolio__account_id=slot(Portfolio, "account"))
        .order_by("-id")
        .values_list("pk", flat=True)[:1]
    )
)
NEWEST_SNAPSHOT = PreparedQuery(
    lambda: EquitySnapshot.objects.filter(portfolio_id=slot(EquitySnapshot, "portfolio")).order_by("-at")[:1]
)


def _unresolved(kinds: frozenset[DifferenceKind]) -> QuerySet[Break]:
    return Break.objects.filter(batch=None, resolved_at=None, kind__in=sorted(kinds)).order_by()


BREAK_OF_BOOK = PreparedQuery(
    lambda: (
        _unresolved(BOOK_KINDS).filter(portfolio_id=slot(Break, "portfolio")).values_list("pk", flat=True)[:1]
    )
)
BREAK_OF_ORDER = PreparedQuery(
    lambda: (
        _unresolved(ORDER_KINDS)
        .filter(portfolio__account_id=slot(Portfolio, "account"))
        .values_list("pk", flat=True)[:1]
    )
)


@cache
def locked_breaks(kinds: frozenset[DifferenceKind]) -> PreparedQuery[Break]:
    """Return the statement that locks the unresolved breaks of a book, of the kinds that were compared."""
    rows = _unresolved(kinds).select_for_update()
    return PreparedQuery(lambda: rows.filter(portfolio_id=slot(Break, "portfolio")).order_by("id"))


SEEN_FIELDS = (
    "drift",
    "cause",
    "ours",
    "theirs",
    "their_price",
    "times_seen",
    "last_seen_at",
    "explanation",
    "status",
)
SAVE_LOOK = PreparedUpdate(
    lambda: Break.objects.filter(pk=slot(Break, "id")), **{name: slot(Break, name) for name in SEEN_FIELDS}
)
FILLS_AND_BUSTS = PreparedQuery(
    lambda: LedgerEntry.objects.filter(
        portfolio_id=slot(LedgerEntry, "portfolio"),
        kind__in=[EntryKind.FILL, EntryKind.BUST],
        created_at__gte=slot(LedgerEntry, "created_at", name="since"),
    ).order_by("occurred_at", "id")
)
ENTRY_PRICES = PreparedQuery(
    lambda: (
        Position.objects.filter(portfolio_id=slot(Position, "portfolio"))
        .order_by()
        .values_list("symbol", "avg_price")
    )
)
