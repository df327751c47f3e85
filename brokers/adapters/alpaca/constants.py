"""Words and numbers of Alpaca's Trading and Market Data APIs, as documented in 2026."""

from datetime import timedelta

from brokers.enums import ActivityKind, BrokerOrderStatus, ExecType

BROKER_KEY = "alpaca"
DISPLAY_NAME = "Alpaca"
HELP_URL = "https://docs.alpaca.markets/docs/orders-at-alpaca"

CLIENT_ORDER_ID_MAX_LENGTH = 128
QUANTITY_DECIMALS = 9
NOTIONAL_MINIMUM = "1.00"
REQUESTS_PER_MINUTE = 200
MARGIN_REGIME_SOURCE = "Alpaca changelog 2026-06-04"

ORDERS_PAGE = 500
ACTIVITIES_PAGE = 100
BARS_PAGE = 10_000
SYMBOLS_PER_QUOTE_CALL = 100
MAX_PAGES = 2_000
DATA_FEED = "iex"
TIMEFRAMES = frozenset({"1Min", "5Min", "15Min", "1Hour", "1Day"})

# `account:write` covers configurations, `trading` orders, `data` market data; without any, read only.
OAUTH_SCOPE = "account:write trading data"

# Seconds. The SDK sets no time-out of its own, so a stalled socket would hold a worker for ever.
CONNECT_TIMEOUT = 2.0
READ_TIMEOUT = 8.0
# A body may not trickle in longer than this; order answers are one packet, the asset list is megabytes.
BODY_TIMEOUT = 20.0
# Load balancers drop idle connections silently after about a minute: an order must not be the probe.
MAX_IDLE = timedelta(seconds=45)
MAX_BODY_BYTES = 64 * 1024 * 1024
CONNECTIONS_PER_LINK = 8
CLIENTS_PER_PROCESS = 1024

ACCOUNT_ACTIVE = "ACTIVE"
BUSINESS_CODE_DUPLICATE_ID = "40010001"

# Kinds of account activity that have one word each; DIV* and INT* are told by their beginning.
ACTIVITY_KINDS = {
    "FEE": ActivityKind.FEE,
    "CFEE": ActivityKind.FEE,
    "PTC": ActivityKind.FEE,
    "CSD": ActivityKind.TRANSFER,
    "CSW": ActivityKind.TRANSFER,
    "JNLC": ActivityKind.TRANSFER,
    "JNLS": ActivityKind.TRANSFER,
    "ACATC": ActivityKind.TRANSFER,
    "ACATS": ActivityKind.TRANSFER,
    "SPLIT": ActivityKind.SPLIT,
}

ORDER_STATUSES = {
    "pending_new": BrokerOrderStatus.PENDING_NEW,
    "accepted": BrokerOrderStatus.OPEN,
    "accepted_for_bidding": BrokerOrderStatus.OPEN,
    "new": BrokerOrderStatus.OPEN,
    "held": BrokerOrderStatus.HELD,
    "partially_filled": BrokerOrderStatus.PARTIALLY_FILLED,
    "filled": BrokerOrderStatus.FILLED,
    "done_for_day": BrokerOrderStatus.OPEN,
    "stopped": BrokerOrderStatus.OPEN,
    "suspended": BrokerOrderStatus.OPEN,
    "calculated": BrokerOrderStatus.OPEN,
    "pending_review": BrokerOrderStatus.OPEN,
    "pending_cancel": BrokerOrderStatus.PENDING_CANCEL,
    "pending_replace": BrokerOrderStatus.PENDING_REPLACE,
    "canceled": BrokerOrderStatus.CANCELED,
    "expired": BrokerOrderStatus.EXPIRED,
    "rejected": BrokerOrderStatus.REJECTED,
    "replaced": BrokerOrderStatus.REPLACED,
}

# `restated` means that Alpaca changed the order itself: only a fresh read tells what it is now, so it is
# left to ExecType.UNKNOWN, as is every word that is not listed here.
EVENTS = {
    "accepted": ExecType.NEW,
    "pending_new": ExecType.PENDING_NEW,
    "new": ExecType.NEW,
    "held": ExecType.STATUS,
    "partial_fill": ExecType.TRADE,
    "fill": ExecType.TRADE,
    "done_for_day": ExecType.STATUS,
    "pending_cancel": ExecType.PENDING_CANCEL,
    "canceled": ExecType.CANCELED,
    "expired": ExecType.EXPIRED,
    "pending_replace": ExecType.PENDING_REPLACE,
    "replaced": ExecType.REPLACED,
    "order_replace_rejected": ExecType.REPLACE_REJECTED,
    "order_cancel_rejected": ExecType.CANCEL_REJECTED,
    "rejected": ExecType.REJECTED,
    "stopped": ExecType.STATUS,
    "suspended": ExecType.STATUS,
    "calculated": ExecType.STATUS,
    "pending_review": ExecType.STATUS,
    "trade_bust": ExecType.TRADE_CANCEL,
    "trade_correct": ExecType.TRADE_CORRECT,
}

STREAM_NAME = "trade_updates"
# Seconds. A half-open socket is noticed after PING_EVERY + PING_PATIENCE.
PING_EVERY = 15
PING_PATIENCE = 30
STREAM_CLOSE_TIMEOUT = 2
STREAM_ANSWER_TIMEOUT = 10.0
LISTEN_ANSWER_TIMEOUT = 3.0
STREAM_QUEUE = 1024

DATA_STREAM_AUTH_FAILED = 402
DATA_STREAM_REFUSALS = frozenset({408, 409, 410, 411})
