"""C: is the order well formed, number by number?"""

import re
from decimal import Decimal

from brokers.enums import Side
from brokers.types import OrderRequest
from risk.exposure import LARGEST_AMOUNT, LARGEST_PRICE, LARGEST_QUANTITY, closable_quantity, reduces_position
from risk.facts import InstrumentFacts, InstrumentProblem, Purpose
from risk.rules.base import MissingData, Rule
from risk.types import CheckResult, Finding, RiskContext
from risk.wording import as_typed, decimals, exact_seconds, moment, need, plain, seconds, shorten

MOST_DECIMALS = 9
DOLLAR = Decimal(1)
CENT = Decimal("0.01")
SUB_PENNY = Decimal("0.0001")


class SymbolKnown(Rule):
    code = "C01"
    name = "SYMBOL"
    title = "Symbol"
    guards = "Unknown, inactive and over-the-counter securities."
    message = "{symbol} cannot be traded at {broker}."
    missing = MissingData.REFUSE_OPENING
    limits = ("instrument_max_age", "allow_otc")

    def check(self, context: RiskContext) -> CheckResult:
        symbol, broker = context.order.request.symbol, context.capabilities.display_name
        instrument = context.instrument
        if context.instrument_problem == InstrumentProblem.UNKNOWN:
            return self.refuse(f"{broker} knows no security {symbol}. Check the symbol.", field="symbol")
        if instrument is None:
            return self.lacks(
                context, f"{broker} could not say whether {symbol} can be traded. Try again soon."
            )
        if instrument.symbol != symbol:
            return self.refuse(f"{symbol} is listed as {instrument.symbol}. Use that symbol.", field="symbol")
        if not instrument.tradable:
            return self.refuse(f"{symbol} cannot be traded at {broker}.", field="symbol")
        return self._check_age(context, instrument)

    def _check_age(self, context: RiskContext, instrument: InstrumentFacts) -> CheckResult:
        age, oldest = context.now - instrument.checked_at, context.limits.seconds("instrument_max_age")
        if age > oldest:
            return self.lacks(
                context,
                f"What we know of {instrument.symbol} is {seconds(age)} old, at most {seconds(oldest)} is "
                "accepted. Try again soon.",
                value=exact_seconds(age),
                limit=context.limits.get("instrument_max_age").value,
            )
        if instrument.otc and not context.limits.is_on("allow_otc") and not reduces_position(context):
            return self.refuse(
                f"{instrument.symbol} trades over the counter, which is switched off here. "
                "You can still sell what you hold.",
                field="symbol",
                limit="off",
            )
        return self.passed(f"{instrument.symbol} can be traded.")


class QuantityAllowed(Rule):
    code = "C03"
    name = "QTY"
    title = "Quantity"
    guards = "Zero, negative, absurd and over-precise sizes, and fractions where they are not possible."
    message = "Quantity {q} is not allowed: {rule}."
    missing = MissingData.REFUSE

    def check(self, context: RiskContext) -> CheckResult:
        request = context.order.request
        problems = []
        if request.quantity is not None:
            problem = self._quantity_problem(context, request.quantity)
            if problem:
                problems.append(self._finding("quantity", request.quantity, problem))
        if request.notional is not None:
            problem = self._notional_problem(context, request.notional)
            if problem:
                problems.append(self._finding("notional", request.notional, problem))
        return self.report(problems)

    def _finding(self, field: str, number: Decimal, problem: str) -> Finding:
        word = "Quantity" if field == "quantity" else "Amount"
        typed = as_typed(number)
        return self.finding(f"{word} {typed} is not allowed: {problem}.", value=typed, field=field)

    def _quantity_problem(self, context: RiskContext, quantity: Decimal) -> str:
        if not quantity.is_finite():
            return "it must be a number"
        if quantity <= 0:
            return "it must be above zero"
        if quantity > LARGEST_QUANTITY:
            return f"it must be at most {LARGEST_QUANTITY:,} shares"
        most = min(MOST_DECIMALS, context.capabilities.quantity_decimals)
        if decimals(quantity) > most:
            return f"at most {most} decimals are accepted"
        replacement = context.replacement
        if replacement is not None and quantity <= replacement.cum_qty:
            filled = plain(replacement.cum_qty)
            return f"{filled} shares have filled already, so the new total must be above {filled}"
        return self._fraction_problem(context) if decimals(quantity) else ""

    def _notional_problem(self, context: RiskContext, notional: Decimal) -> str:
        if not notional.is_finite():
            return "it must be a number"
        if notional <= 0:
            return "it must be above zero"
        if notional > LARGEST_AMOUNT:
            return "it is absurdly large"
        broker = context.capabilities.display_name
        if not context.capabilities.notional:
            return f"{broker} takes orders in shares only"
        if decimals(notional) > 2:
            return "an amount has at most two decimals"
        smallest = context.capabilities.notional_minimum
        if smallest is not None and notional < smallest:
            return f"{broker} takes amounts of at least {need(smallest, context.account.currency)}"
        return self._fraction_problem(context)

    @staticmethod
    def _fraction_problem(context: RiskContext) -> str:
        """Say why part of a share is not possible; empty if it is."""
        symbol, instrument = context.order.request.symbol, context.instrument
        if not context.capabilities.fractional:
            return f"{context.capabilities.display_name} takes whole shares only"
        if instrument is None:
            return f"it is not known whether {symbol} can be traded in fractions, so use whole shares"
        if not instrument.fractionable:
            return f"{symbol} trades in whole shares only"
        is_short = context.order.request.side == Side.SELL and closable_quantity(context) == 0
        return "short sales are in whole shares only" if is_short else ""


class PriceOnGrid(Rule):
    """SEC Rule 612: no quoting below a cent at or above one dollar, nor below $0.0001 under it."""

    code = "C04"
    name = "TICK"
    title = "Price steps"
    guards = "Prices that no exchange accepts."
    message = "{field} {price} must be in steps of {tick}."

    def check(self, context: RiskContext) -> CheckResult:
        findings = [
            finding
            for field, price in priced_fields(context.order.request)
            if (finding := self._judge(field, price)) is not None
        ]
        return self.report(findings)

    def _judge(self, field: str, price: Decimal) -> Finding | None:
        word, typed = field.replace("_", " ").capitalize(), as_typed(price)
        if not price.is_finite() or price <= 0:
            return self.finding(f"{word} {typed} must be a number above zero.", value=typed, field=field)
        if price > LARGEST_PRICE:
            return self.finding(
                f"{word} {typed} is beyond {LARGEST_PRICE:,}.",
                value=typed,
                limit=plain(LARGEST_PRICE),
                field=field,
            )
        tick = CENT if price >= DOLLAR else SUB_PENNY
        if decimals(price) <= decimals(tick):
            return None
        above = "at or above" if price >= DOLLAR else "below"
        return self.finding(
            f"{word} {typed} must be in steps of {tick}, because it is {above} $1.",
            value=typed,
            limit=str(tick),
            field=field,
        )


def priced_fields(request: OrderRequest) -> list[tuple[str, Decimal]]:
    """Return every price of an order with the name of its field."""
    fields = {
        "limit_price": request.limit_price,
        "stop_price": request.stop_price,
        "take_profit_limit_price": request.take_profit.limit_price if request.take_profit else None,
        "stop_loss_stop_price": request.stop_loss.stop_price if request.stop_loss else None,
        "stop_loss_limit_price": request.stop_loss.limit_price if request.stop_loss else None,
    }
    return [(field, price) for field, price in fields.items() if price is not None]


class NotExpired(Rule):
    code = "C07"
    name = "EXPIRY"
    title = "Time to send"
    guards = "Sending what was asked for too long ago."
    message = "This request expired at {time}."
    missing = MissingData.REFUSE
    limits = ("market_order_ttl", "limit_order_ttl")

    def check(self, context: RiskContext) -> CheckResult:
        expires_at = context.order.expires_at
        if expires_at is None:
            if context.purpose is Purpose.PREVIEW:
                return self.not_applicable("A preview does not expire.")
            return self.lacks(context, "This request has no time until which it may be sent. Place it again.")
        if expires_at <= context.now:
            return self.refuse(
                f"This request expired {moment(expires_at)} and was not sent. Place it again if you "
                "still want it.",
                value=context.now.isoformat(),
                limit=expires_at.isoformat(),
            )
        return self.passed(value=context.now.isoformat(), limit=expires_at.isoformat())


class ClientIdFormat(Rule):
    code = "C08"
    name = "CLIENT_ID"
    title = "Order id"
    guards = "Ids that the broker would refuse or cut."
    message = "The order id does not fit {broker}."
    missing = MissingData.REFUSE

    def check(self, context: RiskContext) -> CheckResult:
        client_order_id = context.order.client_order_id
        if not client_order_id:
            if context.purpose is Purpose.PREVIEW:
                return self.not_applicable("A preview has no order id.")
            return self.lacks(context, "The order has no id. Place it again.")
        form = context.capabilities.client_order_id_format
        if len(client_order_id) > form.max_length or not re.fullmatch(f"[{form.alphabet}]+", client_order_id):
            return self.refuse(
                f"The order id {shorten(client_order_id)} does not fit {context.capabilities.display_name}: "
                f"at most {form.max_length} characters of {form.alphabet}.",
                value=str(len(client_order_id)),
                limit=str(form.max_length),
            )
        return self.passed(value=str(len(client_order_id)), limit=str(form.max_length))
