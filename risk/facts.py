"""Everything that a rule may look at, as plain frozen values.

Whoever builds a context reads the database and the broker first; rules only compare. Amounts are in the
account's currency, quantities in shares, times in UTC. `None` always means "not known", never zero.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from brokers.enums import Environment, MarginRegime, OrderType, Session, Side
from brokers.types import Capabilities, ClientOrderIdFormat, OrderRequest, OrderRule


class Purpose(StrEnum):
    """Why the gate is asked. Soft findings are asked about at all of them but SEND: nobody is there then."""

    PREVIEW = "preview"
    PLACE = "place"
    APPROVE = "approve"
    SEND = "send"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisclosureFacts:
    """The current version of one text that applies to this order's user.

    `required_for` is "trading", "live" or "extended"; `accepted_version` is the newest version that the
    user ever accepted, None when none.
    """

    kind: str
    title: str
    version: int
    required_for: str
    accepted_version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFacts:
    """Who asks. `disclosures` holds every published text with a `required_for` other than "none"."""

    id: int
    is_owner: bool
    is_active: bool
    role: str
    disclosures: tuple[DisclosureFacts, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFacts:
    """The account as its broker described it at `synced_at` (None: never).

    `start_equity` is the equity at the start of the trade date plus money moved in since. `unsynced_spend`
    is what fills after `synced_at` cost, which the balances do not show yet. `gross_exposure` is the sum
    of the absolute market values of all positions. `shorting_enabled` is the broker's word.
    """

    id: UUID
    broker: str
    label: str
    environment: Environment
    currency: str
    is_active: bool
    restriction: str
    cash: Decimal
    equity: Decimal
    buying_power: Decimal
    synced_at: datetime | None
    start_equity: Decimal | None = None
    gross_exposure: Decimal | None = None
    shorting_enabled: bool | None = None
    unsynced_spend: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialFacts:
    """State of the link to the broker. `status` is a `ConnectionStatus` value."""

    status: str
    reason: str = ""
    can_trade: bool = True
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityFacts:
    """The part of an adapter's capabilities that rules read."""

    broker: str
    display_name: str
    order_rules: tuple[OrderRule, ...]
    fractional: bool
    notional: bool
    notional_minimum: Decimal | None
    quantity_decimals: int
    short_selling: bool
    client_order_id_format: ClientOrderIdFormat
    margin_regime: MarginRegime
    is_paper: bool
    always_open: bool

    @classmethod
    def from_capabilities(cls, capabilities: Capabilities) -> "CapabilityFacts":
        return cls(
            broker=capabilities.broker,
            display_name=capabilities.display_name,
            order_rules=capabilities.order_rules,
            fractional=capabilities.fractional,
            notional=capabilities.notional,
            notional_minimum=capabilities.notional_minimum,
            quantity_decimals=capabilities.quantity_decimals,
            short_selling=capabilities.short_selling,
            client_order_id_format=capabilities.client_order_id_format,
            margin_regime=capabilities.margin_regime,
            is_paper=capabilities.is_paper,
            always_open=capabilities.always_open,
        )

    def rule_for(self, order_type: OrderType) -> OrderRule | None:
        return next((rule for rule in self.order_rules if rule.order_type == order_type), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """The order that is judged. For a replace, `request` is the whole order as it would become.

    `client_order_id` and `order_hash` are empty in a preview. `expires_at` is when the intent may no
    longer be sent. `confirmed` holds the codes of soft findings that the caller accepts.
    """

    request: OrderRequest
    client_order_id: str
    order_hash: str
    origin: str
    expires_at: datetime | None
    confirmed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentFacts:
    """The security as the broker lists it. `overnight_tradable` is None when the broker does not say."""

    symbol: str
    tradable: bool
    fractionable: bool
    shortable: bool
    otc: bool
    checked_at: datetime
    fractional_extended_hours: bool = False
    overnight_tradable: bool | None = None


class InstrumentProblem(StrEnum):
    """Why there is no instrument: the broker knows no such symbol, or could not be asked."""

    NONE = ""
    UNKNOWN = "unknown"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteFacts:
    """Best bid and ask. `as_of` is when the source last said that this is the current quote."""

    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None
    previous_close: Decimal | None
    as_of: datetime
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """Phase of the market. `is_open` speaks of the regular session; `next_open` and `next_close` too."""

    session: Session
    is_open: bool
    next_open: datetime | None
    next_close: datetime | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionFacts:
    """Confirmed holding of the order's symbol: signed, zero when none, from booked fills and sync."""

    quantity: Decimal
    market_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrderFacts:
    """An unfinished order of the account (any symbol), its exits at the broker included.

    `leaves_qty` is what may still fill; None for an order by amount, whose rest is `leaves_notional`.
    `price` is the price it was reserved at. `reserved_cash` is what it may still cost.
    `counted_by_broker`: the balances of `synced_at` already allow for it. `waits_for_parent`: an exit that
    becomes active only when its entry has filled; it holds no shares yet. Orders with the same `group`
    (the two exits of a bracket or OCO) exclude each other, so only the larger one counts.
    """

    id: str
    client_order_id: str
    symbol: str
    side: Side
    status: str
    leaves_qty: Decimal | None
    price: Decimal | None
    reserved_cash: Decimal
    counted_by_broker: bool
    leaves_notional: Decimal | None = None
    waits_for_parent: bool = False
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnconfirmedOrderFacts:
    """An order of the account whose outcome at the broker is unknown."""

    id: str
    client_order_id: str
    symbol: str
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentIntentFacts:
    """An order that the account placed a short while ago (at least the last 60 seconds are given)."""

    id: str
    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal | None
    notional: Decimal | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CountFacts:
    """Orders so far, this one not among them.

    `opening_orders_today`: orders of the account on this trade date that were not pure exits and were
    not denied. `orders_last_minute`: orders of the user in the 60 seconds before `now`, replaces included.
    `live_opening_orders`: opening orders that the broker has ever taken from a live account; the count may
    stop at the limit `pilot_orders`.
    """

    opening_orders_today: int
    orders_last_minute: int
    live_opening_orders: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltFacts:
    """An active halt that covers the account: `scope` and `kind` as in `risk.models`."""

    scope: str
    scope_key: str
    kind: str
    started_by: str
    started_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingOrderFacts:
    """The order already stored for this account under the same client order id."""

    id: str
    order_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplacementFacts:
    """The open order that a replace would change, and how much of it has filled.

    `reserved_cash`, `counted_by_broker` and `group` are as in `OpenOrderFacts`.
    """

    order_id: str
    client_order_id: str
    request: OrderRequest
    cum_qty: Decimal
    reserved_cash: Decimal
    counted_by_broker: bool
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalFacts:
    """The user's approval of the one order with this hash, given already or in this very moment (APPROVE).

    `reference_price` is what the order would have met when the approval was asked for.
    """

    id: str
    order_hash: str
    given_by: str
    requested_at: datetime
    expires_at: datetime
    reference_price: Decimal | None
