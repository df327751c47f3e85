"""What an order holds back of cash and shares while it may still fill.

`Order.reserved_cash` and `Order.reserved_qty` keep what the gate reserved at the decision; what is left of
it follows from what has filled.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from brokers.enums import OrderType, Side
from brokers.types import OrderRequest, QuoteInfo
from orders.enums import LegRole, OrderOrigin
from orders.models import Order

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Reservation:
    cash: Decimal
    quantity: Decimal


def estimate_price(request: OrderRequest, quote: QuoteInfo | None) -> Decimal | None:
    """Return a price to size an order with: its limit, else the far side of the quote or its trigger."""
    if request.limit_price is not None:
        return request.limit_price
    far_side = None
    if quote is not None:
        far_side = (quote.ask if request.side is Side.BUY else quote.bid) or quote.last
    if request.stop_price is not None and request.side is Side.BUY:
        return max(request.stop_price, far_side or ZERO)
    return request.stop_price if request.order_type is OrderType.STOP and far_side is None else far_side


def remaining_reservation(order: Order) -> Reservation:
    """Return what an unfinished order still holds back. A stop-loss leg shares its sibling's shares."""
    if order.is_closed or (order.origin == OrderOrigin.LEG and order.leg_role == LegRole.STOP_LOSS):
        return Reservation(cash=ZERO, quantity=ZERO)
    if order.quantity:
        left = max(order.quantity - order.cum_qty, ZERO) / order.quantity
        return Reservation(cash=order.reserved_cash * left, quantity=order.reserved_qty * left)
    spent = order.cum_qty * (order.avg_px or ZERO)
    return Reservation(cash=max(order.reserved_cash - spent, ZERO), quantity=order.reserved_qty)


def sum_reservations(orders: Iterable[Order]) -> Reservation:
    parts = [remaining_reservation(order) for order in orders]
    return Reservation(
        cash=sum((part.cash for part in parts), ZERO), quantity=sum((part.quantity for part in parts), ZERO)
    )
