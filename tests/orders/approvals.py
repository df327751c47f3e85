"""How tests get an order that waits for its owner's approval."""

from typing import Any

from django.utils import timezone

from billing.services import grant_plan
from brokers.models import BrokerAccount
from orders.models import Approval, Order
from risk.models import RiskLimit
from tests.orders.conftest import make_account
from tests.orders.helpers import place
from tradeplatform.models import User


def set_platform_limit(name: str, value: str) -> None:
    version = RiskLimit.objects.filter(scope="platform", name=name).count() + 1
    RiskLimit.objects.create(
        scope="platform", scope_key="", name=name, value=value, version=version, author="test", reason="test"
    )


def ask_above(value: str) -> None:
    """Let opening orders worth more than `value` wait for approval, on paper too."""
    set_platform_limit("approval_order_value", value)


def waiting_order(user: User, account: BrokerAccount, **values: Any) -> Order:
    """Place an order that waits: 10 ACME at 10.00 unless changed. The market is 9.99 to 10.00."""
    ask_above("1")
    order = place(user, account, **values).order
    assert order.status == "pending_approval"
    return order


def approval_of(order: Order) -> Approval:
    return Approval.objects.filter(order=order).latest("requested_at")


def make_live_account(user: User, number: str = "L1") -> BrokerAccount:
    """An armed live account of a user whose plan includes live trading."""
    grant_plan(user=user, plan_key="pro", reason="test", granted_by="test")
    account = make_account(user, environment="live", number=number)
    account.armed_at = timezone.now()
    account.save(update_fields=["armed_at"])
    return account
