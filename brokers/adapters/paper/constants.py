"""What the practice account can do, and the numbers of its rules.

The rules are those of a US retail broker's API: whole and fractional shares, five order types, six times in
force, exits by bracket, OCO and OTO. It is a cash account: no borrowed money, no short sales.
"""

from datetime import time, timedelta
from decimal import Decimal

from brokers.enums import (
    DedupeClass,
    Environment,
    LinkKind,
    MarginRegime,
    OrderClass,
    OrderType,
    TimeInForce,
)
from brokers.types import Capabilities, ClientOrderIdFormat, OrderRule, RateLimit

KEY = "paper"
DISPLAY_NAME = "Practice account"
CLIENT_ORDER_ID_LENGTH = 64
QUANTITY_DECIMALS = 9
MINIMUM_NOTIONAL = Decimal("1.00")
MINIMUM_TRAIL_PERCENT = Decimal("0.1")
MAXIMUM_TRAIL_PERCENT = Decimal(100)
EXIT_DISTANCE = Decimal("0.01")

# A market buy holds back this much more than the ask, so that a moving price does not overdraw the cash.
MARKET_BUY_MARGIN = Decimal("1.025")
# A stop buy may not pay more than this above its stop: 4 % below 50 dollars, 2.5 % from there.
CHEAP_STOP = Decimal(50)
CHEAP_STOP_COLLAR = Decimal("1.04")
STOP_COLLAR = Decimal("1.025")

# New York time in which auction orders are refused: too late for this one, too early for the next.
OPEN_AUCTION_REFUSED = (time(9, 28), time(19, 0))
CLOSE_AUCTION_REFUSED = (time(15, 50), time(19, 0))

_ALL_TIMES = frozenset(TimeInForce)
_DAY = frozenset({TimeInForce.DAY})
_DAY_OR_GTC = frozenset({TimeInForce.DAY, TimeInForce.GTC})
_WITH_EXITS = frozenset({OrderClass.SIMPLE, OrderClass.BRACKET, OrderClass.OTO})

ORDER_RULES = (
    OrderRule(
        order_type=OrderType.MARKET,
        times_in_force=_ALL_TIMES,
        fractional_times_in_force=_DAY,
        order_classes=_WITH_EXITS,
    ),
    OrderRule(
        order_type=OrderType.LIMIT,
        times_in_force=_ALL_TIMES,
        fractional_times_in_force=_DAY,
        extended_hours_times_in_force=_DAY_OR_GTC,
        order_classes=_WITH_EXITS | {OrderClass.OCO},
    ),
    OrderRule(order_type=OrderType.STOP, times_in_force=_DAY_OR_GTC),
    OrderRule(order_type=OrderType.STOP_LIMIT, times_in_force=_DAY_OR_GTC),
    OrderRule(order_type=OrderType.TRAILING_STOP, times_in_force=_DAY_OR_GTC),
)

CAPABILITIES = Capabilities(
    broker=KEY,
    environment=Environment.PAPER,
    display_name=DISPLAY_NAME,
    order_rules=ORDER_RULES,
    link_kinds=(LinkKind.BUILT_IN,),
    dedupe_class=DedupeClass.D,
    dedupe_window=None,
    client_order_id_format=ClientOrderIdFormat(max_length=CLIENT_ORDER_ID_LENGTH),
    rate_limit=RateLimit(requests=60_000, period=timedelta(minutes=1), scope="account"),
    margin_regime=MarginRegime.CASH,
    margin_regime_source="The practice account trades with its own cash only.",
    fractional=True,
    notional=True,
    notional_minimum=MINIMUM_NOTIONAL,
    quantity_decimals=QUANTITY_DECIMALS,
    short_selling=False,
    replace=True,
    replace_fields=frozenset({"quantity", "limit_price", "stop_price", "trail", "time_in_force"}),
    stream=True,
    quote_stream=False,
    quotes=True,
    bars=True,
    activities=True,
    is_paper=True,
    session_lifetime=None,
)
