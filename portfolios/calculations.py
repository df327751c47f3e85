"""Positions and their value, from open lots and prices. Pure: no database, no clock.

Nothing here rounds: quantities, prices and money keep full Decimal precision, cents are a matter of display.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from portfolios.lots import ZERO, OpenLot


@dataclass(frozen=True, slots=True)
class PositionFigures:
    """One symbol's open lots added up. Quantity and cost are signed: both negative for a short position.

    ``average_price`` is the mean fill price, what brokers call the average entry price; ``average_cost``
    also carries commissions. Both are None when the position is flat.
    """

    symbol: str
    quantity: Decimal
    cost: Decimal
    average_price: Decimal | None
    average_cost: Decimal | None


@dataclass(frozen=True, slots=True)
class Valuation:
    """A position at a price.

    ``unrealised_ratio`` is the P&L over the absolute cost; None when the cost is zero.
    """

    market_value: Decimal
    unrealised_pnl: Decimal
    unrealised_ratio: Decimal | None


def position_from_lots(lots: Iterable[OpenLot], symbol: str) -> PositionFigures:
    """Add up the open lots of one symbol."""
    own = [lot for lot in lots if lot.symbol == symbol]
    quantity = sum((lot.quantity for lot in own), ZERO)
    cost = sum((lot.cost for lot in own), ZERO)
    if quantity == 0:
        return PositionFigures(symbol, ZERO, cost, None, None)
    traded = sum((lot.quantity * lot.price for lot in own), ZERO)
    return PositionFigures(symbol, quantity, cost, traded / quantity, cost / quantity)


def positions_from_lots(lots: Iterable[OpenLot]) -> dict[str, PositionFigures]:
    """Every symbol with open shares, in alphabetical order."""
    by_symbol: dict[str, list[OpenLot]] = {}
    for lot in lots:
        by_symbol.setdefault(lot.symbol, []).append(lot)
    figures = {symbol: position_from_lots(by_symbol[symbol], symbol) for symbol in sorted(by_symbol)}
    return {symbol: position for symbol, position in figures.items() if position.quantity}


def market_value(quantity: Decimal, mark: Decimal) -> Decimal:
    """Signed value: negative for a short position, as it is owed."""
    return quantity * mark


def value_position(position: PositionFigures, *, mark: Decimal) -> Valuation:
    """Market value and unrealised P&L at ``mark`` (price per share)."""
    value = market_value(position.quantity, mark)
    pnl = value - position.cost
    return Valuation(value, pnl, pnl / abs(position.cost) if position.cost else None)


def compute_day_pnl(
    *,
    quantity: Decimal,
    mark: Decimal,
    previous_quantity: Decimal,
    previous_close: Decimal,
    cash_delta: Decimal = ZERO,
) -> Decimal:
    """P&L of one symbol since the previous close: value now, less value then, plus cash moved today.

    ``previous_quantity`` is the position at the previous close, ``cash_delta`` the sum over today's fills
    (negative when shares were bought), so shares bought today count from their own price and sold ones to
    their own price.
    """
    return market_value(quantity, mark) - market_value(previous_quantity, previous_close) + cash_delta


def compute_equity(
    *, cash: Decimal, quantities: Mapping[str, Decimal], marks: Mapping[str, Decimal]
) -> Decimal | None:
    """Cash plus market value; None when a held symbol has no price, as a partial sum would mislead."""
    total = cash
    for symbol, quantity in quantities.items():
        if quantity == 0:
            continue
        if symbol not in marks:
            return None
        total += market_value(quantity, marks[symbol])
    return total
