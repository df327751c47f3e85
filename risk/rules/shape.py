"""C: do the parts of the order go together, at this broker and with the market?"""

from collections.abc import Iterator
from decimal import Decimal

from brokers.enums import OrderClass, OrderType, Side, TimeInForce
from brokers.types import OrderRequest
from risk.exposure import PRICED, fixed_price, reduces_position, trusted_price, usable_price
from risk.facts import Purpose
from risk.rules.base import MissingData, Rule
from risk.types import CheckResult, Finding, RiskContext
from risk.wording import decimals, plain

STOPPED = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
EXIT_TIMES = frozenset({TimeInForce.DAY, TimeInForce.GTC})
SMALLEST_TRAIL_PERCENT = Decimal("0.1")


class TypeAndTime(Rule):
    """The matrix of order types, times in force, sessions and classes, read from the capabilities."""

    code = "C05"
    name = "TYPE_TIF"
    title = "Type and time in force"
    guards = "Combinations that the broker does not take."
    message = "{type} with {time in force} is not available at {broker}."
    missing = MissingData.REFUSE

    def check(self, context: RiskContext) -> CheckResult:
        request, broker = context.order.request, context.capabilities.display_name
        rule = context.capabilities.rule_for(request.order_type)
        kind, tif = request.order_type.label, request.time_in_force.label
        if rule is None:
            return self.refuse(f"{broker} has no {kind.lower()} orders.", field="order_type")
        if request.time_in_force not in rule.times_in_force:
            return self.refuse(f"{kind} orders cannot be {tif} at {broker}.", field="time_in_force")
        if request.order_class not in rule.order_classes:
            name = request.order_class.label
            return self.refuse(f"{broker} has no {name} with a {kind.lower()} order.", field="order_class")
        if is_fractional(request) and request.time_in_force not in rule.fractional_times_in_force:
            return self.refuse(
                f"{broker} takes fractions of shares only with other settings than {kind} and {tif}. "
                "Use whole shares or change the order.",
                field="time_in_force",
            )
        if request.extended_hours and request.time_in_force not in rule.extended_hours_times_in_force:
            return self.refuse(
                f"{kind} orders with {tif} cannot trade in extended hours at {broker}. Use a limit order.",
                field="extended_hours",
            )
        return self._check_class(context)

    def _check_class(self, context: RiskContext) -> CheckResult:
        request = context.order.request
        fraction_outside = request.extended_hours and is_fractional(request)
        if fraction_outside and not (context.instrument and context.instrument.fractional_extended_hours):
            return self.refuse(
                f"{request.symbol} trades in whole shares only in extended hours.", field="quantity"
            )
        if request.order_class == OrderClass.SIMPLE:
            return self.passed(f"{context.capabilities.display_name} takes this combination.")
        name = request.order_class.label
        if request.time_in_force not in EXIT_TIMES:
            return self.refuse(f"{name} orders are Day or Good till canceled.", field="time_in_force")
        if request.extended_hours:
            return self.refuse(f"{name} orders do not trade in extended hours.", field="extended_hours")
        if is_fractional(request):
            return self.refuse(f"{name} orders are in whole shares.", field="quantity")
        if request.order_class == OrderClass.OCO and request.order_type != OrderType.LIMIT:
            return self.refuse(f"{name} orders are limit orders.", field="order_type")
        return self.passed(f"{context.capabilities.display_name} takes this combination.")


def is_fractional(request: OrderRequest) -> bool:
    """Say whether the order asks for part of a share; an order by amount always may."""
    if request.quantity is None:
        return request.notional is not None
    return request.quantity.is_finite() and decimals(request.quantity) > 0


class Complete(Rule):
    """Each price exactly where its type needs it, and each stop on the side where it can still trigger.

    Without a fresh price the side cannot be judged; that part is then left to the broker. When an exit
    is about to be sent, the side is not judged again: a protective stop that the market has just passed
    must reach the broker, not stay here.
    """

    code = "C06"
    name = "COMPLETE"
    title = "Consistency"
    guards = "Missing, superfluous and contradictory fields; stops on the wrong side."
    message = "Stop {s} must be below the market price {bid}."

    def check(self, context: RiskContext) -> CheckResult:
        request = context.order.request
        findings = [
            *self._size(request),
            *self._prices(request),
            *self._trail(request),
            *self._exits(request),
        ]
        if findings:
            return self.report(findings)
        if context.purpose is Purpose.SEND and reduces_position(context):
            return self.passed("The order is complete; its stop was judged when it was placed.")
        return self.report([*self._stop_side(context), *self._exit_sides(context)])

    def _size(self, request: OrderRequest) -> Iterator[Finding]:
        if (request.quantity is None) == (request.notional is None):
            yield self.finding(
                "Give either a number of shares or an amount, and not both.",
                field="quantity",
            )

    def _prices(self, request: OrderRequest) -> Iterator[Finding]:
        kind = request.order_type.label
        is_oco = request.order_class == OrderClass.OCO
        if request.order_type in PRICED:
            if request.limit_price is None and not is_oco:
                yield self.finding(f"A {kind.lower()} order needs a limit price.", field="limit_price")
        elif request.limit_price is not None:
            yield self.finding(f"A {kind.lower()} order has no limit price.", field="limit_price")
        if request.order_type in STOPPED and request.stop_price is None:
            yield self.finding(f"A {kind.lower()} order needs a stop price.", field="stop_price")
        if request.order_type not in STOPPED and request.stop_price is not None:
            yield self.finding(f"A {kind.lower()} order has no stop price.", field="stop_price")

    def _trail(self, request: OrderRequest) -> Iterator[Finding]:
        amount, percent = request.trail_amount, request.trail_percent
        if request.order_type != OrderType.TRAILING_STOP:
            if amount is not None or percent is not None:
                yield self.finding("Only a trailing stop has a trail.", field="trail_amount")
            return
        if (amount is None) == (percent is None):
            yield self.finding(
                "A trailing stop needs a trail either as an amount or in percent, and not both.",
                field="trail_amount",
            )
        elif amount is not None and not (amount.is_finite() and amount > 0):
            yield self.finding("The trail must be an amount above zero.", field="trail_amount")
        elif percent is not None and not (percent.is_finite() and SMALLEST_TRAIL_PERCENT <= percent < 100):
            yield self.finding(
                f"The trail must be from {SMALLEST_TRAIL_PERCENT} to below 100 percent.",
                field="trail_percent",
                limit=str(SMALLEST_TRAIL_PERCENT),
            )

    def _exits(self, request: OrderRequest) -> Iterator[Finding]:
        has_profit, has_stop = request.take_profit is not None, request.stop_loss is not None
        name = request.order_class.label
        if request.order_class == OrderClass.SIMPLE:
            if has_profit or has_stop:
                yield self.finding("A simple order has no take-profit or stop-loss.", field="order_class")
        elif request.order_class == OrderClass.OTO:
            if has_profit == has_stop:
                yield self.finding(
                    f"{name} needs either a take-profit or a stop-loss, and not both.", field="order_class"
                )
        elif not (has_profit and has_stop):
            yield self.finding(f"{name} needs a take-profit and a stop-loss.", field="order_class")
        oco_limit = request.limit_price if request.order_class == OrderClass.OCO else None
        if oco_limit is not None and request.take_profit and request.take_profit.limit_price != oco_limit:
            yield self.finding(f"The limit price of {name} is its take-profit.", field="limit_price")

    def _stop_side(self, context: RiskContext) -> Iterator[Finding]:
        request = context.order.request
        market = trusted_price(context, request.side)
        stop = request.stop_price
        if market is None or stop is None or not stop.is_finite():
            return
        if request.side == Side.SELL and stop >= market:
            yield self._wrong_side("Stop", stop, "below", market, "stop_price")
        if request.side == Side.BUY and stop <= market:
            yield self._wrong_side("Stop", stop, "above", market, "stop_price")

    def _exit_sides(self, context: RiskContext) -> Iterator[Finding]:
        """Judge take-profit and stop-loss against each other and against the price they start from."""
        request = context.order.request
        profit = request.take_profit.limit_price if request.take_profit else None
        stop = request.stop_loss.stop_price if request.stop_loss else None
        stop_limit = request.stop_loss.limit_price if request.stop_loss else None
        if any(price is not None and not price.is_finite() for price in (profit, stop, stop_limit)):
            return
        is_oco = request.order_class == OrderClass.OCO
        # An OCO's own side is the exit's; a bracket's is the entry's.
        long = (request.side == Side.SELL) if is_oco else (request.side == Side.BUY)
        up, down = ("above", "below") if long else ("below", "above")
        base = trusted_price(context, request.side) if is_oco else self._entry_price(context)
        if profit is not None and base is not None and not _is(profit, up, base):
            yield self._wrong_side("Take-profit", profit, up, base, "take_profit_limit_price")
        if stop is not None and base is not None and not _is(stop, down, base):
            yield self._wrong_side("Stop-loss", stop, down, base, "stop_loss_stop_price")
        if profit is not None and stop is not None and not _is(profit, up, stop):
            yield self._wrong_side(
                "Take-profit", profit, up, stop, "take_profit_limit_price", "the stop-loss"
            )
        if (
            stop is not None
            and stop_limit is not None
            and stop_limit != stop
            and not _is(stop_limit, down, stop)
        ):
            yield self._wrong_side(
                "Stop-loss limit", stop_limit, f"at or {down}", stop, "stop_loss_limit_price", "its stop"
            )

    @staticmethod
    def _entry_price(context: RiskContext) -> Decimal | None:
        request = context.order.request
        return (
            fixed_price(context) or usable_price(request.stop_price) or trusted_price(context, request.side)
        )

    def _wrong_side(
        self, word: str, price: Decimal, side: str, base: Decimal, field: str, of: str = "the price"
    ) -> Finding:
        return self.finding(
            f"{word} {plain(price)} must be {side} {of} {plain(base)}.",
            value=plain(price),
            limit=plain(base),
            field=field,
        )


def _is(price: Decimal, side: str, base: Decimal) -> bool:
    return price > base if side == "above" else price < base
