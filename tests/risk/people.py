"""Users and accounts for tests that need rows."""

from typing import Any

from brokers.enums import Environment, LinkKind
from brokers.models import BrokerAccount, BrokerConnection
from tradeplatform.models import User


def make_user(email: str, **extra: Any) -> User:
    return User.objects.create_user(email, "a-long-password-1", **extra)


def make_account(user: User, *, broker: str = "paper") -> BrokerAccount:
    connection = BrokerConnection.objects.create(user=user, broker=broker, kind=LinkKind.BUILT_IN)
    return BrokerAccount.objects.create(
        user=user,
        connection=connection,
        broker=broker,
        environment=Environment.PAPER,
        broker_account_id=f"{broker}-{user.pk}",
        label="Main account",
    )
