"""Rows that the book's tests start from."""

import datetime as dt
from decimal import Decimal

from brokers.enums import Environment, LinkKind, Side
from brokers.models import BrokerAccount, BrokerConnection
from brokers.types import AccountInfo, BrokerPosition
from portfolios.models import Portfolio
from portfolios.services.booking import FillFact
from portfolios.services.opening import open_book
from tradeplatform.models import User

OPENED = dt.datetime(2026, 3, 2, 15, 0, tzinfo=dt.UTC)


def make_user(email: str = "owner@example.com") -> User:
    return User.objects.create_user(email, "correct horse")


def make_account(user: User, *, broker: str = "paper", broker_account_id: str = "A1") -> BrokerAccount:
    connection = BrokerConnection.objects.create(user=user, broker=broker, kind=LinkKind.BUILT_IN)
    return BrokerAccount.objects.create(
        user=user,
        connection=connection,
        broker=broker,
        environment=Environment.PAPER,
        broker_account_id=broker_account_id,
        label="Practice account",
    )


def info(cash: str, equity: str | None = None, **extra: object) -> AccountInfo:
    values: dict[str, object] = {
        "broker_account_id": "A1",
        "account_number": "A1",
        "currency": "USD",
        "status": "ACTIVE",
        "cash": Decimal(cash),
        "equity": Decimal(equity or cash),
        "buying_power": Decimal(cash),
    }
    return AccountInfo(**{**values, **extra})  # type: ignore[arg-type]


def held(symbol: str, quantity: str, avg_price: str, **extra: Decimal) -> BrokerPosition:
    return BrokerPosition(symbol=symbol, quantity=Decimal(quantity), avg_price=Decimal(avg_price), **extra)


def make_book(
    account: BrokerAccount, *, cash: str = "1000", positions: tuple[BrokerPosition, ...] = ()
) -> Portfolio:
    return open_book(account_id=account.pk, info=info(cash), positions=positions, at=OPENED)


def fill(
    exec_id: str,
    side: Side,
    quantity: str,
    price: str,
    *,
    symbol: str = "ABCD",
    minute: int = 1,
    commission: str = "0",
    own_order: bool = True,
) -> FillFact:
    return FillFact(
        exec_id=exec_id,
        symbol=symbol,
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(price),
        commission=Decimal(commission),
        occurred_at=OPENED + dt.timedelta(minutes=minute),
        own_order=own_order,
    )
