"""The trading words that every layer shares. FIX names in plain English, one word per concept."""

from django.db import models


class Environment(models.TextChoices):
    PAPER = "paper", "Paper"
    LIVE = "live", "Live"


class Side(models.TextChoices):
    BUY = "buy", "Buy"
    SELL = "sell", "Sell"


class OrderType(models.TextChoices):
    MARKET = "market", "Market"
    LIMIT = "limit", "Limit"
    STOP = "stop", "Stop"
    STOP_LIMIT = "stop_limit", "Stop limit"
    TRAILING_STOP = "trailing_stop", "Trailing stop"


class TimeInForce(models.TextChoices):
    DAY = "day", "Day"
    GTC = "gtc", "Good till canceled"
    OPG = "opg", "At the open"
    CLS = "cls", "At the close"
    IOC = "ioc", "Immediate or cancel"
    FOK = "fok", "Fill or kill"


class OrderClass(models.TextChoices):
    """How an order's exits hang on it. All but SIMPLE carry a take-profit, a stop-loss or both."""

    SIMPLE = "simple", "Simple"
    BRACKET = "bracket", "Bracket"
    OCO = "oco", "One cancels other"
    OTO = "oto", "One triggers other"


class AssetClass(models.TextChoices):
    US_EQUITY = "us_equity", "US equity"


class Session(models.TextChoices):
    """Phase of the US equity trade date (New York time): core is 09:30-16:00."""

    PRE = "pre", "Pre-market"
    CORE = "core", "Regular session"
    POST = "post", "After hours"
    OVERNIGHT = "overnight", "Overnight"
    CLOSED = "closed", "Closed"


class DedupeClass(models.TextChoices):
    """What a broker does with a repeated client order id.

    D refuses it, so the same id may be sent again; N has no such id, so the machine never sends again.
    """

    D = "D", "Refuses a repeated client order id"
    N = "N", "Has no client order id"


class LinkKind(models.TextChoices):
    OAUTH2 = "oauth2", "Sign in at the broker"
    API_KEY = "api_key", "API key pair"
    BUILT_IN = "built_in", "Built in"


class MarginRegime(models.TextChoices):
    """Which day-trading rule the broker applies (FINRA SR-FINRA-2025-017, effective 2026-06-04)."""

    INTRADAY = "intraday", "Intraday margin"
    LEGACY_PDT = "legacy_pdt", "Pattern day trader"
    CASH = "cash", "Cash account"
    UNKNOWN = "unknown", "Unknown"


class ConnectionStatus(models.TextChoices):
    ACTIVE = "active", "Linked"
    NEEDS_RELINK = "needs_relink", "Needs re-linking"
    UNLINKED = "unlinked", "Unlinked"


class ActivityKind(models.TextChoices):
    """What changed cash or shares without being a fill."""

    DIVIDEND = "dividend", "Dividend"
    INTEREST = "interest", "Interest"
    FEE = "fee", "Fee"
    TRANSFER = "transfer", "Transfer"
    SPLIT = "split", "Split"
    OTHER = "other", "Other"


class ExecType(models.TextChoices):
    """Kind of execution report (FIX tag 150), the only words the state machine is fed with."""

    PENDING_NEW = "pending_new", "Received"
    NEW = "new", "Accepted"
    TRADE = "trade", "Trade"
    CANCELED = "canceled", "Canceled"
    EXPIRED = "expired", "Expired"
    REJECTED = "rejected", "Rejected"
    PENDING_CANCEL = "pending_cancel", "Cancel pending"
    PENDING_REPLACE = "pending_replace", "Replace pending"
    REPLACED = "replaced", "Replaced"
    CANCEL_REJECTED = "cancel_rejected", "Cancel refused"
    REPLACE_REJECTED = "replace_rejected", "Replace refused"
    TRADE_CANCEL = "trade_cancel", "Trade busted"
    TRADE_CORRECT = "trade_correct", "Trade corrected"
    STATUS = "status", "Status"
    UNKNOWN = "unknown", "Unknown"


class BrokerOrderStatus(models.TextChoices):
    """State of an order as a broker's snapshot tells it, in our words."""

    PENDING_NEW = "pending_new", "Received"
    HELD = "held", "Held until its parent fills"
    OPEN = "open", "Open"
    PARTIALLY_FILLED = "partially_filled", "Partially filled"
    FILLED = "filled", "Filled"
    CANCELED = "canceled", "Canceled"
    EXPIRED = "expired", "Expired"
    REJECTED = "rejected", "Rejected"
    PENDING_CANCEL = "pending_cancel", "Cancel pending"
    PENDING_REPLACE = "pending_replace", "Replace pending"
    REPLACED = "replaced", "Replaced"
    UNKNOWN = "unknown", "Unknown"


class StreamState(models.TextChoices):
    """How an account's order news reaches us. INTERRUPTED and POLLED accounts are asked every few seconds."""

    WAITING = "waiting", "Waiting"
    CONNECTING = "connecting", "Connecting"
    LIVE = "live", "Live"
    INTERRUPTED = "interrupted", "Interrupted"
    POLLED = "polled", "Polled"
