"""How far an account has used the limits that count orders, for its owner to see."""

from datetime import datetime

from brokers.models import BrokerAccount
from orders.enums import OrderOrigin, OrderStatus
from orders.models import Order
from orders.risk_context import RECENT, opening_orders_today
from risk.facts import CountFacts


def count_orders(account: BrokerAccount, now: datetime) -> CountFacts:
    """Return the account's opening orders of the trade date and its owner's orders of the last minute."""
    recent = (
        Order.objects.filter(user_id=account.user_id, created_at__gt=now - RECENT)
        .exclude(origin__in=[OrderOrigin.LEG, OrderOrigin.EXTERNAL])
        .exclude(status=OrderStatus.DENIED)
    )
    return CountFacts(
        opening_orders_today=opening_orders_today(account, now, None), orders_last_minute=recent.count()
    )
