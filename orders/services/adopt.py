"""Broker orders that did not begin as a request here: exits of our orders, and orders placed elsewhere."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from brokers.enums import OrderClass, OrderType, Side, TimeInForce
from brokers.models import BrokerAccount
from brokers.types import BrokerOrder
from orders.enums import LegRole, OrderOrigin, OrderStatus
from orders.models import Order, OrderAlias, OrderEvent
from orders.statements import SAVE_BROKER_ID
from portfolios.models import Position
from tradeplatform.common.exceptions import InvalidRequest
from tradeplatform.common.ids import new_id
from tradeplatform.common.prepared import append_row

ACTOR = "system:broker"


def remember_ids(order: Order, *, broker_order_id: str, client_order_id: str) -> None:
    """Keep an id under which the broker knows the order; the first broker id becomes the current one."""
    is_first = bool(broker_order_id) and not order.broker_order_id
    if is_first:
        order.broker_order_id = broker_order_id
        SAVE_BROKER_ID.write(id=order.pk, broker_order_id=broker_order_id)
    if not broker_order_id and not client_order_id:
        return
    if is_first and not client_order_id:
        first = OrderAlias(order=order, account_id=order.account_id, broker_order_id=broker_order_id)
        append_row(first, if_new=True)
        return
    known = OrderAlias.objects.filter(account_id=order.account_id, broker_order_id=broker_order_id).first()
    if broker_order_id and known is not None:
        _complete_alias(known, client_order_id)
        return
    if client_order_id:
        alias, created = OrderAlias.objects.get_or_create(
            account_id=order.account_id,
            client_order_id=client_order_id,
            defaults={"order": order, "broker_order_id": broker_order_id},
        )
        if not created and broker_order_id and not alias.broker_order_id:
            alias.broker_order_id = broker_order_id
            alias.save(update_fields=["broker_order_id"])
        return
    OrderAlias.objects.create(order=order, account_id=order.account_id, broker_order_id=broker_order_id)


def _complete_alias(alias: OrderAlias, client_order_id: str) -> None:
    """Add our id to one that a snapshot named first, before the answer told which change it belongs to."""
    if not client_order_id or alias.client_order_id:
        return
    if OrderAlias.objects.filter(account_id=alias.account_id, client_order_id=client_order_id).exists():
        return
    alias.client_order_id = client_order_id
    alias.save(update_fields=["client_order_id"])


def attach_legs(order: Order, snapshot: BrokerOrder, *, at: datetime) -> list[Order]:
    """Make an order of each exit that the broker created for `order`; known ones are tied to it."""
    legs = []
    for leg in snapshot.legs:
        known = _find_by_broker_id(order.account_id, leg.broker_order_id)
        if known is None:
            known = _create(order.account, leg, origin=OrderOrigin.LEG, parent=order, at=at)
        elif known.parent_id is None and known.pk != order.pk:
            known.parent = order
            known.origin = OrderOrigin.LEG
            known.leg_role = _leg_role(leg)
            known.save(update_fields=["parent", "origin", "leg_role"])
        legs.append(known)
    return legs


def _find_by_broker_id(account_id: UUID, broker_order_id: str) -> Order | None:
    """Return the order that has or once had this id at the broker."""
    alias = (
        OrderAlias.objects.select_related("order")
        .filter(account_id=account_id, broker_order_id=broker_order_id)
        .first()
    )
    if alias is not None:
        return alias.order
    return Order.objects.filter(account_id=account_id, broker_order_id=broker_order_id).first()


def adopt_external_order(account: BrokerAccount, snapshot: BrokerOrder, *, at: datetime) -> Order:
    """Take an order placed outside this platform into our lists, so that limits and the book count it."""
    return _create(account, snapshot, origin=OrderOrigin.EXTERNAL, parent=None, at=at)


def _create(
    account: BrokerAccount, snapshot: BrokerOrder, *, origin: OrderOrigin, parent: Order | None, at: datetime
) -> Order:
    if snapshot.side is None or not snapshot.broker_order_id:
        raise InvalidRequest("The broker's order has no side or id.", code="unreadable_order")
    quantity = snapshot.quantity if snapshot.quantity and snapshot.quantity > 0 else None
    order = Order.objects.create(
        id=new_id(),
        user_id=account.user_id,
        account=account,
        client_order_id=(snapshot.client_order_id or snapshot.broker_order_id)[:64],
        broker_order_id=snapshot.broker_order_id,
        symbol=snapshot.symbol,
        side=snapshot.side,
        order_type=snapshot.order_type or OrderType.MARKET,
        time_in_force=snapshot.time_in_force or TimeInForce.DAY,
        quantity=quantity,
        notional=snapshot.notional if quantity is None else None,
        limit_price=snapshot.limit_price,
        stop_price=snapshot.stop_price,
        trail_amount=snapshot.trail_amount,
        trail_percent=snapshot.trail_percent,
        extended_hours=snapshot.extended_hours,
        order_class=snapshot.order_class or OrderClass.SIMPLE,
        origin=origin,
        parent=parent,
        is_exit=origin is OrderOrigin.EXTERNAL and _only_reduces(account, snapshot),
        leg_role=_leg_role(snapshot) if origin is OrderOrigin.LEG else LegRole.NONE,
        status=OrderStatus.ACCEPTED,
        reserved_cash=_cash_held(snapshot),
        reserved_qty=(quantity or Decimal(0)) if snapshot.side is Side.SELL else Decimal(0),
        created_at=snapshot.submitted_at or at,
        submitted_at=snapshot.submitted_at or at,
        accepted_at=at,
    )
    OrderAlias.objects.create(
        order=order,
        account=account,
        broker_order_id=order.broker_order_id,
        client_order_id=order.client_order_id,
    )
    OrderEvent.objects.create(
        order=order, kind="adopted", to_status=order.status, actor=ACTOR, at=at, data={"origin": str(origin)}
    )
    return order


def _leg_role(leg: BrokerOrder) -> LegRole:
    return LegRole.TAKE_PROFIT if leg.order_type is OrderType.LIMIT else LegRole.STOP_LOSS


def _only_reduces(account: BrokerAccount, snapshot: BrokerOrder) -> bool:
    """Tell whether an order placed elsewhere protects or closes what is held: a halt must leave it alone."""
    row = Position.objects.filter(portfolio__account=account, symbol=snapshot.symbol).first()
    if (
        row is None
        or snapshot.quantity is None
        or snapshot.order_class in (OrderClass.BRACKET, OrderClass.OTO)
    ):
        return False
    closable = row.quantity if snapshot.side is Side.SELL else -row.quantity
    return closable >= snapshot.quantity


def _cash_held(snapshot: BrokerOrder) -> Decimal:
    if snapshot.side is not Side.BUY:
        return Decimal(0)
    if snapshot.quantity is None:
        return snapshot.notional or Decimal(0)
    return snapshot.quantity * (snapshot.limit_price or snapshot.stop_price or Decimal(0))
