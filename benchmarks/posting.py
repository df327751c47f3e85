"""A caller of the API: posts orders over one kept connection, alone or at a steady rate."""

import http.client
import json
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.servers import PORTS

SYMBOL = "KO"


@dataclass(frozen=True, slots=True)
class Posted:
    """One order as its caller saw it: when the POST began (monotonic ns), and how long the answer took."""

    client_order_id: str
    began: int
    answer_ms: float


class Caller:
    """One connection to the site. Not for several threads at once."""

    def __init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", PORTS["web"], timeout=60)

    def post(self, trader: Any, quantity: int) -> Posted:
        """Place a market order to buy; raises RuntimeError unless it is queued."""
        body = {
            "account": str(trader.account.pk),
            "symbol": SYMBOL,
            "side": "buy",
            "order_type": "market",
            "quantity": str(quantity),
            # The same size again within ten seconds is meant here.
            "confirm": ["G02"],
        }
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
        began = time.monotonic_ns()
        status, text = self._ask("POST", "/api/v1/orders/", trader, json.dumps(body), headers)
        passed = (time.monotonic_ns() - began) / 1e6
        if status != http.client.CREATED:
            raise RuntimeError(f"{status}: {text}")
        return Posted(uuid.UUID(json.loads(text)["id"]).hex, began, passed)

    def preview(self, trader: Any) -> bool:
        """Ask what an order would do; tell whether it would be taken."""
        body = {"account": str(trader.account.pk), "symbol": SYMBOL, "side": "buy", "order_type": "market"}
        headers = {"Content-Type": "application/json"}
        text = json.dumps({**body, "quantity": "1"})
        status, answer = self._ask("POST", "/api/v1/orders/preview/", trader, text, headers)
        return status == http.client.OK and json.loads(answer)["verdict"] == "allow"

    def get(self, path: str, trader: Any) -> int:
        """Read a page of the API and return its status."""
        return self._ask("GET", path, trader, None, {})[0]

    def _ask(
        self, method: str, path: str, trader: Any, body: str | None, headers: dict[str, str]
    ) -> tuple[int, str]:
        self.connection.request(method, path, body, {"Authorization": f"Bearer {trader.api_key}", **headers})
        answer = self.connection.getresponse()
        return answer.status, answer.read().decode()


def wait_until_ready(trader: Any) -> None:
    """Wait until the site has read the market in each of its processes: the first calls import the SDK.

    Raises TimeoutError after a minute.
    """
    deadline, in_a_row = time.monotonic() + 60, 0
    while in_a_row < 10:
        if time.monotonic() > deadline:
            raise TimeoutError("The site does not take orders.")
        in_a_row = in_a_row + 1 if Caller().preview(trader) else 0
        time.sleep(0.1)


def run_callers(callers: int, work: Callable[[Caller, int], bool]) -> list[Exception]:
    """Call `work(caller, n)` with n = 0, 1, 2... from several threads until one call returns False."""
    numbers, stop, lock = iter(range(10**9)), threading.Event(), threading.Lock()
    failures: list[Exception] = []

    def call() -> None:
        caller = Caller()
        while not stop.is_set():
            with lock:
                number = next(numbers)
            try:
                if not work(caller, number):
                    stop.set()
            except Exception as error:
                failures.append(error)
                stop.set()

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def post_at_rate(traders: Sequence[Any], *, count: int, per_second: float, callers: int = 8) -> list[Posted]:
    """Post `count` orders at a steady rate, late ones included: each wait is from when it was due."""
    posted: list[Posted] = []
    started = time.monotonic()

    def work(caller: Caller, number: int) -> bool:
        if number >= count:
            return False
        due = started + number / per_second
        time.sleep(max(0.0, due - time.monotonic()))
        found = caller.post(traders[number % len(traders)], 1 + number // len(traders))
        posted.append(Posted(found.client_order_id, int(due * 1e9), found.answer_ms))
        return True

    failures = run_callers(callers, work)
    if failures:
        raise failures[0]
    return posted
