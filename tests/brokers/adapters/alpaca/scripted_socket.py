"""Websocket servers that speak Alpaca's two protocols by script, one script per connection."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgpack
from websockets.asyncio.server import ServerConnection, serve

Script = Callable[[ServerConnection], Awaitable[None]]
DEADLINE = 15


def run(main: Awaitable[None]) -> None:
    """Run a test's coroutine with a deadline."""

    async def bounded() -> None:
        await asyncio.wait_for(main, DEADLINE)

    asyncio.run(bounded())


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something is true; the caller's deadline ends it otherwise."""
    while not condition():
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def socket_server(*scripts: Script, **options: Any):
    """Serve the n-th connection with the n-th script, further ones with the last; yields the address."""
    seen: list[ServerConnection] = []

    async def handle(connection: ServerConnection) -> None:
        seen.append(connection)
        await scripts[min(len(seen), len(scripts)) - 1](connection)

    async with serve(handle, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}/stream", seen


async def send(connection: ServerConnection, stream: str, data: Any, *, binary: bool = False) -> None:
    text = json.dumps({"stream": stream, "data": data})
    await connection.send(text.encode() if binary else text)


async def authorize(connection: ServerConnection, logins: list[Any] | None = None) -> None:
    """Accept the login and the request to listen."""
    login = json.loads(await connection.recv())
    if logins is not None:
        logins.append(login)
    await send(connection, "authorization", {"status": "authorized", "action": "authenticate"})
    assert json.loads(await connection.recv()) == {"action": "listen", "data": {"streams": ["trade_updates"]}}


async def listening(connection: ServerConnection) -> None:
    await send(connection, "listening", {"streams": ["trade_updates"]})


async def wait_for_close(connection: ServerConnection) -> None:
    with contextlib.suppress(Exception):
        while True:
            await connection.recv()


async def send_data(connection: ServerConnection, *messages: dict[str, Any]) -> None:
    """Send market data messages the way the real server does, in MessagePack."""
    await connection.send(msgpack.packb(list(messages), datetime=True))


async def accept_data_login(connection: ServerConnection, logins: list[Any]) -> dict[str, Any]:
    """Greet, accept the login, and return the subscription."""
    await send_data(connection, {"T": "success", "msg": "connected"})
    logins.append(msgpack.unpackb(await connection.recv()))
    await send_data(connection, {"T": "success", "msg": "authenticated"})
    wanted = msgpack.unpackb(await connection.recv())
    await send_data(connection, {"T": "subscription", "quotes": wanted["quotes"], "trades": wanted["trades"]})
    return wanted
