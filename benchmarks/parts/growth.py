"""Placing an order with 1,000 and with 1,000,000 orders stored, over the same accounts."""

import time
import uuid
from typing import Any

from benchmarks.measure import Row, at_most, percentile, report
from benchmarks.parts.setup import begin, size


def main() -> None:
    processes = begin()
    from benchmarks.world import make_traders, store_orders

    try:
        processes.start_broker()
        traders = make_traders(size("GROWTH_ACCOUNTS", 10))
        stored = size("GROWN", 1_000_000)
        small = min(1000, stored // 2)
        store_orders(small)
        before = _place(traders, size("PLACED", 150), first=1)
        began = time.monotonic()
        store_orders(stored - small)
        storing = time.monotonic() - began
        after = _place(traders, size("PLACED", 150), first=1000)
    finally:
        processes.stop()
    few, many = percentile(before, 0.5), percentile(after, 0.5)
    report(
        [
            Row("growth", f"place p50 with {small:,} orders", few, "ms"),
            Row("growth", f"place p50 with {stored:,} orders", many, "ms"),
            at_most("growth", "ratio", many / few, "times", 1.2),
            Row("growth", "time to store them", storing, "s"),
        ]
    )


def _place(traders: list[Any], count: int, *, first: int) -> list[float]:
    """Place orders and return the milliseconds of each, the first few left out."""
    from orders.drafts import parse_order
    from orders.services.place import place_order

    took = []
    for number in range(count + 10):
        trader = traders[number % len(traders)]
        request = parse_order(
            {
                "symbol": "KO",
                "side": "buy",
                "order_type": "limit",
                "limit_price": "1.00",
                "quantity": str(first + number),
            }
        )
        began = time.perf_counter()
        place_order(
            user=trader.user,
            account_id=trader.account.pk,
            request=request,
            idempotency_key=uuid.uuid4().hex,
            origin="api",
            confirm=frozenset({"limit_far_from_market", "duplicate_order"}),
        )
        took.append((time.perf_counter() - began) * 1000)
    return took[10:]


if __name__ == "__main__":
    main()
