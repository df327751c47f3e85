"""What a book holds and what it is worth, at the newest prices we have."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from brokers.calendar import trade_date
from brokers.models import LatestQuote
from brokers.services.market_data import quote_broker
from portfolios.calculations import PositionFigures, compute_day_pnl, compute_equity, value_position
from portfolios.enums import EntryKind
from portfolios.lots import ZERO
from portfolios.models import LedgerEntry, Lot, Portfolio, Position

TRADE_DATE_REACH = dt.timedelta(days=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingRow:
    """One position. `day_pnl` counts from the previous close, or from the price of today's trades.

    `share` is a fraction of the book's equity. None: no price, or no previous close.
    """

    symbol: str
    quantity: Decimal
    avg_price: Decimal
    cost: Decimal
    last: Decimal | None
    priced_at: dt.datetime | None
    market_value: Decimal | None
    unrealised_pnl: Decimal | None
    unrealised_ratio: Decimal | None
    day_pnl: Decimal | None
    day_ratio: Decimal | None
    share: Decimal | None
    realised_pnl: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingsView:
    """A book with its totals; a total is None while one of its parts is unknown.

    `day_pnl` includes positions that were closed today. `unpriced` names the symbols without a price.
    """

    rows: tuple[HoldingRow, ...]
    currency: str
    cash: Decimal
    market_value: Decimal | None
    equity: Decimal | None
    unrealised_pnl: Decimal | None
    realised_pnl: Decimal
    day_pnl: Decimal | None
    day_ratio: Decimal | None
    unpriced: tuple[str, ...]
    oldest_price_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class _Mark:
    price: Decimal | None
    at: dt.datetime | None
    previous_close: Decimal | None


@dataclass(frozen=True, slots=True)
class _Moved:
    """What the day's fills moved: signed shares and cash."""

    quantity: Decimal = ZERO
    cash: Decimal = ZERO


NOTHING_MOVED = _Moved()


def holdings_view(portfolio: Portfolio, *, now: dt.datetime) -> HoldingsView:
    """Return positions with value and P&L at the newest prices; `now` decides which trades are today's."""
    positions = list(Position.objects.filter(portfolio=portfolio))
    moved = _moved_today(portfolio, now)
    touched = [row for row in positions if row.quantity or row.symbol in moved]
    marks = _marks_of(portfolio, touched)
    costs = _costs_of(portfolio)
    held = [row for row in touched if row.quantity]
    prices = {row.symbol: price for row in held if (price := marks[row.symbol].price) is not None}
    equity = compute_equity(
        cash=portfolio.cash, quantities={row.symbol: row.quantity for row in held}, marks=prices
    )
    days = {row.symbol: _day_pnl(row, marks[row.symbol], moved) for row in touched}
    rows = tuple(_build_row(row, marks[row.symbol], costs, days, equity) for row in held)
    day_pnl = _total([days[row.symbol] for row in touched])
    times = [row.priced_at for row in rows if row.priced_at is not None]
    return HoldingsView(
        rows=rows,
        currency=portfolio.currency,
        cash=portfolio.cash,
        market_value=None if equity is None else equity - portfolio.cash,
        equity=equity,
        unrealised_pnl=_total([row.unrealised_pnl for row in rows]),
        realised_pnl=portfolio.realised_pnl,
        day_pnl=day_pnl,
        day_ratio=_ratio(day_pnl, None if equity is None or day_pnl is None else equity - day_pnl),
        unpriced=tuple(row.symbol for row in rows if row.last is None),
        oldest_price_at=min(times, default=None),
    )


def day_pnl_of(portfolio: Portfolio, *, now: dt.datetime) -> Decimal | None:
    """Return the day's P&L of a book: from its positions, else from the broker's balances.

    The broker's figure is equity now less equity at the previous close, deposits of the day taken out.
    """
    view = holdings_view(portfolio, now=now)
    if view.day_pnl is not None:
        return view.day_pnl
    account = portfolio.account
    if account is None or account.last_equity is None:
        return None
    flows = [entry.amount for entry in _entries_today(portfolio, now) if entry.kind == EntryKind.TRANSFER]
    return account.equity - account.last_equity - sum(flows, ZERO)


def _build_row(
    position: Position,
    mark: _Mark,
    costs: Mapping[str, Decimal],
    days: Mapping[str, Decimal | None],
    equity: Decimal | None,
) -> HoldingRow:
    cost = costs.get(position.symbol, ZERO)
    figures = PositionFigures(position.symbol, position.quantity, cost, position.avg_price, None)
    value = None if mark.price is None else value_position(figures, mark=mark.price)
    day_pnl = days[position.symbol]
    market_value = value.market_value if value else None
    before = None if market_value is None or day_pnl is None else abs(market_value - day_pnl)
    return HoldingRow(
        symbol=position.symbol,
        quantity=position.quantity,
        avg_price=position.avg_price,
        cost=cost,
        last=mark.price,
        priced_at=mark.at,
        market_value=market_value,
        unrealised_pnl=value.unrealised_pnl if value else None,
        unrealised_ratio=value.unrealised_ratio if value else None,
        day_pnl=day_pnl,
        day_ratio=_ratio(day_pnl, before),
        share=_ratio(market_value, equity),
        realised_pnl=position.realised_pnl,
    )


def _day_pnl(position: Position, mark: _Mark, moved: Mapping[str, _Moved]) -> Decimal | None:
    today = moved.get(position.symbol, NOTHING_MOVED)
    before = position.quantity - today.quantity
    if (position.quantity and mark.price is None) or (before and mark.previous_close is None):
        return None
    return compute_day_pnl(
        quantity=position.quantity,
        mark=mark.price or ZERO,
        previous_quantity=before,
        previous_close=mark.previous_close or ZERO,
        cash_delta=today.cash,
    )


def _moved_today(portfolio: Portfolio, now: dt.datetime) -> dict[str, _Moved]:
    moved: dict[str, _Moved] = {}
    for entry in _entries_today(portfolio, now):
        if entry.kind in (EntryKind.FILL, EntryKind.BUST):
            known = moved.get(entry.symbol, NOTHING_MOVED)
            moved[entry.symbol] = _Moved(known.quantity + entry.quantity, known.cash + entry.amount)
    return moved


def _entries_today(portfolio: Portfolio, now: dt.datetime) -> list[LedgerEntry]:
    """Entries of the trade date that `now` belongs to; it starts at 20:00 New York of the evening before."""
    recent = LedgerEntry.objects.filter(portfolio=portfolio, occurred_at__gt=now - TRADE_DATE_REACH)
    today = trade_date(now)
    return [entry for entry in recent if trade_date(entry.occurred_at) == today]


def _marks_of(portfolio: Portfolio, positions: list[Position]) -> dict[str, _Mark]:
    quotes = _quotes_of(portfolio, [row.symbol for row in positions])
    return {row.symbol: _newest_mark(row, quotes.get(row.symbol)) for row in positions}


def _quotes_of(portfolio: Portfolio, symbols: list[str]) -> dict[str, LatestQuote]:
    if portfolio.account is None or not symbols:
        return {}
    broker = quote_broker(portfolio.account)
    return {row.symbol: row for row in LatestQuote.objects.filter(broker=broker, symbol__in=symbols)}


def _newest_mark(position: Position, quote: LatestQuote | None) -> _Mark:
    """The feed's quote where it is newer than what the broker said at the last sync."""
    stored = _Mark(position.market_price, position.priced_at, position.previous_close)
    price = _price_of(quote) if quote else None
    if quote is None or price is None:
        return stored
    if stored.price is not None and stored.at is not None and stored.at > quote.as_of:
        return stored
    return _Mark(price, quote.as_of, quote.previous_close or stored.previous_close)


def _price_of(quote: LatestQuote) -> Decimal | None:
    if quote.last:
        return quote.last
    if quote.bid and quote.ask:
        return (quote.bid + quote.ask) / 2
    return quote.bid or quote.ask


def _costs_of(portfolio: Portfolio) -> dict[str, Decimal]:
    costs: dict[str, Decimal] = {}
    for lot in Lot.objects.filter(portfolio=portfolio).exclude(remaining=0):
        costs[lot.symbol] = costs.get(lot.symbol, ZERO) + lot.remaining * lot.price + lot.extra_cost
    return costs


def _total(parts: list[Decimal | None]) -> Decimal | None:
    """Sum, or None when one part is unknown: a partial sum would mislead."""
    known = [part for part in parts if part is not None]
    return sum(known, ZERO) if len(known) == len(parts) else None


def _ratio(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    return part / whole if part is not None and whole else None
