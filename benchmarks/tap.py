"""Stands before the broker and notes the moment at which an order's first bytes arrive.

    python -m benchmarks.tap LISTEN_PORT BROKER_PORT FILE

Passes every byte on unchanged. For each order it writes one line: the machine's monotonic clock in
nanoseconds, the method, and the client order id ("" for a cancel, whose path follows instead).
"""

import asyncio
import re
import sys
import time
from contextlib import suppress
from pathlib import Path

_ORDER = re.compile(rb"(POST|PATCH|DELETE) (\S*/orders\S*) HTTP")
_CLIENT_ID = re.compile(rb'"client_order_id": ?"([^"]+)"')
_CHUNK = 65536


class Tap:
    """One listening socket, and one connection to the broker for each connection taken."""

    def __init__(self, broker_port: int, file: Path) -> None:
        self.broker_port = broker_port
        self.notes = file.open("a", buffering=1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join one connection to the broker until either side closes."""
        there, back = await asyncio.open_connection("127.0.0.1", self.broker_port)
        answers = asyncio.create_task(self._pass(there, writer))
        try:
            await self._pass_and_note(reader, back)
        finally:
            back.close()
            await answers

    async def _pass_and_note(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived, request = 0, b""
        while chunk := await reader.read(_CHUNK):
            now = time.monotonic_ns()
            writer.write(chunk)
            if not request:
                arrived = now
            request = self._note(arrived, request + chunk)
            await writer.drain()

    def _note(self, arrived: int, request: bytes) -> bytes:
        """Write the line of a whole order request; returns what must wait for its body."""
        order = _ORDER.match(request)
        if order is None:
            return b""
        if order[1] == b"DELETE":
            self.notes.write(f"{arrived} DELETE {order[2].decode()}\n")
            return b""
        client_id = _CLIENT_ID.search(request)
        if client_id is None:
            return request
        self.notes.write(f"{arrived} {order[1].decode()} {client_id[1].decode()}\n")
        return b""

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(_CHUNK):
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()


def read_arrivals(file: Path) -> dict[str, list[int]]:
    """Return the nanoseconds at which each client order id's POSTs arrived."""
    found: dict[str, list[int]] = {}
    for line in file.read_text().splitlines():
        at, method, client_id = line.split(" ", 2)
        if method == "POST":
            found.setdefault(client_id, []).append(int(at))
    return found


async def main(listen: int, broker: int, file: Path) -> None:
    server = await asyncio.start_server(Tap(broker, file).serve, "127.0.0.1", listen)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
