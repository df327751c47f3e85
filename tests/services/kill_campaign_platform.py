"""A platform under test as real processes: starting it, killing parts of it, and measuring their return."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.services.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
# Waits end long after anything but a hang: how fast a thing was is printed, never judged.
START_SECONDS = 300.0
RETURN_SECONDS = 300.0


class NotReached(Exception):
    """Something did not come true before its deadline."""


def wait_for(check: Callable[[], Any], *, seconds: float, what: str, pause: float = 0.05) -> Any:
    """Return the first true value of `check`; raises NotReached after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if value := check():
            return value
        if time.monotonic() > deadline:
            raise NotReached(what)
        time.sleep(pause)


def answers(url: str) -> bool:
    """Say whether the address answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return reply.status == 200
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except (OSError, http.client.HTTPException):
        return False


@dataclass(frozen=True)
class Part:
    """A kind of process: how its command line looks, how many there are, and how one shows that it is back.

    With a `health` address it answers there; any other writes its sign of life into the database.
    """

    kind: str
    pattern: str
    health: str = ""
    count: int = 1


@dataclass
class Platform:
    """A supervisor with its children in a directory of their own."""

    command: Sequence[str]
    environment: Mapping[str, str]
    parts: Sequence[Part]
    site: str
    simulator: str
    directory: Path
    process: subprocess.Popen[bytes] | None = None
    inside: subprocess.Popen[str] | None = None
    kills: dict[str, int] = field(default_factory=dict)
    restarts: list[tuple[str, float]] = field(default_factory=list)
    returns: list[tuple[str, float]] = field(default_factory=list)
    frozen: set[int] = field(default_factory=set)
    asking: threading.Lock = field(default_factory=threading.Lock)
    choosing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def log(self) -> Path:
        return self.directory / "platform.log"

    def start(self) -> None:
        """Start everything and wait until the parts that listen answer."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        with (self.directory / "inside.log").open("w") as log:
            self.inside = subprocess.Popen(
                [sys.executable, "-m", "tests.services.kill_campaign_inside"],
                cwd=ROOT,
                env={**self.environment, "LOG_LEVEL": "ERROR"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        for part in self.parts:
            wait_for(
                lambda part=part: self.is_back(part, 0), seconds=START_SECONDS, what=f"{part.kind} starts"
            )

    def stop(self) -> None:
        """End everything that was started here."""
        for pid in list(self.frozen):
            self.thaw(pid)
        if self.inside is not None:
            self.inside.stdin.close()
            self.inside.wait(timeout=60)
            self.inside.stdout.close()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=60)

    def ask(self, what: str, **question: Any) -> Any:
        """Ask the process inside the platform's environment, however often its database goes away."""
        line = json.dumps({"ask": what, **question})
        answer = wait_for(
            lambda: self._try_ask(line), seconds=RETURN_SECONDS, what=f"the database answers {what}"
        )
        return answer["answer"]

    def _try_ask(self, line: str) -> dict[str, Any] | None:
        with self.asking:
            self.inside.stdin.write(line + "\n")
            self.inside.stdin.flush()
            answer = self.inside.stdout.readline()
        if not answer:
            raise RuntimeError((self.directory / "inside.log").read_text()[-3000:])
        return json.loads(answer)

    def control(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Use the simulator's control interface, however often it dies meanwhile."""
        return wait_for(
            lambda: self._try_control(path, body),
            seconds=RETURN_SECONDS,
            what=f"the simulator answers {path}",
        )

    def _try_control(self, path: str, body: Mapping[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.simulator}/control/{path}", data=data)
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                return json.loads(reply.read())
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"{path}: {error.code} {error.read().decode()}") from error
        except (OSError, http.client.HTTPException, ValueError):
            return None

    def pids_of(self, part: Part) -> list[int]:
        """Return the supervisor's children that run this part."""
        return [
            pid
            for pid, parent, command in _processes()
            if parent == self.process.pid and re.search(part.pattern, command)
        ]

    def kill(self, part: Part) -> int:
        """SIGKILL one process of the part that is not frozen; return its id."""

        def strike() -> int | None:
            with self.choosing:
                pids = [pid for pid in self.pids_of(part) if pid not in self.frozen]
                if pids:
                    os.kill(pids[0], signal.SIGKILL)
                return pids[0] if pids else None

        pid = wait_for(strike, seconds=RETURN_SECONDS, what=f"{part.kind} runs")
        self.kills[part.kind] = self.kills.get(part.kind, 0) + 1
        return pid

    def freeze(self, part: Part, pid: int) -> bool:
        """SIGSTOP a process of the part; False when it is gone or frozen already."""
        with self.choosing:
            if pid in self.frozen or pid not in self.pids_of(part):
                return False
            os.kill(pid, signal.SIGSTOP)
            self.frozen.add(pid)
        return True

    def thaw(self, pid: int) -> None:
        """Let a frozen process go on."""
        with self.choosing:
            os.kill(pid, signal.SIGCONT)
            self.frozen.discard(pid)

    def kill_and_measure(self, part: Part) -> None:
        """SIGKILL a part; note the seconds until its process runs again, and until it does its work again."""
        dead = self.kill(part)
        started = time.monotonic()
        wait_for(lambda: self.is_running(part, dead), seconds=RETURN_SECONDS, what=f"{part.kind} runs again")
        self.restarts.append((part.kind, time.monotonic() - started))
        wait_for(lambda: self.is_back(part, dead), seconds=RETURN_SECONDS, what=f"{part.kind} works again")
        self.returns.append((part.kind, time.monotonic() - started))

    def is_running(self, part: Part, dead: int) -> bool:
        """All processes of the part run, without the dead one."""
        return len([pid for pid in self.pids_of(part) if pid != dead]) >= part.count

    def is_back(self, part: Part, dead: int) -> bool:
        """They run, and they work."""
        if not self.is_running(part, dead):
            return False
        if part.health:
            return answers(part.health)
        alive = {row["name"] for row in self.ask("heartbeats") if row["kind"] == part.kind}
        pids = [pid for pid in self.pids_of(part) if pid not in self.frozen]
        return all(any(name.endswith(f":{pid}") for name in alive) for pid in pids)


def _processes() -> list[tuple[int, int, str]]:
    """Return id, parent and command line of every process of this machine."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        state, parent = stat.rsplit(") ", 1)[1].split()[:2]
        if state != "Z":
            found.append((int(entry.name), int(parent), command))
    return found


def _common(directory: Path, port: int, simulator_port: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "PYTEST_"))}
    return {
        **kept,
        "PORT": str(port),
        "SIMULATOR_PORT": str(simulator_port),
        "VAR_DIR": str(directory / "var"),
        "API_CALLS_PER_MINUTE": "100000",
        "LOG_LEVEL": "INFO",
        "PYTHONUNBUFFERED": "1",
    }


def build_embedded(directory: Path) -> Platform:
    """`run_platform`: the site with everything inside, and the brokers."""
    port, simulator_port = free_port(), free_port()
    environment = _common(directory, port, simulator_port)
    for name in ("DATABASE_URL", "CELERY_BROKER_URL", "CACHE_URL"):
        environment.pop(name, None)
    site, simulator = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{simulator_port}"
    return Platform(
        command=[sys.executable, "manage.py", "run_platform"],
        environment=environment,
        parts=[
            Part("site", r"run_site", f"{site}/healthz"),
            Part("brokers", r"run_broker_simulator", f"{simulator}/health"),
        ],
        site=site,
        simulator=simulator,
        directory=directory,
    )


def build_separate(directory: Path, *, database_url: str, broker_url: str, cache_url: str) -> Platform:
    """The processes of the Procfile on PostgreSQL and Redis, two dispatchers and two for streams."""
    port, simulator_port, events = free_port(), free_port(), free_port()
    environment = {
        **_common(directory, port, simulator_port),
        "DATABASE_URL": database_url,
        "CELERY_BROKER_URL": broker_url,
        "CACHE_URL": cache_url,
        "EVENTS_PORT": str(events),
    }
    subprocess.run(
        [sys.executable, "manage.py", "prepare"], cwd=ROOT, env=environment, check=True, capture_output=True
    )
    site, simulator = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{simulator_port}"
    return Platform(
        command=[sys.executable, "-m", "tests.services.kill_campaign_processes"],
        environment=environment,
        parts=[
            Part("web", r"gunicorn", f"{site}/healthz"),
            Part("events", r"run_events", f"http://127.0.0.1:{events}/healthz"),
            Part("worker", r"run_worker"),
            Part("beat", r"run_beat"),
            Part("dispatcher", r"run_order_dispatcher", count=2),
            Part("streams", r"run_broker_streams", count=2),
            Part("brokers", r"run_broker_simulator", f"{simulator}/health"),
        ],
        site=site,
        simulator=simulator,
        directory=directory,
    )
