"""Between a stored order and the request that goes to a broker; ids and changes included."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from brokers.enums import OrderClass, OrderType, Side, TimeInForce
from brokers.types import OrderRequest, ReplaceRequest, StopLoss, TakeProfit, format_decimal
from orders.models import Order


def client_order_id_for(order_id: UUID) -> str:
    """Return the id a broker knows the order by: 32 hex digits, the same for ever and everywhere."""
    return order_id.hex


def replace_client_order_id(order: Order, number: int) -> str:
    """Return the client id of the order's n-th replace, derived so that a repeat derives it again."""
    return uuid5(order.pk, f"replace:{number}").hex


def request_of(order: Order) -> OrderRequest:
    """Return the wire fields of a stored order as they stand now."""
    take_profit = order.take_profit_limit_price
    stop_loss = order.stop_loss_stop_price
    return OrderRequest(
        symbol=order.symbol,
        side=Side(order.side),
        order_type=OrderType(order.order_type),
        time_in_force=TimeInForce(order.time_in_force),
        quantity=order.quantity,
        notional=order.notional,
        limit_price=order.limit_price,
        stop_price=order.stop_price,
        trail_amount=order.trail_amount,
        trail_percent=order.trail_percent,
        extended_hours=order.extended_hours,
        order_class=OrderClass(order.order_class),
        take_profit=None if take_profit is None else TakeProfit(limit_price=take_profit),
        stop_loss=(
            None
            if stop_loss is None
            else StopLoss(stop_price=stop_loss, limit_price=order.stop_loss_limit_price)
        ),
    )


def order_fields(request: OrderRequest) -> dict[str, Any]:
    """Return the model fields that keep `request`."""
    return {
        "symbol": request.symbol,
        "side": request.side,
        "order_type": request.order_type,
        "time_in_force": request.time_in_force,
        "quantity": request.quantity,
        "notional": request.notional,
        "limit_price": request.limit_price,
        "stop_price": request.stop_price,
        "trail_amount": request.trail_amount,
        "trail_percent": request.trail_percent,
        "extended_hours": request.extended_hours,
        "order_class": request.order_class,
        "take_profit_limit_price": request.take_profit.limit_price if request.take_profit else None,
        "stop_loss_stop_price": request.stop_loss.stop_price if request.stop_loss else None,
        "stop_loss_limit_price": request.stop_loss.limit_price if request.stop_loss else None,
    }


def changes_to_json(changes: ReplaceRequest) -> dict[str, str]:
    """Write the changed fields of a replace as text; unchanged ones are left out."""
    numbers = {name: getattr(changes, name) for name in ("quantity", "limit_price", "stop_price", "trail")}
    written = {name: format_decimal(value) or "" for name, value in numbers.items() if value is not None}
    if changes.time_in_force is not None:
        written["time_in_force"] = str(changes.time_in_force)
    return written


def changes_from_json(data: dict[str, str]) -> ReplaceRequest:
    def number(name: str) -> Decimal | None:
        return Decimal(data[name]) if name in data else None

    tif = data.get("time_in_force")
    return ReplaceRequest(
        quantity=number("quantity"),
        limit_price=number("limit_price"),
        stop_price=number("stop_price"),
        trail=number("trail"),
        time_in_force=TimeInForce(tif) if tif else None,
    )
