"""D: is the market there, and do we know its price?"""

from datetime import timedelta

from brokers.enums import OrderType, Session, TimeInForce
from risk.exposure import is_live_market, quote_age_limit, reduces_position, usable_price
from risk.facts import SessionFacts
from risk.rules.base import MissingData, Rule
from risk.types import CheckResult, RiskContext, Severity
from risk.wording import exact_seconds, moment, seconds

CLOSING_AUCTION_CUTOFF = timedelta(minutes=15, seconds=30)
OPENING_AUCTION_CUTOFF = timedelta(minutes=2)
IMMEDIATE = frozenset({TimeInForce.IOC, TimeInForce.FOK})
AUCTIONS = frozenset({TimeInForce.OPG, TimeInForce.CLS})


class MarketOpen(Rule):
    """An order that would wait is asked about; a market order that would wait is refused, because its
    price at the open is not known. To get out of a position, waiting is the lesser evil: there it asks."""

    code = "D01"
    name = "SESSION"
    title = "Market hours"
    guards = "Orders that cannot trade now."
    message = "The market is closed; it opens {time}."
    severities = (Severity.SOFT, Severity.HARD)
    missing = MissingData.REFUSE_OPENING

    def check(self, context: RiskContext) -> CheckResult:
        request, session = context.order.request, context.session
        if context.capabilities.always_open:
            return self.passed("This account trades at any hour.")
        if session is None:
            return self.lacks(context, "It is not known whether the market is open. Try again soon.")
        if request.time_in_force == TimeInForce.OPG:
            return self._check_opening_auction(context, session)
        if request.time_in_force == TimeInForce.CLS and session.is_open:
            return self._check_closing_auction(context, session)
        if session.is_open:
            return self.passed("The market is open.", value=session.session.value)
        if request.extended_hours:
            return self._check_extended(context, session)
        return self._check_closed(context, session)

    def _check_opening_auction(self, context: RiskContext, session: SessionFacts) -> CheckResult:
        if session.is_open:
            return self.refuse(
                f"The opening auction is over; the next one is {_opens(session)}. Use another time in force, "
                "or place the order after the close.",
                field="time_in_force",
            )
        if session.next_open is not None and session.next_open - context.now < OPENING_AUCTION_CUTOFF:
            return self.refuse(
                "Orders for the opening auction are taken until 2 minutes before it. Place the order after "
                "the open.",
                limit=seconds(OPENING_AUCTION_CUTOFF),
                field="time_in_force",
            )
        return self.passed(f"The order takes part in the opening auction {_opens(session)}.")

    def _check_closing_auction(self, context: RiskContext, session: SessionFacts) -> CheckResult:
        if session.next_close is None:
            return self.passed("The market is open.")
        left = session.next_close - context.now
        if left < CLOSING_AUCTION_CUTOFF:
            return self.refuse(
                f"The market closes in {seconds(left)}; orders for the closing auction are taken until "
                "15 min 30 s before. Use another time in force.",
                value=str(left // timedelta(seconds=1)),
                limit=str(CLOSING_AUCTION_CUTOFF // timedelta(seconds=1)),
                field="time_in_force",
            )
        return self.passed("The closing auction is still ahead.")

    def _check_extended(self, context: RiskContext, session: SessionFacts) -> CheckResult:
        if session.session in (Session.PRE, Session.POST):
            return self.passed("Extended hours are open.", value=session.session.value)
        trades_overnight = context.instrument is not None and context.instrument.overnight_tradable is True
        if session.session == Session.OVERNIGHT and trades_overnight:
            return self.passed("The overnight session is open.", value=session.session.value)
        if context.order.request.time_in_force in IMMEDIATE:
            return self._refuse_immediate(session)
        return self.ask(
            f"{context.order.request.symbol} does not trade now. This order will wait for the next session "
            f"with extended hours; the regular session opens {_opens(session)}.",
            value=session.session.value,
        )

    def _check_closed(self, context: RiskContext, session: SessionFacts) -> CheckResult:
        request = context.order.request
        if request.time_in_force in IMMEDIATE:
            return self._refuse_immediate(session)
        is_open_priced = request.order_type == OrderType.MARKET and request.time_in_force not in AUCTIONS
        if is_open_priced and not reduces_position(context):
            return self.refuse(
                f"The market is closed; it opens {_opens(session)}. A market order would fill at whatever "
                "the first price is. Use a limit order, which can wait for the open.",
                value=session.session.value,
                field="order_type",
            )
        price = " and then fill at whatever the first price is" if is_open_priced else ""
        return self.ask(
            f"The market is closed; it opens {_opens(session)}. This order will wait until the open{price}.",
            value=session.session.value,
        )

    def _refuse_immediate(self, session: SessionFacts) -> CheckResult:
        return self.refuse(
            f"The market is closed; it opens {_opens(session)}. An order that must fill at once cannot wait.",
            value=session.session.value,
            field="time_in_force",
        )


def _opens(session: SessionFacts) -> str:
    return moment(session.next_open) if session.next_open else "at the next session"


class QuoteFresh(Rule):
    code = "D05"
    name = "QUOTE_AGE"
    title = "Fresh price"
    guards = "Opening a position on an old or one-sided price."
    message = "There is no fresh price for {symbol}: {age}."
    missing = MissingData.REFUSE_OPENING
    exempts_exits = True
    limits = ("quote_max_age_core", "quote_max_age_extended", "quote_max_age_overnight")

    def check(self, context: RiskContext) -> CheckResult:
        symbol, quote = context.order.request.symbol, context.quote
        if not context.quote_configured:
            return self.not_checked("This account has no price feed.")
        if not is_live_market(context):
            return self.not_applicable("The order waits for a session; it is valued at the last known price.")
        if quote is None:
            return self.lacks(context, f"There is no price for {symbol} at the moment. Try again soon.")
        limit = context.limits.get(quote_age_limit(context)).value
        age, oldest = context.now - quote.as_of, context.limits.seconds(quote_age_limit(context))
        value = exact_seconds(age)
        if age > oldest:
            return self.lacks(
                context,
                f"There is no fresh price for {symbol}: the newest quote is {seconds(age)} old, at most "
                f"{seconds(oldest)} is accepted. Try again soon.",
                value=value,
                limit=limit,
            )
        if -age > oldest:
            return self.lacks(
                context,
                f"The newest quote of {symbol} is {seconds(-age)} ahead of our clock, so it is not trusted.",
                value=value,
                limit=limit,
            )
        if usable_price(quote.bid) is None or usable_price(quote.ask) is None:
            return self.lacks(
                context, f"{symbol} has no price on one side of the market at the moment. Try again soon."
            )
        return self.passed("The quote is fresh.", value=value, limit=limit)
