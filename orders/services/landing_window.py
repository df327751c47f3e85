"""How long after it was sent an order may still land at a broker.

Sixty seconds, or twice the longest delay that an order in doubt has shown at this broker within thirty days,
whichever is longer. Never more than seventy-five: by ninety seconds a person is asked, and the last look must
come before that.
"""

from datetime import datetime, timedelta

from brokers.models import BrokerAccount
from brokers.types import BrokerOrder
from orders.models import OutboxMessage
from orders.statements import LONGEST_LANDING
from tradeplatform.common.clock import utc_now

SHORTEST_WINDOW, LONGEST_WINDOW = timedelta(seconds=60), timedelta(seconds=75)
REMEMBERED = timedelta(days=30)
MARGIN = 2


def landing_window(account: BrokerAccount) -> timedelta:
    """Return the window of the account's broker and environment, as learned so far."""
    longest = LONGEST_LANDING.first(
        broker=account.broker, environment=account.environment, since=utc_now() - REMEMBERED
    )
    return min(max(MARGIN * timedelta(milliseconds=longest or 0), SHORTEST_WINDOW), LONGEST_WINDOW)


def may_have_landed(account: BrokerAccount, *, sent_at: datetime, entered: datetime) -> bool:
    """Tell whether an order sent then may be the one that the broker entered at `entered`."""
    delay = entered - sent_at
    if delay <= SHORTEST_WINDOW or delay > LONGEST_WINDOW:
        return delay <= SHORTEST_WINDOW
    return delay <= landing_window(account)


def note_landing(message: OutboxMessage, found: BrokerOrder) -> None:
    """Remember how long after it was sent an order that was in doubt was entered at the broker.

    A repeat has sent the row again since; the doubt began with an earlier copy, which may be the one that
    landed, so the longer of the two delays counts.
    """
    began = _first_sent(message)
    if found.submitted_at is None or began is None or found.submitted_at <= began:
        return
    # A longer one could not widen the window any more; the broker's clock may be wrong by years.
    delay = min(found.submitted_at - began, LONGEST_WINDOW)
    OutboxMessage.objects.filter(pk=message.pk).update(landed_after_ms=delay // timedelta(milliseconds=1))


def _first_sent(message: OutboxMessage) -> datetime | None:
    known = [moment for moment in (message.sent_at, message.unknown_since) if moment is not None]
    return min(known, default=None)
