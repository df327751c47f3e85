"""A server that answers each request with the next piece of a script, down to single bytes and resets."""

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

Act = Callable[[socket.socket], bool]


def answer(
    body: Any, status: int = 200, *, headers: dict[str, str] | None = None, kind: str = "application/json"
) -> Act:
    """Send a whole answer and keep the connection open."""
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()

    def act(connection: socket.socket) -> bool:
        lines = {"Content-Type": kind, "Content-Length": str(len(content)), "X-Request-ID": "req-1"}
        head = "".join(f"{name}: {value}\r\n" for name, value in (lines | (headers or {})).items())
        connection.sendall(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + content)
        return True

    return act


def html(status: int) -> Act:
    return answer("<html><h1>Bad Gateway</h1></html>", status, kind="text/html")


def raw(content: bytes) -> Act:
    """Send bytes as they are, then close."""

    def act(connection: socket.socket) -> bool:
        connection.sendall(content)
        return False

    return act


def reset(connection: socket.socket) -> bool:
    """Break the connection with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def hang_up(connection: socket.socket) -> bool:
    """Close without an answer."""
    return False


def stay_silent(connection: socket.socket) -> bool:
    """Never answer; ends when the other side gives up."""
    connection.recv(1)
    return False


def trickle(connection: socket.socket) -> bool:
    """Send a body one byte at a time, each within the socket's time-out."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        time.sleep(0.05)
        connection.sendall(b" ")
    return False


class ScriptedServer:
    """Listens on a free loopback port; `requests` holds (method, path, headers, body) of all received."""

    def __init__(self) -> None:
        self.script: list[Act] = []
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def posts(self) -> int:
        return sum(request[0] == "POST" for request in self.requests)

    def close(self) -> None:
        # Closing alone would leave the threads in their waits.
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while self._read_request(connection) and self._next(connection):
                pass
        except OSError:
            pass
        finally:
            connection.close()

    def _next(self, connection: socket.socket) -> bool:
        return bool(self.script) and self.script.pop(0)(connection)

    def _read_request(self, connection: socket.socket) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return False
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(65536)
        method, path, _ = first.split(" ")
        self.requests.append((method, path, headers, body))
        return True
