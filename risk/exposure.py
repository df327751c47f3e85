"""What an order would do to money and shares: pure arithmetic that several rules share.

Every function returns None when a number it needs is missing, not finite or absurdly large, so that no
rule ever compares with a NaN. Prices here value an order; they never change it.
"""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

from brokers.enums import OrderClass, OrderType, Session, Side
from risk.facts import OpenOrderFacts
from risk.types import RiskContext

SMALLEST = Decimal("0.000000001")
LARGEST_QUANTITY = Decimal(1_000_000_000)
LARGEST_PRICE = Decimal(10_000_000)
LARGEST_AMOUNT = Decimal(1_000_000_000_000)
SHORT_MARKUP = Decimal("1.03")
"""A short is valued at no less than 3 % over the ask, as Alpaca computes its buying power."""

PRICED = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})
ENTRY_CLASSES = frozenset({OrderClass.BRACKET, OrderClass.OTO})
TRUSTED_QUOTE_AGE = timedelta(seconds=10)
QUOTE_AGE_LIMITS = {
    Session.PRE: "quote_max_age_extended",
    Session.POST: "quote_max_age_extended",
    Session.OVERNIGHT: "quote_max_age_overnight",
}
EXTENDED_SESSIONS = frozenset({Session.PRE, Session.POST, Session.OVERNIGHT})


def usable(number: Decimal | None, *, largest: Decimal) -> Decimal | None:
    """Return `number` if it is finite, above zero by nine decimals and at most `largest`, else None."""
    if number is None or not number.is_finite() or not SMALLEST <= number <= largest:
        return None
    return number


def usable_price(price: Decimal | None) -> Decimal | None:
    return usable(price, largest=LARGEST_PRICE)


def is_live_market(context: RiskContext) -> bool:
    """Say whether the order could trade now, as opposed to waiting for a session to begin."""
    if context.capabilities.always_open:
        return True
    session = context.session
    if session is None:
        return True  # unknown: judge by the stricter rules of an open market
    return session.is_open or (context.order.request.extended_hours and session.session in EXTENDED_SESSIONS)


def market_price(context: RiskContext, side: Side) -> Decimal | None:
    """Return what a `side` order would meet: the far side of the quote, else the last known price."""
    quote, position = context.quote, context.position
    candidates: list[Decimal | None] = []
    if quote is not None:
        candidates = [quote.ask if side == Side.BUY else quote.bid, quote.last, quote.previous_close]
    if position is not None:
        candidates.append(position.market_price)
    return next((price for price in map(usable_price, candidates) if price is not None), None)


def quoted_price(context: RiskContext) -> Decimal | None:
    """Return what the order would meet by the present quote; None without one, whatever was known before."""
    return market_price(context, context.order.request.side) if context.quote is not None else None


def quote_age_limit(context: RiskContext) -> str:
    """Return the name of the limit on the quote's age in the present session."""
    session = context.session.session if context.session is not None else Session.CORE
    return QUOTE_AGE_LIMITS.get(session, "quote_max_age_core")


def trusted_price(context: RiskContext, side: Side) -> Decimal | None:
    """Return `market_price` if it may be held against an order: recent, or the last of a closed market.

    The age is fixed rather than a limit, so that no tighter limit ever lets an order through.
    """
    quote = context.quote
    if quote is None:
        return None
    if is_live_market(context) and abs(context.now - quote.as_of) > TRUSTED_QUOTE_AGE:
        return None
    return market_price(context, side)


def mark_price(context: RiskContext) -> Decimal | None:
    """Return the price at which a holding of the symbol is valued: the middle of the quote, else the last."""
    quote = context.quote
    if quote is not None:
        bid, ask = usable_price(quote.bid), usable_price(quote.ask)
        if bid is not None and ask is not None:
            return (bid + ask) / 2
    return market_price(context, Side.SELL)


def fixed_price(context: RiskContext) -> Decimal | None:
    """Return the limit price that bounds the order's price; for an OCO that is its take-profit."""
    request = context.order.request
    if request.order_class == OrderClass.OCO and request.take_profit is not None:
        return usable_price(request.take_profit.limit_price)
    return usable_price(request.limit_price) if request.order_type in PRICED else None


def unit_price(context: RiskContext) -> Decimal | None:
    """Return the price per share at which the order is valued.

    A limit price where there is one; else the market, or the trigger where that is further away. A short
    is valued at the larger of its limit and 3 % over the ask.
    """
    request = context.order.request
    if request.side == Side.SELL:
        return fixed_price(context) or _selling_price(context)
    if request.order_type in PRICED:
        return fixed_price(context)
    market = market_price(context, Side.BUY)
    trigger = _buy_trigger(context, market)
    known = [price for price in (market, trigger) if price is not None]
    return max(known) if known else None


def _selling_price(context: RiskContext) -> Decimal | None:
    trigger = usable_price(context.order.request.stop_price)
    return trigger or market_price(context, Side.SELL)


def _buy_trigger(context: RiskContext, market: Decimal | None) -> Decimal | None:
    request = context.order.request
    if request.order_type == OrderType.STOP:
        return usable_price(request.stop_price)
    if request.order_type == OrderType.TRAILING_STOP and market is not None:
        amount = usable_price(request.trail_amount)
        percent = usable(request.trail_percent, largest=Decimal(100))
        if amount is not None:
            return market + amount
        if percent is not None:
            return market * (1 + percent / 100)
    return None


def leaves_quantity(context: RiskContext) -> Decimal | None:
    """Return the shares that may still trade: the quantity, less what a replaced order has filled."""
    quantity = usable(context.order.request.quantity, largest=LARGEST_QUANTITY)
    if quantity is None:
        return None
    filled = context.replacement.cum_qty if context.replacement is not None else Decimal(0)
    return usable(quantity - filled, largest=LARGEST_QUANTITY)


def estimated_quantity(context: RiskContext) -> Decimal | None:
    """Return the shares of the order; an order by amount is divided by the price it would meet."""
    request = context.order.request
    if request.quantity is not None:
        return leaves_quantity(context)
    notional = usable(request.notional, largest=LARGEST_AMOUNT)
    price = fixed_price(context) or market_price(context, request.side)
    return notional / price if notional is not None and price is not None else None


def is_sized(context: RiskContext) -> bool:
    """Say whether the order has a usable number of shares or amount."""
    request = context.order.request
    if request.quantity is not None:
        return leaves_quantity(context) is not None
    return usable(request.notional, largest=LARGEST_AMOUNT) is not None


def order_value(context: RiskContext) -> Decimal | None:
    """Return what the order is worth at `unit_price`, or its amount if it is an order by amount."""
    request = context.order.request
    if request.quantity is None:
        return usable(request.notional, largest=LARGEST_AMOUNT)
    quantity, price = leaves_quantity(context), unit_price(context)
    return quantity * price if quantity is not None and price is not None else None


def other_open_orders(context: RiskContext) -> Iterator[OpenOrderFacts]:
    """Yield the account's unfinished orders without the judged one, the replaced one and their exits."""
    own_ids = {context.order.client_order_id} - {""}
    groups: set[str] = set()
    if context.replacement is not None:
        own_ids |= {context.replacement.order_id, context.replacement.client_order_id}
        groups.add(context.replacement.group)
    own = [order for order in context.open_orders if own_ids & {order.id, order.client_order_id}]
    groups |= {order.group for order in own}
    for order in context.open_orders:
        if order not in own and (not order.group or order.group not in groups):
            yield order


def working_orders(context: RiskContext, side: Side) -> list[OpenOrderFacts]:
    """Return the other orders of the symbol on one side that can trade by themselves."""
    return [
        order
        for order in other_open_orders(context)
        if order.symbol == context.order.request.symbol and order.side == side and not order.waits_for_parent
    ]


def _shares_of(order: OpenOrderFacts, context: RiskContext) -> Decimal:
    if order.leaves_qty is not None:
        return order.leaves_qty
    price = usable_price(order.price) or market_price(context, order.side)
    if order.leaves_notional is not None and price is not None:
        return order.leaves_notional / price
    return LARGEST_QUANTITY  # an order of unknown size may take everything


def shares_on_order(context: RiskContext, side: Side) -> Decimal:
    """Return the shares that the other orders of one side may still trade; exits of one group count once."""
    alone = Decimal(0)
    groups: dict[str, Decimal] = {}
    for order in working_orders(context, side):
        shares = _shares_of(order, context)
        if order.group:
            groups[order.group] = max(groups.get(order.group, Decimal(0)), shares)
        else:
            alone += shares
    return alone + sum(groups.values(), Decimal(0))


def closable_quantity(context: RiskContext) -> Decimal | None:
    """Return the shares that an order of this side could close at most: the confirmed holding on the other
    side of zero. Zero when there is none, None when the holding is not known."""
    if context.position is None:
        return None
    held = context.position.quantity
    return max(held if context.order.request.side == Side.SELL else -held, Decimal(0))


def reduces_position(context: RiskContext) -> bool:
    """Say whether the order can only make the position smaller.

    Judged on the confirmed holding less the open orders that already close it. An entry with exits
    hanging on it (bracket, OTO) never counts as a reduction, nor does anything whose size is not known.
    """
    if context.order.request.order_class in ENTRY_CLASSES:
        return False
    closable, quantity = closable_quantity(context), estimated_quantity(context)
    if not closable or quantity is None:
        return False
    return quantity <= closable - shares_on_order(context, context.order.request.side)


def order_cost(context: RiskContext) -> Decimal | None:
    """Return the buying power that the order needs, which is also the cash to reserve for it.

    Zero for a reduction. Orders whose price is not fixed carry the cushion of `buying_power_cushion`;
    an order by amount never costs more than its amount.
    """
    if reduces_position(context):
        return Decimal(0)
    request = context.order.request
    value = order_value(context)
    if value is None or request.quantity is None:
        return value
    if request.side == Side.SELL:
        return _short_cost(context, value)
    cushion = Decimal(0) if request.order_type in PRICED else context.limits.number("buying_power_cushion")
    return value * (1 + cushion)


def _short_cost(context: RiskContext, value: Decimal) -> Decimal:
    quantity, ask = leaves_quantity(context), market_price(context, Side.BUY)
    if quantity is None or ask is None:
        return value
    return max(value, quantity * ask * SHORT_MARKUP)


def reserved_quantity(context: RiskContext) -> Decimal:
    """Return the shares to hold back for the order: all of a reduction, none of an opening."""
    return (estimated_quantity(context) or Decimal(0)) if reduces_position(context) else Decimal(0)


def free_buying_power(context: RiskContext) -> Decimal:
    """Return the broker's buying power less what it does not know of yet.

    That is what fills cost since the balances were read, and the reservations of orders that the broker
    had not accepted by then. A replace gets the reservation of the order it changes back.
    """
    account = context.account
    free = account.buying_power - account.unsynced_spend
    free -= sum(
        (order.reserved_cash for order in other_open_orders(context) if not order.counted_by_broker),
        Decimal(0),
    )
    if context.replacement is not None and context.replacement.counted_by_broker:
        free += context.replacement.reserved_cash
    return free


def sizing_equity(context: RiskContext) -> Decimal | None:
    """Return the equity that shares are measured against: at the start of the trade date, else now."""
    account = context.account
    return usable(account.start_equity, largest=LARGEST_AMOUNT) or usable(
        account.equity, largest=LARGEST_AMOUNT
    )


def held_value(context: RiskContext) -> Decimal | None:
    """Return the absolute value of the confirmed holding, None if it cannot be valued."""
    if context.position is None:
        return None
    if context.position.quantity == 0:
        return Decimal(0)
    price = mark_price(context)
    return abs(context.position.quantity) * price if price is not None else None


def value_on_order(context: RiskContext) -> Decimal | None:
    """Return the value of the symbol's other open orders on the order's side, None if one has no price."""
    total = Decimal(0)
    for order in working_orders(context, context.order.request.side):
        price = usable_price(order.price) or market_price(context, order.side)
        value = order.leaves_notional
        if value is None and order.leaves_qty is not None and price is not None:
            value = order.leaves_qty * price
        if value is None:
            return None
        total += value
    return total
