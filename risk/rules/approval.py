"""I: which orders wait for their owner's approval, and what holds when it is given.

An approval is of one hash. It is judged again with the market of now, so these rules and all others run a
second time when it is given (purpose APPROVE) and a third time before the order is sent.
"""

from decimal import Decimal

from brokers.enums import Environment
from risk.exposure import is_sized, order_value, quoted_price
from risk.facts import Purpose
from risk.limit_catalogue import LARGEST_MONEY
from risk.rules.base import MissingData, Rule
from risk.types import CheckResult, RiskContext, Severity
from risk.wording import moment, need, percent, plain, room

CHANGE_NEEDS_APPROVAL = "A change would be a new order to approve. Cancel the order and place it anew."


class PilotOrder(Rule):
    """The value has to be known here, feed or no feed: the pilot phase guards real money."""

    code = "I01"
    name = "PILOT"
    title = "First live orders"
    guards = "Large or unseen orders while trading with real money is new to an account."
    message = "This is live order {n} of the first {limit}: it waits for your approval."
    severities = (Severity.APPROVAL, Severity.HARD)
    missing = MissingData.REFUSE_OPENING
    exempts_exits = True
    limits = ("pilot_orders", "pilot_order_value")

    def check(self, context: RiskContext) -> CheckResult:
        if context.account.environment != Environment.LIVE:
            return self.not_applicable("Only live accounts have a pilot phase.")
        first, so_far = context.limits.count("pilot_orders"), context.counts.live_opening_orders
        if so_far >= first:
            return self.passed("The pilot phase of this account is over.", limit=str(first))
        if context.replacement is not None:
            return self.refuse(
                f"This account is in its first {first} live orders, each of which you approve. "
                f"{CHANGE_NEEDS_APPROVAL}"
            )
        return self._judge(context, so_far + 1, first)

    def _judge(self, context: RiskContext, number: int, first: int) -> CheckResult:
        value, largest = order_value(context), context.limits.number("pilot_order_value")
        currency = context.account.currency
        if value is None and not is_sized(context):
            return self.not_checked("The order's size is malformed, so it cannot be valued.")
        if value is None:
            return self.lacks(
                context,
                f"There is no price for {context.order.request.symbol}, and one of your first {first} live "
                f"orders may be worth at most {room(largest, currency)}. A limit order needs no price.",
            )
        if value > largest:
            return self.refuse(
                f"This order is worth {need(value, currency)}; each of the first {first} live opening orders "
                f"of an account may be worth at most {room(largest, currency)}, and this is number {number}.",
                value=plain(value),
                limit=plain(largest),
                field="quantity",
            )
        return self.hold(
            f"This is live opening order {number} of the first {first} of this account: it waits for your "
            "approval before anything is sent.",
            value=str(number),
            limit=str(first),
        )


class ApprovalInTime(Rule):
    code = "I02"
    name = "APPROVAL_TTL"
    title = "Approval in time"
    guards = "Approving an order that was decided on too long ago."
    message = "The time to approve this order ended {t}."
    missing = MissingData.REFUSE
    limits = ("approval_ttl_market", "approval_ttl_limit")

    def check(self, context: RiskContext) -> CheckResult:
        if context.purpose is not Purpose.APPROVE:
            return self.not_applicable("Judged when an order is approved.")
        approval = context.approval
        if approval is None or not context.is_approved:
            return self.lacks(context, "There is no open request to approve exactly this order.")
        if approval.expires_at <= context.now:
            ended = moment(approval.expires_at)
            return self.refuse(f"The time to approve this order ended {ended}. Place it again.", value=ended)
        return self.passed(f"It could be approved until {moment(approval.expires_at)}.")


class PriceUnmoved(Rule):
    code = "I03"
    name = "APPROVAL_DRIFT"
    title = "Price since you were asked"
    guards = "Approving an order whose price has run away since it was shown."
    message = "{symbol} moved {x}% since your approval was asked for; at most {limit} is allowed."
    missing = MissingData.REFUSE_OPENING
    exempts_exits = True
    limits = ("approval_price_drift",)

    def check(self, context: RiskContext) -> CheckResult:
        if context.purpose is not Purpose.APPROVE:
            return self.not_applicable("Judged when an order is approved.")
        if not context.quote_configured:
            return self.not_checked("This account has no price feed, so a move cannot be seen.")
        seen = context.approval.reference_price if context.approval is not None else None
        price = quoted_price(context)
        symbol = context.order.request.symbol
        if price is None or not seen:
            return self.lacks(
                context,
                f"There is no price for {symbol} to compare with the one you were shown. Try again soon.",
            )
        return self._compare(context, seen, price)

    def _compare(self, context: RiskContext, seen: Decimal, price: Decimal) -> CheckResult:
        moved, most = abs(price - seen) / seen, context.limits.number("approval_price_drift")
        if moved <= most:
            return self.passed(value=plain(moved), limit=plain(most))
        return self.refuse(
            f"{context.order.request.symbol} was at {plain(seen)} when your approval was asked for and is at "
            f"{plain(price)} now, a move of {percent(moved, up=True)}; beyond {percent(most)} you are asked "
            "to look again.",
            value=plain(moved),
            limit=plain(most),
        )


class NeedsApproval(Rule):
    code = "I10"
    name = "APPROVAL_VALUE"
    title = "Orders to approve"
    guards = "Large orders that leave without a second look."
    message = "This order is worth {amount}; above {limit} it waits for your approval."
    severities = (Severity.APPROVAL, Severity.HARD)
    missing = MissingData.REFUSE_OPENING
    exempts_exits = True
    limits = ("approval_order_value",)

    def check(self, context: RiskContext) -> CheckResult:
        largest = context.limits.number("approval_order_value")
        if largest >= LARGEST_MONEY:
            return self.not_applicable("No value is set from which orders wait for approval.")
        value, currency = order_value(context), context.account.currency
        if value is None and not is_sized(context):
            return self.not_checked("The order's size is malformed, so it cannot be valued.")
        if value is None and context.quote_configured:
            symbol = context.order.request.symbol
            return self.lacks(context, f"There is no price for {symbol}, so the order cannot be valued.")
        if value is not None and value <= largest:
            return self.passed(value=plain(value), limit=plain(largest))
        worth = (
            f"This order is worth {need(value, currency)}; above {room(largest, currency)}"
            if value is not None
            else "This account has no price feed, so the order cannot be valued;"
        )
        if context.replacement is not None:
            return self.refuse(
                f"{worth} you approve each order. {CHANGE_NEEDS_APPROVAL}",
                value=plain(value),
                limit=plain(largest),
            )
        return self.hold(
            f"{worth} it waits for your approval before anything is sent.",
            value=plain(value),
            limit=plain(largest),
        )
