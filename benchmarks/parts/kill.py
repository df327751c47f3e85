"""The kill switch while orders run at 20 a second: from its commit to the last byte at the broker."""

import os
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, at_most, report
from benchmarks.parts.setup import begin, size
from benchmarks.posting import SYMBOL, Caller, run_callers, wait_until_ready
from benchmarks.tap import read_arrivals

PER_SECOND = 20


def main() -> None:
    processes = begin()
    from benchmarks.world import make_traders
    from brokers.services.market_data import note_interest
    from risk.services.halts import halt_trading

    try:
        processes.start_broker()
        traders = make_traders(10)
        note_interest(traders[0].account, [SYMBOL], seconds=3600)
        processes.start_site()
        time.sleep(size("SETTLE", 6))
        wait_until_ready(traders[0])
        taken: list[int] = []
        seconds = size("KILL_SECONDS", 10)
        load = threading.Thread(target=_post, args=(traders, PER_SECOND * seconds, taken))
        load.start()
        time.sleep(seconds / 2)
        pressed = time.monotonic_ns()
        halt_trading(scope="platform", reason="Benchmark", actor="system:benchmark")
        committed = time.monotonic_ns()
        load.join()
        time.sleep(2)
    finally:
        processes.stop()
    arrivals = read_arrivals(Path(os.environ["BENCH_LOGS"]) / "arrivals.txt")
    moments = sorted(at for times in arrivals.values() for at in times)
    late = [at for at in moments if at > committed]
    last = max(moments, default=committed)
    report(
        [
            at_most("kill", "commit → last byte", (last - committed) / 1e6, "ms", 1000),
            Row("kill", "press → commit", (committed - pressed) / 1e6, "ms"),
            Row("kill", "orders taken before", sum(at <= committed for at in taken), "orders"),
            Row("kill", "orders on their way that still left", len(late), "orders"),
        ]
    )


def _post(traders: list[Any], count: int, taken: list[int]) -> None:
    """Post at a steady rate; the refusals after the press are what we want."""
    started = time.monotonic()

    def work(caller: Caller, number: int) -> bool:
        if number >= count:
            return False
        time.sleep(max(0.0, started + number / PER_SECOND - time.monotonic()))
        try:
            caller.post(traders[number % len(traders)], 1 + number // len(traders))
        except RuntimeError:
            return True
        taken.append(time.monotonic_ns())
        return True

    failures = run_callers(4, work)
    if failures:
        raise failures[0]


if __name__ == "__main__":
    main()
