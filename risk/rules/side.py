"""F: does the order fit what the account holds?"""

from brokers.enums import OrderClass, Side
from risk.exposure import closable_quantity, estimated_quantity, shares_on_order, working_orders
from risk.rules.base import MissingData, Rule
from risk.types import CheckResult, RiskContext
from risk.wording import plain


class ShortAllowed(Rule):
    code = "F01"
    name = "SHORT_ALLOWED"
    title = "Short selling"
    guards = "Selling what the account does not hold."
    message = "You hold no {symbol}, so this order would sell short: {why not}."
    missing = MissingData.REFUSE
    limits = ("allow_short",)

    def check(self, context: RiskContext) -> CheckResult:
        request = context.order.request
        if request.side != Side.SELL:
            return self.not_applicable("The order buys.")
        if context.position is None:
            return self.not_applicable("The holding is not known; see F04.")
        if context.position.quantity > 0:
            return self.not_applicable("The account holds shares; see F04.")
        problem = self._problem(context)
        if not problem:
            return self.passed("Short selling is allowed.", value=plain(context.position.quantity))
        held = plain(-context.position.quantity)
        state = f"You are short {held} {request.symbol}" if held != "0" else f"You hold no {request.symbol}"
        return self.refuse(
            f"{state}, so this order would sell short: {problem}.",
            value=plain(context.position.quantity),
            limit="0",
            field="side",
        )

    @staticmethod
    def _problem(context: RiskContext) -> str:
        broker, symbol = context.capabilities.display_name, context.order.request.symbol
        if not context.limits.is_on("allow_short"):
            return "short selling is off for this account"
        if not context.capabilities.short_selling:
            return f"{broker} offers no short selling here"
        if context.account.shorting_enabled is not True:
            return f"{broker} does not allow this account to sell short"
        if context.instrument is None or not context.instrument.shortable:
            return f"{broker} does not lend {symbol}"
        return ""


class CrossesZero(Rule):
    """Brokers refuse an order that would turn a long position short; it must be closed first."""

    code = "F04"
    name = "CROSS_ZERO"
    title = "More than held"
    guards = "Closing more than is held, which would flip the position."
    message = "You hold {h} {symbol}, this order sells {q}."
    missing = MissingData.REFUSE

    def check(self, context: RiskContext) -> CheckResult:
        request, closable = context.order.request, closable_quantity(context)
        if closable is None:
            return self.lacks(
                context, f"It is not known how much {request.symbol} you hold, so the order cannot be judged."
            )
        if closable == 0:
            if request.order_class == OrderClass.OCO:
                return self.refuse(
                    f"{request.order_class.label} closes a position, and you hold no {request.symbol}.",
                    value="0",
                    field="order_class",
                )
            return self.not_applicable("There is no position that this order would close.")
        quantity = estimated_quantity(context)
        if quantity is None:
            return self.not_checked("The order's size in shares is not known.")
        if quantity <= closable:
            return self.passed(value=plain(quantity), limit=plain(closable))
        held, verb = ("hold", "sells") if request.side == Side.SELL else ("are short", "buys")
        return self.refuse(
            f"You {held} {plain(closable)} {request.symbol}, this order {verb} {plain(quantity)}. "
            f"Close at most {plain(closable)}; then open the other side with an order of its own.",
            value=plain(quantity),
            limit=plain(closable),
            field="quantity",
        )


class HeldByOrders(Rule):
    code = "F06"
    name = "HELD_QTY"
    title = "Shares held by orders"
    guards = "Selling the same shares twice."
    message = "{h} of your {n} {symbol} are held by order {id}."
    missing = MissingData.REFUSE

    def check(self, context: RiskContext) -> CheckResult:
        request, closable = context.order.request, closable_quantity(context)
        if not closable:
            return self.not_applicable("There is no position that this order would close.")
        quantity = estimated_quantity(context)
        if quantity is None:
            return self.not_checked("The order's size in shares is not known.")
        if quantity > closable:
            return self.not_applicable("More than is held; see F04.")
        on_order = min(shares_on_order(context, request.side), closable)
        free = closable - on_order
        if quantity <= free:
            return self.passed(value=plain(quantity), limit=plain(free))
        holders = ", ".join(order.id for order in working_orders(context, request.side))
        return self.refuse(
            f"{plain(on_order)} of your {plain(closable)} {request.symbol} are held by order {holders}; this "
            f"order asks for {plain(quantity)}. Cancel that order first, or close at most {plain(free)}.",
            value=plain(quantity),
            limit=plain(free),
            field="quantity",
        )
