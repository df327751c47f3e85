"""How the simulated broker writes orders on its stream, and how its adapter reads them back."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from brokers.enums import BrokerOrderStatus, OrderClass, OrderType, Side, TimeInForce
from brokers.types import BrokerOrder, format_decimal

_DECIMALS = ("quantity", "limit_price", "stop_price", "avg_px")


def write_order(order: BrokerOrder) -> dict[str, Any]:
    """Return the order as JSON."""
    written: dict[str, Any] = {name: format_decimal(getattr(order, name)) for name in _DECIMALS}
    return written | {
        "id": order.broker_order_id,
        "client_id": order.client_order_id,
        "symbol": order.symbol,
        "side": str(order.side),
        "type": str(order.order_type),
        "tif": str(order.time_in_force),
        "status": str(order.status),
        "cum_qty": format_decimal(order.cum_qty),
        "submitted_at": order.submitted_at.isoformat() if order.submitted_at else None,
        "updated_at": order.updated_at.isoformat() if order.updated_at else None,
        "replaces": order.replaces,
        "replaced_by": order.replaced_by,
    }


def read_order(data: Mapping[str, Any]) -> BrokerOrder:
    """Return the order that `write_order` wrote."""

    def number(name: str) -> Decimal | None:
        return None if data[name] is None else Decimal(data[name])

    def moment(name: str) -> datetime | None:
        return None if data[name] is None else datetime.fromisoformat(data[name])

    return BrokerOrder(
        broker_order_id=data["id"],
        client_order_id=data["client_id"],
        symbol=data["symbol"],
        side=Side(data["side"]),
        order_type=OrderType(data["type"]),
        time_in_force=TimeInForce(data["tif"]),
        status=BrokerOrderStatus(data["status"]),
        quantity=number("quantity"),
        notional=None,
        limit_price=number("limit_price"),
        stop_price=number("stop_price"),
        trail_amount=None,
        trail_percent=None,
        extended_hours=False,
        order_class=OrderClass.SIMPLE,
        cum_qty=Decimal(data["cum_qty"]),
        avg_px=number("avg_px"),
        submitted_at=moment("submitted_at"),
        updated_at=moment("updated_at"),
        replaces=data["replaces"],
        replaced_by=data["replaced_by"],
    )
