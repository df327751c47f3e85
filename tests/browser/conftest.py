"""A real browser against the whole embedded platform, started for the test with a directory of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
WAIT_SECONDS = 60
# What the test run sets for itself; the platform is started as a user would start it.
OWN_SETTINGS = (
    "DJANGO_SETTINGS_MODULE",
    "DATABASE_URL",
    "CELERY_BROKER_URL",
    "CACHE_URL",
    "DEMO_MODE",
    "SITE_URL",
    "PORT",
)
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Platform:
    """Addresses of a running platform and its simulated broker, and how to run its commands."""

    site: str
    broker: str
    environment: dict[str, str]

    def control(self, path: str, **body: Any) -> Any:
        """Call the simulated broker's control interface."""
        request = urllib.request.Request(  # noqa: S310 - loopback only
            f"{self.broker}/control/{path}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"{}")

    def command(self, *arguments: str) -> str:
        """Run a management command and return what it printed, without the last line break."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=WAIT_SECONDS,
        )
        return done.stdout.strip()

    def page(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.site}{path}", timeout=10) as answer:
            return str(answer.read().decode())


def wait_until(condition: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited in vain for {what}")


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    from tests.tradeplatform.test_run_platform import free_port

    directory = tmp_path_factory.mktemp("platform")
    port, broker_port = free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS}
    environment |= {"VAR_DIR": str(directory), "PORT": str(port), "SIMULATOR_PORT": str(broker_port)}
    log = (directory / "log").open("w")
    process = subprocess.Popen(
        [sys.executable, "manage.py", "run_platform"],
        cwd=ROOT,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    running = Platform(f"http://localhost:{port}", f"http://127.0.0.1:{broker_port}", environment)
    try:
        wait_until(lambda: answers(f"{running.site}/healthz"), "the site")
        yield running
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=WAIT_SECONDS)
        log.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the pictures unless they are asked for by their marker: they prove nothing."""
    if "screenshots" in (config.option.markexpr or ""):
        return
    pictures = [item for item in items if item.get_closest_marker("screenshots")]
    if pictures:
        config.hook.pytest_deselected(items=pictures)
        items[:] = [item for item in items if item not in pictures]
