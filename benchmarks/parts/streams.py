"""Two thousand account streams in one process: its memory, and how long a fill takes until it is booked.

The orders are placed through the platform beforehand and rest at the broker, each at a price of its own. The
price then falls past one after the other, sixty a second.
"""

import random
import time
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, at_most, percentile, report
from benchmarks.parts.setup import begin, size

CONNECT_SECONDS = 900
BOOK_SECONDS = 120
FILLS_PER_SECOND = 60
TICK = Decimal("0.01")


def main() -> None:
    processes = begin()
    from benchmarks.world import call_simulator, make_accounts, make_traders
    from brokers.credentials import declare_process

    count = size("STREAMS", 2000)
    try:
        processes.start_broker()
        call_simulator("market/liquidity", {"respect_size": False, "partial_probability": 0})
        user = make_traders(1)[0].user
        accounts = make_accounts(user, count - 1, positions={})
        began = time.monotonic()
        service = processes.start("streams", "manage.py", "run_broker_streams")
        _wait_for_streams(count)
        connecting = time.monotonic() - began
        time.sleep(size("SETTLE", 10))
        memory = _memory(service.pid)
        declare_process("benchmark", keep_seconds=30)
        fills = size("FILLS", 1200)
        steps = _place(accounts, fills)
        time.sleep(size("SETTLE", 10))
        rate = _fill(steps)
        booked = _wait_until_booked(fills)
        peak = _memory(service.pid)
        report(_rows(count, connecting, memory, peak, fills - booked, rate))
    finally:
        processes.stop()


def _wait_for_streams(count: int) -> None:
    from benchmarks.world import call_simulator

    deadline = time.monotonic() + CONNECT_SECONDS
    while (standing := call_simulator("streams")["trade_updates"]) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Only {standing} of {count} streams stand.")
        time.sleep(1)


def _place(accounts: list[Any], count: int) -> list[tuple[str, Decimal]]:
    """Place resting orders, each a cent below the one before; return the prices that will fill them."""
    from benchmarks.world import call_simulator
    from brokers.simulators.symbols import LISTINGS
    from orders.drafts import parse_order
    from orders.models import OutboxMessage
    from orders.services.place import place_order
    from orders.services.submit import claim_and_send

    # Dear shares, so that the lowest order stays near the market.
    listed = [listing for listing in LISTINGS if listing.price >= 150]
    tops = {listing.symbol: round(Decimal(listing.price), 2) for listing in listed}
    for symbol, top in tops.items():
        call_simulator("market/quote", {"symbol": symbol, "bid": str(top - TICK), "ask": str(top)})
    chosen, symbols, steps = random.Random(7), list(tops), []
    for number in range(count):
        symbol, account = symbols[number % len(symbols)], chosen.choice(accounts)
        limit = tops[symbol] - TICK * (1 + number // len(symbols))
        draft = {"symbol": symbol, "side": "buy", "order_type": "limit", "quantity": "1"}
        placed = place_order(
            user=account.user,
            account_id=account.pk,
            request=parse_order({**draft, "limit_price": str(limit)}),
            idempotency_key=uuid.uuid4().hex,
            origin="api",
            confirm=frozenset({"G02", "E01", "E11", "D01"}),
        )
        claim_and_send(OutboxMessage.objects.get(order=placed.order).pk, worker="benchmark")
        steps.append((symbol, limit))
    return steps


def _fill(steps: list[tuple[str, Decimal]]) -> float:
    """Let the price fall past one order after the other; return how many a second that were."""
    from benchmarks.world import call_simulator

    started = time.monotonic()
    for number, (symbol, ask) in enumerate(steps):
        time.sleep(max(0.0, started + number / FILLS_PER_SECOND - time.monotonic()))
        call_simulator("market/quote", {"symbol": symbol, "bid": str(ask - TICK), "ask": str(ask)})
    return len(steps) / (time.monotonic() - started)


def _wait_until_booked(count: int) -> int:
    from orders.models import Execution

    deadline = time.monotonic() + BOOK_SECONDS
    while (booked := Execution.objects.count()) < count and time.monotonic() < deadline:
        time.sleep(0.2)
    return booked


def _memory(pid: int) -> float:
    """Return the process's resident memory in megabytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("The stream process has ended.")


def _rows(count: int, connecting: float, memory: float, peak: float, lost: int, rate: float) -> list[Row]:
    from orders.models import Execution

    times = Execution.objects.exclude(booked_at=None).values_list("transact_time", "booked_at")
    waits = [(booked - filled).total_seconds() * 1000 for filled, booked in times]
    return [
        at_most("streams", f"memory with {count:,} streams", memory, "MB", 450, aim=300),
        Row("streams", "memory after the fills", peak, "MB"),
        Row("streams", "until all stand", connecting, "s"),
        Row("streams", "fills", rate, "fills/s"),
        at_most("streams", "fill → booked p95", percentile(waits, 0.95), "ms", 250),
        Row("streams", "fill → booked p50", percentile(waits, 0.5), "ms"),
        at_most("streams", "fills not booked", lost, "fills", 0),
    ]


if __name__ == "__main__":
    main()
