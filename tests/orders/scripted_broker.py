"""A broker in memory that does exactly what a test tells it to, and remembers every call."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from brokers.adapters.base import BrokerInterface, require_token
from brokers.enums import (
    BrokerOrderStatus,
    DedupeClass,
    Environment,
    ExecType,
    LinkKind,
    MarginRegime,
    OrderClass,
    OrderType,
    Session,
    TimeInForce,
)
from brokers.exceptions import DuplicateClientOrderId, NotFound, Rejected, Unsupported
from brokers.types import (
    AccountInfo,
    AssetInfo,
    BrokerExecution,
    BrokerOrder,
    BrokerPosition,
    Capabilities,
    ClientOrderIdFormat,
    Credentials,
    DecisionToken,
    ExecutionReport,
    LinkedAccount,
    MarketClock,
    OrderRequest,
    OrderRule,
    QuoteInfo,
    RateLimit,
    ReplaceRequest,
    StreamEvent,
)
from tradeplatform.common.clock import utc_now

ANY_TIF = frozenset(TimeInForce)
Fault = Callable[[], None]


class ScriptedBook:
    """The broker's private truth. `before` and `after` run around the acceptance of the next writes."""

    def __init__(self) -> None:
        self.orders: dict[str, BrokerOrder] = {}
        self.by_client_id: dict[str, str] = {}
        self.executions: list[BrokerExecution] = []
        self.posts: list[str] = []
        self.cancels: list[str] = []
        self.before: list[Fault | None] = []
        self.after: list[Fault | None] = []
        self.hide_lookups = 0
        self.unanswered: list[Exception] = []
        self.dedupe = DedupeClass.D
        self.positions: list[BrokerPosition] = []
        self.cash = Decimal(100000)
        self.price = Decimal("10.00")

    def raise_next(self, error: Exception, *, after: bool = False) -> None:
        def fault() -> None:
            raise error

        (self.after if after else self.before).append(fault)

    def fill(self, order: BrokerOrder, quantity: Decimal, price: Decimal) -> BrokerExecution:
        held = self.orders[order.broker_order_id]
        total = held.cum_qty + quantity
        done = held.quantity is not None and total >= held.quantity
        status = BrokerOrderStatus.FILLED if done else BrokerOrderStatus.PARTIALLY_FILLED
        self.orders[order.broker_order_id] = replace(held, cum_qty=total, avg_px=price, status=status)
        execution = BrokerExecution(
            exec_id=uuid4().hex,
            broker_order_id=order.broker_order_id,
            symbol=order.symbol,
            side=order.side,  # type: ignore[arg-type]
            last_qty=quantity,
            last_px=price,
            transact_time=utc_now(),
            cum_qty=total,
        )
        self.executions.append(execution)
        return execution

    def set_status(self, broker_order_id: str, status: BrokerOrderStatus) -> None:
        self.orders[broker_order_id] = replace(self.orders[broker_order_id], status=status)


BOOK = ScriptedBook()


def reset_book() -> ScriptedBook:
    BOOK.__init__()  # type: ignore[misc]
    return BOOK


def _run(faults: list[Fault | None]) -> None:
    if faults and (fault := faults.pop(0)) is not None:
        fault()


class ScriptedAdapter(BrokerInterface):
    key = "scripted"
    display_name = "Scripted broker"

    @classmethod
    def capabilities(cls, environment: Environment) -> Capabilities:
        return Capabilities(
            broker=cls.key,
            environment=environment,
            display_name=cls.display_name,
            order_rules=tuple(
                OrderRule(
                    order_type=kind,
                    times_in_force=ANY_TIF,
                    fractional_times_in_force=frozenset({TimeInForce.DAY}),
                    extended_hours_times_in_force=frozenset({TimeInForce.DAY}),
                    order_classes=frozenset(OrderClass),
                )
                for kind in OrderType
            ),
            link_kinds=(LinkKind.BUILT_IN,),
            dedupe_class=BOOK.dedupe,
            dedupe_window=None,
            client_order_id_format=ClientOrderIdFormat(max_length=64),
            rate_limit=RateLimit(requests=100000, period=timedelta(minutes=1), scope="account"),
            margin_regime=MarginRegime.INTRADAY,
            margin_regime_source="test",
            fractional=True,
            notional=True,
            notional_minimum=Decimal(1),
            quantity_decimals=9,
            short_selling=True,
            replace=True,
            replace_fields=frozenset({"quantity", "limit_price", "stop_price", "trail", "time_in_force"}),
            stream=False,
            quote_stream=False,
            quotes=True,
            bars=False,
            activities=False,
            is_paper=environment is Environment.PAPER,
            session_lifetime=None,
            always_open=True,
        )

    @classmethod
    def discover_accounts(
        cls, credentials: Credentials, *, environments: Sequence[Environment]
    ) -> Sequence[LinkedAccount]:
        return []

    @classmethod
    def interpret_event(cls, event: StreamEvent) -> Sequence[ExecutionReport]:
        payload: dict[str, Any] = dict(event.payload)
        if payload.get("explode"):
            raise KeyError("garbage")
        return [
            ExecutionReport(
                exec_type=ExecType(payload["exec_type"]),
                broker_order_id=payload.get("broker_order_id", ""),
                client_order_id=payload.get("client_order_id", ""),
                transact_time=event.received_at,
                exec_id=payload.get("exec_id", ""),
                last_qty=Decimal(payload["last_qty"]) if "last_qty" in payload else None,
                last_px=Decimal(payload["last_px"]) if "last_px" in payload else None,
                cum_qty=Decimal(payload["cum_qty"]) if "cum_qty" in payload else None,
                ref_exec_id=payload.get("ref_exec_id", ""),
                replaced_by=payload.get("replaced_by", ""),
                order=BOOK.orders.get(payload.get("broker_order_id", "")),
            )
        ]

    def authenticate(self) -> AccountInfo:
        return self.get_account_info()

    def get_account_info(self) -> AccountInfo:
        return AccountInfo(
            broker_account_id=self.handle.broker_account_id,
            account_number=self.handle.broker_account_id,
            currency="USD",
            status="ACTIVE",
            cash=BOOK.cash,
            equity=BOOK.cash,
            buying_power=BOOK.cash,
        )

    def get_positions(self) -> Sequence[BrokerPosition]:
        return list(BOOK.positions)

    def place_order(
        self, request: OrderRequest, *, client_order_id: str, token: DecisionToken, order_hash: str
    ) -> BrokerOrder:
        require_token(token, order_hash=order_hash, now=utc_now())
        BOOK.posts.append(client_order_id)
        _run(BOOK.before)
        if BOOK.dedupe is DedupeClass.D and client_order_id in BOOK.by_client_id:
            raise DuplicateClientOrderId("client_order_id must be unique")
        order = self._accept(request, client_order_id)
        _run(BOOK.after)
        return order

    def _accept(self, request: OrderRequest, client_order_id: str, replaces: str = "") -> BrokerOrder:
        order = BrokerOrder(
            broker_order_id=uuid4().hex,
            client_order_id=client_order_id,
            symbol=request.symbol,
            side=request.side,
            order_type=request.order_type,
            time_in_force=request.time_in_force,
            status=BrokerOrderStatus.OPEN,
            quantity=request.quantity,
            notional=request.notional,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            trail_amount=request.trail_amount,
            trail_percent=request.trail_percent,
            extended_hours=request.extended_hours,
            order_class=request.order_class,
            cum_qty=Decimal(0),
            avg_px=None,
            submitted_at=utc_now(),
            updated_at=utc_now(),
            replaces=replaces,
        )
        BOOK.orders[order.broker_order_id] = order
        BOOK.by_client_id[client_order_id] = order.broker_order_id
        return order

    def cancel_order(self, broker_order_id: str) -> None:
        BOOK.cancels.append(broker_order_id)
        _run(BOOK.before)
        held = BOOK.orders.get(broker_order_id)
        if held is None:
            raise NotFound("order not found")
        if held.status in (BrokerOrderStatus.FILLED, BrokerOrderStatus.CANCELED):
            raise Rejected("order is not cancelable")
        BOOK.set_status(broker_order_id, BrokerOrderStatus.CANCELED)
        _run(BOOK.after)

    def replace_order(
        self,
        broker_order_id: str,
        changes: ReplaceRequest,
        *,
        client_order_id: str,
        token: DecisionToken,
        order_hash: str,
    ) -> BrokerOrder:
        require_token(token, order_hash=order_hash, now=utc_now())
        _run(BOOK.before)
        old = BOOK.orders[broker_order_id]
        new = replace(
            old,
            broker_order_id=uuid4().hex,
            client_order_id=client_order_id,
            quantity=changes.quantity or old.quantity,
            limit_price=changes.limit_price or old.limit_price,
            replaces=broker_order_id,
        )
        BOOK.orders[new.broker_order_id] = new
        BOOK.by_client_id[client_order_id] = new.broker_order_id
        BOOK.orders[broker_order_id] = replace(
            old, status=BrokerOrderStatus.REPLACED, replaced_by=new.broker_order_id
        )
        _run(BOOK.after)
        return new

    def get_order_status(self, broker_order_id: str) -> BrokerOrder:
        if broker_order_id not in BOOK.orders:
            raise NotFound("order not found")
        return BOOK.orders[broker_order_id]

    def find_order(self, client_order_id: str) -> BrokerOrder:
        if BOOK.unanswered:
            raise BOOK.unanswered.pop()
        if BOOK.dedupe is DedupeClass.N and not BOOK.hide_lookups:
            raise Unsupported("there are no client order ids here")
        if BOOK.hide_lookups > 0:
            BOOK.hide_lookups -= 1
            raise NotFound("order not found")
        if client_order_id not in BOOK.by_client_id:
            raise NotFound("order not found")
        return BOOK.orders[BOOK.by_client_id[client_order_id]]

    def list_orders(self, *, since: datetime | None = None, open_only: bool = False) -> Sequence[BrokerOrder]:
        closed = (
            BrokerOrderStatus.FILLED,
            BrokerOrderStatus.CANCELED,
            BrokerOrderStatus.REPLACED,
            BrokerOrderStatus.REJECTED,
        )
        return [order for order in BOOK.orders.values() if not open_only or order.status not in closed]

    def list_executions(self, *, since: datetime | None = None) -> Sequence[BrokerExecution]:
        return list(BOOK.executions)

    def get_asset(self, symbol: str) -> AssetInfo:
        if symbol == "NOPE":
            raise NotFound("asset not found")
        return AssetInfo(
            symbol=symbol,
            name=symbol,
            exchange="NASDAQ",
            tradable=True,
            fractionable=True,
            shortable=True,
            marginable=True,
        )

    def get_quote(self, symbol: str) -> QuoteInfo:
        return QuoteInfo(
            symbol=symbol,
            bid=BOOK.price - Decimal("0.01"),
            ask=BOOK.price,
            bid_size=Decimal(1000),
            ask_size=Decimal(1000),
            last=BOOK.price,
            as_of=utc_now(),
            previous_close=BOOK.price,
        )

    def get_clock(self) -> MarketClock:
        now = utc_now()
        return MarketClock(
            now=now,
            is_open=True,
            next_open=now + timedelta(hours=18),
            next_close=now + timedelta(hours=6),
            session=Session.CORE,
        )
