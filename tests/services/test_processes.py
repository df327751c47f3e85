"""The production form: every process of the Procfile on PostgreSQL and Redis, alive and ending cleanly."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import psycopg
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# Long after anything but a hang.
WAIT_SECONDS = 300

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not os.environ.get("TEST_SERVICES"), reason="needs make test-services"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get_json(address: str) -> dict:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return json.loads(answer.read())
    except (urllib.error.URLError, OSError, ValueError):
        return {}


@pytest.fixture
def database_url():
    """A database of its own on the server of this run."""
    server = os.environ["DATABASE_URL"]
    name = f"processes_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield f"{server.rsplit('/', 1)[0]}/{name}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def run(database_url, tmp_path):
    """Start commands with the environment of this installation; end them all afterwards."""
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "CELERY_BROKER_URL": f"{os.environ['CELERY_BROKER_URL'].rsplit('/', 1)[0]}/7",
        "VAR_DIR": str(tmp_path),
        "SIMULATOR_PORT": str(free_port()),
        "BIND": f"127.0.0.1:{free_port()}",
        "WEB_WORKERS": "1",
    }
    started: dict[str, subprocess.Popen] = {}

    def start(name: str, *command: str) -> subprocess.Popen:
        log = (tmp_path / f"{name}.log").open("w")
        started[name] = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        log.close()
        return started[name]

    start.environment = environment
    start.started = started
    yield start
    for process in started.values():
        if process.poll() is None:
            process.kill()
            process.wait()


def test_every_process_reports_alive_and_ends_when_told(run, tmp_path):
    prepared = run("prepare", "manage.py", "prepare")
    assert prepared.wait(WAIT_SECONDS) == 0, (tmp_path / "prepare.log").read_text()
    events_port = str(free_port())
    run("web", "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py")
    run("events", "manage.py", "run_events", "--port", events_port)
    run("worker", "manage.py", "run_worker", "--concurrency", "2")
    run("beat", "manage.py", "run_beat")
    run("dispatcher", "manage.py", "run_order_dispatcher")
    run("streams", "manage.py", "run_broker_streams")

    site = f"http://{run.environment['BIND']}"
    deadline = time.monotonic() + WAIT_SECONDS
    ready: dict = {}
    while time.monotonic() < deadline and ready.get("status") != "ok":
        ready = get_json(f"{site}/readyz")
        time.sleep(0.2)
    assert ready.get("status") == "ok", (ready, logs(tmp_path))
    assert get_json(f"http://127.0.0.1:{events_port}/healthz")["status"] == "ok"

    running = {name: process for name, process in run.started.items() if name != "prepare"}
    for process in running.values():
        process.terminate()
    codes = {name: process.wait(timeout=WAIT_SECONDS) for name, process in running.items()}
    assert codes == dict.fromkeys(running, 0), logs(tmp_path)
    assert "Traceback" not in logs(tmp_path)


def logs(directory: Path) -> str:
    return "\n".join(
        f"== {file.name}\n{file.read_text()[-3000:]}" for file in sorted(directory.glob("*.log"))
    )
