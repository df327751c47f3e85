"""G: has this been asked already, and how often is too often?"""

from datetime import timedelta

from risk.facts import Purpose, RecentIntentFacts
from risk.rules.base import Rule
from risk.types import CheckResult, RiskContext, Severity
from risk.wording import exact_seconds, seconds


class NotRepeated(Rule):
    """Ids are unique for ever within an account. Before sending, the stored order must be this very one."""

    code = "G01"
    name = "DUP_KEY"
    title = "Sent once"
    guards = "The same order twice, and an order that changed after it was decided."
    message = "Already submitted as {id}."

    def check(self, context: RiskContext) -> CheckResult:
        existing = context.existing_order
        if context.purpose is Purpose.PREVIEW:
            return self.not_applicable("A preview has no order id.")
        if context.purpose not in (Purpose.SEND, Purpose.APPROVE):
            if existing is None:
                return self.passed("The order id is new.")
            return self.refuse(f"Already submitted as {existing.id}.", value=existing.id)
        if existing is None and context.replacement is not None:
            return self.passed("A change of a stored order is sent under a new id.")
        if existing is None:
            return self.refuse("There is no stored order to send. Nothing was sent; place the order again.")
        if existing.order_hash != context.order.order_hash:
            return self.refuse(
                f"Order {existing.id} differs from what was decided, so it was not sent. Place it again.",
                value=context.order.order_hash,
                limit=existing.order_hash,
            )
        return self.passed("The stored order is unchanged.")


class LooksRepeated(Rule):
    code = "G02"
    name = "DUP_LIKE"
    title = "Looks like a repeat"
    guards = "Pressing twice."
    message = "The same order was placed {s} s ago. Send it again?"
    severities = (Severity.SOFT,)
    limits = ("duplicate_window",)

    def check(self, context: RiskContext) -> CheckResult:
        if context.purpose in (Purpose.SEND, Purpose.APPROVE, Purpose.REPLACE):
            return self.not_applicable("Only new orders are compared.")
        window = context.limits.seconds("duplicate_window")
        ages = [
            context.now - intent.created_at
            for intent in context.recent_intents
            if self._is_like(intent, context) and context.now - intent.created_at < window
        ]
        limit = context.limits.get("duplicate_window").value
        if not ages:
            return self.passed("No equal order was placed just now.", limit=limit)
        age = max(min(ages), timedelta(0))
        return self.ask(
            f"The same order was placed {seconds(age)} ago; within {seconds(window)} that looks like a "
            "repeat. Confirm to place it again.",
            value=exact_seconds(age),
            limit=limit,
        )

    @staticmethod
    def _is_like(intent: RecentIntentFacts, context: RiskContext) -> bool:
        request = context.order.request
        return intent.client_order_id != context.order.client_order_id and (
            intent.symbol,
            intent.side,
            intent.order_type,
            intent.quantity,
            intent.notional,
        ) == (request.symbol, request.side, request.order_type, request.quantity, request.notional)


class OrdersPerMinute(Rule):
    code = "G03"
    name = "RATE_USER"
    title = "Orders per minute"
    guards = "Runaway programs."
    message = "You have placed {n} orders in the last minute; the limit is {limit}."
    exempts_exits = True
    limits = ("orders_per_minute",)

    def check(self, context: RiskContext) -> CheckResult:
        if context.purpose in (Purpose.SEND, Purpose.APPROVE):
            return self.not_applicable("Counted when it was placed.")
        most, placed = context.limits.count("orders_per_minute"), context.counts.orders_last_minute
        if placed >= most:
            return self.refuse(
                f"You have placed {placed} orders in the last minute; the limit is {most}. Wait a moment. "
                "Orders that reduce a position still go through.",
                value=str(placed),
                limit=str(most),
            )
        return self.passed(value=str(placed), limit=str(most))


class DailyTrades(Rule):
    code = "G10"
    name = "DAILY_TRADES"
    title = "Opening orders per trade date"
    guards = "Overtrading."
    message = "You have placed {n} opening orders on this trade date; the limit is {limit}."
    exempts_exits = True
    limits = ("max_daily_trades",)

    def check(self, context: RiskContext) -> CheckResult:
        if context.replacement is not None:
            return self.not_applicable("A change of an order is not a new one.")
        most, placed = context.limits.count("max_daily_trades"), context.counts.opening_orders_today
        if placed >= most:
            return self.refuse(
                f"This account has placed {placed} opening orders on trade date {context.trade_date}; the "
                f"limit is {most}. You can still close positions.",
                value=str(placed),
                limit=str(most),
            )
        return self.passed(value=str(placed), limit=str(most))
