"""Responses of a simulated service: whole, damaged, late or not at all."""

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import Message, Receive, Send


class Answer:
    """Sends one response, whole, damaged or not at all. A subclass says how the infrastructure fails."""

    def __init__(self, send: Send, receive: Receive, abort: Callable[[], None] | None) -> None:
        self._send, self._receive, self._abort = send, receive, abort
        self.headers = {"X-Request-ID": uuid.uuid4().hex}

    def failure_body(self, status: int) -> dict[str, Any] | None:
        """JSON for an error that no handler made; None for a gateway's HTML page."""
        return None

    async def json(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        """A JSON response, or an empty one for a body of None."""
        self.headers.update(headers or {})
        data = b"" if body is None else json.dumps(body).encode()
        await self.raw(status, data, "application/json; charset=UTF-8")

    async def raw(self, status: int, data: bytes, content_type: str) -> None:
        """Any bytes."""
        await self._start(status, len(data), content_type)
        await self._send({"type": "http.response.body", "body": data})

    async def failure(self, status: int) -> None:
        """An error of the infrastructure."""
        body = self.failure_body(status)
        if body is not None:
            await self.json(status, body)
        else:
            page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>"
            await self.raw(status, page.encode(), "text/html")

    async def half(self, status: int, body: Any) -> None:
        """Half of the response, then the connection ends."""
        data = json.dumps(body).encode()
        await self._start(status, len(data), "application/json")
        await self._send({"type": "http.response.body", "body": data[: len(data) // 2], "more_body": True})
        await asyncio.sleep(0)
        await self.drop()

    async def hang(self, seconds: float) -> None:
        """Stay silent until the client leaves or ``seconds`` (0: for ever) have passed, then drop."""
        try:
            async with asyncio.timeout(seconds or None):
                while (await self._receive())["type"] != "http.disconnect":
                    continue
        except TimeoutError:
            await self.drop()

    async def drop(self) -> None:
        """Cut the connection without another byte.

        Without a server that offers it the response simply stays incomplete.
        """
        if self._abort is not None:
            self._abort()
            while (await self._receive())["type"] != "http.disconnect":
                continue

    async def _start(self, status: int, length: int, content_type: str) -> None:
        headers = {**self.headers, "Content-Type": content_type}
        if status != 204:
            headers["Content-Length"] = str(length)
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        message: Message = {"type": "http.response.start", "status": status, "headers": pairs}
        await self._send(message)


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request."""
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return b"".join(parts)
