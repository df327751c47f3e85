"""Short ways to say what the order tests say often."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

from brokers.models import BrokerAccount
from orders.drafts import parse_order
from orders.models import Order, OutboxMessage
from orders.services.place import PlacedOrder, place_order
from orders.services.submit import claim_and_send
from tradeplatform.models import User


def draft(**values: Any) -> dict[str, Any]:
    return {
        "symbol": "ACME",
        "side": "buy",
        "order_type": "limit",
        "quantity": "10",
        "limit_price": "10.00",
    } | values


def place(
    user: User,
    account: BrokerAccount,
    *,
    key: str = "",
    confirm: tuple[str, ...] = (),
    origin: str = "api",
    **values: Any,
) -> PlacedOrder:
    return place_order(
        user=user,
        account_id=account.pk,
        request=parse_order(draft(**values)),
        idempotency_key=key or uuid4().hex,
        origin=origin,
        confirm=frozenset(confirm),
    )


def send(order: Order, kind: str = "submit") -> bool:
    message = OutboxMessage.objects.get(order=order, kind=kind, status="ready")
    return claim_and_send(message.pk, worker="test")


def outbox(order: Order, kind: str = "submit") -> OutboxMessage:
    return OutboxMessage.objects.filter(order=order, kind=kind).latest("pk")


def fresh(order: Order) -> Order:
    return Order.objects.get(pk=order.pk)


D = Decimal
