"""How many orders a second go the whole way: placed, acknowledged, filled, booked, over many accounts."""

import time
from datetime import datetime

from benchmarks.measure import Row, at_least, at_most, percentile, report
from benchmarks.parts.setup import begin, size
from benchmarks.posting import SYMBOL, Caller, run_callers, wait_until_ready

WAIT_SECONDS = 120


def main() -> None:
    processes = begin()
    from benchmarks.world import call_simulator, make_traders
    from brokers.services.market_data import note_interest

    try:
        processes.start_broker()
        call_simulator("market/liquidity", {"respect_size": False, "partial_probability": 0})
        # A broker takes at most 160 orders a minute of one account from us, so there are many.
        traders = make_traders(size("ACCOUNTS", 120))
        note_interest(traders[0].account, [SYMBOL], seconds=3600)
        processes.start_site()
        time.sleep(size("SETTLE", 8))
        wait_until_ready(traders[0])
        count = size("ORDERS", 1500)

        def post(caller: Caller, number: int) -> bool:
            if number >= count:
                return False
            caller.post(traders[number % len(traders)], 1 + number // len(traders))
            return True

        began = time.monotonic()
        failures = run_callers(size("CALLERS", 6), post)
        posting = time.monotonic() - began
        if failures:
            raise failures[0]
        _wait_until_ended()
        report(_rows(count, posting))
    finally:
        processes.stop()


def _wait_until_ended() -> None:
    """Wait until no order is under way, at most two minutes."""
    from orders.enums import UNFINISHED
    from orders.models import Order

    deadline = time.monotonic() + WAIT_SECONDS
    while Order.objects.filter(status__in=UNFINISHED).exists() and time.monotonic() < deadline:
        time.sleep(0.2)


def _rows(count: int, posting: float) -> list[Row]:
    from benchmarks.world import call_simulator
    from orders.enums import OrderStatus
    from orders.models import Execution, Order

    filled = Order.objects.filter(status=OrderStatus.FILLED).count()
    late = Order.objects.filter(status=OrderStatus.NOT_SENT).count()
    first = Order.objects.order_by("created_at").values_list("created_at", flat=True)[0]
    booked: list[tuple[datetime, datetime]] = list(
        Execution.objects.exclude(booked_at=None).values_list("transact_time", "booked_at")
    )
    last = max(at for _, at in booked)
    waits = [(at - filled_at).total_seconds() * 1000 for filled_at, at in booked]
    at_broker = len(call_simulator("book")["orders"])
    return [
        at_least("path", "orders booked", filled / (last - first).total_seconds(), "orders/s", 60, aim=120),
        Row("path", "orders taken by the API", count / posting, "orders/s"),
        Row("path", "fill at broker → booked p50", percentile(waits, 0.5), "ms"),
        Row("path", "fill at broker → booked p95", percentile(waits, 0.95), "ms"),
        at_most("path", "orders given up as too late to send", late, "orders", 0),
        at_most("path", "orders lost", count - filled - late, "orders", 0),
        at_most("path", "orders at the broker that are not ours, or twice", at_broker - filled, "orders", 0),
    ]


if __name__ == "__main__":
    main()
