"""Signed events on their way to the platform: over real HTTP, again and again until it says 2xx.

Events leave at the same time as others and may overtake each other, as Stripe's do.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import time
from functools import partial
from typing import Any

import httpx

from brokers.simulators.faults import WEBHOOK_KINDS, FaultRule
from brokers.simulators.simulator import Simulator
from brokers.simulators.stripe.state import StripeState, Thing

logger = logging.getLogger(__name__)
AT_ONCE = 4
FIRST_WAIT, LONGEST_WAIT = 0.5, 3600.0
GIVE_UP_AFTER = 3 * 86400
REORDER_SECONDS = 2.0
TIMEOUT_SECONDS = 10.0


def sign(payload: str, secrets: list[str], moment: int) -> str:
    """The Stripe-Signature header: the time and one v1 signature per secret."""
    parts = [f"t={moment}"]
    for secret in secrets:
        mac = hmac.new(secret.encode(), f"{moment}.{payload}".encode(), hashlib.sha256)
        parts.append(f"v1={mac.hexdigest()}")
    return ",".join(parts)


def signing_secrets(state: StripeState) -> list[str]:
    """The secret of the options and those that a rotation added."""
    return [state.options.signing_secret, *state.settings.secrets]


def payload_of(event: Thing) -> str:
    """An event as it travels."""
    return json.dumps(event, indent=2)


class Dispatcher:
    """Brings every pending delivery to the endpoint. It lives on the event loop and blocks nobody."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self._wake = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._held: list[str] = []
        self._slots = asyncio.Semaphore(AT_ONCE)

    @property
    def state(self) -> StripeState:
        """The objects."""
        return self.sim.stripe

    async def run(self) -> None:
        """Work for ever. The client, costly to make, waits for the first delivery."""
        self.state.listeners.append(self._notice)
        try:
            while not any(one["status"] == "pending" for one in self.state.every("_delivery")):
                self._wake.clear()
                await self._wake.wait()
            async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
                await self._work(client)
        finally:
            self.state.listeners.remove(self._notice)

    async def _work(self, client: httpx.AsyncClient) -> None:
        try:
            while True:
                self._wake.clear()
                wait = self._start_due(client)
                try:
                    async with asyncio.timeout(wait):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._busy.values():
                task.cancel()
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    def resend(self, event_id: str) -> None:
        """Deliver an event once more, whatever happened to it before."""
        delivery_id = f"delivery_{event_id}"
        if delivery_id not in self.state.objects:
            raise ValueError("this event has no delivery: no webhook address was set when it happened")
        with self.state.transaction():
            self.state.change(delivery_id, status="pending", next_at=time.time())
        self._wake.set()

    def _notice(self, event: Thing) -> None:
        self._wake.set()

    def _start_due(self, client: httpx.AsyncClient) -> float:
        """Start what is due; returns the seconds until the next one."""
        now, nearest = time.time(), 60.0
        for delivery in self.state.every("_delivery"):
            if delivery["status"] != "pending" or delivery["id"] in self._busy:
                continue
            if delivery["next_at"] > now:
                nearest = min(nearest, delivery["next_at"] - now)
                continue
            task = asyncio.create_task(self._deliver(client, delivery["id"]))
            self._busy[delivery["id"]] = task
            task.add_done_callback(partial(self._finish, delivery["id"]))
        return nearest

    def _finish(self, delivery_id: str, task: asyncio.Task[None]) -> None:
        self._busy.pop(delivery_id, None)
        self._wake.set()
        if not task.cancelled() and task.exception() is not None:
            logger.error("delivery of a simulated Stripe event failed", exc_info=task.exception())

    async def _deliver(self, client: httpx.AsyncClient, delivery_id: str) -> None:
        delivery = self.state.objects[delivery_id]
        name = f"stripe.webhooks.{delivery['type']}"
        rule = self.sim.faults.pick(name, kinds=WEBHOOK_KINDS)
        kind = rule.kind if rule else ""
        if kind == "lost":
            self._change(delivery_id, status="lost")
            return
        if kind == "late" and rule is not None:
            await asyncio.sleep(rule.seconds)
        if kind == "reorder":
            await self._let_another_pass(delivery_id)
        for _ in range(2 if kind == "duplicate" else 1):
            async with self._slots:
                await self._send(client, delivery_id, rule)
        self._held.clear()

    async def _let_another_pass(self, delivery_id: str) -> None:
        """Wait until another event has been delivered, or for a while."""
        self._held.append(delivery_id)
        deadline = time.monotonic() + REORDER_SECONDS
        while delivery_id in self._held and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def _send(self, client: httpx.AsyncClient, delivery_id: str, rule: FaultRule | None) -> None:
        state = self.state
        if delivery_id not in state.objects:
            return
        event = state.objects[state.objects[delivery_id]["event"]]
        payload, moment = payload_of(event), int(time.time())
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(payload, signing_secrets(state), moment),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        if rule is not None and rule.kind == "corrupt":
            payload = payload.replace('"livemode": false', '"livemode": true', 1)
        started = time.monotonic()
        attempt: dict[str, Any] = {"at": moment, "status": None, "error": None}
        try:
            response = await client.post(state.settings.webhook_url, content=payload, headers=headers)
            attempt["status"] = response.status_code
        except httpx.HTTPError as problem:
            attempt["error"] = type(problem).__name__
        attempt["seconds"] = round(time.monotonic() - started, 3)
        self._record(delivery_id, attempt)

    def _record(self, delivery_id: str, attempt: dict[str, Any]) -> None:
        delivery = self.state.objects.get(delivery_id)
        if delivery is None:
            return
        attempts = [*delivery["attempts"], attempt]
        answered = attempt["status"] is not None and 200 <= attempt["status"] < 300
        if answered:
            status, next_at = "delivered", delivery["next_at"]
        elif attempt["at"] - attempts[0]["at"] > GIVE_UP_AFTER:
            status, next_at = "failed", delivery["next_at"]
        else:
            wait = min(FIRST_WAIT * 2 ** (len(attempts) - 1), LONGEST_WAIT)
            status, next_at = "pending", time.time() + wait
        self._change(delivery_id, status=status, next_at=next_at, attempts=attempts)

    def _change(self, delivery_id: str, **values: Any) -> None:
        state = self.state
        with state.transaction():
            changed = state.change(delivery_id, **values)
            if changed["status"] == "delivered":
                state.change(changed["event"], pending_webhooks=0)
