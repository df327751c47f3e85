"""Values that cross the border between the platform and an adapter.

Frozen, ORM-free, Decimal for every price, quantity and amount, timezone-aware UTC for every time.
Broker words never appear here: each adapter's `mapping.py` translates.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from brokers.enums import (
    ActivityKind,
    BrokerOrderStatus,
    DedupeClass,
    Environment,
    ExecType,
    LinkKind,
    MarginRegime,
    OrderClass,
    OrderType,
    Session,
    Side,
    TimeInForce,
)

Raw = Mapping[str, Any]


def format_decimal(value: Decimal | None) -> str | None:
    """Write a Decimal the way it goes on the wire: plain notation, no exponent, no trailing zeros."""
    if value is None:
        return None
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeProfit:
    limit_price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class StopLoss:
    """Exit that protects a position; with `limit_price` it becomes a stop-limit."""

    stop_price: Decimal
    limit_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """Every field of an order that reaches the wire. Its hash is what a decision is bound to.

    Exactly one of `quantity` (shares) and `notional` (account currency) is set.
    `trail_percent` is in percent (5 means 5 %).
    """

    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    extended_hours: bool = False
    order_class: OrderClass = OrderClass.SIMPLE
    take_profit: TakeProfit | None = None
    stop_loss: StopLoss | None = None

    def wire_fields(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values: decimals as canonical strings, enums as values."""

        def plain(value: Any) -> Any:
            if isinstance(value, Decimal):
                return format_decimal(value)
            if isinstance(value, dict):
                return {key: plain(item) for key, item in value.items()}
            return str(value) if isinstance(value, str) else value

        return {key: plain(value) for key, value in asdict(self).items()}


def hash_order(*, account_id: UUID, client_order_id: str, request: OrderRequest) -> str:
    """Return the SHA-256 (hex) over account, client id and every wire field.

    A decision, an approval and a send must all carry this same hash.
    """
    body = {"account": str(account_id), "client_order_id": client_order_id, **request.wire_fields()}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceRequest:
    """New values for an open order; None leaves a field as it is. `quantity` is the new TOTAL quantity."""

    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail: Decimal | None = None
    time_in_force: TimeInForce | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionToken:
    """Proof that the gate allowed exactly one order hash. Minted by `risk.services` only."""

    decision_id: UUID
    order_hash: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOrder:
    """An order as a broker's snapshot shows it. `legs` are its exits (bracket, OCO, OTO)."""

    broker_order_id: str
    client_order_id: str
    symbol: str
    side: Side | None
    order_type: OrderType | None
    time_in_force: TimeInForce | None
    status: BrokerOrderStatus
    quantity: Decimal | None
    notional: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail_amount: Decimal | None
    trail_percent: Decimal | None
    extended_hours: bool
    order_class: OrderClass | None
    cum_qty: Decimal
    avg_px: Decimal | None
    submitted_at: datetime | None
    updated_at: datetime | None
    replaces: str = ""
    replaced_by: str = ""
    reject_reason: str = ""
    legs: tuple["BrokerOrder", ...] = ()
    raw: Raw = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionReport:
    """One fact about an order, from a stream, a poll or an acknowledgement.

    `exec_id` is the broker's own id of the execution, unique per account; empty for reports that are not
    trades. `cum_qty` and `avg_px` are the broker's cumulative claim, kept for comparison only.
    `ref_exec_id` names the busted or corrected execution.
    """

    exec_type: ExecType
    broker_order_id: str
    client_order_id: str
    transact_time: datetime | None
    order: BrokerOrder | None = None
    exec_id: str = ""
    last_qty: Decimal | None = None
    last_px: Decimal | None = None
    cum_qty: Decimal | None = None
    avg_px: Decimal | None = None
    commission: Decimal | None = None
    ref_exec_id: str = ""
    replaced_by: str = ""
    text: str = ""
    raw: Raw = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerExecution:
    """One fill from the broker's list of activities, the ground truth for back-filling.

    `cum_qty` is the broker's cumulative claim after this fill, where it gives one.
    """

    exec_id: str
    broker_order_id: str
    symbol: str
    side: Side
    last_qty: Decimal
    last_px: Decimal
    transact_time: datetime
    cum_qty: Decimal | None = None
    commission: Decimal | None = None
    raw: Raw = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerActivity:
    """A cash or position change that is not a fill. `amount` is signed cash in `currency` (the account's when
    empty); for a split `quantity` is the signed change of shares.
    """

    activity_id: str
    kind: ActivityKind
    symbol: str
    amount: Decimal | None
    quantity: Decimal | None
    occurred_at: datetime
    currency: str = ""
    description: str = ""
    raw: Raw = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerPosition:
    """Signed quantity (short is negative) with the broker's average entry price."""

    symbol: str
    quantity: Decimal
    avg_price: Decimal
    market_price: Decimal | None = None
    market_value: Decimal | None = None
    unrealised_pnl: Decimal | None = None
    previous_close: Decimal | None = None
    quantity_available: Decimal | None = None
    raw: Raw = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountInfo:
    """State of the account at the broker. `restriction` is empty when it may trade."""

    broker_account_id: str
    account_number: str
    currency: str
    status: str
    cash: Decimal
    equity: Decimal
    buying_power: Decimal
    last_equity: Decimal | None = None
    long_market_value: Decimal | None = None
    short_market_value: Decimal | None = None
    multiplier: Decimal | None = None
    shorting_enabled: bool = False
    restriction: str = ""
    raw: Raw = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetInfo:
    symbol: str
    name: str
    exchange: str
    tradable: bool
    fractionable: bool
    shortable: bool
    marginable: bool
    overnight_tradable: bool = False
    fractional_extended_hours: bool = False
    raw: Raw = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteInfo:
    """Best bid and ask with their time. Sizes are in shares. A missing side is None."""

    symbol: str
    bid: Decimal | None
    ask: Decimal | None
    bid_size: Decimal | None
    ask_size: Decimal | None
    last: Decimal | None
    as_of: datetime
    previous_close: Decimal | None = None

    @property
    def mid(self) -> Decimal | None:
        if self.bid and self.ask:
            return (self.bid + self.ask) / 2
        return self.last or self.bid or self.ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketClock:
    now: datetime
    is_open: bool
    next_open: datetime
    next_close: datetime
    session: Session | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRule:
    """One row of what goes with what: an order type, its times in force and the sessions it may enter."""

    order_type: OrderType
    times_in_force: frozenset[TimeInForce]
    fractional_times_in_force: frozenset[TimeInForce] = frozenset()
    extended_hours_times_in_force: frozenset[TimeInForce] = frozenset()
    order_classes: frozenset[OrderClass] = frozenset({OrderClass.SIMPLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOrderIdFormat:
    max_length: int
    alphabet: str = "0-9a-zA-Z-_"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Requests per period, counted per `scope`: "account", "application" or "ip"."""

    requests: int
    period: timedelta
    scope: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What one adapter can do in one environment. Forms, gate and help pages read this, never a name."""

    broker: str
    environment: Environment
    display_name: str
    order_rules: tuple[OrderRule, ...]
    link_kinds: tuple[LinkKind, ...]
    dedupe_class: DedupeClass
    dedupe_window: timedelta | None
    client_order_id_format: ClientOrderIdFormat
    rate_limit: RateLimit
    margin_regime: MarginRegime
    margin_regime_source: str
    fractional: bool
    notional: bool
    notional_minimum: Decimal | None
    quantity_decimals: int
    short_selling: bool
    replace: bool
    replace_fields: frozenset[str]
    stream: bool
    quote_stream: bool
    quotes: bool
    bars: bool
    activities: bool
    is_paper: bool
    session_lifetime: timedelta | None
    always_open: bool = False
    help_url: str = ""

    def rule_for(self, order_type: OrderType) -> OrderRule | None:
        return next((rule for rule in self.order_rules if rule.order_type == order_type), None)

    @property
    def order_types(self) -> tuple[OrderType, ...]:
        return tuple(rule.order_type for rule in self.order_rules)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Decrypted secrets of one connection, alive only inside an adapter call. Never printed."""

    kind: LinkKind
    values: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHandle:
    """What an adapter needs to know of an account: ids and environment, no ORM row."""

    account_id: UUID
    broker: str
    environment: Environment
    broker_account_id: str
    currency: str
    credentials: Credentials = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedAccount:
    """One account that a fresh link turned out to cover."""

    environment: Environment
    info: AccountInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """One raw message of a broker's stream, with a key that is the same each time it is delivered."""

    dedupe_key: str
    kind: str
    payload: Raw
    received_at: datetime
