"""The simulated brokers' adapters: D refuses a repeated client id, N has none. Both fail as told."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar

from benchmarks.faults import stage
from benchmarks.faults.book import PRICES, HeldOrder
from benchmarks.faults.faults import LAG, SETTLE_KINDS
from benchmarks.faults.wire import read_order
from benchmarks.faults.write_faults import WRITE_FAULTS, Arrive, travel
from brokers.adapters.base import BrokerInterface, require_token
from brokers.enums import (
    DedupeClass,
    Environment,
    ExecType,
    LinkKind,
    MarginRegime,
    OrderType,
    Session,
    TimeInForce,
)
from brokers.exceptions import (
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Unavailable,
    Unsupported,
)
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

READ_TIMEOUT = 5.0
LIST_LAG = timedelta(seconds=2)


class SimAdapter(BrokerInterface):
    """Calls the book of the running campaign, through the faults."""

    dedupe: ClassVar[DedupeClass]

    @classmethod
    def capabilities(cls, environment: Environment) -> Capabilities:
        return _capabilities(cls.key, cls.display_name, cls.dedupe, environment)

    @classmethod
    def discover_accounts(
        cls, credentials: Credentials, *, environments: Sequence[Environment]
    ) -> Sequence[LinkedAccount]:
        return []

    @classmethod
    def interpret_event(cls, event: StreamEvent) -> Sequence[ExecutionReport]:
        data: dict[str, Any] = dict(event.payload)
        order = read_order(data["order"])
        return [
            ExecutionReport(
                exec_type=ExecType(data["exec_type"]),
                broker_order_id=order.broker_order_id,
                client_order_id=order.client_order_id,
                transact_time=order.updated_at,
                order=order,
                exec_id=data.get("exec_id", ""),
                last_qty=Decimal(data["qty"]) if "qty" in data else None,
                last_px=Decimal(data["px"]) if "px" in data else None,
                ref_exec_id=data.get("ref_exec_id", ""),
                replaced_by=data.get("replaced_by", ""),
            )
        ]

    # --- writes ----------------------------------------------------------------------------------------

    def place_order(
        self, request: OrderRequest, *, client_order_id: str, token: DecisionToken, order_hash: str
    ) -> BrokerOrder:
        here = stage.get_stage()
        require_token(token, order_hash=order_hash, now=here.world.now())
        here.watch.check_send(self.handle, request, client_order_id, token)
        account = self.handle.broker_account_id
        answer = self._write(lambda: here.book.enter(account, request, client_order_id))
        if answer is None:
            raise OutcomeUnknown("no order in the answer")
        return answer

    def replace_order(
        self,
        broker_order_id: str,
        changes: ReplaceRequest,
        *,
        client_order_id: str,
        token: DecisionToken,
        order_hash: str,
    ) -> BrokerOrder:
        here = stage.get_stage()
        require_token(token, order_hash=order_hash, now=here.world.now())
        here.watch.check_replace(self.handle, broker_order_id, changes, client_order_id, token)
        answer = self._write(lambda: here.book.replace(broker_order_id, changes, client_order_id))
        if answer is None:
            raise OutcomeUnknown("no order in the answer")
        return answer

    def cancel_order(self, broker_order_id: str) -> None:
        book = stage.get_stage().book
        self._write(lambda: book.cancel(broker_order_id))

    def _write(self, arrive: Arrive) -> BrokerOrder | None:
        """Carry one write to the book and its answer back, through the fault that was drawn for it."""
        here = stage.get_stage()
        world, faults = here.world, here.faults
        task = world.current()
        kind, key = ("", "") if task is None else (task.write_fault, task.write_key)
        if task is not None:
            task.write_fault = ""
        rng = world.rng("network")
        if kind and kind not in SETTLE_KINDS:
            faults.strike(kind, key)
        try:
            return WRITE_FAULTS[kind](arrive, rng.uniform) if kind else travel(arrive, rng.uniform)
        finally:
            if task is not None:
                task.commits_write = task.write

    # --- reads ------------------------------------------------------------------------------------------

    def authenticate(self) -> AccountInfo:
        return self.get_account_info()

    def get_account_info(self) -> AccountInfo:
        self._read()
        held = stage.get_stage().book.accounts[self.handle.broker_account_id]
        value = sum((PRICES[symbol] * quantity for symbol, quantity in held.positions.items()), Decimal(0))
        on_order = sum((order.cost for order in held.orders if order.is_live), Decimal(0))
        return AccountInfo(
            broker_account_id=self.handle.broker_account_id,
            account_number=self.handle.broker_account_id,
            currency="USD",
            status="ACTIVE",
            cash=held.cash,
            equity=held.cash + value,
            buying_power=held.cash - on_order,
        )

    def get_positions(self) -> Sequence[BrokerPosition]:
        self._read()
        held = stage.get_stage().book.accounts[self.handle.broker_account_id]
        return [
            BrokerPosition(
                symbol=symbol, quantity=quantity, avg_price=PRICES[symbol], market_price=PRICES[symbol]
            )
            for symbol, quantity in sorted(held.positions.items())
            if quantity
        ]

    def get_order_status(self, broker_order_id: str) -> BrokerOrder:
        return self._look_up(stage.get_stage().book.orders.get(broker_order_id))

    def find_order(self, client_order_id: str) -> BrokerOrder:
        if self.dedupe is DedupeClass.N:
            raise Unsupported("this broker has no client order ids")
        found = stage.get_stage().book.by_intent.get(client_order_id, [])
        return self._look_up(found[0] if found else None)

    def _look_up(self, held: HeldOrder | None) -> BrokerOrder:
        self._read()
        here = stage.get_stage()
        if held is None:
            raise NotFound("order not found")
        if here.world.now() - held.entered_at < LAG and (kind := here.faults.draw("lookup")):
            here.faults.strike(kind, held.id)
            raise NotFound("order not found")
        return held.view

    def list_orders(self, *, since: datetime | None = None, open_only: bool = False) -> Sequence[BrokerOrder]:
        kind = self._read()
        here = stage.get_stage()
        now = here.world.now()
        held = [
            order
            for order in reversed(here.book.accounts[self.handle.broker_account_id].orders)
            if (since is None or order.entered_at >= since) and (order.is_live or not open_only)
        ]
        if self.dedupe is DedupeClass.N:
            held = [order for order in held if now - order.entered_at >= LIST_LAG]
        if kind == "list_misses_new" and any(now - order.entered_at < LAG for order in held):
            here.faults.strike(kind, self.handle.broker_account_id)
            held = [order for order in held if now - order.entered_at >= LAG]
        if kind == "list_repeats" and held:
            here.faults.strike(kind, self.handle.broker_account_id)
            held = [*held, held[0]]
        return [order.view for order in held]

    def list_executions(self, *, since: datetime | None = None) -> Sequence[BrokerExecution]:
        kind = self._read()
        here = stage.get_stage()
        held = here.book.accounts[self.handle.broker_account_id].executions
        listed = [one for one in held if since is None or one.transact_time >= since]
        now = here.world.now()
        if kind == "list_misses_new" and any(now - one.transact_time < LAG for one in listed):
            here.faults.strike(kind, self.handle.broker_account_id)
            listed = [one for one in listed if now - one.transact_time >= LAG]
        if kind == "list_repeats" and listed:
            here.faults.strike(kind, self.handle.broker_account_id)
            listed = [*listed, listed[-1]]
        return listed

    def _read(self) -> str:
        """Let a read take its time; raise for a fault of the answer, return one of its content."""
        here = stage.get_stage()
        if here.world.current() is None:
            return ""
        rng = here.world.rng("network")
        kind = here.faults.draw("read")
        here.world.sleep(READ_TIMEOUT if kind == "read_timeout" else rng.uniform(0.01, 0.08))
        error = {
            "read_timeout": Unavailable("timed out"),
            "read_server_error": Unavailable("503"),
            "read_garbage": Unavailable("unreadable answer"),
            "read_rate_limited": RateLimited("429", retry_after_seconds=1.0),
        }.get(kind)
        if error is not None:
            here.faults.strike(kind)
            raise error
        return kind

    # --- market data: no faults, the gate's answer to missing data is tested elsewhere ---------------------

    def get_asset(self, symbol: str) -> AssetInfo:
        if symbol not in PRICES:
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
        price = PRICES[symbol]
        return QuoteInfo(
            symbol=symbol,
            bid=price,
            ask=price,
            bid_size=Decimal(1000),
            ask_size=Decimal(1000),
            last=price,
            as_of=stage.get_stage().world.now(),
            previous_close=price,
        )

    def get_clock(self) -> MarketClock:
        now = stage.get_stage().world.now()
        return MarketClock(
            now=now,
            is_open=True,
            next_open=now + timedelta(hours=18),
            next_close=now + timedelta(hours=6),
            session=Session.CORE,
        )


class SimDAdapter(SimAdapter):
    key = "sim_d"
    display_name = "Simulated broker D"
    dedupe = DedupeClass.D


class SimNAdapter(SimAdapter):
    key = "sim_n"
    display_name = "Simulated broker N"
    dedupe = DedupeClass.N


@lru_cache
def _capabilities(key: str, display_name: str, dedupe: DedupeClass, environment: Environment) -> Capabilities:
    return Capabilities(
        broker=key,
        environment=environment,
        display_name=display_name,
        order_rules=tuple(
            OrderRule(order_type=kind, times_in_force=frozenset(TimeInForce))
            for kind in (OrderType.MARKET, OrderType.LIMIT)
        ),
        link_kinds=(LinkKind.API_KEY,),
        dedupe_class=dedupe,
        dedupe_window=None,
        client_order_id_format=ClientOrderIdFormat(max_length=64),
        rate_limit=RateLimit(requests=1_000_000_000, period=timedelta(minutes=1), scope="account"),
        margin_regime=MarginRegime.INTRADAY,
        margin_regime_source="simulation",
        fractional=True,
        notional=False,
        notional_minimum=None,
        quantity_decimals=0,
        short_selling=False,
        replace=True,
        replace_fields=frozenset({"quantity", "limit_price"}),
        stream=True,
        quote_stream=False,
        quotes=True,
        bars=False,
        activities=False,
        is_paper=True,
        session_lifetime=None,
        always_open=True,
    )
