"""The trade_updates websocket of the paper and the live host."""

import asyncio
from collections import defaultdict
from typing import Any

from starlette.responses import Response
from starlette.websockets import WebSocket

from brokers.simulators.alpaca.errors import ApiError
from brokers.simulators.alpaca.gateway import Principal, authenticate, token_principal
from brokers.simulators.alpaca.sockets import Connection
from brokers.simulators.alpaca.wire import number, trade_update_json
from brokers.simulators.book import OrderEvent
from brokers.simulators.faults import BODY_KINDS, STREAM_KINDS, damage
from brokers.simulators.simulator import Simulator

REORDER_SECONDS = 0.25


class TradeStream:
    """Delivers order events to every listening connection of their account."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self._listening: dict[str, set[Connection]] = defaultdict(set)
        self._kept: dict[str, list[dict[str, Any]]] = defaultdict(list)
        sim.book.listeners.append(self.publish)

    def connections(self) -> int:
        """How many connections listen."""
        return sum(len(group) for group in self._listening.values())

    async def serve(self, websocket: WebSocket, env: str) -> None:
        """Run one connection until it ends."""
        rule = self.sim.faults.pick("stream.connect", kinds=frozenset({"status_before", "drop_before"}))
        if rule is not None:
            await websocket.send_denial_response(Response(status_code=rule.status))
            return
        connection = Connection(websocket, binary=env == "paper")
        await connection.open()
        principal: Principal | None = None
        try:
            while (message := await connection.receive()) is not None:
                principal = self._handle(connection, env, message, principal)
        finally:
            for group in self._listening.values():
                group.discard(connection)
            await connection.close()

    def disconnect(self, account_id: str | None = None) -> int:
        """Hang up on the listeners of one account, or on all; returns how many."""
        groups = [self._listening[account_id]] if account_id else list(self._listening.values())
        found = [connection for group in groups for connection in group]
        for connection in found:
            connection.hang_up()
        return len(found)

    def publish(self, event: OrderEvent) -> None:
        """Send one event to the listeners of its account, subject to the stream's fault rules."""
        account_id = event.order.account_id
        if not self._listening.get(account_id):
            return
        data = self._data(event)
        kinds = STREAM_KINDS | BODY_KINDS
        rule = self.sim.faults.pick(
            "stream.trade_updates", kinds=kinds, account_id=account_id, symbol=event.order.symbol
        )
        kind = rule.kind if rule else ""
        loop = asyncio.get_running_loop()
        if rule is not None and kind in BODY_KINDS:
            data["order"] = damage(data["order"], rule)
        if kind == "lost":
            return
        if kind == "disconnect":
            self.disconnect(account_id)
            return
        if rule is not None and kind == "late":
            loop.call_later(rule.seconds, self._deliver, account_id, data)
            return
        if kind == "reorder":
            self._kept[account_id].append(data)
            loop.call_later(REORDER_SECONDS, self._release, account_id)
            return
        for _ in range(2 if kind == "duplicate" else 1):
            self._deliver(account_id, data)
        self._release(account_id)

    def _release(self, account_id: str) -> None:
        for data in self._kept.pop(account_id, []):
            self._deliver(account_id, data)

    def _deliver(self, account_id: str, data: dict[str, Any]) -> None:
        message, frames = {"stream": "trade_updates", "data": data}, {}
        for connection in self._listening.get(account_id, ()):
            key = (connection.packed, connection.binary)
            if key not in frames:
                frames[key] = connection.encode(message)
            connection.send_frame(frames[key])

    def _data(self, event: OrderEvent) -> dict[str, Any]:
        data = trade_update_json(self.sim.book, event.event, event.order, event.at, event.execution_id)
        if event.execution is not None:
            data["price"] = number(event.execution.price)
            data["qty"] = number(event.execution.qty)
            data["position_qty"] = number(event.execution.position_qty)
        return data

    def _handle(
        self, connection: Connection, env: str, message: dict[str, Any], principal: Principal | None
    ) -> Principal | None:
        action = message.get("action")
        if action in ("authenticate", "auth"):
            return self._authenticate(connection, env, message, principal)
        if action == "listen":
            self._listen(connection, message, principal)
            return principal
        connection.send({"stream": "error", "data": {"action": str(action), "error": "unknown action"}})
        return principal

    def _authenticate(
        self, connection: Connection, env: str, message: dict[str, Any], principal: Principal | None
    ) -> Principal | None:
        try:
            principal = self._identify(env, message)
            status = "authorized"
        except ApiError:
            status = "unauthorized"
        data = {"status": status, "action": "authenticate"}
        connection.send({"stream": "authorization", "data": data})
        return principal

    def _identify(self, env: str, message: dict[str, Any]) -> Principal:
        data = message.get("data")
        data = data if isinstance(data, dict) else {}
        if data.get("oauth_token"):
            return token_principal(self.sim, str(data["oauth_token"]), env)
        headers = {
            "apca-api-key-id": str(data.get("key_id") or message.get("key") or ""),
            "apca-api-secret-key": str(data.get("secret_key") or message.get("secret") or ""),
        }
        return authenticate(self.sim, headers, env)

    def _listen(self, connection: Connection, message: dict[str, Any], principal: Principal | None) -> None:
        if principal is None:
            data = {"status": "unauthorized", "action": "listen"}
            connection.send({"stream": "authorization", "data": data})
            return
        wanted = (message.get("data") or {}).get("streams") or []
        known = [name for name in ("trade_updates",) if name in wanted]
        group = self._listening[principal.account.id]
        (group.add if known else group.discard)(connection)
        connection.send({"stream": "listening", "data": {"streams": known}})
