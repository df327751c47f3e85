"""What Alpaca can do for US equities. Where its own documents disagree, the narrower reading counts."""

from datetime import timedelta
from decimal import Decimal

from brokers.adapters.alpaca.constants import (
    BROKER_KEY,
    CLIENT_ORDER_ID_MAX_LENGTH,
    DISPLAY_NAME,
    HELP_URL,
    MARGIN_REGIME_SOURCE,
    NOTIONAL_MINIMUM,
    QUANTITY_DECIMALS,
    REQUESTS_PER_MINUTE,
)
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

T = TimeInForce
ALL_TIMES = frozenset(TimeInForce)
DAY_OR_GTC = frozenset({T.DAY, T.GTC})
DAY_ONLY = frozenset({T.DAY})
WITH_EXITS = frozenset({OrderClass.SIMPLE, OrderClass.BRACKET, OrderClass.OTO})

# Fractions: day orders, simple class. The order reference names market, accounts were seen to accept
# limit too; stop orders are announced but unproven, so they are offered in whole shares only.
# Stop and trailing orders need a session to watch the price in, which the auction and immediate times in
# force do not have. Bracket, OCO and OTO orders take day or gtc.
ORDER_RULES = (
    OrderRule(
        order_type=OrderType.MARKET,
        times_in_force=ALL_TIMES,
        fractional_times_in_force=DAY_ONLY,
        order_classes=WITH_EXITS,
    ),
    OrderRule(
        order_type=OrderType.LIMIT,
        times_in_force=ALL_TIMES,
        fractional_times_in_force=DAY_ONLY,
        extended_hours_times_in_force=DAY_OR_GTC,
        order_classes=WITH_EXITS | {OrderClass.OCO},
    ),
    OrderRule(order_type=OrderType.STOP, times_in_force=DAY_OR_GTC),
    OrderRule(order_type=OrderType.STOP_LIMIT, times_in_force=DAY_OR_GTC),
    OrderRule(order_type=OrderType.TRAILING_STOP, times_in_force=DAY_OR_GTC),
)

REPLACE_FIELDS = frozenset({"quantity", "limit_price", "stop_price", "trail", "time_in_force"})


def capabilities_of(environment: Environment) -> Capabilities:
    """Return what Alpaca offers in one environment; paper and live differ in money only."""
    return Capabilities(
        broker=BROKER_KEY,
        environment=environment,
        display_name=DISPLAY_NAME,
        order_rules=ORDER_RULES,
        link_kinds=(LinkKind.OAUTH2, LinkKind.API_KEY),
        dedupe_class=DedupeClass.D,
        dedupe_window=None,
        client_order_id_format=ClientOrderIdFormat(max_length=CLIENT_ORDER_ID_MAX_LENGTH),
        rate_limit=RateLimit(requests=REQUESTS_PER_MINUTE, period=timedelta(minutes=1), scope="account"),
        margin_regime=MarginRegime.INTRADAY,
        margin_regime_source=MARGIN_REGIME_SOURCE,
        fractional=True,
        notional=True,
        notional_minimum=Decimal(NOTIONAL_MINIMUM),
        quantity_decimals=QUANTITY_DECIMALS,
        short_selling=True,
        replace=True,
        replace_fields=REPLACE_FIELDS,
        stream=True,
        quote_stream=True,
        quotes=True,
        bars=True,
        activities=True,
        is_paper=environment is Environment.PAPER,
        session_lifetime=None,
        help_url=HELP_URL,
    )
