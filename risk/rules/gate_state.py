"""A: may anything be sent at all?"""

from risk.enums import HaltKind, HaltScope
from risk.exposure import reduces_position
from risk.facts import HaltFacts, UnconfirmedOrderFacts
from risk.rules.base import Rule
from risk.types import CheckResult, RiskContext
from risk.wording import moment

WIDEST_FIRST = [scope.value for scope in HaltScope]


def _widest(context: RiskContext, kind: HaltKind) -> HaltFacts | None:
    halts = [halt for halt in context.halts if halt.kind == kind.value]
    return min(halts, key=lambda halt: WIDEST_FIRST.index(halt.scope), default=None)


def _covers(halt: HaltFacts, context: RiskContext) -> str:
    return {
        HaltScope.PLATFORM.value: "the whole platform",
        HaltScope.BROKER.value: context.capabilities.display_name,
        HaltScope.USER.value: "all your accounts",
        HaltScope.ACCOUNT.value: context.account.label,
    }[halt.scope]


def _by(halt: HaltFacts) -> str:
    by_operator = halt.scope in (HaltScope.PLATFORM.value, HaltScope.BROKER.value)
    return "the operator" if by_operator else halt.started_by


class TradingHalted(Rule):
    code = "A01"
    name = "KILL"
    title = "Trading stop"
    guards = "Opening positions after somebody has stopped trading."
    message = "Trading is stopped for {scope} since {time} by {who}: {reason}."
    exempts_exits = True

    def check(self, context: RiskContext) -> CheckResult:
        halt = _widest(context, HaltKind.HALTED)
        if halt is None:
            return self.passed("No trading stop is active.")
        return self.refuse(
            f"Trading is stopped for {_covers(halt, context)} since {moment(halt.started_at)} "
            f"by {_by(halt)}: {halt.reason}. You can still cancel orders and close positions.",
            value=halt.scope,
        )


class ReduceOnly(Rule):
    code = "A02"
    name = "REDUCE_ONLY"
    title = "Reduce-only"
    guards = "Opening positions while they may only get smaller."
    message = "Only orders that reduce {symbol} are allowed for {scope} since {time}: {reason}."
    exempts_exits = True

    def check(self, context: RiskContext) -> CheckResult:
        halt = _widest(context, HaltKind.REDUCE_ONLY)
        if halt is None:
            return self.passed("Opening positions is allowed.")
        return self.refuse(
            f"Only orders that reduce {context.order.request.symbol} are allowed for "
            f"{_covers(halt, context)} since {moment(halt.started_at)}: {halt.reason}.",
            value=halt.scope,
        )


class UnconfirmedOrder(Rule):
    code = "A05"
    name = "UNKNOWN_ORDER"
    title = "Unconfirmed orders"
    guards = "Sending more while it is not known whether an earlier order reached the market."
    message = "Order {id} for {symbol} is unconfirmed at {broker}."

    def check(self, context: RiskContext) -> CheckResult:
        others = [order for order in context.unconfirmed_orders if not self._is_own(order, context)]
        symbol = context.order.request.symbol
        same = next((order for order in others if order.symbol == symbol), None)
        if same is not None:
            return self.refuse(
                self._message(same, context, f"Nothing more is sent for {symbol}"), value=same.id
            )
        if not others:
            return self.passed("Every order's outcome is known.")
        if reduces_position(context):
            # The doubt is about another symbol: it clouds the cash but not this holding.
            return self.passed("An order for another symbol is unconfirmed; reductions may go on.")
        return self.refuse(self._message(others[0], context, "No position is opened"), value=others[0].id)

    @staticmethod
    def _is_own(order: UnconfirmedOrderFacts, context: RiskContext) -> bool:
        return order.client_order_id == context.order.client_order_id

    @staticmethod
    def _message(order: UnconfirmedOrderFacts, context: RiskContext, consequence: str) -> str:
        since = f" since {moment(order.since)}" if order.since else ""
        return (
            f"Order {order.id} for {order.symbol} is unconfirmed at "
            f"{context.capabilities.display_name}{since}: it may or may not have been placed. "
            f"{consequence} until that is known. You can cancel orders."
        )
