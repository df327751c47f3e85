"""What the tracker's files mean where they do not say it.

Each function answers for one peculiarity, each is tested.
"""

import datetime as dt
from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from zoneinfo import ZoneInfo

from portfolios.imports.types import CostBasis, CostBasisKind

TOTAL_ROW = "TOTAL"
COST_TOLERANCE_RATIO = Decimal("0.10")
NEW_YORK = ZoneInfo("America/New_York")
CLOSING_TIME = dt.time(16, 0)


def read_position_cost_basis(
    value: Decimal | None, *, quantity: Decimal, buy_price: Decimal | None
) -> CostBasis | None:
    """A portfolio row's cost: per share where there is no `Buy Price`, else whichever reading ties to it."""
    if value is None:
        return None
    if buy_price is None:
        return CostBasis(CostBasisKind.PER_SHARE, value * quantity)
    return _choose_reading(value, quantity=quantity, expected_total=buy_price * quantity)


def read_buy_cost_basis(value: Decimal | None, *, quantity: Decimal, price: Decimal) -> CostBasis | None:
    """A purchase's cost: total in newer logs, per share in early ones; its own price tells which."""
    if value is None:
        return None
    return _choose_reading(value, quantity=quantity, expected_total=price * quantity)


def read_sell_cost_basis(
    value: Decimal | None, *, quantity: Decimal, price: Decimal, pnl: Decimal | None
) -> CostBasis | None:
    """A sale's cost: manual sells log the lot's total, automated ones the price per share.

    The logged P&L decides, as ``proceeds - pnl`` is the total cost; without it the reading stays unclear.
    """
    if value is None:
        return None
    if pnl is None:
        return CostBasis(CostBasisKind.UNCLEAR, None)
    return _choose_reading(value, quantity=quantity, expected_total=quantity * price - pnl)


def _choose_reading(value: Decimal, *, quantity: Decimal, expected_total: Decimal) -> CostBasis:
    """The reading nearer to the expected total, if it is within a tenth: logs cut shares and mistype P&L."""
    readings = [
        CostBasis(CostBasisKind.TOTAL, value),
        CostBasis(CostBasisKind.PER_SHARE, value * quantity),
    ]
    misses = [abs((reading.total or Decimal(0)) - expected_total) for reading in readings]
    if min(misses) > COST_TOLERANCE_RATIO * abs(expected_total):
        return CostBasis(CostBasisKind.UNCLEAR, None)
    return readings[misses.index(min(misses))]


def read_stop_loss(value: Decimal | None) -> Decimal | None:
    """A stop of 0 is no stop. One above the buy price is kept: it locks in a gain."""
    return value or None


def is_sold_row(action: str) -> bool:
    """A `SELL - ...` row shows what the day's stop sold; it is in no total and no longer held."""
    return action.strip().casefold().startswith("sell")


def is_total_row(ticker: str) -> bool:
    return ticker.strip().upper() == TOTAL_ROW


def looks_cut_to_whole_shares(ours: Decimal, theirs: Decimal) -> bool:
    """The tracker cut fractions off some positions: 5.36 shares were written as 5.0."""
    return ours != theirs and ours.to_integral_value(rounding=ROUND_FLOOR) == theirs


def looks_logged_early(before: Mapping[str, Decimal], symbol: str, ours: Decimal, theirs: Decimal) -> bool:
    """A trade can be logged a day before the daily file shows it: the file still has the old quantity."""
    yesterday = before.get(symbol, Decimal(0))
    return ours != theirs and yesterday == theirs


def trade_moment(on: dt.date, sequence: int) -> dt.datetime:
    """When a trade is booked: 16:00 New York on its date, in UTC, microseconds keeping the order of rows.

    The files carry no time of day, and some of their dates are holidays; only the order means something.
    """
    close = dt.datetime.combine(on, CLOSING_TIME, tzinfo=NEW_YORK).astimezone(dt.UTC)
    return close + dt.timedelta(microseconds=sequence)
