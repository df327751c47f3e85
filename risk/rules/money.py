"""E: how much, and can the account bear it?"""

from decimal import ROUND_FLOOR, Decimal

from brokers.enums import Side
from risk.exposure import (
    PRICED,
    free_buying_power,
    held_value,
    is_sized,
    order_cost,
    order_value,
    sizing_equity,
    unit_price,
    value_on_order,
)
from risk.rules.base import MissingData, Rule
from risk.types import CheckResult, RiskContext, Severity
from risk.wording import exact_seconds, need, percent, plain, room, seconds


class OrderSize(Rule):
    code = "E01"
    name = "ORDER_NOTIONAL"
    title = "Order size"
    guards = "Slips of the finger: an order far larger than the account is used to."
    message = "{amount} is {x}% of your equity; at most {limit} is allowed."
    severities = (Severity.SOFT, Severity.HARD)
    missing = MissingData.REFUSE_OPENING
    exempts_exits = True
    limits = ("max_order_size", "max_order_size_soft", "max_order_value")

    def check(self, context: RiskContext) -> CheckResult:
        value, equity = order_value(context), sizing_equity(context)
        currency = context.account.currency
        if value is None:
            return _no_price(self, context)
        if equity is None:
            return self.lacks(context, "The account's equity is not known, so the order cannot be sized.")
        largest = context.limits.number("max_order_value")
        if value > largest:
            return self.refuse(
                f"This order is worth {need(value, currency)}; one order may be worth at most "
                f"{room(largest, currency)}.{_largest(context, largest)}",
                value=plain(value),
                limit=plain(largest),
                field="quantity",
            )
        share, hard = value / equity, context.limits.number("max_order_size")
        if share > hard:
            return self.refuse(
                f"This order is worth {need(value, currency)}, {percent(share, up=True)} of your equity; at "
                f"most {percent(hard)} is allowed.{_largest(context, hard * equity)}",
                value=plain(share),
                limit=plain(hard),
                field="quantity",
            )
        soft = context.limits.number("max_order_size_soft")
        if share > soft:
            return self.ask(
                f"This order is worth {need(value, currency)}, {percent(share, up=True)} of your equity; "
                f"more than {percent(soft)} needs your confirmation.",
                value=plain(share),
                limit=plain(soft),
                field="quantity",
            )
        return self.passed(value=plain(share), limit=plain(min(soft, hard)))


class BuyingPower(Rule):
    """The cost of an order whose price is not fixed carries a cushion; what the broker does not know of
    yet (fills since the balances were read, orders on their way) is taken off what is free."""

    code = "E04"
    name = "BUYING_POWER"
    title = "Buying power"
    guards = "Spending more than the account has."
    message = "This order needs {n}; {m} is free after your open orders."
    missing = MissingData.REFUSE_OPENING
    exempts_exits = True
    limits = ("buying_power_cushion", "balance_max_age")

    def check(self, context: RiskContext) -> CheckResult:
        broker, synced_at = context.capabilities.display_name, context.account.synced_at
        oldest = context.limits.seconds("balance_max_age")
        if synced_at is None:
            return self.lacks(context, f"{broker} has not told us the balances of this account yet.")
        age = context.now - synced_at
        if age > oldest:
            return self.lacks(
                context,
                f"The balances from {broker} are {seconds(age)} old; at most {seconds(oldest)} is accepted. "
                "Try again soon.",
                value=exact_seconds(age),
                limit=context.limits.get("balance_max_age").value,
            )
        cost = order_cost(context)
        if cost is None:
            return _no_price(self, context)
        return self._compare(context, cost, free_buying_power(context))

    def _compare(self, context: RiskContext, cost: Decimal, free: Decimal) -> CheckResult:
        if cost <= free:
            return self.passed(value=plain(cost), limit=plain(free))
        currency, cushion = context.account.currency, context.limits.number("buying_power_cushion")
        request = context.order.request
        has_cushion = request.quantity is not None and request.order_type not in PRICED
        factor = 1 + cushion if has_cushion and request.side == Side.BUY else Decimal(1)
        included = f" (with {percent(cushion)} for price moves)" if factor != 1 else ""
        return self.refuse(
            f"This order needs {need(cost, currency)}{included}; {room(free, currency)} is free after your "
            f"open orders.{_largest(context, free / factor)}",
            value=plain(cost),
            limit=plain(free),
            field="quantity",
        )


class PositionSize(Rule):
    code = "E11"
    name = "POSITION"
    title = "Position size"
    guards = "Too much of the account in one symbol, open orders included."
    message = "{symbol} would be {x}% of your equity; at most {limit} is allowed."
    severities = (Severity.SOFT, Severity.HARD)
    missing = MissingData.REFUSE_OPENING
    exempts_exits = True
    limits = ("max_position_size", "max_position_size_soft")

    def check(self, context: RiskContext) -> CheckResult:
        symbol = context.order.request.symbol
        if context.position is None:
            return self.lacks(context, f"It is not known how much {symbol} you hold. Try again soon.")
        value, held, on_order = order_value(context), held_value(context), value_on_order(context)
        if value is None or held is None or on_order is None:
            return _no_price(self, context)
        equity = sizing_equity(context)
        if equity is None:
            return self.lacks(context, "The account's equity is not known, so the position cannot be sized.")
        return self._judge(context, equity, taken=held + on_order, added=value)

    def _judge(self, context: RiskContext, equity: Decimal, *, taken: Decimal, added: Decimal) -> CheckResult:
        hard = context.limits.number("max_position_size")
        soft = context.limits.number("max_position_size_soft")
        share = (taken + added) / equity
        would_be = (
            f"With this order and your open orders, {context.order.request.symbol} would be "
            f"{percent(share, up=True)} of your equity"
        )
        if share > hard:
            return self.refuse(
                f"{would_be}; at most {percent(hard)} is allowed.{_largest(context, hard * equity - taken)}",
                value=plain(share),
                limit=plain(hard),
                field="quantity",
            )
        if share > soft:
            return self.ask(
                f"{would_be}; more than {percent(soft)} needs your confirmation.",
                value=plain(share),
                limit=plain(soft),
                field="quantity",
            )
        return self.passed(value=plain(share), limit=plain(min(soft, hard)))


def _no_price(rule: Rule, context: RiskContext) -> CheckResult:
    """Answer for an order that cannot be valued: its size is malformed, or no price is known."""
    if not is_sized(context):
        return rule.not_checked("The order's size is malformed, so it cannot be valued.")
    if not context.quote_configured:
        return rule.not_checked("This account has no price feed, so the order cannot be valued.")
    symbol = context.order.request.symbol
    return rule.lacks(context, f"There is no price for {symbol}, so the order cannot be valued.")


def _largest(context: RiskContext, amount: Decimal) -> str:
    """Say how much would pass, in the terms in which the order was given."""
    request, price = context.order.request, unit_price(context)
    if request.quantity is None:
        cents = max(amount, Decimal(0)).quantize(Decimal("0.01"), rounding=ROUND_FLOOR)
        return f" The largest amount that fits is {room(cents, context.account.currency)}."
    if price is None:
        return ""
    places = context.capabilities.quantity_decimals if _may_be_fractional(context) else 0
    step = Decimal(1).scaleb(-min(places, 9))
    filled = context.replacement.cum_qty if context.replacement is not None else Decimal(0)
    most = filled + (max(amount, Decimal(0)) / price).quantize(step, rounding=ROUND_FLOOR)
    return f" The largest quantity that fits is {plain(most)}."


def _may_be_fractional(context: RiskContext) -> bool:
    quantity, instrument = context.order.request.quantity, context.instrument
    typed_fraction = quantity is not None and quantity != quantity.to_integral_value()
    return typed_fraction and instrument is not None and instrument.fractionable
