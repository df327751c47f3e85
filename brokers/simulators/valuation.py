"""What an account is worth and what it may still spend. Pure reads of the book.

Rules: Regulation T initial margin of 50 % of market value with a multiplier of 2 from 2,000 dollars of equity
on; open buys reserve their cost at once, open shorts 103 % of the ask.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from brokers.simulators.book import Book, apply_row
from brokers.simulators.records import Account, Execution, LedgerEntry, Order, Position
from brokers.simulators.symbols import BY_SYMBOL

ZERO = Decimal(0)
MARGIN_FLOOR = Decimal(2000)
MARKET_CUSHION = Decimal("1.03")


@dataclass(frozen=True, slots=True)
class Valuation:
    """Dollar figures of an account at one moment."""

    cash: Decimal
    equity: Decimal
    long_value: Decimal
    short_value: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    reserved: Decimal
    multiplier: str
    buying_power: Decimal
    cash_power: Decimal


def value_account(book: Book, account: Account, *, ignore: Order | None = None) -> Valuation:
    """Value ``account`` now; ``ignore`` leaves one open order's reservation out."""
    now = book.clock.now()
    long_value = short_value = maintenance = ZERO
    for position in book.held_positions(account.id):
        value = position.qty * book.market.price(position.symbol, now)
        maintenance += abs(value) * BY_SYMBOL[position.symbol].margin_requirement / 100
        if value > 0:
            long_value += value
        else:
            short_value += value
    equity = account.cash + long_value + short_value
    reserved = sum(
        (
            open_cost(book, order)
            for order in book.account_open_orders(account.id)
            if order is not ignore and order.status != "held"
        ),
        ZERO,
    )
    initial = (long_value - short_value) / 2
    multiplier = account.multiplier if equity >= MARGIN_FLOOR else "1"
    cash_power = max(ZERO, account.cash - reserved)
    if multiplier == "1":
        power = cash_power
    else:
        power = max(ZERO, (equity - initial) * Decimal(multiplier) - reserved)
    return Valuation(
        account.cash,
        equity,
        long_value,
        short_value,
        initial,
        maintenance,
        reserved,
        multiplier,
        power,
        cash_power,
    )


def reference_price(book: Book, order: Order) -> Decimal:
    """Price used to value an order that has not traded: its limit, or above the market."""
    quote = book.market.quote(order.symbol, book.clock.now())
    if order.side == "sell":
        return max(order.limit_price or ZERO, quote.ask * MARKET_CUSHION)
    if order.limit_price is not None:
        return order.limit_price
    return max(order.collar or order.stop_price or ZERO, quote.ask * MARKET_CUSHION)


def order_cost(book: Book, order: Order) -> Decimal:
    """Dollars an order takes from buying power while it is open.

    A sale of held shares and a purchase that covers a short take nothing.
    """
    if order.notional is not None and order.qty is None:
        return order.notional if order.side == "buy" else ZERO
    held = book.position(order.account_id, order.symbol).qty
    leaves = order.leaves_qty
    if order.side == "buy":
        leaves -= min(leaves, max(ZERO, -held))
    elif held > 0 or order.position_intent == "sell_to_close":
        return ZERO
    return leaves * reference_price(book, order) if leaves > 0 else ZERO


def open_cost(book: Book, order: Order) -> Decimal:
    """:func:`order_cost`, remembered until the order changes where it depends on nothing but the order."""
    if (
        order.limit_price is None
        or order.side != "buy"
        or book.position(order.account_id, order.symbol).qty < 0
    ):
        return order_cost(book, order)
    cost = book.open_costs.get(order.id)
    if cost is None:
        cost = book.open_costs[order.id] = order_cost(book, order)
    return cost


def held_quantity(book: Book, account_id: str, symbol: str, side: str) -> tuple[Decimal, list[str]]:
    """Shares tied up in open orders of ``side`` and the ids of those orders; an exit pair counts once."""
    groups: dict[str, Decimal] = defaultdict(lambda: ZERO)
    related = []
    for order in book.open_orders[symbol].values():
        if order.account_id != account_id or order.side != side or order.status == "held":
            continue
        group = order.parent_id or order.id
        groups[group] = max(groups[group], order.leaves_qty)
        related.append(order.id)
    return sum(groups.values(), ZERO), related


def equity_at(book: Book, account: Account, times: list[datetime]) -> list[Decimal]:
    """Equity at each of ``times`` (ascending), replayed from the book with the prices of those times."""
    rows: list[Execution | LedgerEntry] = [row for row in book.executions[account.id] if not row.busted]
    rows += book.ledger[account.id]
    rows.sort(key=lambda row: (row.at, row.seq))
    positions: dict[str, Position] = {}
    cash, index, found = ZERO, 0, []
    for at in times:
        while index < len(rows) and rows[index].at <= at:
            row = rows[index]
            cash += row.net_amount if isinstance(row, LedgerEntry) else -row.signed_qty * row.price
            if row.symbol:
                held = positions.setdefault(row.symbol, Position("", account.id, row.symbol))
                apply_row(held, row)
            index += 1
        worth = (
            position.qty * book.market.close_price(symbol, at)
            for symbol, position in positions.items()
            if position.qty
        )
        found.append(cash + sum(worth, ZERO))
    return found


def last_equity(book: Book, account: Account, close: datetime) -> Decimal:
    """Equity at the previous close; for a younger account, what it was funded with."""
    if account.created_at > close:
        return sum((row.net_amount for row in book.ledger[account.id]), ZERO)
    return equity_at(book, account, [close])[0]
