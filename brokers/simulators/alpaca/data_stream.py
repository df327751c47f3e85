"""The market data websocket: ``/v2/iex`` and its relatives."""

import asyncio
import contextlib
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import msgpack
from starlette.websockets import WebSocket

from brokers.simulators.alpaca.data import bar_json, quote_json, trade_json
from brokers.simulators.alpaca.errors import ApiError
from brokers.simulators.alpaca.gateway import Principal, authenticate, market_data_customer, token_principal
from brokers.simulators.alpaca.sockets import Connection
from brokers.simulators.alpaca.wire import stamp
from brokers.simulators.market import merge_bars
from brokers.simulators.sessions import NEW_YORK
from brokers.simulators.simulator import Simulator
from brokers.simulators.symbols import BY_SYMBOL

CHANNELS = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds")
FEEDS = ("iex", "sip", "delayed_sip", "boats", "overnight", "test")
BASIC_SYMBOLS = 30
AUTH_SECONDS = 10.0
ERRORS = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
    411: "insufficient scope",
}


class DataConnection(Connection):
    """A connection with its subscriptions, by channel."""

    def __init__(self, websocket: WebSocket, feed: str) -> None:
        super().__init__(websocket)
        self.feed = feed
        self.principal: Principal | None = None
        self.channels: dict[str, set[str]] = {name: set() for name in CHANNELS}

    def fail(self, code: int) -> None:
        """Send an error frame."""
        self.send([{"T": "error", "code": code, "msg": ERRORS[code]}])

    def wants(self, channel: str, symbol: str) -> bool:
        """Whether the symbol, or everything, is subscribed in the channel."""
        return bool({symbol, "*"} & self.channels[channel])

    def symbols(self) -> set[str]:
        """All subscribed names."""
        return set().union(*self.channels.values())


class DataStream:
    """Sends quotes, trades, bars and halts of the subscribed symbols once a second, when they changed."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self._open: set[DataConnection] = set()
        self._last: dict[tuple[str, str], Any] = {}
        self._minute: datetime | None = None
        self._halted: set[str] = set()

    async def serve(self, websocket: WebSocket, feed: str) -> None:
        """Run one connection until it ends."""
        connection = DataConnection(websocket, feed)
        await connection.open()
        try:
            if feed not in FEEDS:
                connection.fail(410)
                return
            connection.send([{"T": "success", "msg": "connected"}])
            if "apca-api-key-id" in websocket.headers or "authorization" in websocket.headers:
                self._admit(connection, lambda: authenticate(self.sim, websocket.headers, "data"))
            await self._converse(connection)
        finally:
            self._open.discard(connection)
            await asyncio.sleep(0)
            await connection.close()

    async def _converse(self, connection: DataConnection) -> None:
        deadline = asyncio.get_running_loop().time() + AUTH_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(None if connection.principal else deadline):
                    message = await connection.receive()
            except TimeoutError:
                connection.fail(404)
                await asyncio.sleep(0.05)
                return
            if message is None:
                return
            self._handle(connection, message)

    def _handle(self, connection: DataConnection, message: dict[str, Any]) -> None:
        action = message.get("action")
        if action == "auth":
            self._authenticate(connection, message)
        elif action not in ("subscribe", "unsubscribe"):
            connection.fail(400)
        elif connection.principal is None:
            connection.fail(401)
        else:
            self._subscribe(connection, message, add=action == "subscribe")

    def _authenticate(self, connection: DataConnection, message: dict[str, Any]) -> None:
        if connection.principal is not None:
            connection.fail(403)
            return
        key, secret = str(message.get("key", "")), str(message.get("secret", ""))
        if key == "oauth":
            self._admit(connection, lambda: token_principal(self.sim, secret, "data"))
        else:
            headers = {"apca-api-key-id": key, "apca-api-secret-key": secret}
            self._admit(connection, lambda: authenticate(self.sim, headers, "data"))

    def _admit(self, connection: DataConnection, identify: Any) -> None:
        try:
            principal: Principal = identify()
        except ApiError:
            connection.fail(402)
            return
        if principal.scopes is not None and "data" not in principal.scopes:
            connection.fail(411)
            return
        customer = market_data_customer(self.sim, principal)
        if connection.feed == "sip" and customer.market_data_plan == "basic":
            connection.fail(409)
            return
        for other in self._open:
            same = other.principal and other.principal.account.customer_id == customer.id
            if same and other.feed == connection.feed:
                connection.fail(406)
                return
        connection.principal = principal
        self._open.add(connection)
        connection.send([{"T": "success", "msg": "authenticated"}])

    def _subscribe(self, connection: DataConnection, message: dict[str, Any], *, add: bool) -> None:
        wanted = {name: message[name] for name in CHANNELS if isinstance(message.get(name), list)}
        if not wanted and add:
            connection.fail(400)
            return
        before = {name: set(group) for name, group in connection.channels.items()}
        for name, symbols in wanted.items():
            (connection.channels[name].update if add else connection.channels[name].difference_update)(
                str(symbol) for symbol in symbols
            )
        if add and self._over_limit(connection):
            connection.channels = before
            connection.fail(405)
            return
        lists: dict[str, list[str]] = {name: sorted(group) for name, group in connection.channels.items()}
        lists["corrections"] = lists["cancelErrors"] = lists["trades"]
        connection.send([{"T": "subscription", **lists}])
        if add:
            self._greet(connection, before)

    def _over_limit(self, connection: DataConnection) -> bool:
        if connection.principal is None:
            return True
        if market_data_customer(self.sim, connection.principal).market_data_plan != "basic":
            return False
        names = connection.channels["trades"] | connection.channels["quotes"]
        return "*" in names or len(names) > BASIC_SYMBOLS

    def _greet(self, connection: DataConnection, before: dict[str, set[str]]) -> None:
        """Send the present quote and trade of newly subscribed symbols, so that a quiet market is visible."""
        items = [
            (kind, symbol, data)
            for channel in ("quotes", "trades")
            for symbol in sorted(connection.channels[channel] - before[channel])
            if symbol in BY_SYMBOL
            for kind, data in [self._quote_or_trade(channel, symbol)]
        ]
        if items:
            connection.send([_message(connection, *item) for item in items])

    def _quote_or_trade(self, channel: str, symbol: str) -> tuple[str, dict[str, Any]]:
        quote = self.sim.market.quote(symbol, self.sim.clock.now())
        return ("q", quote_json(quote)) if channel == "quotes" else ("t", trade_json(quote))

    def publish(self) -> None:
        """Send what changed since the last call."""
        if not self._open:
            return
        now = self.sim.clock.now()
        wanted = set().union(*(connection.symbols() for connection in self._open))
        symbols = set(BY_SYMBOL) if "*" in wanted else wanted & set(BY_SYMBOL)
        found: dict[str, list[tuple[str, str, dict[str, Any]]]] = defaultdict(list)
        for symbol in sorted(symbols):
            for channel, kind in (("quotes", "q"), ("trades", "t")):
                kind, data = self._quote_or_trade(channel, symbol)
                face = {name: value for name, value in data.items() if name not in ("t", "i", "s")}
                if self._last.get((channel, symbol)) != face:
                    self._last[channel, symbol] = face
                    found[channel].append((kind, symbol, data))
        self._add_bars(found, symbols, now)
        self._add_statuses(found, now)
        for connection in self._open:
            self._send_found(connection, found)

    def _send_found(
        self, connection: DataConnection, found: dict[str, list[tuple[str, str, dict[str, Any]]]]
    ) -> None:
        messages = [
            _message(connection, kind, symbol, data)
            for channel, rows in found.items()
            for kind, symbol, data in rows
            if connection.wants(channel, symbol)
        ]
        if messages:
            connection.send(messages)

    def _add_bars(
        self, found: dict[str, list[tuple[str, str, dict[str, Any]]]], symbols: set[str], now: datetime
    ) -> None:
        """When a minute has ended, its bar and the day's bar so far."""
        minute = now.replace(second=0, microsecond=0)
        if self._minute is None or minute <= self._minute:
            self._minute = self._minute or minute
            return
        self._minute = minute
        ended = minute - timedelta(minutes=1)
        for symbol in sorted(symbols):
            bars = self.sim.market.minute_bars(symbol, ended.astimezone(NEW_YORK).date(), now=ended)
            if bars:
                found["bars"].append(("b", symbol, bar_json(bars[-1])))
                found["dailyBars"].append(("d", symbol, bar_json(merge_bars(bars, bars[0].at))))

    def _add_statuses(self, found: dict[str, list[tuple[str, str, dict[str, Any]]]], now: datetime) -> None:
        halted = set(self.sim.market.halted)
        for symbol in sorted(halted ^ self._halted):
            stopped = symbol in halted
            data = {
                "sc": "H" if stopped else "T",
                "sm": "Trading Halt" if stopped else "Trading Resumption",
                "rc": "T12" if stopped else "",
                "rm": "Trading Halted; For information requested by NASDAQ" if stopped else "",
                "t": stamp(now),
                "z": "C",
            }
            found["statuses"].append(("s", symbol, data))
        self._halted = halted


def _message(connection: Connection, kind: str, symbol: str, data: dict[str, Any]) -> dict[str, Any]:
    """A data message; MessagePack carries times as its Timestamp extension."""
    message = {"T": kind, "S": symbol, **data}
    if connection.packed:
        with contextlib.suppress(ValueError):
            text = message["t"].replace("Z", "+00:00")
            head, _, tail = text.partition(".")
            text = f"{head}.{tail[:6]}+00:00" if tail else head
            message["t"] = msgpack.Timestamp.from_datetime(datetime.fromisoformat(text))
    return message
