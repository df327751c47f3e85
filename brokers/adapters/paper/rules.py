"""Which orders the practice broker takes. Pure: each check raises `Rejected` with a code and a sentence."""

from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal

from brokers import calendar
from brokers.adapters.paper import constants
from brokers.enums import OrderClass, OrderType, Session, Side, TimeInForce
from brokers.exceptions import Rejected
from brokers.matching_terms import tick_size
from brokers.types import AssetInfo, OrderRequest, QuoteInfo, StopLoss, TakeProfit

LIMIT_TYPES = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})
STOP_TYPES = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})


@dataclass(frozen=True, slots=True)
class MarketView:
    """What the practice broker knows of a symbol at the moment of an order. No quote is None."""

    asset: AssetInfo
    quote: QuoteInfo | None
    session: Session
    now: datetime

    @property
    def last(self) -> Decimal | None:
        """Return the last price, or the middle of bid and ask where there is none."""
        return (self.quote.last or self.quote.mid) if self.quote else None


def check_request(request: OrderRequest, market: MarketView) -> None:
    """Run every check that needs no book."""
    if not market.asset.tradable:
        raise Rejected(f"{request.symbol} cannot be traded.", code="not_tradable")
    _check_combination(request)
    _check_size(request, market.asset)
    _check_prices(request)
    _check_trail(request)
    _check_extended_hours(request)
    _check_auction(request, market)
    _check_exits(request)
    _check_against_market(request, market)


def is_fractional(request: OrderRequest) -> bool:
    """Say whether the order is sized in dollars or in parts of a share."""
    return request.notional is not None or (
        request.quantity is not None and request.quantity != request.quantity.to_integral_value()
    )


def check_price(price: Decimal, name: str) -> None:
    """Refuse prices that are not positive or not on the tick grid (SEC Rule 612)."""
    if not price.is_finite() or price <= 0:
        raise Rejected(f"The {name} must be above zero.", code="bad_price")
    if price % tick_size(price) != 0:
        raise Rejected(
            f"The {name} {price} is not on the price grid: steps of 0.01 from one dollar up, 0.0001 below.",
            code="sub_penny",
        )


def entry_limit_price(request: OrderRequest) -> Decimal | None:
    """Return the limit price that the order itself works at; an OCO's is its take-profit's."""
    if request.order_class == OrderClass.OCO and request.take_profit is not None:
        return request.take_profit.limit_price
    return request.limit_price


def stop_buy_collar(stop_price: Decimal) -> Decimal:
    """Return the most that a stop buy may pay."""
    cheap = stop_price < constants.CHEAP_STOP
    factor = constants.CHEAP_STOP_COLLAR if cheap else constants.STOP_COLLAR
    price = stop_price * factor
    return price.quantize(tick_size(price))


def _check_combination(request: OrderRequest) -> None:
    rule = constants.CAPABILITIES.rule_for(request.order_type)
    if rule is None:
        raise Rejected("This order type does not exist here.", code="bad_order_type")
    if request.order_class not in rule.order_classes:
        raise Rejected(
            f"A {request.order_type.label.lower()} order cannot be {request.order_class.label.lower()}.",
            code="bad_order_class",
        )
    allowed = rule.fractional_times_in_force if is_fractional(request) else rule.times_in_force
    if request.order_class != OrderClass.SIMPLE:
        allowed &= {TimeInForce.DAY, TimeInForce.GTC}
    if request.time_in_force not in allowed:
        raise Rejected(
            f"This order cannot be {request.time_in_force.label.lower()}.", code="bad_time_in_force"
        )


def _check_size(request: OrderRequest, asset: AssetInfo) -> None:
    if (request.quantity is None) == (request.notional is None):
        raise Rejected("Give either a quantity or an amount.", code="bad_size")
    size = request.quantity if request.quantity is not None else request.notional
    if size is None or not size.is_finite() or size <= 0:
        raise Rejected("The size must be above zero.", code="bad_size")
    if request.notional is not None and request.notional < constants.MINIMUM_NOTIONAL:
        raise Rejected("The smallest amount is 1.00 USD.", code="below_minimum")
    if size != round(size, constants.QUANTITY_DECIMALS):
        raise Rejected("Sizes have at most nine decimals.", code="bad_size")
    if is_fractional(request):
        if not asset.fractionable:
            raise Rejected(f"{asset.symbol} trades in whole shares only.", code="not_fractionable")
        if request.order_class != OrderClass.SIMPLE:
            raise Rejected("Fractional orders cannot carry exits.", code="bad_order_class")


def _check_prices(request: OrderRequest) -> None:
    wants_limit = request.order_type in LIMIT_TYPES
    limit_price = entry_limit_price(request)
    if wants_limit != (limit_price is not None):
        raise Rejected("A limit price belongs to limit and stop-limit orders only.", code="bad_price")
    if (request.order_type in STOP_TYPES) != (request.stop_price is not None):
        raise Rejected("A stop price belongs to stop and stop-limit orders only.", code="bad_price")
    if limit_price is not None:
        check_price(limit_price, "limit price")
    if request.stop_price is not None:
        check_price(request.stop_price, "stop price")


def _check_trail(request: OrderRequest) -> None:
    given = [value for value in (request.trail_amount, request.trail_percent) if value is not None]
    if len(given) != (1 if request.order_type == OrderType.TRAILING_STOP else 0):
        raise Rejected(
            "A trailing stop has either an amount or a percentage; other orders have neither.",
            code="bad_trail",
        )
    if request.trail_amount is not None:
        check_price(request.trail_amount, "trailing amount")
    percent = request.trail_percent
    if percent is not None and not (
        constants.MINIMUM_TRAIL_PERCENT <= percent < constants.MAXIMUM_TRAIL_PERCENT
    ):
        raise Rejected("The trailing percentage must be from 0.1 to below 100.", code="bad_trail")


def _check_extended_hours(request: OrderRequest) -> None:
    if not request.extended_hours:
        return
    rule = constants.CAPABILITIES.rule_for(request.order_type)
    if rule is None or request.time_in_force not in rule.extended_hours_times_in_force:
        raise Rejected(
            "Only day and good-till-canceled limit orders trade outside regular hours.",
            code="bad_extended_hours",
        )
    if request.order_class != OrderClass.SIMPLE:
        raise Rejected("Orders with exits trade in regular hours only.", code="bad_extended_hours")


def _check_auction(request: OrderRequest, market: MarketView) -> None:
    """Refuse auction orders in the hours when they are too late. A market that never closes has no such."""
    if calendar.session_at(market.now) != market.session:
        return
    refused = {
        TimeInForce.OPG: constants.OPEN_AUCTION_REFUSED,
        TimeInForce.CLS: constants.CLOSE_AUCTION_REFUSED,
    }.get(request.time_in_force)
    local = market.now.astimezone(calendar.NEW_YORK)
    if refused and calendar.is_trading_day(local.date()) and _within(local.time(), refused):
        raise Rejected(
            f"Orders {request.time_in_force.label.lower()} are not taken between "
            f"{refused[0]:%H:%M} and {refused[1]:%H:%M} New York time.",
            code="auction_closed",
        )


def _within(clock: time, span: tuple[time, time]) -> bool:
    return span[0] <= clock < span[1]


def _check_exits(request: OrderRequest) -> None:
    profit, stop = request.take_profit, request.stop_loss
    present = (profit is not None, stop is not None)
    wanted = {
        OrderClass.SIMPLE: {(False, False)},
        OrderClass.BRACKET: {(True, True)},
        OrderClass.OCO: {(True, True)},
        OrderClass.OTO: {(True, False), (False, True)},
    }[request.order_class]
    if present not in wanted:
        raise Rejected("The exits do not fit this kind of order.", code="bad_exits")
    if request.order_class != OrderClass.SIMPLE and request.quantity is None:
        raise Rejected("Orders with exits are sized in shares.", code="bad_exits")
    for price, name in _exit_prices(profit, stop):
        check_price(price, name)
    _check_exit_sides(request)


def _exit_prices(profit: TakeProfit | None, stop: StopLoss | None) -> list[tuple[Decimal, str]]:
    prices = [(profit.limit_price, "take-profit price")] if profit else []
    if stop:
        prices.append((stop.stop_price, "stop-loss price"))
        if stop.limit_price is not None:
            prices.append((stop.limit_price, "stop-loss limit price"))
    return prices


def _check_exit_sides(request: OrderRequest) -> None:
    """For a long position the take-profit lies above the stop-loss, and both around the entry."""
    profit, stop = request.take_profit, request.stop_loss
    exit_side = request.side if request.order_class == OrderClass.OCO else _opposite(request.side)
    sign = 1 if exit_side == Side.SELL else -1
    if profit and stop and sign * (profit.limit_price - stop.stop_price) <= 0:
        raise Rejected("The take-profit and the stop-loss are on the wrong sides.", code="bad_exits")
    base = request.limit_price
    if base is None or request.order_class == OrderClass.OCO:
        return
    if stop and sign * (base - stop.stop_price) < constants.EXIT_DISTANCE:
        raise Rejected("The stop-loss must be on the losing side of the entry.", code="bad_exits")
    if profit and sign * (profit.limit_price - base) < constants.EXIT_DISTANCE:
        raise Rejected("The take-profit must be on the winning side of the entry.", code="bad_exits")


def _check_against_market(request: OrderRequest, market: MarketView) -> None:
    last = market.last
    if last is None:
        if request.order_type in (OrderType.MARKET, OrderType.TRAILING_STOP):
            raise Rejected(
                f"There is no price for {request.symbol} right now, so the practice account cannot fill a "
                "market order. Use a limit order, or try again later.",
                code="no_quote",
            )
        return
    check_stop_side(request.side, request.stop_price, last)
    if request.order_class == OrderClass.OCO and request.stop_loss:
        check_stop_side(request.side, request.stop_loss.stop_price, last)
    elif request.stop_loss and request.limit_price is None:
        check_stop_side(_opposite(request.side), request.stop_loss.stop_price, last)


def check_stop_side(side: Side | str, stop_price: Decimal | None, last: Decimal) -> None:
    """Refuse a stop that the market has passed already."""
    if stop_price is None:
        return
    if side == Side.BUY and stop_price <= last:
        raise Rejected(f"A buy stop must be above the market ({last}).", code="stop_side")
    if side == Side.SELL and stop_price >= last:
        raise Rejected(f"A sell stop must be below the market ({last}).", code="stop_side")


def _opposite(side: Side) -> Side:
    return Side.SELL if side == Side.BUY else Side.BUY
