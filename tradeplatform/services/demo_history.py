"""Gives the demo login's practice account a past once the simulated brokers answer.

The trades are written at the practice broker, at the closing prices of its own market, and come into our
records as facts read from a broker: through reconciliation, like everybody's. One order is placed and waits.
"""

import datetime as dt
import time
import uuid
from dataclasses import dataclass
from decimal import Decimal

import structlog
from django.db import close_old_connections

from brokers.adapters.paper.models import PracticeBook
from brokers.adapters.paper.past import PastTrade, record_past
from brokers.calendar import NEW_YORK
from brokers.enums import LinkKind, OrderType, Side, TimeInForce
from brokers.models import BrokerAccount
from brokers.services.market_data import get_bars
from brokers.types import OrderRequest
from orders.enums import OrderOrigin
from orders.exceptions import ConfirmationRequired
from orders.models import Order
from orders.services.place import place_order
from orders.services.reconcile import compare_book, read_history
from portfolios.services.snapshots import add_past_closes
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.services.demo import DEMO_HISTORY, DEMO_LOGIN

logger = structlog.get_logger(__name__)

WAIT_SECONDS, PAUSE_SECONDS = 60.0, 0.5
LAST_MINUTE = dt.time(15, 59)
RESTING_SYMBOL, RESTING_SHARES, RESTING_SHARE_OF_PRICE = "MSFT", Decimal(5), Decimal("0.95")

Closes = dict[str, dict[dt.date, Decimal]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A trade so many days ago, or on the last day with a price before."""

    symbol: str
    side: Side
    shares: int
    days_ago: int


PLANS = (
    _Plan("SPY", Side.BUY, 30, 54),
    _Plan("AAPL", Side.BUY, 60, 47),
    _Plan("MSFT", Side.BUY, 20, 38),
    _Plan("KO", Side.BUY, 150, 29),
    _Plan("AAPL", Side.SELL, 25, 16),
    _Plan("SPY", Side.BUY, 10, 8),
)


def furnish_when_ready() -> None:
    """Wait for the simulated prices, then furnish the account; gives up quietly after a minute."""
    deadline = time.monotonic() + WAIT_SECONDS
    try:
        while time.monotonic() < deadline and not furnish_demo_account(now=utc_now()):
            time.sleep(PAUSE_SECONDS)
    except Exception:
        logger.exception("demo_account_not_furnished")
    finally:
        close_old_connections()


def furnish_demo_account(*, now: dt.datetime) -> bool:
    """Write the past of the demo's practice account; False while there are no prices to write it with.

    An account in which anything was ever ordered is left alone.
    """
    account = BrokerAccount.objects.filter(
        user__email=DEMO_LOGIN.email, is_active=True, connection__kind=LinkKind.BUILT_IN
    ).first()
    if account is None or Order.objects.filter(account=account).exists():
        return True
    closes = _read_closes(account, now)
    if closes is None:
        return False
    book = PracticeBook.objects.filter(user_id=account.user_id).order_by("created_at").first()
    if book is None:
        return True
    record_past(book.pk, trades=[_trade(plan, closes, now) for plan in PLANS])
    read_history(account.pk, since=now - DEMO_HISTORY)
    add_past_closes(account_id=account.pk, closes=closes)
    compare_book(account.pk)
    _place_resting_order(account, closes)
    logger.info("demo_account_furnished", account=str(account.pk))
    return True


def _read_closes(account: BrokerAccount, now: dt.datetime) -> Closes | None:
    """Return the closes by symbol and trade date, without today's; None while one is missing."""
    today = now.astimezone(NEW_YORK).date()
    closes: Closes = {}
    for symbol in sorted({plan.symbol for plan in PLANS}):
        bars = get_bars(account, symbol, timeframe="1Day", start=now - DEMO_HISTORY, end=now)
        days = {bar.start.astimezone(NEW_YORK).date(): bar.close for bar in bars}
        closes[symbol] = {day: close for day, close in days.items() if day < today}
        if not closes[symbol]:
            return None
    return closes


def _trade(plan: _Plan, closes: Closes, now: dt.datetime) -> PastTrade:
    latest = (now - dt.timedelta(days=plan.days_ago)).astimezone(NEW_YORK).date()
    day = max(day for day in closes[plan.symbol] if day <= latest)
    return PastTrade(
        symbol=plan.symbol,
        side=plan.side,
        quantity=Decimal(plan.shares),
        price=closes[plan.symbol][day],
        at=dt.datetime.combine(day, LAST_MINUTE, NEW_YORK).astimezone(dt.UTC),
    )


def _place_resting_order(account: BrokerAccount, closes: Closes) -> None:
    """Place a limit order that waits below the market, answering its questions as a person would."""
    last = closes[RESTING_SYMBOL][max(closes[RESTING_SYMBOL])]
    request = OrderRequest(
        symbol=RESTING_SYMBOL,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=RESTING_SHARES,
        limit_price=(last * RESTING_SHARE_OF_PRICE).quantize(Decimal("0.01")),
        time_in_force=TimeInForce.GTC,
    )
    confirm: frozenset[str] = frozenset()
    for _ in range(2):
        try:
            place_order(
                user=account.user,
                account_id=account.pk,
                request=request,
                idempotency_key=f"demo-{uuid.uuid4().hex}",
                origin=OrderOrigin.PAGE,
                confirm=confirm,
                note="A first limit order",
            )
            return
        except ConfirmationRequired as question:
            confirm = frozenset(finding["code"] for finding in question.details["findings"])
        except PlatformError as refusal:
            logger.info("demo_order_not_placed", code=refusal.code)
            return
