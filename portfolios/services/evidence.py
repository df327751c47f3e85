"""Gathers what both sides have recorded, for the reading of differences."""

import datetime as dt
from decimal import Decimal

from brokers.enums import Side
from brokers.types import BrokerActivity, BrokerExecution
from portfolios.drift import ActivityRecord, Evidence, FillRecord
from portfolios.enums import EntryKind
from portfolios.lots import ZERO
from portfolios.models import LedgerEntry, Portfolio
from portfolios.replay import BUST_KEY, FILL_KEY
from portfolios.services.broker_reading import BrokerBook
from portfolios.statements import ENTRY_PRICES, FILLS_AND_BUSTS

LOOK_BACK = dt.timedelta(days=7)


def gather_evidence(portfolio: Portfolio, book: BrokerBook, *, now: dt.datetime) -> Evidence:
    """Return our recent fills, the broker's, its activities that we do not hold, and both sides' prices."""
    since = book.executions_since or now - LOOK_BACK
    return Evidence(
        now=now,
        since=since,
        fills=tuple(_our_fills(portfolio, since)),
        broker_fills=None if book.executions is None else tuple(map(_their_fill, book.executions)),
        activities=tuple(_unbooked(portfolio, book)),
        our_prices=dict(ENTRY_PRICES.all(portfolio=portfolio.pk)),
        their_prices={row.symbol: row.avg_price for row in book.positions},
    )


def _our_fills(portfolio: Portfolio, since: dt.datetime) -> list[FillRecord]:
    entries = FILLS_AND_BUSTS.all(portfolio=portfolio.pk, since=since)
    busted = {entry.source_key.removeprefix(BUST_KEY) for entry in entries if entry.kind == EntryKind.BUST}
    fills = []
    for entry in entries:
        exec_id = entry.source_key.removeprefix(FILL_KEY)
        if entry.kind == EntryKind.FILL and exec_id not in busted:
            fills.append(
                FillRecord(
                    exec_id=exec_id,
                    symbol=entry.symbol,
                    quantity=entry.quantity,
                    price=entry.price or ZERO,
                    amount=entry.amount,
                    occurred_at=entry.occurred_at,
                )
            )
    return fills


def _their_fill(execution: BrokerExecution) -> FillRecord:
    sign = 1 if execution.side is Side.BUY else -1
    quantity = execution.last_qty * sign
    return FillRecord(
        exec_id=execution.exec_id,
        symbol=execution.symbol,
        quantity=quantity,
        price=execution.last_px,
        amount=-quantity * execution.last_px - (execution.commission or ZERO),
        occurred_at=execution.transact_time,
    )


def _unbooked(portfolio: Portfolio, book: BrokerBook) -> list[ActivityRecord]:
    if not book.activities:
        return []
    keys = {f"activity:{one.activity_id}" for one in book.activities}
    held = set(
        LedgerEntry.objects.filter(portfolio=portfolio, source_key__in=keys).values_list(
            "source_key", flat=True
        )
    )
    return [
        _activity(one, portfolio.currency)
        for one in book.activities
        if f"activity:{one.activity_id}" not in held
    ]


def _activity(one: BrokerActivity, currency: str) -> ActivityRecord:
    theirs = one.currency or currency
    return ActivityRecord(
        kind=str(one.kind),
        symbol=one.symbol,
        quantity=one.quantity or Decimal(0),
        amount=one.amount or Decimal(0),
        occurred_at=one.occurred_at,
        description=one.description,
        is_foreign=theirs.upper() != currency.upper(),
    )
