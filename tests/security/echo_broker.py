"""A broker's worst manners: a server that refuses everything and quotes back all that it was sent."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class EchoBroker:
    """Answers every request with `status` and a body whose message holds the request's headers and body."""

    def __init__(self) -> None:
        self.status = 500
        self.code: int | None = None
        self.heard: list[str] = []
        broker = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                values = " ".join(value for name, value in self.headers.items() if name not in _PLAIN)
                heard = f"{values} {body} {self.path}"
                broker.heard.append(heard)
                answer: dict[str, Any] = {
                    "message": heard,
                    "error": "invalid_grant",
                    "error_description": heard,
                }
                if broker.code is not None:
                    answer["code"] = broker.code
                content = json.dumps(answer).encode()
                self.send_response(broker.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.send_header("X-Request-ID", values)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


# Headers that hold nothing of the caller's; leaving them out keeps the secrets near the start of the message.
_PLAIN = {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection", "Content-Length", "Content-Type"}
