"""The supervisor keeps children running, prefixes their lines and leaves nothing behind."""

import io
import os
import signal
import socket
import sys
import threading
import time

import pytest

from tradeplatform.supervisor import Child, Supervisor

WAIT_SECONDS = 15
SLEEPER = "import os, time; print('pid', os.getpid(), flush=True); time.sleep(600)"


class Watched(io.StringIO):
    """Lets a test wait for what the supervisor writes."""

    def wait_for(self, condition) -> list[str]:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            lines = self.getvalue().splitlines()
            if condition(lines):
                return lines
            time.sleep(0.02)
        raise AssertionError(self.getvalue())


@pytest.fixture
def out() -> Watched:
    return Watched()


def pids(lines: list[str]) -> list[int]:
    return [int(line.rsplit(" ", 1)[1]) for line in lines if " pid " in line]


def run_with(supervisor: Supervisor, script) -> None:
    """Run the supervisor in this (main) thread while `script` acts from another one."""
    failures: list[BaseException] = []

    def act() -> None:
        try:
            script()
        except BaseException as error:
            failures.append(error)
        finally:
            supervisor.stop()

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    actor = threading.Thread(target=act)
    actor.start()
    try:
        supervisor.run()
    finally:
        actor.join(WAIT_SECONDS)
        for number, handler in before.items():
            signal.signal(number, handler)
    if failures:
        raise failures[0]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_child_is_started_again_and_all_end_with_the_supervisor(out):
    children = [Child(name, [sys.executable, "-c", SLEEPER]) for name in ("site", "brokers")]
    supervisor = Supervisor(children, out=out)

    def script() -> None:
        first = pids(out.wait_for(lambda lines: len(pids(lines)) == 2))
        started = time.monotonic()
        os.kill(first[0], signal.SIGKILL)
        out.wait_for(lambda lines: len(pids(lines)) == 3)
        assert time.monotonic() - started < 10

    run_with(supervisor, script)

    assert supervisor.restarts == 1
    assert [pid for pid in pids(out.getvalue().splitlines()) if is_alive(pid)] == []


def test_lines_carry_the_name_of_their_child(out):
    code = "print('one\\ntwo', flush=True); import time; time.sleep(600)"
    supervisor = Supervisor(
        [Child("site", [sys.executable, "-c", code]), Child("brokers", [sys.executable, "-c", code])], out=out
    )

    run_with(supervisor, lambda: out.wait_for(lambda lines: len(lines) == 4))

    assert sorted(out.getvalue().splitlines()) == [
        "brokers | one",
        "brokers | two",
        "site    | one",
        "site    | two",
    ]


def test_a_child_that_keeps_failing_is_retried_with_growing_pauses(out):
    supervisor = Supervisor([Child("site", [sys.executable, "-c", "raise SystemExit(3)"])], out=out)

    run_with(supervisor, lambda: out.wait_for(lambda lines: len(lines) == 3))

    assert out.getvalue().splitlines() == [
        "site | ended with 3; starts again in 0.5 s",
        "site | ended with 3; starts again in 1 s",
        "site | ended with 3; starts again in 2 s",
    ]


def test_a_child_that_ignores_the_signal_is_killed(out, monkeypatch):
    monkeypatch.setattr("tradeplatform.supervisor.STOP_SECONDS", 0.5)
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPER}"
    supervisor = Supervisor([Child("site", [sys.executable, "-c", code])], out=out)

    run_with(supervisor, lambda: out.wait_for(lambda lines: len(pids(lines)) == 1))

    assert not is_alive(pids(out.getvalue().splitlines())[0])


def test_ready_is_told_once_when_the_port_accepts(out):
    ready = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        supervisor = Supervisor(
            [Child("site", [sys.executable, "-c", SLEEPER])],
            out=out,
            ready_port=server.getsockname()[1],
            when_ready=lambda: ready.append(1),
        )
        run_with(supervisor, lambda: out.wait_for(lambda lines: ready and pids(lines)))

    assert ready == [1]
