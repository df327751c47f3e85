"""POST an order → its first bytes at the broker, beside the bare alpaca-py call.

First one at a time, then 20 a second while other people read their orders and accounts.
"""

import os
import tempfile
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, at_most, percentile, report
from benchmarks.parts.setup import begin, size, stage_medians
from benchmarks.posting import SYMBOL, Caller, Posted, post_at_rate, wait_until_ready
from benchmarks.servers import PORTS, Processes
from benchmarks.tap import read_arrivals

PAUSE_SECONDS = 0.25
WARM_UP = 25
READS = ("/api/v1/orders/", "/api/v1/accounts/")
LIMITS = {"services": 15.0, "embedded": 15.0, "celery": 30.0}


def main() -> None:
    processes = begin()
    from benchmarks.world import make_traders
    from brokers.services.market_data import note_interest

    form, part = os.environ["BENCH_FORM"], os.environ["BENCH_PART"]
    try:
        processes.start_broker()
        # Nobody places more orders a minute than the default limits allow one person.
        traders = make_traders(size("TRADERS", 40))
        for trader in traders:
            note_interest(trader.account, [SYMBOL], seconds=3600)
        _start_site(processes, form)
        wait_until_ready(traders[0])
        count = size("POSTS", 300)
        floor = _bare_calls(min(count, 150))
        alone = _post_alone(traders, count + WARM_UP)[WARM_UP:]
        loaded = _post_under_load(traders) if form == "services" else []
        _wait_until_sent()
    finally:
        processes.stop()
    arrivals = read_arrivals(Path(os.environ["BENCH_LOGS"]) / "arrivals.txt")
    doubled = sum(len(times) > 1 for times in arrivals.values())
    lost = sum(posted.client_order_id not in arrivals for posted in [*alone, *loaded])
    waits = _waits(alone, arrivals)
    bare = [(arrivals[key][0] - at) / 1e6 for key, at in floor.items()][5:]
    limit = LIMITS[form]
    rows = [
        at_most(
            part, "POST → bytes p50", percentile(waits, 0.5), "ms", limit, aim=11 if limit < 30 else None
        ),
        Row(part, "POST → bytes p95", percentile(waits, 0.95), "ms"),
        at_most(part, "POST → bytes p99", percentile(waits, 0.99), "ms", 50),
        Row(part, "POST → our answer p50", percentile([posted.answer_ms for posted in alone], 0.5), "ms"),
        Row(part, "bare alpaca-py call → bytes p50", percentile(bare, 0.5), "ms"),
        Row(part, "one flush to the disk p50", percentile(_flushes(100), 0.5), "ms"),
        Row(part, "POST → bytes p50 / bare call", percentile(waits, 0.5) / percentile(bare, 0.5), "times"),
    ]
    if loaded:
        late = _waits(loaded, arrivals)
        rows += [
            Row(part, "20 orders/s beside reads: p50", percentile(late, 0.5), "ms"),
            at_most(part, "20 orders/s beside reads: p99", percentile(late, 0.99), "ms", 500),
        ]
    rows += [
        Row(part, "orders sent", len(alone) + len(loaded) - lost, "orders"),
        at_most(part, "orders lost", lost, "orders", 0),
        at_most(part, "orders sent twice", doubled, "orders", 0),
        *stage_medians(part, count),
    ]
    report(rows)


def _start_site(processes: Processes, form: str) -> None:
    if form == "embedded":
        processes.start_embedded()
    else:
        processes.start_site(sender="worker" if form == "celery" else "dispatcher")
    time.sleep(size("SETTLE", 6))


def _wait_until_sent() -> None:
    """Wait until nothing is left to send, at most a minute: what is left then counts as lost."""
    from orders.enums import OutboxStatus
    from orders.models import OutboxMessage

    deadline = time.monotonic() + 60
    waiting = OutboxMessage.objects.filter(status__in=[OutboxStatus.READY, OutboxStatus.CLAIMED])
    while waiting.exists() and time.monotonic() < deadline:
        time.sleep(0.2)


def _waits(posted: list[Posted], arrivals: dict[str, list[int]]) -> list[float]:
    return [
        (arrivals[order.client_order_id][0] - order.began) / 1e6
        for order in posted
        if order.client_order_id in arrivals
    ]


def _post_alone(traders: list[Any], count: int) -> list[Posted]:
    """Post one order after the other, with a pause between the answer and the next."""
    caller, posted = Caller(), []
    for number in range(count):
        posted.append(caller.post(traders[number % len(traders)], 1 + number // len(traders)))
        time.sleep(PAUSE_SECONDS)
    return posted


def _post_under_load(traders: list[Any]) -> list[Posted]:
    stop = threading.Event()

    def read() -> None:
        caller = Caller()
        while not stop.wait(0.1):
            for path in READS:
                caller.get(path, traders[0])

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        return post_at_rate(traders, count=size("LOADED", 400), per_second=20)
    finally:
        stop.set()
        for reader in readers:
            reader.join()


def _flushes(count: int) -> list[float]:
    """Time what each durable commit costs at least: a page written and flushed to the same disk."""
    took = []
    with tempfile.TemporaryFile(dir=os.environ["BENCH_LOGS"]) as file:
        for _ in range(count):
            file.write(bytes(8192))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return took


def _bare_calls(count: int) -> dict[str, int]:
    """Send the same order with nothing but alpaca-py, from an account that is not linked: the floor."""
    from alpaca.trading.client import TradingClient
    from alpaca.trading.enums import OrderSide, TimeInForce
    from alpaca.trading.requests import MarketOrderRequest

    from benchmarks.world import call_simulator

    account = call_simulator("accounts", {"cash": "10000000"})
    client = TradingClient(
        account["key_id"], account["secret"], url_override=f"http://127.0.0.1:{PORTS['tap']}/alpaca/paper"
    )
    began = {}
    for _ in range(count):
        client_id = uuid.uuid4().hex
        start = time.monotonic_ns()
        client.submit_order(
            MarketOrderRequest(
                symbol=SYMBOL,
                qty=1,
                side=OrderSide.BUY,
                time_in_force=TimeInForce.DAY,
                client_order_id=client_id,
            )
        )
        began[client_id] = start
        time.sleep(PAUSE_SECONDS)
    return began


if __name__ == "__main__":
    main()
