"""A broker whose answers the test writes."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

from brokers.adapters.base import BrokerInterface
from brokers.enums import DedupeClass, Environment, LinkKind, MarginRegime
from brokers.exceptions import BrokerError, Unsupported
from brokers.types import (
    AccountInfo,
    BrokerActivity,
    BrokerExecution,
    BrokerPosition,
    Capabilities,
    ClientOrderIdFormat,
    RateLimit,
)
from tests.portfolios.builders import info


class FakeBroker(BrokerInterface):
    """Answers with the class attributes; `failure` makes reading positions fail."""

    key = "fake"
    display_name = "Fake"
    account: ClassVar[AccountInfo] = info("1000")
    positions: ClassVar[tuple[BrokerPosition, ...]] = ()
    activities: ClassVar[tuple[BrokerActivity, ...]] = ()
    executions: ClassVar[tuple[BrokerExecution, ...] | None] = None
    failure: ClassVar[BrokerError | None] = None
    while_reading: ClassVar[Any] = None
    activity_reads: ClassVar[int] = 0

    @classmethod
    def reset(cls) -> None:
        cls.account, cls.positions, cls.activities = info("1000"), (), ()
        cls.executions = None
        cls.failure, cls.while_reading, cls.activity_reads = None, None, 0

    @classmethod
    def capabilities(cls, environment: Environment) -> Capabilities:
        return Capabilities(
            broker="fake",
            environment=environment,
            display_name="Fake",
            order_rules=(),
            link_kinds=(LinkKind.BUILT_IN,),
            dedupe_class=DedupeClass.D,
            dedupe_window=None,
            client_order_id_format=ClientOrderIdFormat(max_length=48),
            rate_limit=RateLimit(requests=1_000_000, period=dt.timedelta(minutes=1), scope="account"),
            margin_regime=MarginRegime.UNKNOWN,
            margin_regime_source="",
            fractional=True,
            notional=False,
            notional_minimum=Decimal(1),
            quantity_decimals=9,
            short_selling=True,
            replace=False,
            replace_fields=frozenset(),
            stream=False,
            quote_stream=False,
            quotes=False,
            bars=False,
            activities=True,
            is_paper=True,
            session_lifetime=None,
        )

    @classmethod
    def discover_accounts(cls, credentials: Any, *, environments: Any) -> Any:
        raise NotImplementedError

    def authenticate(self) -> AccountInfo:
        return self.account

    def get_account_info(self) -> AccountInfo:
        return self.account

    def get_positions(self) -> Sequence[BrokerPosition]:
        if self.failure is not None:
            raise self.failure
        if self.while_reading is not None:
            type(self).while_reading()
        return self.positions

    def list_activities(self, *, since: dt.datetime | None = None) -> Sequence[BrokerActivity]:
        type(self).activity_reads += 1
        return self.activities

    def list_executions(self, *, since: dt.datetime | None = None) -> Sequence[BrokerExecution]:
        if self.executions is None:
            raise Unsupported("No list of fills")
        return self.executions

    def place_order(self, request: Any, **_: Any) -> Any:
        raise NotImplementedError

    def cancel_order(self, broker_order_id: str) -> None:
        raise NotImplementedError

    def get_order_status(self, broker_order_id: str) -> Any:
        raise NotImplementedError
