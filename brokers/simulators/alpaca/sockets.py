"""One client connection: codec chosen by the request header, and a bounded outgoing queue with its own
task.
"""

import asyncio
import contextlib
import json
from typing import Any

import msgpack
from starlette.websockets import WebSocket, WebSocketDisconnect

QUEUE_LIMIT = 10_000
Frame = str | bytes


class Connection:
    """A websocket speaking JSON, or MessagePack when the handshake asked for ``application/msgpack``.

    ``binary`` sends JSON in binary frames. Nothing polls: the writer task sleeps until something is queued.
    """

    def __init__(self, websocket: WebSocket, *, binary: bool = False) -> None:
        self.websocket = websocket
        self.packed = "msgpack" in websocket.headers.get("content-type", "")
        self.binary = binary
        self._queue: asyncio.Queue[Frame | None] = asyncio.Queue(QUEUE_LIMIT)
        self._writer: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Accept the handshake and start the writer."""
        await self.websocket.accept()
        self._writer = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Stop the writer and close the socket."""
        if self._writer is not None:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await self.websocket.close()

    def encode(self, message: Any) -> Frame:
        """``message`` in this connection's codec."""
        if self.packed:
            return bytes(msgpack.packb(message))
        text = json.dumps(message)
        return text.encode() if self.binary else text

    def send(self, message: Any) -> None:
        """Queue a message."""
        self.send_frame(self.encode(message))

    def send_frame(self, frame: Frame) -> None:
        """Queue an encoded frame; a client that does not read for too long is disconnected."""
        try:
            self._queue.put_nowait(frame)
        except asyncio.QueueFull:
            self.hang_up()

    def hang_up(self) -> None:
        """Close from the server's side, dropping what is queued."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def receive(self) -> dict[str, Any] | None:
        """The next message, an empty dict for one that cannot be read, None when the client has left."""
        message = await self.websocket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        data = message.get("bytes") or (message.get("text") or "").encode()
        try:
            parsed = msgpack.unpackb(data) if self.packed and data[:1] not in b"{[" else json.loads(data)
        except (ValueError, msgpack.UnpackException, msgpack.ExtraData):
            return {}
        return parsed if isinstance(parsed, dict) else {}

    async def _write(self) -> None:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, OSError):
            while (frame := await self._queue.get()) is not None:
                if isinstance(frame, bytes):
                    await self.websocket.send_bytes(frame)
                else:
                    await self.websocket.send_text(frame)
            await self.websocket.close(code=1012)
