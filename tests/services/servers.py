"""A private PostgreSQL and Redis that tests start, stop, restart and throw away.

Both listen on free loopback ports and keep their data in a directory of their own. PostgreSQL refuses to run
as root, so its cluster then belongs to another user of this machine.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_START_SECONDS = 120
_STOP_SECONDS = 60
# How PostgreSQL is told to end: after its clients have left, at once but in order, or as in a crash.
STOP_SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


@dataclass
class PostgresServer:
    """A cluster in `directory`; by default it does not wait for the disk, but survives each kind of stop.

    `options` are added to the server's settings.
    """

    directory: Path
    port: int = field(default_factory=lambda: free_port())
    options: Mapping[str, str] = field(default_factory=lambda: {"fsync": "off"})
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgres://tradeplatform@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        """Make the cluster."""
        data = self.directory / "postgres"
        if self._user is not None:
            self.directory.chmod(0o755)
            data.mkdir()
            shutil.chown(data, self._user)
        command = [find_postgres() / "initdb", "-D", data, "-U", "tradeplatform", "-A", "trust"]
        subprocess.run([*command, "-E", "UTF8", "--no-sync"], check=True, **self._how)

    def start(self) -> None:
        """Start the server and wait until it takes queries."""
        programs, data = find_postgres(), self.directory / "postgres"
        settings = {"max_connections": "300", "timezone": "UTC", **self.options}
        self.process = subprocess.Popen(
            [programs / "postgres", "-D", data, "-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
            + [part for name, value in settings.items() for part in ("-c", f"{name}={value}")],
            **self._how,
        )
        ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        _wait_until(
            lambda: subprocess.run(ready, check=False).returncode == 0, self.process, name="PostgreSQL"
        )

    def stop(self, how: str = "fast") -> None:
        """Stop the server: "fast" ends every session, "immediate" is a crash that a start recovers from."""
        if self.process is not None:
            self.process.send_signal(STOP_SIGNALS[how])
            _end(self.process)

    @property
    def _user(self) -> str | None:
        if os.geteuid() != 0:
            return None
        return "postgres" if _user_exists("postgres") else "nobody"

    @property
    def _how(self) -> dict[str, Any]:
        return {
            "user": self._user,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.STDOUT,
            "cwd": "/",
        }


@dataclass
class RedisServer:
    """A Redis that keeps nothing: what it held is gone when it stops."""

    directory: Path
    port: int = field(default_factory=lambda: free_port())
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address without a database number."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait until it accepts."""
        program = shutil.which("redis-server")
        if program is None:
            sys.exit("redis-server is not installed. On Debian: apt-get install redis-server")
        self.process = subprocess.Popen(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
        )
        wait_for_port(self.port, self.process, "Redis")

    def stop(self) -> None:
        """Stop the server."""
        if self.process is not None:
            self.process.terminate()
            _end(self.process)

    def flush(self) -> None:
        """Empty every database: queues, cache and rate limits are gone."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=_STOP_SECONDS) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            answer = connection.recv(100)
        if not answer.startswith(b"+OK"):
            raise RuntimeError(f"FLUSHALL: {answer!r}")


@contextmanager
def running_servers() -> Iterator[tuple[PostgresServer, RedisServer]]:
    """Start both, and remove every trace of them at the end."""
    directory = Path(tempfile.mkdtemp(prefix="tradeplatform-services-"))
    postgres, redis = PostgresServer(directory), RedisServer(directory)
    try:
        postgres.create()
        postgres.start()
        redis.start()
        yield postgres, redis
    finally:
        redis.stop()
        postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)


def find_postgres() -> Path:
    """Return the directory with PostgreSQL's programs, the newest version of Debian's first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    if found:
        return found[-1].parent
    program = shutil.which("initdb")
    if program is None:
        sys.exit("PostgreSQL is not installed. On Debian: apt-get install postgresql")
    return Path(program).resolve().parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port: int, server: subprocess.Popen[bytes], name: str) -> None:
    """Wait until a server that was just started accepts connections; ends the program if it does not."""
    _wait_until(lambda: _accepts(port), server, name=name)


def _wait_until(check: Callable[[], bool], server: subprocess.Popen[bytes], *, name: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not check():
        if server.poll() is not None:
            sys.exit(f"{name} ended at once with {server.returncode}.")
        if time.monotonic() > deadline:
            sys.exit(f"{name} did not start within {_START_SECONDS} seconds.")
        time.sleep(0.05)


def _end(server: subprocess.Popen[bytes]) -> None:
    try:
        server.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _user_exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
