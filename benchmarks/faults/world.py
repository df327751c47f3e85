"""Time, chance and concurrency of a campaign: one thread, one seeded scheduler.

Every activity is a task (a greenlet). A task runs until it sleeps or waits for a broker; then the next
event of the heap is due. So calls overlap as they do in many processes, always in the same order for the
same seed. A task belongs to a process; killing the process ends all its tasks where they stand.
"""

import hashlib
import heapq
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from greenlet import getcurrent, greenlet

START = datetime(2026, 11, 23, 14, 35, tzinfo=UTC)


class Killed(BaseException):
    """The process of this task died here. Not an Exception: nothing of it may go on."""


class Task(greenlet):
    """One flow of control. The armed faults strike at this task's next step of that kind."""

    process: str
    commit_fault: str = ""
    write_fault: str = ""
    write_key: str = ""
    # The order write that is on its way, and the same if the next commit is its claim's or its answer's.
    write: Any = None
    commits_write: Any = None


class History:
    """A running hash over everything that happened, and the last lines for a person."""

    def __init__(self, *, keep: int = 400) -> None:
        self._hash = hashlib.sha256()
        self.lines: deque[str] = deque(maxlen=keep)
        self.length = 0

    def note(self, line: str) -> None:
        self._hash.update(line.encode())
        self._hash.update(b"\n")
        self.lines.append(line)
        self.length += 1

    def digest(self) -> str:
        return self._hash.hexdigest()


class World:
    """The scheduler. Also the platform's clock: `now()` and `monotonic()` are simulated."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.time = 0.0
        self.history = History()
        self.after_step: Callable[[], None] = lambda: None
        self._heap: list[tuple[float, int, str, int, Callable[[], object] | Task]] = []
        self._sequence = count()
        self._rngs: dict[str, random.Random] = {}
        self._epochs: dict[str, int] = {}
        self._tasks: dict[str, set[Task]] = {}
        self._hub = getcurrent()

    # --- clock, chance, ids -------------------------------------------------------------------------

    def now(self) -> datetime:
        return START + timedelta(microseconds=round(self.time * 1_000_000))

    def monotonic(self) -> float:
        return self.time

    def rng(self, name: str) -> random.Random:
        """Return the random source of one part, so that parts do not disturb each other's draws."""
        if name not in self._rngs:
            self._rngs[name] = random.Random(f"{self.seed}:{name}")
        return self._rngs[name]

    def new_id(self) -> UUID:
        return UUID(int=self.rng("ids").getrandbits(128), version=4)

    def note(self, text: str) -> None:
        self.history.note(f"{self.time:.6f} {text}")

    # --- tasks ----------------------------------------------------------------------------------------

    def after(self, seconds: float, work: Callable[[], object], *, process: str = "world") -> None:
        """Start `work` as a task of `process` after a while, unless the process dies before that."""
        self._push(self.time + max(seconds, 0.0), process, work)

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass for the running task while others work."""
        task = getcurrent()
        if not isinstance(task, Task):
            raise RuntimeError("Only a task can sleep.")
        self._push(self.time + max(seconds, 0.0), task.process, task)
        self._hub.switch()

    def current(self) -> Task | None:
        task = getcurrent()
        return task if isinstance(task, Task) else None

    def lives(self, process: str) -> int:
        """Return how often a process has died, and so which of its lives this is."""
        return self._epochs.get(process, 0)

    def kill(self, process: str) -> None:
        """End a process: what it had planned is gone, its tasks end where they wait. May end the caller."""
        self.note(f"kill {process}")
        self._epochs[process] = self._epochs.get(process, 0) + 1
        here = getcurrent()
        victims = self._tasks.pop(process, set())
        for task in sorted(victims - {here}, key=lambda one: one.number):  # type: ignore[attr-defined]
            task.parent = here
            task.throw(Killed)
        if here in victims:
            raise Killed

    def run(self, done: Callable[[], bool], *, until: float = float("inf")) -> bool:
        """Run events in order until `done` says so; False when time or events ran out before that."""
        while not done():
            if not self._heap or self._heap[0][0] > until:
                return False
            when, _, process, epoch, work = heapq.heappop(self._heap)
            if epoch != self._epochs.get(process, 0):
                continue
            self.time = max(self.time, when)
            task = work if isinstance(work, Task) else self._start(work, process)
            task.parent = self._hub
            task.switch()
            self.after_step()
        return True

    def _push(self, when: float, process: str, work: Callable[[], object] | Task) -> None:
        epoch = self._epochs.get(process, 0)
        heapq.heappush(self._heap, (when, next(self._sequence), process, epoch, work))

    def _start(self, work: Callable[[], object], process: str) -> Task:
        def run() -> None:
            try:
                work()
            except Killed:
                pass
            finally:
                self._tasks.get(process, set()).discard(task)

        task = Task(run)
        task.process = process
        task.number = next(self._sequence)  # type: ignore[attr-defined]
        self._tasks.setdefault(process, set()).add(task)
        return task


class TaskExecutor(Executor):
    """An executor whose jobs are tasks of one process."""

    def __init__(self, world: World, process: str) -> None:
        self.world = world
        self.process = process

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.world.after(0.0, lambda: fn(*args, **kwargs), process=self.process)
        return Future()
