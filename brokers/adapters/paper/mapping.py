"""The practice broker's wire form: what its event stream and its answers hold, and how we read them. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from brokers.enums import BrokerOrderStatus, ExecType, OrderClass, OrderType, Side, TimeInForce
from brokers.types import BrokerExecution, BrokerOrder, ExecutionReport, StreamEvent, format_decimal

if TYPE_CHECKING:
    from brokers.adapters.paper.models import PracticeExecution, PracticeOrder

EVENT_TYPES: Mapping[str, ExecType] = {
    "new": ExecType.NEW,
    "held": ExecType.STATUS,
    "restated": ExecType.STATUS,
    "fill": ExecType.TRADE,
    "partial_fill": ExecType.TRADE,
    "canceled": ExecType.CANCELED,
    "expired": ExecType.EXPIRED,
    "replaced": ExecType.REPLACED,
}
_DECIMALS = (
    "quantity",
    "notional",
    "limit_price",
    "stop_price",
    "trail_amount",
    "trail_percent",
    "cum_qty",
    "avg_px",
)
_TEXTS = (
    "client_order_id",
    "symbol",
    "side",
    "order_type",
    "time_in_force",
    "order_class",
    "status",
    "replaces",
    "replaced_by",
)


def describe_order(order: "PracticeOrder", legs: Sequence["PracticeOrder"] = ()) -> dict[str, Any]:
    """Return the order as JSON-ready data, with its exits."""
    return {
        "id": str(order.pk),
        **{name: str(getattr(order, name)) for name in _TEXTS},
        **{name: format_decimal(getattr(order, name)) for name in _DECIMALS},
        "extended_hours": order.extended_hours,
        "reason": order.end_reason,
        "submitted_at": order.submitted_at.isoformat(),
        "updated_at": order.updated_at.isoformat(),
        "legs": [describe_order(leg) for leg in legs],
    }


def describe_event(
    kind: str, order: dict[str, Any], *, at: datetime, execution: "PracticeExecution | None" = None
) -> dict[str, Any]:
    """Return one message of the event stream."""
    payload = {"event": kind, "at": at.isoformat(), "order": order, "execution": None}
    if execution is not None:
        payload["execution"] = {
            "id": str(execution.pk),
            "quantity": format_decimal(execution.last_qty),
            "price": format_decimal(execution.last_px),
            "cum_qty": format_decimal(execution.cum_qty),
        }
    return payload


def read_order(data: Mapping[str, Any]) -> BrokerOrder:
    """Read what `describe_order` wrote."""
    numbers = {name: _decimal(data[name]) for name in _DECIMALS}
    cum_qty = numbers.pop("cum_qty") or Decimal(0)
    return BrokerOrder(
        broker_order_id=data["id"],
        client_order_id=data["client_order_id"],
        symbol=data["symbol"],
        side=Side(data["side"]),
        order_type=OrderType(data["order_type"]),
        time_in_force=TimeInForce(data["time_in_force"]),
        order_class=OrderClass(data["order_class"]),
        status=BrokerOrderStatus(data["status"]),
        extended_hours=data["extended_hours"],
        submitted_at=datetime.fromisoformat(data["submitted_at"]),
        updated_at=datetime.fromisoformat(data["updated_at"]),
        replaces=data["replaces"],
        replaced_by=data["replaced_by"],
        reject_reason=data["reason"],
        legs=tuple(read_order(leg) for leg in data["legs"]),
        cum_qty=cum_qty,
        raw=data,
        **numbers,
    )


def read_event(event: StreamEvent) -> list[ExecutionReport]:
    """Translate one stored message into execution reports."""
    payload = event.payload
    order = read_order(payload["order"])
    execution = payload.get("execution") or {}
    report = ExecutionReport(
        exec_type=EVENT_TYPES.get(payload["event"], ExecType.UNKNOWN),
        broker_order_id=order.broker_order_id,
        client_order_id=order.client_order_id,
        transact_time=datetime.fromisoformat(payload["at"]),
        order=order,
        exec_id=execution.get("id", ""),
        last_qty=_decimal(execution.get("quantity")),
        last_px=_decimal(execution.get("price")),
        cum_qty=order.cum_qty,
        avg_px=order.avg_px,
        commission=Decimal(0) if execution else None,
        replaced_by=order.replaced_by,
        text=order.reject_reason,
        raw=payload,
    )
    return [report]


def read_execution(row: "PracticeExecution") -> BrokerExecution:
    """Return a fill as the list of executions gives it; `row.order` is loaded."""
    return BrokerExecution(
        exec_id=str(row.pk),
        broker_order_id=str(row.order_id),
        symbol=row.order.symbol,
        side=Side(row.order.side),
        last_qty=row.last_qty,
        last_px=row.last_px,
        cum_qty=row.cum_qty,
        transact_time=row.executed_at,
        commission=Decimal(0),
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
