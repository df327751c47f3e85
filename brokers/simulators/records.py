"""Records of the simulator's private book, and their JSON form for the state file.

Every record is one row of the state file: ``KIND`` names the family, ``id`` is its key. Money and quantities
are ``Decimal`` and travel as strings.
"""

import json
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, TypeVar, get_type_hints

TERMINAL = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})
WORKING = frozenset({"new", "partially_filled", "pending_cancel", "pending_replace"})

RecordT = TypeVar("RecordT", bound="Record")


@dataclass(slots=True)
class Record:
    """Base of everything that is stored."""

    KIND: ClassVar[str] = ""
    id: str


@dataclass(slots=True)
class Customer(Record):
    """A person who holds accounts at the simulated broker."""

    KIND: ClassVar[str] = "customer"
    name: str
    email: str
    created_at: datetime
    market_data_plan: str = "basic"


@dataclass(slots=True)
class Account(Record):
    """One brokerage account in one environment (paper or live).

    ``cash`` is settled and unsettled together.
    """

    KIND: ClassVar[str] = "account"
    number: str
    customer_id: str
    env: str
    created_at: datetime
    cash: Decimal = Decimal(0)
    status: str = "ACTIVE"
    multiplier: str = "2"
    shorting_enabled: bool = True
    trading_blocked: bool = False
    transfers_blocked: bool = False
    account_blocked: bool = False
    rate_limit: int | None = None
    configurations: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class KeyPair(Record):
    """An API key of one account; ``id`` is the key id."""

    KIND: ClassVar[str] = "key"
    secret: str = field(repr=False)
    account_id: str
    revoked: bool = False


@dataclass(slots=True)
class OAuthApp(Record):
    """A registered application; ``id`` is the client id."""

    KIND: ClassVar[str] = "app"
    secret: str = field(repr=False)
    name: str
    redirect_uris: list[str] = field(default_factory=list)
    any_loopback: bool = False


@dataclass(slots=True)
class OAuthCode(Record):
    """A one-time authorization code."""

    KIND: ClassVar[str] = "code"
    app_id: str
    redirect_uri: str
    scope: str
    accounts: list[str]
    expires_at: float
    used: bool = False


@dataclass(slots=True)
class OAuthToken(Record):
    """An access token for at most one account per environment; it lives until it is revoked."""

    KIND: ClassVar[str] = "token"
    app_id: str
    scope: str
    accounts: list[str]
    revoked: bool = False


@dataclass(slots=True)
class Order(Record):
    """An order with its whole life. ``qty`` is shares or None for dollar orders (``notional``)."""

    KIND: ClassVar[str] = "order"
    account_id: str
    client_order_id: str
    seq: int
    symbol: str
    asset_id: str
    side: str
    order_type: str
    time_in_force: str
    created_at: datetime
    updated_at: datetime
    submitted_at: datetime
    qty: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    hwm: Decimal | None = None
    collar: Decimal | None = None
    extended_hours: bool = False
    order_class: str = ""
    position_intent: str = ""
    status: str = "accepted"
    previous_status: str = ""
    triggered: bool = False
    filled_qty: Decimal = Decimal(0)
    filled_value: Decimal = Decimal(0)
    filled_at: datetime | None = None
    expired_at: datetime | None = None
    canceled_at: datetime | None = None
    failed_at: datetime | None = None
    replaced_at: datetime | None = None
    expires_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    replaces: str | None = None
    replaced_by: str | None = None
    parent_id: str | None = None
    leg: str = ""
    source: str = "access_key"
    reject_reason: str = ""
    history: list[list[str]] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """True until the order reached a terminal status."""
        return self.status not in TERMINAL

    @property
    def leaves_qty(self) -> Decimal:
        """Shares still to fill; zero for a dollar order that has not traded."""
        return (self.qty or Decimal(0)) - self.filled_qty

    @property
    def filled_avg_price(self) -> Decimal | None:
        """Average fill price, or None without fills."""
        if self.filled_qty == 0:
            return None
        average = self.filled_value / self.filled_qty
        return average.quantize(Decimal("0.000001")).normalize()


@dataclass(slots=True)
class Execution(Record):
    """One fill. ``busted`` fills no longer count."""

    KIND: ClassVar[str] = "execution"
    account_id: str
    order_id: str
    client_order_id: str
    seq: int
    symbol: str
    side: str
    qty: Decimal
    price: Decimal
    cum_qty: Decimal
    leaves_qty: Decimal
    position_qty: Decimal
    at: datetime
    busted: bool = False
    busted_at: datetime | None = None

    @property
    def signed_qty(self) -> Decimal:
        """Shares added to the position: negative for sells."""
        return self.qty if self.side == "buy" else -self.qty


@dataclass(slots=True)
class LedgerEntry(Record):
    """A change that is no fill: CSD/CSW deposit or withdrawal, JNLS shares moved in, SPLIT."""

    KIND: ClassVar[str] = "ledger"
    account_id: str
    seq: int
    entry_type: str
    at: datetime
    net_amount: Decimal = Decimal(0)
    symbol: str = ""
    qty: Decimal = Decimal(0)
    price: Decimal = Decimal(0)
    ratio: Decimal = Decimal(1)
    description: str = ""


@dataclass(slots=True)
class Position(Record):
    """Shares held; ``id`` is ``<account id>:<symbol>``; a short position has a negative quantity."""

    KIND: ClassVar[str] = "position"
    account_id: str
    symbol: str
    qty: Decimal = Decimal(0)
    avg_entry_price: Decimal = Decimal(0)

    def add(self, signed_qty: Decimal, price: Decimal) -> None:
        """Apply a trade: the average price moves when the position grows, restarts when it turns around."""
        before, after = self.qty, self.qty + signed_qty
        if before == 0 or (before > 0) != (after > 0):
            self.avg_entry_price = price if after else Decimal(0)
        elif (signed_qty > 0) == (before > 0):
            self.avg_entry_price = (self.avg_entry_price * before + price * signed_qty) / after
        self.qty = after


@dataclass(slots=True)
class Received(Record):
    """One order request as it arrived, kept as evidence. ``monotonic_ns`` is the server's steady clock."""

    KIND: ClassVar[str] = "received"
    account_id: str
    client_order_id: str
    monotonic_ns: int
    at: datetime
    outcome: str
    body: dict[str, Any]


@dataclass(slots=True)
class Setting(Record):
    """State of the simulator itself (clock, session, market overrides)."""

    KIND: ClassVar[str] = "setting"
    value: dict[str, Any]


@dataclass(slots=True)
class StripeRecord(Record):
    """An object of the simulated Stripe in its published shape, with notes beside it."""

    KIND: ClassVar[str] = "stripe"
    sequence: int
    body: dict[str, Any]
    notes: dict[str, Any]


RECORD_TYPES: tuple[type[Record], ...] = (
    Customer,
    Account,
    KeyPair,
    OAuthApp,
    OAuthCode,
    OAuthToken,
    Order,
    Execution,
    LedgerEntry,
    Position,
    Received,
    Setting,
    StripeRecord,
)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"cannot store {type(value).__name__}")


def _find_converters(kind: type[Record]) -> dict[str, type]:
    hints = get_type_hints(kind)
    found: dict[str, type] = {}
    for item in fields(kind):
        for candidate in (Decimal, datetime):
            if candidate in (hints[item.name], *getattr(hints[item.name], "__args__", ())):
                found[item.name] = candidate
    return found


_CONVERTERS = {kind: _find_converters(kind) for kind in RECORD_TYPES}


def as_dict(record: Record) -> dict[str, Any]:
    """The record's fields by name."""
    return {item.name: getattr(record, item.name) for item in fields(record)}


def dump_record(record: Record) -> str:
    """JSON text of ``record``."""
    return json.dumps(as_dict(record), default=_plain, separators=(",", ":"))


def load_record(kind: type[RecordT], text: str) -> RecordT:
    """The record that :func:`dump_record` wrote."""
    values = json.loads(text)
    for name, convert in _CONVERTERS[kind].items():
        if values.get(name) is not None:
            raw = values[name]
            values[name] = Decimal(raw) if convert is Decimal else datetime.fromisoformat(raw)
    return kind(**values)
