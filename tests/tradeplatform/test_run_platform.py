"""The whole embedded form: one command starts everything, survives kills, and stops cleanly."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
WAIT_SECONDS = 60
OWN_SETTINGS = ("DATABASE_URL", "CELERY_BROKER_URL", "CACHE_URL", "DEMO_MODE", "SITE_URL")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, what: str):
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.1)
    raise AssertionError(f"waited in vain for {what}")


def get(address: str) -> str:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, OSError):
        return ""


def children_of(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def platform(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS}
    port = free_port()
    environment |= {"VAR_DIR": str(tmp_path), "PORT": str(port), "SIMULATOR_PORT": str(free_port())}
    log = tmp_path / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "run_platform"],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process, f"http://127.0.0.1:{port}", log
            process.send_signal(signal.SIGINT)
            process.wait(timeout=WAIT_SECONDS)
        finally:
            # A platform that did not start or stop in time must not outlive its test.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_it_starts_survives_kills_and_stops(platform):
    process, site, log = platform
    wait_until(lambda: "ok" in get(f"{site}/healthz"), "the site")
    wait_until(lambda: "is ready" in log.read_text(), "the address on the console")
    assert "demo@example.com" in log.read_text()
    assert "Plans" in get(f"{site}/pricing/")
    working = wait_until(lambda: get(f"{site}/readyz").count('"ok"') >= 7, "every part to be alive")
    assert working

    first = children_of(process.pid)
    assert len(first) == 2
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: "ok" in get(f"{site}/healthz"), "the site again")
    wait_until(lambda: len(children_of(process.pid)) == 2, "both children again")
    assert time.monotonic() - killed < 10

    last = children_of(process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=WAIT_SECONDS) == 0
    assert "Stopped." in log.read_text()
    assert [pid for pid in last if Path(f"/proc/{pid}").exists()] == []
    assert not re.search(r"Traceback", log.read_text())
