"""What is done to the separate processes beside the kills, while orders run.

Processes are frozen for longer than twice the lease: a dispatcher with an order in its hands, the worker, the
streams. The queue is emptied, Redis goes away and comes back, PostgreSQL is restarted in order and as after a
crash.
"""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

from orders.services.claim import LEASE
from tests.services.kill_campaign_platform import RETURN_SECONDS, Part, Platform, wait_for
from tests.services.servers import PostgresServer, RedisServer

FREEZE_SECONDS = 2 * LEASE.total_seconds() + 2
FREEZES = {"dispatcher": 2, "worker": 1, "streams": 1}
FLUSHES, REDIS_STOPS, RESTARTS_OF_EACH = 6, 3, 3
LONGEST_ABSENCE = 3.0


@dataclass
class Faults:
    """Does all of it within about `seconds`; `done` counts, `held` and `lapsed` are what the frozen held."""

    platform: Platform
    postgres: PostgresServer
    redis: RedisServer
    seed: str
    seconds: float
    done: Counter[str] = field(default_factory=Counter)
    held: int = 0
    lapsed: int = 0

    def run(self) -> None:
        """Return when the last fault is over; raises what went wrong in any of them."""
        parts = {part.kind: part for part in self.platform.parts}
        with ThreadPoolExecutor(len(FREEZES) + 1) as pool:
            jobs: list[Future[None]] = [pool.submit(self._disturb_servers)]
            jobs += [pool.submit(self._freeze_often, parts[kind], times) for kind, times in FREEZES.items()]
        for job in jobs:
            job.result()

    def _freeze_often(self, part: Part, times: int) -> None:
        freeze = self._freeze_sender if part.kind == "dispatcher" else self._freeze_any
        for _ in range(times):
            freeze(part)
            self.done[f"SIGSTOP {part.kind}, {FREEZE_SECONDS:.0f} s"] += 1

    def _freeze_any(self, part: Part) -> None:
        def stop_one() -> int | None:
            return next((pid for pid in self.platform.pids_of(part) if self.platform.freeze(part, pid)), None)

        pid = wait_for(stop_one, seconds=RETURN_SECONDS, what=f"{part.kind} runs")
        time.sleep(FREEZE_SECONDS)
        self.platform.thaw(pid)

    def _freeze_sender(self, part: Part) -> None:
        """Freeze a dispatcher that holds a claim, until the others have taken its claims from it."""
        pid, claims = wait_for(
            lambda: self._stop_with_claim(part), seconds=RETURN_SECONDS, what="a dispatcher sends", pause=0.02
        )
        self.held += len(claims)
        time.sleep(FREEZE_SECONDS)

        def is_robbed() -> bool:
            return not [claim for claim in self.platform.ask("claims", pid=pid) if claim in claims]

        wait_for(is_robbed, seconds=RETURN_SECONDS, what="the claims of a frozen dispatcher lapse")
        self.lapsed += len(claims)
        self.platform.thaw(pid)

    def _stop_with_claim(self, part: Part) -> tuple[int, list[list[int]]] | None:
        for pid in self.platform.pids_of(part):
            if self.platform.ask("claims", pid=pid) and self.platform.freeze(part, pid):
                # What it holds now it holds until it goes on.
                if claims := self.platform.ask("claims", pid=pid):
                    return pid, claims
                self.platform.thaw(pid)
        return None

    def _disturb_servers(self) -> None:
        """Do everything that hits PostgreSQL and Redis, in a random order, spread over the time."""
        random = Random(f"{self.seed}:servers")
        acts: list[tuple[str, Callable[[float], None]]] = [
            *[("queue flushed (FLUSHALL)", lambda _: self.redis.flush())] * FLUSHES,
            *[("Redis stopped and started", self._restart_redis)] * REDIS_STOPS,
            *[("PostgreSQL restarted, fast", lambda s: self._restart_postgres("fast", s))] * RESTARTS_OF_EACH,
            *[("PostgreSQL restarted, immediate", lambda s: self._restart_postgres("immediate", s))]
            * RESTARTS_OF_EACH,
        ]
        random.shuffle(acts)
        begun = time.monotonic()
        for number, (name, act) in enumerate(acts):
            share = (number + random.uniform(0.1, 0.9)) / len(acts)
            time.sleep(max(0.0, begun + share * self.seconds - time.monotonic()))
            act(random.uniform(0.0, LONGEST_ABSENCE))
            self.done[name] += 1

    def _restart_redis(self, absent: float) -> None:
        self.redis.stop()
        time.sleep(absent)
        self.redis.start()

    def _restart_postgres(self, how: str, absent: float) -> None:
        self.postgres.stop(how)
        time.sleep(absent)
        self.postgres.start()
