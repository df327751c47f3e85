"""Money and share checks every broker makes before it takes an order. They raise :class:`Refused`."""

from decimal import Decimal

from brokers.simulators.book import Book, Refused
from brokers.simulators.records import Account, Order
from brokers.simulators.symbols import BY_SYMBOL
from brokers.simulators.valuation import MARGIN_FLOOR, held_quantity, order_cost, value_account

ZERO = Decimal(0)
COMPLEX = ("bracket", "oco", "oto")


def check_shares(book: Book, account: Account, order: Order) -> None:
    """Closing orders need free shares; opening sells need the right to sell short.

    Turning from long to short (or back) in one order is refused: close first, then open.
    """
    held = book.position(account.id, order.symbol).qty
    closing = held > 0 if order.side == "sell" else held < 0
    if closing:
        qty = order.qty
        if qty is None:
            price = book.market.quote(order.symbol, book.clock.now()).bid
            qty = (order.notional or ZERO) / price if price else ZERO
        tied, related = held_quantity(book, account.id, order.symbol, order.side)
        free = max(ZERO, abs(held) - tied)
        if qty > free:
            raise Refused(
                "insufficient_quantity",
                requested=qty,
                available=free,
                existing=abs(held),
                held=tied,
                symbol=order.symbol,
                related=related,
            )
    elif order.side == "sell":
        _check_short(book, account, order)


def _check_short(book: Book, account: Account, order: Order) -> None:
    listing = BY_SYMBOL[order.symbol]
    fractional = order.qty is None or order.qty != order.qty.to_integral_value()
    if fractional or not listing.shortable or not listing.easy_to_borrow:
        raise Refused("not_shortable", symbol=order.symbol)
    forbidden = not account.shorting_enabled or account.configurations.get("no_shorting")
    if forbidden or value_account(book, account).equity < MARGIN_FLOOR:
        raise Refused("short_not_allowed")


def check_buying_power(book: Book, account: Account, order: Order, *, replaces: Order | None = None) -> None:
    """The order's cost must fit into what is left; a replacement gives the old order's reservation back."""
    cost = order_cost(book, order)
    if cost <= 0:
        return
    power = value_account(book, account, ignore=replaces).buying_power
    if cost > power:
        raise Refused("insufficient_buying_power", buying_power=power, cost_basis=cost)


def check_wash_trade(book: Book, account: Account, order: Order) -> None:
    """Refuse an order that could trade with the account's own order on the other side.

    That is a working market or stop order there, or a limit that crosses. Complex orders are exempt.
    """
    if order.order_class in COMPLEX:
        return
    quote = book.market.quote(order.symbol, book.clock.now())
    price = order.limit_price or quote.opposite_price(order.side)
    for other in book.open_orders[order.symbol].values():
        if other.account_id != account.id or other.side == order.side or other.status == "held":
            continue
        if other.limit_price is None:
            raise Refused("wash_trade", order_id=other.id, why="opposite side market/stop order exists")
        buy, sell = (price, other.limit_price) if order.side == "buy" else (other.limit_price, price)
        if buy >= sell:
            raise Refused("wash_trade", order_id=other.id, why="opposite side limit order exists")
