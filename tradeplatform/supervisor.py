"""Keeps a few child processes running, prefixes their lines, and stops them all together.

One thread, one selector: the children's output is copied line by line, a child that dies is started again
after a pause of half a second that doubles up to three while it keeps dying young, and a signal ends all of
them.
"""

import ctypes
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, STEADY_SECONDS = 0.5, 3.0, 10.0
STOP_SECONDS = 8.0
_TICK_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """One process to keep: its name, its command, and when it may be started (again)."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_after: float = 0.0
    wait: float = FIRST_WAIT_SECONDS
    rest: bytes = b""


class Supervisor:
    """Runs children until SIGINT or SIGTERM; `when_ready` is called once `ready_port` accepts."""

    def __init__(
        self,
        children: Sequence[Child],
        *,
        out: IO[str],
        ready_port: int | None = None,
        when_ready: Callable[[], None] | None = None,
    ) -> None:
        self.children = list(children)
        self.out = out
        self.restarts = 0
        self._ready_port, self._when_ready = ready_port, when_ready
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._width = max(len(child.name) for child in self.children)

    def run(self) -> None:
        """Keep the children running until a signal arrives, then stop them."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stop())
        try:
            while not self._stopping:
                self._start_due()
                self._copy_output(_TICK_SECONDS)
                self._notice_deaths()
                self._notice_ready()
        finally:
            self._stop_all()

    def stop(self) -> None:
        """End `run` soon; safe to call from a signal handler."""
        self._stopping = True

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.process is None and now >= child.start_after:
                self._start(child, now)

    def _start(self, child: Child, now: float) -> None:
        child.process = subprocess.Popen(  # noqa: S603 - our own commands
            child.command,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **child.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            # Ctrl-C reaches only the supervisor, which then stops the children in order.
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one thread
        )
        child.started_at = now
        if child.process.stdout is not None:
            os.set_blocking(child.process.stdout.fileno(), False)
            self._selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def _copy_output(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            data = key.fileobj.read() or b""  # type: ignore[union-attr]
            self._write_lines(key.data, data)
            if not data:
                self._selector.unregister(key.fileobj)

    def _write_lines(self, child: Child, data: bytes) -> None:
        *lines, child.rest = (child.rest + data).split(b"\n")
        for line in lines:
            self._say(child.name, line.decode("utf-8", "replace"))

    def _say(self, name: str, text: str) -> None:
        self.out.write(f"{name:<{self._width}} | {text}\n")
        self.out.flush()

    def _notice_deaths(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.process is None or child.process.poll() is None:
                continue
            if now - child.started_at > STEADY_SECONDS:
                child.wait = FIRST_WAIT_SECONDS
            self._say(child.name, f"ended with {child.process.returncode}; starts again in {child.wait:g} s")
            self._close_output(child)
            child.process, child.start_after = None, now + child.wait
            child.wait = min(child.wait * 2, LONGEST_WAIT_SECONDS)
            self.restarts += 1

    def _close_output(self, child: Child) -> None:
        stream: Any = child.process.stdout if child.process else None
        if stream is None:
            return
        if stream in {key.fileobj for key in self._selector.get_map().values()}:
            self._write_lines(child, stream.read() or b"")
            self._selector.unregister(stream)
        stream.close()

    def _notice_ready(self) -> None:
        if self._when_ready and self._ready_port and accepts(self._ready_port):
            when_ready, self._when_ready = self._when_ready, None
            when_ready()

    def _stop_all(self) -> None:
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline and any(process.poll() is None for process in running):
            self._copy_output(_TICK_SECONDS)
        for process in running:
            if process.poll() is None:
                process.kill()
            process.wait()
        for child in self.children:
            self._close_output(child)
        self._selector.close()


def accepts(port: int) -> bool:
    """Say whether something on this machine listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _die_with_parent() -> None:
    """Ask Linux to end this child when the supervisor is killed, so that no port stays taken."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
