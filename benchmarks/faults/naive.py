"""The control arm: a dispatcher as it is often written, on the same broker under the same faults.

A new id for every attempt, three blind tries, a queue that delivers again after a crash. It must do badly:
a campaign that finds nothing wrong with it could not see a duplicate at all.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import uuid4

from benchmarks.faults.book import Book
from benchmarks.faults.faults import WRITE_KINDS, Faults
from benchmarks.faults.world import World
from brokers.enums import OrderType, Side, TimeInForce
from brokers.exceptions import BrokerError
from brokers.types import OrderRequest

if TYPE_CHECKING:
    from benchmarks.faults.campaign import CampaignPlan

TRIES = 3
ACCEPTED_UNHEARD = frozenset(
    {
        "reply_lost",
        "reset_after",
        "half_reply",
        "garbage_reply",
        "error_body_in_200",
        "server_error_after",
        "rate_limited_after",
        "hang_past_lease",
        "killed_after_send",
        "settle_commit_fails",
        "killed_at_settle",
        "late_arrival",
    }
)
FINE = frozenset({"", "paused_before_send", "settle_commit_unheard"})


@dataclass
class ControlResult:
    orders: int = 0
    duplicates: int = 0


def run_control(plan: "CampaignPlan") -> ControlResult:
    """Send as many orders the naive way and count orders at the broker beyond one per intent."""
    world = World(plan.seed)
    faults = Faults(world)
    book = Book(world, has_client_ids=plan.dedupe == "D")
    book.open_account("C", cash=Decimal(10**12))
    request = OrderRequest(
        symbol="ACME",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.DAY,
        quantity=Decimal(10),
        limit_price=Decimal(10),
    )
    result = ControlResult(orders=plan.orders)
    for number in range(plan.orders):
        before = len(book.orders)
        deliveries = 1
        while deliveries:
            deliveries -= 1
            deliveries += _deliver(book, faults, request, f"intent{number}")
        result.duplicates += max(len(book.orders) - before - 1, 0)
    return result


def _deliver(book: Book, faults: Faults, request: OrderRequest, key: str) -> int:
    """Handle one delivery of the task; return how many more the queue will make."""
    for _ in range(TRIES):
        kind = faults.draw_write(key)
        arrives = kind in ACCEPTED_UNHEARD or kind in FINE or kind == "delivered_again"
        refused = False
        if arrives:
            try:
                book.enter("C", request, uuid4().hex)
            except BrokerError:
                refused = True
        if refused or kind in FINE:
            return 0
        if kind == "delivered_again":
            return 1
        if kind.startswith("killed"):
            return 1
    return 0


assert set(WRITE_KINDS) >= ACCEPTED_UNHEARD
