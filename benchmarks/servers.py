"""The servers a benchmark runs against: durable PostgreSQL, Redis, the simulator and our own processes.

Unlike the test suite's cluster this one flushes every commit to the disk (fsync and synchronous_commit are
on): the commits are what is measured.
"""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.services.servers import PostgresServer, RedisServer, wait_for_port

ROOT = Path(__file__).resolve().parent.parent
PORTS = {
    name: int(os.environ.get("BENCH_PORT", "9300")) + number
    for number, name in enumerate(("postgres", "web", "simulator", "tap", "events"))
}
START_SECONDS = 60


@contextmanager
def run_postgres(directory: Path) -> Iterator[str]:
    """Run a private cluster; yields its address without a database name."""
    options = {"max_connections": "200", "shared_buffers": "256MB", "fsync": "on"}
    server = PostgresServer(directory, port=PORTS["postgres"], options=options)
    server.create()
    try:
        server.start()
        yield server.url.rsplit("/", 1)[0]
    finally:
        server.stop()


@contextmanager
def run_redis(directory: Path) -> Iterator[str]:
    """Run a private Redis; yields its address without a database number."""
    server = RedisServer(directory)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


class Processes:
    """Processes of one installation, started with one environment and ended together."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self.environment = {**os.environ, **environment}
        self.logs = logs
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        """Start `python command...` with its output in a log file of that name."""
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.running[name] = process
        return process

    def stop(self) -> None:
        """End all, the newest first, and wait for them."""
        for process in reversed(self.running.values()):
            if process.poll() is None:
                process.terminate()
        for process in reversed(self.running.values()):
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.running.clear()

    def start_broker(self) -> None:
        """Start the simulator, and the tap before it that notes when each order's bytes arrive."""
        simulator, tap = str(PORTS["simulator"]), str(PORTS["tap"])
        command = ("manage.py", "run_broker_simulator", "--port", simulator, "--rate-limit", "1000000")
        self.start("simulator", *command, "--no-demo")
        wait_for_answer(f"http://127.0.0.1:{simulator}/health")
        self.start("tap", "-m", "benchmarks.tap", tap, simulator, str(self.logs / "arrivals.txt"))
        wait_for_port(PORTS["tap"], self.running["tap"], "The tap")

    def start_site(self, *, sender: str = "dispatcher") -> None:
        """Start web, streams and whoever sends orders (dispatcher or worker) as the Procfile does."""
        self.start("web", "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py")
        self.start(
            sender, "manage.py", {"dispatcher": "run_order_dispatcher", "worker": "run_worker"}[sender]
        )
        self.start("streams", "manage.py", "run_broker_streams")
        wait_for_answer(f"http://127.0.0.1:{PORTS['web']}/healthz")

    def start_embedded(self) -> None:
        """Start the one process of the embedded form."""
        self.start("site", "manage.py", "run_site", "--port", str(PORTS["web"]))
        wait_for_answer(f"http://127.0.0.1:{PORTS['web']}/healthz")


def broker_environment() -> dict[str, str]:
    """Return the settings that lead to the simulator: REST through the tap, streams straight."""
    tap = f"http://127.0.0.1:{PORTS['tap']}/alpaca"
    stream = f"ws://127.0.0.1:{PORTS['simulator']}/alpaca"
    return {
        "ALPACA_PAPER_URL": f"{tap}/paper",
        "ALPACA_LIVE_URL": f"{tap}/live",
        "ALPACA_DATA_URL": f"{tap}/data",
        "ALPACA_PAPER_STREAM_URL": f"{stream}/paper/stream",
        "ALPACA_LIVE_STREAM_URL": f"{stream}/live/stream",
        "ALPACA_DATA_STREAM_URL": f"{stream}/data/v2/iex",
        "SIMULATOR_PORT": str(PORTS["simulator"]),
    }


def wait_for_answer(address: str) -> None:
    """Wait until the address answers; raises TimeoutError after a minute."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=2):  # noqa: S310 - loopback only
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"{address} did not answer.")
