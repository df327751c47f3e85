"""The end of a replace: the broker gave the order a new id and new terms, or refused to.

To the user it stays one order. Facts about an id that has been superseded still count as fills, but no
longer close the order.
"""

from datetime import datetime
from decimal import Decimal

from brokers.enums import BrokerOrderStatus, ExecType, Side
from brokers.types import BrokerOrder, ExecutionReport
from orders.enums import OrderStatus, OutboxKind, OutboxStatus
from orders.journal import move_order, publish_order
from orders.models import Order, OrderAlias, OutboxMessage
from orders.services.adopt import remember_ids
from orders.state_machine import Trigger

ACTOR = "system:broker"
_CLOSING = frozenset({ExecType.CANCELED, ExecType.EXPIRED, ExecType.REJECTED})


def open_replace_message(order: Order) -> OutboxMessage | None:
    """Return the replace that is under way for `order`, even when a cancel was asked for meanwhile."""
    if order.status not in (OrderStatus.PENDING_REPLACE, OrderStatus.PENDING_CANCEL):
        return None
    message = (
        OutboxMessage.objects.filter(order=order, kind=OutboxKind.REPLACE)
        .exclude(status=OutboxStatus.DROPPED)
        .order_by("-id")
        .first()
    )
    if message is None or order.status == OrderStatus.PENDING_REPLACE:
        return message
    refused = message.status == OutboxStatus.DONE and bool(message.problem)
    return None if refused or _is_id_of(order, message, order.broker_order_id) else message


def has_known_id(message: OutboxMessage) -> bool:
    """Tell whether we know what the broker calls the order that this replace asked for."""
    return (
        OrderAlias.objects.filter(order=message.order_id, client_order_id=message.client_order_id)
        .exclude(broker_order_id="")
        .exists()
    )


def _is_id_of(order: Order, message: OutboxMessage, broker_order_id: str) -> bool:
    """Tell whether the broker gave this id to the order that the replace asked for."""
    return OrderAlias.objects.filter(
        order=order, client_order_id=message.client_order_id, broker_order_id=broker_order_id
    ).exists()


def is_superseded(order: Order, report: ExecutionReport) -> bool:
    """Tell whether the report closes an id that the order has left behind through a replace."""
    return (
        bool(report.broker_order_id)
        and bool(order.broker_order_id)
        and report.broker_order_id != order.broker_order_id
        and (report.exec_type in _CLOSING or report.exec_type is ExecType.REPLACED)
    )


def is_replacement(order: Order, report: ExecutionReport) -> bool:
    """Tell whether the report says how a replace ended, one asked here or at the broker's own app."""
    if report.exec_type is ExecType.REPLACED and report.broker_order_id == order.broker_order_id:
        return bool(report.replaced_by) and open_replace_message(order) is not None
    if not report.broker_order_id or report.broker_order_id == order.broker_order_id:
        return False
    if report.order is not None and report.order.status is BrokerOrderStatus.PENDING_NEW:
        return False  # received, and the order that it replaces may still fill first
    if report.order is not None and report.order.replaces and report.order.replaces == order.broker_order_id:
        return True
    message = open_replace_message(order)
    return message is not None and (
        report.client_order_id == message.client_order_id or _is_id_of(order, message, report.broker_order_id)
    )


def finish_replace(order: Order, report: ExecutionReport, *, at: datetime) -> None:
    """Give `order` its new id and terms, or put it back where it was when the broker refused."""
    message = open_replace_message(order)
    if report.exec_type is ExecType.REJECTED:
        remember_ids(
            order,
            broker_order_id=report.broker_order_id,
            client_order_id=message.client_order_id if message else report.client_order_id,
        )
        _close(message, at, problem=report.text)
        if order.status == OrderStatus.PENDING_REPLACE:
            move_order(order, Trigger.REPLACE_REFUSED, actor=ACTOR, at=at, data={"text": report.text[:300]})
            order.save()
            publish_order(order)
        return
    new_id = report.replaced_by or report.broker_order_id
    remember_ids(order, broker_order_id=order.broker_order_id, client_order_id="")
    remember_ids(
        order,
        broker_order_id=new_id,
        client_order_id=message.client_order_id if message else report.client_order_id,
    )
    before = _terms(order)
    if message is not None:
        _apply_changes(order, message.changes)
    elif report.order is not None:
        _apply_snapshot(order, report)
    order.broker_order_id = new_id
    _close(message, at)
    if order.status in (OrderStatus.PENDING_REPLACE, OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED):
        move_order(
            order,
            Trigger.REPLACED,
            actor=ACTOR,
            at=at,
            data={"before": before, "after": _terms(order), "id": new_id},
        )
    order.save()
    publish_order(order)


def _close(message: OutboxMessage | None, at: datetime, *, problem: str = "") -> None:
    if message is not None:
        OutboxMessage.objects.filter(pk=message.pk).update(
            status=OutboxStatus.DONE, done_at=at, problem=problem[:300]
        )


def _apply_changes(order: Order, changes: dict[str, str]) -> None:
    for name in ("quantity", "limit_price", "stop_price"):
        if changes.get(name) is not None:
            setattr(order, name, Decimal(changes[name]))
    if changes.get("trail") is not None:
        name = "trail_amount" if order.trail_amount is not None else "trail_percent"
        setattr(order, name, Decimal(changes["trail"]))
    if changes.get("time_in_force"):
        order.time_in_force = changes["time_in_force"]
    _reserve_again(order)


def _apply_snapshot(order: Order, report: ExecutionReport) -> None:
    snapshot = report.order
    if snapshot is None:
        return
    order.quantity = _total_quantity(order, snapshot, report.last_qty or Decimal(0))
    order.limit_price = snapshot.limit_price
    order.stop_price = snapshot.stop_price
    order.time_in_force = snapshot.time_in_force or order.time_in_force
    _reserve_again(order)


def _total_quantity(order: Order, snapshot: BrokerOrder, just_filled: Decimal) -> Decimal | None:
    """Return the quantity of the whole order after a replace that was made elsewhere.

    Some brokers count what filled before in the new order, others give it the rest only.
    """
    if snapshot.quantity is None:
        return order.quantity
    counted = snapshot.cum_qty - just_filled >= order.cum_qty
    return snapshot.quantity if counted else snapshot.quantity + order.cum_qty


def _reserve_again(order: Order) -> None:
    if order.quantity is None:
        return
    if order.side == Side.SELL:
        order.reserved_qty = order.quantity
    elif order.limit_price or order.stop_price:
        order.reserved_cash = order.quantity * (order.limit_price or order.stop_price or Decimal(0))


def _terms(order: Order) -> dict[str, str | None]:
    names = ("quantity", "limit_price", "stop_price", "trail_amount", "trail_percent", "time_in_force")
    return {name: None if getattr(order, name) is None else str(getattr(order, name)) for name in names}
