"""Which order at the broker is ours, where the broker keeps no id of ours (class N)?

An order whose outcome is unknown may be tied to a broker's order only by its fields, and only when there is
nothing to choose: exactly one order at the broker that we do not know, entered between two seconds before
ours was sent and the end of the broker's window, equal in every field, and no second order of ours in doubt
that would fit it. Until the window is over nobody can say "exactly one", so nothing is tied before.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from brokers.enums import DedupeClass, OrderClass
from brokers.models import BrokerAccount
from brokers.registry import manager
from brokers.types import BrokerOrder
from orders.models import Order
from orders.services.landing_window import may_have_landed
from orders.statements import DOUBTFUL_ROWS, KNOWN_ALIAS, KNOWN_ORDER

ENTERED_BEFORE = timedelta(seconds=2)
# Lists may show an order a little after it was entered.
LIST_LAG = timedelta(seconds=5)

_EXACT = (
    "symbol",
    "side",
    "order_type",
    "time_in_force",
    "quantity",
    "notional",
    "limit_price",
    "stop_price",
    "trail_amount",
    "trail_percent",
    "extended_hours",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """An order of ours, with its account, that may be at the broker, and when its bytes may have left."""

    order: Order
    sent_at: datetime


def keeps_our_ids(account: BrokerAccount) -> bool:
    """Tell whether the account's broker knows orders by the ids that we give them."""
    return manager.capabilities_of(account).dedupe_class is DedupeClass.D


def doubts_of(account: BrokerAccount) -> list[Doubt]:
    """Return the account's orders that are on their way or of unknown outcome, oldest first."""
    doubts = []
    for row in DOUBTFUL_ROWS.all(account=account.pk):
        row.order.account = account
        if row.sent_at is not None:
            doubts.append(Doubt(order=row.order, sent_at=row.sent_at))
    return doubts


def may_be_ours(account: BrokerAccount, snapshot: BrokerOrder) -> bool:
    """Tell whether an order we do not know may be one of ours that is in doubt.

    Such an order waits for the doubt to end before anybody calls it external.
    """
    return not keeps_our_ids(account) and any(fits(doubt, snapshot) for doubt in doubts_of(account))


def fits(doubt: Doubt, snapshot: BrokerOrder) -> bool:
    """Tell whether the broker's order equals ours in every field and was entered in our window."""
    entered = snapshot.submitted_at
    if entered is None or entered < doubt.sent_at - ENTERED_BEFORE or differences(doubt.order, snapshot):
        return False
    return may_have_landed(doubt.order.account, sent_at=doubt.sent_at, entered=entered)


def differences(order: Order, snapshot: BrokerOrder) -> list[str]:
    """Return the names of the fields in which the broker's order is not the one we decided on."""
    wrong = [name for name in _EXACT if getattr(order, name) != getattr(snapshot, name)]
    if order.order_class != (snapshot.order_class or OrderClass.SIMPLE):
        wrong.append("order_class")
    if _exits(order) != {price for leg in snapshot.legs for price in (leg.limit_price, leg.stop_price)} - {
        None
    }:
        wrong.append("exits")
    return wrong


def find_match(doubt: Doubt, listed: Iterable[BrokerOrder]) -> BrokerOrder | None:
    """Return the one order that must be ours, or None when there is none or a choice."""
    candidates = unknown_matches(doubt, listed)
    if len(candidates) != 1:
        return None
    rivals = [other for other in doubts_of(doubt.order.account) if other.order.pk != doubt.order.pk]
    return None if any(fits(rival, candidates[0]) for rival in rivals) else candidates[0]


def unknown_matches(doubt: Doubt, listed: Iterable[BrokerOrder]) -> Sequence[BrokerOrder]:
    """Return the listed orders that fit and that no order in our books has, each once."""
    fitting = {one.broker_order_id: one for one in listed if fits(doubt, one)}
    return [one for key, one in sorted(fitting.items()) if not is_known(doubt.order.account, key)]


def is_known(account: BrokerAccount, broker_order_id: str) -> bool:
    """Tell whether an order in our books has this id at the broker, or had it."""
    ids = {"account": account.pk, "broker_order_id": broker_order_id}
    return KNOWN_ORDER.first(**ids) is not None or KNOWN_ALIAS.first(**ids) is not None


def _exits(order: Order) -> set[Decimal]:
    prices = (order.take_profit_limit_price, order.stop_loss_stop_price, order.stop_loss_limit_price)
    return {price for price in prices if price is not None}
