"""Pure order matching: one resting order against one quote.

Nothing here reads a clock, the network, a database or a global random source: the caller passes the quote,
the trading session, the liquidity rules and (when chance is wanted) a ``random.Random``. The built-in
practice broker and the broker simulators share this module, so a strategy sees the same fills in both.

How to use it::

    actions = match_order(order, quote, Session.CORE)
    for action in actions:
        order = apply_action(order, action)

Held children of bracket orders are the caller's business: an order that is held is simply not passed in.
"""

import random
from collections.abc import Iterable
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal

from brokers.matching_terms import (
    CORE_SESSIONS,
    EXTENDED_SESSIONS,
    FULL_DISPLAY,
    HUNDRED,
    IMMEDIATE,
    ONE,
    QUANTITY_STEP,
    Action,
    Cancel,
    Expire,
    Fill,
    Liquidity,
    OrderType,
    Quote,
    RestingOrder,
    Session,
    Side,
    TimeInForce,
    TrailMove,
    Trigger,
    round_to_tick,
    tick_size,
)


def trailing_stop_price(order: RestingOrder, mark: Decimal) -> Decimal:
    """Stop price of a trailing order whose best price is ``mark``, rounded away from the market."""
    offset = order.trail_amount if order.trail_amount is not None else mark * _percent(order) / HUNDRED
    if order.side == Side.SELL:
        return max(Decimal("0.0001"), round_to_tick(mark - offset, ROUND_FLOOR))
    return round_to_tick(mark + offset, ROUND_CEILING)


def may_trade(order: RestingOrder, session: str) -> bool:
    """Whether ``session`` lets ``order`` execute.

    Opening and closing orders trade only in their cross; outside regular hours only limit orders flagged for
    extended hours do, and stops are neither elected nor filled there.
    """
    if order.time_in_force == TimeInForce.OPG:
        return session == Session.OPENING_CROSS
    if order.time_in_force == TimeInForce.CLS:
        return session == Session.CLOSING_CROSS
    if session in CORE_SESSIONS:
        return True
    return session in EXTENDED_SESSIONS and order.extended_hours and order.order_type == OrderType.LIMIT


def match_order(
    order: RestingOrder,
    quote: Quote,
    session: str,
    *,
    liquidity: Liquidity = FULL_DISPLAY,
    rng: random.Random | None = None,
) -> list[Action]:
    """Everything that happens to ``order`` when it meets ``quote`` in ``session``, in order of occurrence.

    Returns an empty list when nothing happens. At most one fill is returned: displayed size is one price
    level, and the caller passes the next quote for the rest. Raises ValueError when order and quote differ in
    symbol.
    """
    if order.symbol != quote.symbol:
        raise ValueError("order and quote are for different symbols")
    if order.leaves_qty == 0:
        return []
    if quote.halted or not may_trade(order, session):
        return _end_immediate(order, order.leaves_qty, always=False)
    actions: list[Action] = []
    if order.is_stop and not order.triggered:
        actions.extend(_advance_stop(order, quote))
        if not any(isinstance(action, Trigger) for action in actions):
            return [*actions, *_end_immediate(order, order.leaves_qty, always=False)]
    fill = _fill(order, quote, liquidity, rng)
    left = order.leaves_qty
    if fill is not None:
        actions.append(fill)
        left -= fill.quantity
    auction = order.time_in_force in (TimeInForce.OPG, TimeInForce.CLS)
    return [*actions, *_end_immediate(order, left, always=auction)]


def expire_order(order: RestingOrder, ended: str) -> list[Action]:
    """What the end of session ``ended`` does to a working order.

    A day order ends with regular hours, or with the evening session when it may trade there; a closing order
    that missed its cross ends with regular hours. Good-till-cancelled orders live on.
    """
    if order.leaves_qty == 0:
        return []
    day = order.time_in_force in (TimeInForce.DAY, TimeInForce.CLS)
    core_end = ended in CORE_SESSIONS and not order.extended_hours
    if day and (core_end or ended == Session.POST):
        return [Expire(order.id, order.leaves_qty)]
    return []


def apply_action(order: RestingOrder, action: Action) -> RestingOrder:
    """``order`` after ``action``. Cancel and Expire change nothing here: the caller closes the order."""
    if isinstance(action, Fill):
        return replace(order, cum_qty=order.cum_qty + action.quantity)
    if isinstance(action, Trigger):
        return replace(order, triggered=True)
    if isinstance(action, TrailMove):
        return replace(order, high_water_mark=action.high_water_mark, stop_price=action.stop_price)
    return order


def apply_actions(order: RestingOrder, actions: Iterable[Action]) -> RestingOrder:
    """``order`` after all ``actions``, in sequence."""
    for action in actions:
        order = apply_action(order, action)
    return order


def _percent(order: RestingOrder) -> Decimal:
    if order.trail_percent is None:
        raise ValueError("the order trails by an amount")
    return order.trail_percent


def _advance_stop(order: RestingOrder, quote: Quote) -> list[Action]:
    """Move a trailing mark and elect the stop on the last price, as exchanges elect stops on trades."""
    actions: list[Action] = []
    stop = order.stop_price
    if order.order_type == OrderType.TRAILING_STOP:
        mark = order.high_water_mark
        pick = max if order.side == Side.SELL else min
        best = quote.last if mark is None else pick(mark, quote.last)
        if best != mark or stop is None:
            stop = trailing_stop_price(order, best)
            actions.append(TrailMove(order.id, best, stop))
    if stop is None:
        raise ValueError("a stop order without a stop price")
    reached = quote.last >= stop if order.side == Side.BUY else quote.last <= stop
    if reached:
        actions.append(Trigger(order.id, quote.last))
    return actions


def _fill(order: RestingOrder, quote: Quote, liquidity: Liquidity, rng: random.Random | None) -> Fill | None:
    price = quote.opposite_price(order.side)
    if price <= 0 or quote.opposite_size(order.side) <= 0:
        return None
    if not _within(order, price):
        return None
    quantity = _fill_quantity(order, quote, liquidity, rng)
    if quantity <= 0 or (order.time_in_force == TimeInForce.FOK and quantity < order.leaves_qty):
        return None
    if rng is not None and rng.random() < liquidity.improvement_probability:
        price = _improved(order, quote, price)
    return Fill(order.id, quantity, price)


def _within(order: RestingOrder, price: Decimal) -> bool:
    bound = order.price_bound
    if bound is None:
        return True
    return price <= bound if order.side == Side.BUY else price >= bound


def _fill_quantity(
    order: RestingOrder, quote: Quote, liquidity: Liquidity, rng: random.Random | None
) -> Decimal:
    """Shares to fill now. Orders in whole shares fill in whole shares; all-or-none orders are never cut."""
    available = order.leaves_qty
    if liquidity.respect_size:
        available = min(available, quote.opposite_size(order.side))
    if liquidity.max_fill is not None:
        available = min(available, liquidity.max_fill)
    step = ONE if order.quantity == order.quantity.to_integral_value() else QUANTITY_STEP
    available = available.quantize(step, rounding=ROUND_DOWN)
    if order.time_in_force == TimeInForce.FOK or rng is None or available <= step:
        return available
    if rng.random() < liquidity.partial_probability:
        share = Decimal(rng.randint(1, 9)) / 10
        return max(step, (available * share).quantize(step, rounding=ROUND_DOWN))
    return available


def _improved(order: RestingOrder, quote: Quote, price: Decimal) -> Decimal:
    """One tick inside the spread, when the spread has room for it."""
    tick = tick_size(price)
    if quote.ask - quote.bid < 2 * tick:
        return price
    return price - tick if order.side == Side.BUY else price + tick


def _end_immediate(order: RestingOrder, left: Decimal, *, always: bool) -> list[Action]:
    if left > 0 and (always or order.time_in_force in IMMEDIATE):
        return [Cancel(order.id, left, order.time_in_force)]
    return []
