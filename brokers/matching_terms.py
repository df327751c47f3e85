"""What is matched and what may come of it: quotes, resting orders, actions, price steps. Pure.

Money, prices and quantities are ``Decimal``; a price is dollars per share; quantities are positive and the
side carries the direction.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from enum import StrEnum

ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)
QUANTITY_STEP = Decimal("0.000000001")


class Side(StrEnum):
    """Direction of an order; compares equal to the plain strings used elsewhere."""

    BUY = "buy"
    SELL = "sell"


class OrderType(StrEnum):
    """The five order types of US equities."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class TimeInForce(StrEnum):
    """How long an order works."""

    DAY = "day"
    GTC = "gtc"
    OPG = "opg"
    CLS = "cls"
    IOC = "ioc"
    FOK = "fok"


class Session(StrEnum):
    """Phase of the trading day.

    The two crosses are single moments: the caller passes each exactly once a day.
    """

    PRE = "pre"
    OPENING_CROSS = "opening_cross"
    CORE = "core"
    CLOSING_CROSS = "closing_cross"
    POST = "post"
    OVERNIGHT = "overnight"
    CLOSED = "closed"


CORE_SESSIONS = frozenset({Session.OPENING_CROSS, Session.CORE, Session.CLOSING_CROSS})
EXTENDED_SESSIONS = frozenset({Session.PRE, Session.POST, Session.OVERNIGHT})
IMMEDIATE = frozenset({TimeInForce.IOC, TimeInForce.FOK})


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and offer of a symbol with the last trade.

    Sizes are shares; a size of zero is an empty side.
    """

    symbol: str
    bid: Decimal
    ask: Decimal
    bid_size: Decimal
    ask_size: Decimal
    last: Decimal
    as_of: datetime
    halted: bool = False

    def opposite_price(self, side: str) -> Decimal:
        """Price an incoming order of ``side`` trades at."""
        return self.ask if side == Side.BUY else self.bid

    def opposite_size(self, side: str) -> Decimal:
        """Shares displayed for an incoming order of ``side``."""
        return self.ask_size if side == Side.BUY else self.bid_size

    def consumed(self, side: str, quantity: Decimal) -> "Quote":
        """The quote after an order of ``side`` took ``quantity`` shares from it."""
        left = max(ZERO, self.opposite_size(side) - quantity)
        return replace(self, ask_size=left) if side == Side.BUY else replace(self, bid_size=left)


@dataclass(frozen=True, slots=True)
class RestingOrder:
    """What matching needs to know of a working order.

    ``collar`` bounds the price of a stop order after its trigger (None: plain market).
    ``high_water_mark`` is the best last price a trailing stop has seen: the highest for a sell, the
    lowest for a buy.
    Raises ValueError when the prices do not fit the order type.
    """

    id: str
    symbol: str
    side: str
    order_type: str
    quantity: Decimal
    cum_qty: Decimal = ZERO
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    high_water_mark: Decimal | None = None
    time_in_force: str = TimeInForce.DAY
    extended_hours: bool = False
    triggered: bool = False
    collar: Decimal | None = None

    def __post_init__(self) -> None:
        if self.quantity <= 0 or not ZERO <= self.cum_qty <= self.quantity:
            raise ValueError("quantity must be positive and cum_qty within it")
        if self.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT) and self.limit_price is None:
            raise ValueError(f"a {self.order_type} order needs a limit price")
        if self.order_type in (OrderType.STOP, OrderType.STOP_LIMIT) and self.stop_price is None:
            raise ValueError(f"a {self.order_type} order needs a stop price")
        if self.order_type == OrderType.TRAILING_STOP and (self.trail_amount is None) == (
            self.trail_percent is None
        ):
            raise ValueError("a trailing stop needs exactly one of trail_amount and trail_percent")

    @property
    def leaves_qty(self) -> Decimal:
        """Shares still to fill."""
        return self.quantity - self.cum_qty

    @property
    def is_stop(self) -> bool:
        """True for the types that wait for a trigger."""
        return self.order_type in (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP)

    @property
    def price_bound(self) -> Decimal | None:
        """The worst price the order may trade at once it works, or None for a market order."""
        if self.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT):
            return self.limit_price
        return self.collar if self.is_stop else None


@dataclass(frozen=True, slots=True)
class Liquidity:
    """How much of the displayed size an order gets.

    ``respect_size`` False fills any quantity at the quote. ``max_fill`` caps one fill. With a random source,
    ``partial_probability`` is the chance that a fill takes only 10 to 90 % of what it could, and
    ``improvement_probability`` the chance that it trades one tick inside the spread.
    """

    respect_size: bool = True
    max_fill: Decimal | None = None
    partial_probability: float = 0.0
    improvement_probability: float = 0.0


FULL_DISPLAY = Liquidity()
UNLIMITED = Liquidity(respect_size=False)


@dataclass(frozen=True, slots=True)
class Fill:
    """``quantity`` shares traded at ``price``."""

    order_id: str
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class Trigger:
    """A stop was elected by the last price ``at``; from now on it works as market or limit."""

    order_id: str
    at: Decimal


@dataclass(frozen=True, slots=True)
class TrailMove:
    """A trailing stop moved its mark and stop price."""

    order_id: str
    high_water_mark: Decimal
    stop_price: Decimal


@dataclass(frozen=True, slots=True)
class Cancel:
    """The remainder is cancelled by its own time in force (``reason`` is that time in force)."""

    order_id: str
    quantity: Decimal
    reason: str


@dataclass(frozen=True, slots=True)
class Expire:
    """The remainder ended with the session."""

    order_id: str
    quantity: Decimal


Action = Fill | Trigger | TrailMove | Cancel | Expire


def tick_size(price: Decimal) -> Decimal:
    """Smallest price step: 0.01 from one dollar up, 0.0001 below (SEC Rule 612 of Regulation NMS)."""
    return Decimal("0.01") if abs(price) >= ONE else Decimal("0.0001")


def round_to_tick(price: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """``price`` on the tick grid that applies at that price."""
    return price.quantize(tick_size(price), rounding=rounding)


def quantity_for_notional(notional: Decimal, price: Decimal) -> Decimal:
    """Shares that ``notional`` dollars buy at ``price``, cut to nine decimals (never more than the
    dollars).
    """
    return (notional / price).quantize(QUANTITY_STEP, rounding=ROUND_DOWN)
