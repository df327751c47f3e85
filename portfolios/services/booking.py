"""Booking what the broker did: fills, busts and activities, each exactly once.

Every function here runs inside the caller's transaction, which holds the account row's lock.
"""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

import structlog

from brokers.enums import Side
from brokers.models import BrokerAccount
from brokers.types import BrokerActivity
from portfolios.enums import EntryKind
from portfolios.lots import ZERO, Fill
from portfolios.models import EquitySnapshot, LedgerEntry, Portfolio, Position
from portfolios.replay import BUST_KEY, FILL_KEY, round_stored
from portfolios.services.ledger import (
    apply_entry,
    insert_entry,
    lock_account_book,
    publish_book_change,
)
from tradeplatform.common.prepared import one_round_trip

logger = structlog.get_logger(__name__)

ACTIVITY_KINDS = {
    "dividend": EntryKind.DIVIDEND,
    "interest": EntryKind.INTEREST,
    "fee": EntryKind.FEE,
    "transfer": EntryKind.TRANSFER,
    "split": EntryKind.SPLIT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FillFact:
    """One execution. `quantity` is positive shares; `commission` is what it cost, in account currency.

    `own_order`: it belongs to an order of ours, and so can never be part of the opening balances.
    """

    exec_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal
    occurred_at: dt.datetime
    own_order: bool = True


def book_fill(*, account: BrokerAccount, fill: FillFact) -> bool:
    """Book one execution: cash, lots, realised P&L and position.

    Returns False, changing nothing, for an execution booked before and for a foreign one at or before the
    moment the opening balances were taken (they contain it). Raises LotError for an impossible fill.
    """
    checked = Fill(
        exec_id=fill.exec_id,
        symbol=fill.symbol,
        side=fill.side,
        quantity=round_stored(fill.quantity),
        price=round_stored(fill.price),
        commission=round_stored(fill.commission),
        occurred_at=fill.occurred_at,
    )
    portfolio = lock_account_book(account)
    if not fill.own_order and _is_in_opening(portfolio, fill.occurred_at):
        return False
    entry = insert_entry(
        portfolio,
        kind=EntryKind.FILL,
        source_key=FILL_KEY + fill.exec_id,
        symbol=checked.symbol,
        quantity=checked.signed_quantity,
        price=checked.price,
        amount=checked.cash_delta,
        commission=checked.commission,
        occurred_at=checked.occurred_at,
    )
    return _apply_and_publish(portfolio, entry)


def reverse_fill(*, account: BrokerAccount, exec_id: str, at: dt.datetime, reason: str) -> bool:
    """Undo one booked execution that the broker busted: cash back, and the symbol as if it never was.

    Both entries stay in the ledger. Returns False for an execution never booked or reversed before.
    """
    portfolio = lock_account_book(account)
    booked = LedgerEntry.objects.filter(
        portfolio=portfolio, source_key=FILL_KEY + exec_id, kind=EntryKind.FILL
    ).first()
    if booked is None:
        return False
    entry = insert_entry(
        portfolio,
        kind=EntryKind.BUST,
        source_key=BUST_KEY + exec_id,
        symbol=booked.symbol,
        quantity=-booked.quantity,
        price=booked.price,
        amount=-booked.amount,
        commission=-booked.commission,
        occurred_at=at,
        note=reason,
    )
    return _apply_and_publish(portfolio, entry)


def book_activity(*, account: BrokerAccount, activity: BrokerActivity) -> bool:
    """Book a dividend, fee, interest payment, transfer or split.

    A split's `quantity` is the net change of shares. Returns False for a repeat, for an activity that the
    opening balances contain, and for one we cannot book (unknown kind, another currency, impossible split):
    that one stays visible as a difference to the broker.
    """
    kind = ACTIVITY_KINDS.get(activity.kind)
    portfolio = lock_account_book(account)
    if kind is None or _is_in_opening(portfolio, activity.occurred_at):
        return False
    moves_shares = kind in (EntryKind.SPLIT, EntryKind.TRANSFER)
    quantity = activity.quantity or ZERO if moves_shares else ZERO
    if not _can_book(portfolio, kind, activity, quantity):
        logger.warning("activity_not_booked", kind=activity.kind, activity=activity.activity_id)
        return False
    entry = insert_entry(
        portfolio,
        kind=kind,
        source_key=f"activity:{activity.activity_id}",
        symbol=activity.symbol,
        quantity=quantity,
        price=_transfer_price(portfolio, activity.symbol) if quantity else None,
        amount=activity.amount or ZERO,
        occurred_at=activity.occurred_at,
        note=activity.description,
    )
    if entry is not None and kind == EntryKind.TRANSFER:
        _restate_net_flow(portfolio, entry)
    return _apply_and_publish(portfolio, entry)


def _apply_and_publish(portfolio: Portfolio, entry: LedgerEntry | None) -> bool:
    if entry is None:
        return False
    position = apply_entry(portfolio, entry)
    with one_round_trip():
        publish_book_change(portfolio, position)
    return True


def _is_in_opening(portfolio: Portfolio, occurred_at: dt.datetime) -> bool:
    return portfolio.opened_at is not None and occurred_at <= portfolio.opened_at


def _can_book(portfolio: Portfolio, kind: EntryKind, activity: BrokerActivity, quantity: Decimal) -> bool:
    if (activity.currency or portfolio.currency).upper() != portfolio.currency.upper():
        return False
    if not quantity:
        return bool(activity.amount)
    if kind != EntryKind.SPLIT:
        return bool(activity.symbol)
    held = Position.objects.filter(portfolio=portfolio, symbol=activity.symbol).first()
    return held is not None and bool(held.quantity) and (held.quantity + quantity) / held.quantity > 0


def _transfer_price(portfolio: Portfolio, symbol: str) -> Decimal:
    """Cost of shares moved in kind: the broker's feed has none, so what we hold or saw last; else zero."""
    held = Position.objects.filter(portfolio=portfolio, symbol=symbol).first()
    if held is None:
        return ZERO
    return held.avg_price or held.market_price or ZERO


def _restate_net_flow(portfolio: Portfolio, entry: LedgerEntry) -> None:
    """Money that turns out to have moved before a snapshot was taken belongs to that snapshot's flow."""
    snapshot = (
        EquitySnapshot.objects.filter(portfolio=portfolio, at__gte=entry.occurred_at).order_by("at").first()
    )
    if snapshot is not None:
        snapshot.net_flow += entry.amount
        snapshot.save(update_fields=["net_flow"])
