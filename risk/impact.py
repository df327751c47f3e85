"""What the order would change: each figure now, after it has filled in full, and its limit."""

from decimal import Decimal

from brokers.enums import Side
from risk.exposure import (
    free_buying_power,
    held_value,
    mark_price,
    order_cost,
    order_value,
    other_open_orders,
    reduces_position,
    sizing_equity,
    value_on_order,
)
from risk.types import Impact, RiskContext, Unit


def measure_impact(context: RiskContext) -> tuple[Impact, ...]:
    """Return the rows of the preview. A figure that cannot be computed is None, never a guess.

    After a sale of shares that are held, cash and buying power are shown as if it filled at the price it
    is valued at. Position figures include the symbol's other open orders on the same side.
    """
    return (
        *_money_rows(context),
        *_position_rows(context),
        *_count_rows(context),
    )


def _money_rows(context: RiskContext) -> tuple[Impact, ...]:
    value, cost, is_sale = order_value(context), order_cost(context), context.order.request.side == Side.SELL
    cash, free = context.account.cash, free_buying_power(context)
    cash_after = None if value is None else cash + (value if is_sale else -value)
    if not reduces_position(context):
        free_after = None if cost is None else free - cost
    else:
        free_after = None if value is None else free + (value if is_sale else -value)
    return (
        Impact(key="cash", label="Cash", unit=Unit.MONEY, before=cash, after=cash_after),
        Impact(
            key="buying_power",
            label="Buying power after open orders",
            unit=Unit.MONEY,
            before=free,
            after=free_after,
            limit=Decimal(0),
        ),
    )


def _position_rows(context: RiskContext) -> tuple[Impact, ...]:
    symbol, equity = context.order.request.symbol, sizing_equity(context)
    hard = context.limits.number("max_position_size")
    soft = context.limits.number("max_position_size_soft")
    before, after = _position_values(context)
    gross = context.account.gross_exposure
    change = None if before is None or after is None else after - before
    return (
        Impact(
            key="position_value",
            label=f"{symbol} with open orders",
            unit=Unit.MONEY,
            before=before,
            after=after,
            limit=None if equity is None else hard * equity,
            soft_limit=None if equity is None else soft * equity,
        ),
        Impact(
            key="position_share",
            label=f"{symbol} as share of equity",
            unit=Unit.SHARE,
            before=None if equity is None or before is None else before / equity,
            after=None if equity is None or after is None else after / equity,
            limit=hard,
            soft_limit=soft,
        ),
        Impact(
            key="gross_exposure",
            label="All positions",
            unit=Unit.MONEY,
            before=gross,
            after=None if gross is None or change is None else gross + change,
        ),
    )


def _position_values(context: RiskContext) -> tuple[Decimal | None, Decimal | None]:
    held, value, on_order = held_value(context), order_value(context), value_on_order(context)
    if held is None:
        return None, None
    if not reduces_position(context):
        before = None if on_order is None else held + on_order
        return before, None if before is None or value is None else before + value
    price = mark_price(context)
    quantity = context.order.request.quantity
    if quantity is not None and context.replacement is not None:
        quantity -= context.replacement.cum_qty
    reduction = quantity * price if quantity is not None and price is not None else value
    return held, None if reduction is None else max(held - reduction, Decimal(0))


def _count_rows(context: RiskContext) -> tuple[Impact, ...]:
    is_new = context.replacement is None
    others = sum(1 for _ in other_open_orders(context))
    opens = is_new and not reduces_position(context)
    placed = context.counts.opening_orders_today
    return (
        Impact(
            key="open_orders",
            label="Open orders",
            unit=Unit.COUNT,
            before=Decimal(others if is_new else others + 1),
            after=Decimal(others + 1),
        ),
        Impact(
            key="daily_trades",
            label="Opening orders on this trade date",
            unit=Unit.COUNT,
            before=Decimal(placed),
            after=Decimal(placed + 1 if opens else placed),
            limit=context.limits.number("max_daily_trades"),
        ),
    )
