"""From the fill at the broker to the event on the person's open page, over server-sent events."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.measure import Row, at_most, percentile, report
from benchmarks.parts.setup import begin, size
from benchmarks.posting import SYMBOL, Caller, wait_until_ready
from benchmarks.servers import PORTS, wait_for_port

WAIT_SECONDS = 30


def main() -> None:
    processes = begin()
    from benchmarks.world import make_traders
    from brokers.services.market_data import note_interest

    try:
        processes.start_broker()
        traders = make_traders(5)
        for trader in traders:
            note_interest(trader.account, [SYMBOL], seconds=3600)
        processes.start_site()
        port = str(PORTS["events"])
        page = processes.start("events", "manage.py", "run_events", "--port", port)
        wait_for_port(PORTS["events"], page, "The event service")
        screens = [_Screen(trader) for trader in traders]
        time.sleep(size("SETTLE", 6))
        wait_until_ready(traders[0])
        caller, count = Caller(), size("SCREENS", 150)
        for number in range(count):
            caller.post(traders[number % len(traders)], 1 + number // len(traders))
            time.sleep(0.1)
        shown = _wait_until_shown(screens, count)
        report(_rows(shown, count))
    finally:
        processes.stop()


class _Screen:
    """One open stream of events; keeps when each order was first shown as filled (Unix seconds)."""

    def __init__(self, trader: Any) -> None:
        self.filled: dict[str, float] = {}
        self.trader = trader
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", PORTS["events"], timeout=600)
        headers = {"Authorization": f"Bearer {self.trader.api_key}", "Accept": "text/event-stream"}
        connection.request("GET", "/api/v1/events/", headers=headers)
        for kind, payload in _messages(connection.getresponse()):
            if kind == "order" and payload["status"] == "filled":
                self.filled.setdefault(payload["id"], time.time())


def _messages(answer: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    kind = ""
    for raw in answer:
        line = raw.decode().rstrip("\n")
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            yield kind, json.loads(line[6:])


def _wait_until_shown(screens: list[_Screen], count: int) -> dict[str, float]:
    deadline = time.monotonic() + WAIT_SECONDS
    while sum(len(screen.filled) for screen in screens) < count and time.monotonic() < deadline:
        time.sleep(0.1)
    return {key: at for screen in screens for key, at in screen.filled.items()}


def _rows(shown: dict[str, float], count: int) -> list[Row]:
    from orders.models import Execution

    times = dict(Execution.objects.order_by("transact_time").values_list("order_id", "transact_time"))
    waits = [(shown[str(key)] - at.timestamp()) * 1000 for key, at in times.items() if str(key) in shown]
    return [
        at_most("screen", "fill at broker → on screen p95", percentile(waits, 0.95), "ms", 1000),
        Row("screen", "fill at broker → on screen p50", percentile(waits, 0.5), "ms"),
        at_most("screen", "fills never shown", count - len(waits), "fills", 0),
    ]


if __name__ == "__main__":
    main()
