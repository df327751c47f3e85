"""What the people of the campaign do meanwhile: place, change and cancel orders through the API.

Every request is repeated until it is answered; an order is repeated under the same Idempotency-Key.
"""

import http.client
import json
import threading
import time
import uuid
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random
from typing import Any
from urllib.parse import urlsplit

# Long after anything but a hang.
GIVE_UP_SECONDS = 300.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0
# Bought and sold on different symbols: an order against one's own is refused as a wash trade.
BUYS = {"AAPL": 262, "MSFT": 498, "INTC": 34, "F": 12, "BAC": 51}
HELD = {"KO": 70, "DIS": 116}
SHARES_HELD = 400
OPEN = ("accepted", "partially_filled")
CLOSED = ("denied", "not_sent", "rejected", "filled", "canceled", "expired")


@dataclass(frozen=True)
class Answer:
    """An answer of the API; `repeats` is how often the request had to be sent again."""

    status: int
    body: Any
    replayed: bool
    repeats: int

    @property
    def code(self) -> str:
        """The code of a problem, else nothing."""
        return self.body.get("code", "") if isinstance(self.body, dict) else ""


@dataclass
class Tally:
    """What one person saw."""

    accepted: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    replays: int = 0
    repeats: int = 0
    cancels: int = 0
    replaces: int = 0
    unanswered: list[str] = field(default_factory=list)


class Person(threading.Thread):
    """Places orders one after the other until `wanted` were accepted, with a pause that spreads them."""

    def __init__(self, *, site: str, login: dict[str, str], wanted: int, pause: float, seed: str) -> None:
        super().__init__(name=login["email"], daemon=True)
        self.host = urlsplit(site).netloc
        self.login, self.wanted, self.pause = login, wanted, pause
        self.random = Random(seed)
        self.tally = Tally()
        self.failure: BaseException | None = None

    def run(self) -> None:
        acts = [self._market, self._rest, self._rest_and_cancel, self._rest_and_replace, self._sell]
        weights = [5, 1, 3, 3, 3]
        try:
            while len(self.tally.accepted) < self.wanted and len(self.tally.refused) < 3 * self.wanted:
                self.random.choices(acts, weights)[0]()
                time.sleep(self.random.uniform(0.5, 1.5) * self.pause)
        except Exception as error:
            self.failure = error

    def _market(self) -> None:
        self.place(side="buy", symbol=self._symbol(), order_type="market", quantity=self._shares())

    def _rest(self) -> None:
        symbol = self._symbol()
        self.place(
            side="buy", symbol=symbol, order_type="limit", quantity=self._shares(), limit_price=_below(symbol)
        )

    def _rest_and_cancel(self) -> None:
        symbol = self._symbol()
        price = _below(symbol) if self.random.random() < 0.5 else _above(symbol)
        order = self.place(
            side="buy", symbol=symbol, order_type="limit", quantity=self._shares(), limit_price=price
        )
        if order is not None and self._wait_open(order) is not None:
            self.tally.cancels += self.send("POST", f"orders/{order['id']}/cancel/", {}).status == 202

    def _rest_and_replace(self) -> None:
        symbol, quantity = self._symbol(), self._shares()
        order = self.place(
            side="buy", symbol=symbol, order_type="limit", quantity=quantity, limit_price=_below(symbol)
        )
        if order is None or self._wait_open(order) is None:
            return
        price = _above(symbol) if self.random.random() < 0.5 else _below(symbol, step=2)
        changes = {"quantity": str(int(quantity) + 2), "limit_price": price}
        self.tally.replaces += self.send("PATCH", f"orders/{order['id']}/", changes).status == 202
        if self.random.random() < 0.3:
            self.tally.cancels += self.send("POST", f"orders/{order['id']}/cancel/", {}).status == 202

    def _sell(self) -> None:
        symbol = self.random.choice(sorted(HELD))
        self.place(side="sell", symbol=symbol, order_type="market", quantity=self._shares())

    def _symbol(self) -> str:
        return self.random.choice(sorted(BUYS))

    def _shares(self) -> str:
        return str(self.random.randint(1, 9))

    def place(self, **order: Any) -> dict[str, Any] | None:
        """Place an order, confirming what the gate asks about; None when it was refused."""
        body = {"account": self.login["account"], "time_in_force": "day", **order}
        answer = self.send("POST", "orders/", body, key=str(uuid.UUID(int=self.random.getrandbits(128))))
        if answer.code == "confirmation_required":
            body["confirm"] = sorted({finding["code"] for finding in answer.body["findings"]})
            answer = self.send("POST", "orders/", body, key=str(uuid.UUID(int=self.random.getrandbits(128))))
        self.tally.replays += answer.replayed
        if answer.status != 201:
            self.tally.refused.append(
                f"{answer.status} {answer.body.get('code')} {answer.body.get('detail')}"
            )
            return None
        self.tally.accepted.append(answer.body)
        return answer.body

    def _wait_open(self, order: dict[str, Any]) -> dict[str, Any] | None:
        """Wait a moment until the broker has the order; None when it is closed or takes longer."""
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            seen = self.send("GET", f"orders/{order['id']}/").body
            if seen.get("status") in OPEN:
                return seen
            if seen.get("status") in CLOSED:
                return None
            time.sleep(0.1)
        return None

    def send(self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = "") -> Answer:
        """Repeat a request until it is answered by anything but a failure of the server."""
        deadline, repeats = time.monotonic() + GIVE_UP_SECONDS, 0
        while True:
            answer = self._try(method, path, body, key, repeats)
            if answer is not None:
                self.tally.repeats += repeats
                return answer
            if time.monotonic() > deadline:
                self.tally.unanswered.append(f"{method} {path} {key}")
                return Answer(0, {}, False, repeats)
            # A busy platform is not helped by people who ask ever faster.
            time.sleep(min(FIRST_PAUSE_SECONDS * 2**repeats, LONGEST_PAUSE_SECONDS))
            repeats += 1

    def _try(
        self, method: str, path: str, body: dict[str, Any] | None, key: str, repeats: int
    ) -> Answer | None:
        answer = self.send_once(method, path, body, key=key)
        if answer is None or answer.status >= 500 or answer.code == "idempotency_in_progress":
            return None
        return replace(answer, repeats=repeats)

    def send_once(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = ""
    ) -> Answer | None:
        """Return whatever answer comes, None when there is none."""
        headers = {"Authorization": f"Bearer {self.login['api_key']}", "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, f"/api/v1/{path}", None if body is None else json.dumps(body), headers)
            reply = connection.getresponse()
            document = json.loads(reply.read() or b"{}")
            replayed = reply.headers.get("Idempotent-Replayed") == "true"
            return Answer(reply.status, document, replayed, repeats=0)
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()


def _below(symbol: str, *, step: int = 1) -> str:
    """A price at which a buy rests."""
    return str((Decimal(BUYS[symbol]) * (100 - 4 * step) / 100).quantize(Decimal("0.01")))


def _above(symbol: str) -> str:
    """A price at which a buy fills, near enough for the collar."""
    return str((Decimal(BUYS[symbol]) * Decimal("1.02")).quantize(Decimal("0.01")))
