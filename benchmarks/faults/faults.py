"""What goes wrong, how often, and a count of every time it did.

A fifth of all calls to the broker, of all stream messages and of all doorbells is faulted. The kind is
drawn from a shuffled deck, so that each comes equally often. One fault in twenty is followed by a second on
the same order, one in a hundred by a third.

A fifth of all order writes means all causes together: a fault of the write itself, a commit of the claim or
of the answer that goes wrong, and the death of the process, brought on by another order, while a write is on
its way. The first is dealt out so often that the whole comes to one in five; `Writes` counts it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import OperationalError, connections

from benchmarks.faults.world import Killed, World

RATE = 0.20
# Of the faults of an order write itself; commits and dying processes make it one in five.
WRITE_RATE = 0.19
DOUBLE, TRIPLE = 0.05, 0.01
COMMIT_RATE = 0.003

# Order writes (submit, cancel, replace). "before" and "after": before or after the broker took it.
WRITE_KINDS = (
    "request_lost",
    "late_arrival",
    "reply_lost",
    "reset_before",
    "reset_after",
    "half_reply",
    "garbage_reply",
    "error_body_in_200",
    "server_error_before",
    "server_error_after",
    "rate_limited_before",
    "rate_limited_after",
    "hang_past_lease",
    "refused_past_lease",
    "killed_before_send",
    "killed_after_send",
    "paused_before_send",
    "connect_failed",
    "token_expired",
    "delivered_again",
    "settle_commit_fails",
    "settle_commit_unheard",
    "killed_at_settle",
)
# These strike when the answer of a good send is stored.
SETTLE_KINDS = frozenset({"settle_commit_fails", "settle_commit_unheard", "killed_at_settle"})
READ_KINDS = (
    "read_timeout",
    "read_server_error",
    "read_garbage",
    "read_rate_limited",
    "list_misses_new",
    "list_repeats",
)
# Look-ups of an order that is not half a minute old.
LOOKUP_KINDS = ("lookup_lag",)
STREAM_KINDS = (
    "stream_lost",
    "stream_gap",
    "stream_duplicate",
    "stream_reordered",
    "stream_late",
    "stream_garbage",
    "stream_unknown_word",
)
BELL_KINDS = ("bell_lost", "bell_twice", "bell_late")
COMMIT_KINDS = ("commit_fails", "commit_unheard", "killed_before_commit", "killed_after_commit")
ALL_KINDS = (
    *WRITE_KINDS,
    *READ_KINDS,
    *LOOKUP_KINDS,
    *STREAM_KINDS,
    *BELL_KINDS,
    *COMMIT_KINDS,
)
# How long look-ups and lists may fail to show what the broker has taken.
LAG = timedelta(seconds=30)


@dataclass
class Write:
    """One attempt to write an order to a broker, from its claim on."""

    faults: int = 0
    order: str = ""


class Writes:
    """Every attempt, and how many faults of any cause it met."""

    def __init__(self) -> None:
        self.all: list[Write] = []
        self._on_their_way: dict[int, Write] = {}

    def begin(self) -> Write:
        """Count an attempt whose claim is being stored."""
        self.all.append(Write())
        return self.all[-1]

    def name(self, write: Write, *, row: int, order: str) -> None:
        """Note which row and order an attempt is for."""
        write.order = order
        self._on_their_way[row] = write

    def note_death(self, rows: Iterable[int], *, cause: Write | None) -> None:
        """Count a fault for the attempts at these rows, whose process dies. That of `cause` is counted."""
        for write in (self._on_their_way.get(row) for row in rows):
            if write is not None and write is not cause:
                write.faults += 1

    def faulted_orders(self) -> Counter[int]:
        """Return how many orders met how many faults, in all their attempts; 0 is not among them."""
        by_order: Counter[str] = Counter()
        for number, write in enumerate(self.all):
            by_order[write.order or f"unnamed {number}"] += write.faults
        return Counter(faults for faults in by_order.values() if faults)


class Deck:
    """Deals kinds in shuffled rounds: uniform, and each often enough."""

    def __init__(self, world: World, name: str, kinds: tuple[str, ...]) -> None:
        self.rng = world.rng(f"deck {name}")
        self.kinds = kinds
        self.cards: list[str] = []

    def deal(self, *, unfit: Collection[str] = ()) -> str:
        """Return the next kind that can strike here; the unfit ones stay in the deck."""
        while not any(kind not in unfit for kind in self.cards):
            fresh = list(self.kinds)
            self.rng.shuffle(fresh)
            self.cards = fresh + self.cards
        place = next(at for at in reversed(range(len(self.cards))) if self.cards[at] not in unfit)
        return self.cards.pop(place)


class Hits:
    """Deals hits in shuffled rounds: as often as said, and never long without."""

    ROUND = 200

    def __init__(self, world: World, name: str, rate: float) -> None:
        self.rng = world.rng(f"hits {name}")
        self.share = round(self.ROUND * rate)
        self.cards: list[bool] = []

    def deal(self) -> bool:
        if not self.cards:
            self.cards = [True] * self.share + [False] * (self.ROUND - self.share)
            self.rng.shuffle(self.cards)
        return self.cards.pop()


class Faults:
    """Draws faults and counts those that struck. `enabled` False: everything works from now on."""

    def __init__(
        self, world: World, *, write_kinds: tuple[str, ...] = WRITE_KINDS, write_rate: float = WRITE_RATE
    ) -> None:
        self.world = world
        self.writes = Writes()
        self.enabled = True
        self.struck: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.forced: Counter[str] = Counter()
        self.restart: dict[str, Any] = {}
        self.on_death: Callable[[str], object] = lambda process: None
        self._rng = world.rng("faults")
        self._hits = Hits(world, "write", write_rate)
        self._decks = {
            "write": Deck(world, "write", write_kinds),
            "read": Deck(world, "read", READ_KINDS),
            "lookup": Deck(world, "lookup", LOOKUP_KINDS),
            "stream": Deck(world, "stream", STREAM_KINDS),
            "bell": Deck(world, "bell", BELL_KINDS),
            "commit": Deck(world, "commit", COMMIT_KINDS),
        }

    def draw(self, deck: str, *, rate: float = RATE) -> str:
        """Return the kind that hits the next call of this deck, "" for none."""
        self.calls[deck] += 1
        if not self.enabled or self._rng.random() >= rate:
            return ""
        return self._decks[deck].deal()

    def draw_write(self, key: str, *, unfit: Collection[str] = ()) -> str:
        """Return the fault of one order write; a double fault strikes the next writes of `key` too."""
        self.calls["write"] += 1
        if not self.enabled:
            return ""
        if self.forced[key] > 0:
            self.forced[key] -= 1
            return self._decks["write"].deal(unfit=unfit)
        if not self._hits.deal():
            return ""
        chance = self._rng.random()
        extra = 2 if chance < TRIPLE else 1 if chance < TRIPLE + DOUBLE else 0
        self.forced[key] += extra
        return self._decks["write"].deal(unfit=unfit)

    def strike(self, kind: str, about: str = "") -> None:
        """Count a fault that takes effect now."""
        self.struck[kind] += 1
        self.world.note(f"fault {kind} {about}")

    def kill_worker(self) -> None:
        """End the process of the running task; a supervisor starts it again."""
        task = self.world.current()
        process = task.process if task else ""
        start = self.restart.get(process)
        if start is not None:
            self.on_death(process)
            self.world.after(self._rng.uniform(0.5, 2.0), start)
            self.world.kill(process)
        raise Killed

    def install_commit_faults(self) -> None:
        """Let commits fail, succeed without the caller hearing of it, or take the process with them."""
        wrapper: Any = connections["default"]
        commit = wrapper._commit

        def faulty_commit() -> None:
            task = self.world.current()
            kind = ""
            if task is not None and task.process != "world":
                write, task.commits_write = task.commits_write, None
                kind, task.commit_fault = task.commit_fault, ""
                kind = kind or self.draw("commit", rate=COMMIT_RATE)
                if kind and write is not None:
                    write.faults += 1
            if not kind:
                commit()
                return
            self.strike(kind, task.process if task else "")
            if kind in ("commit_unheard", "settle_commit_unheard", "killed_after_commit"):
                commit()
            else:
                wrapper.connection.rollback()
            wrapper.run_on_commit = []
            if kind.startswith("killed"):
                self.kill_worker()
            raise OperationalError("the connection to the database was lost")

        wrapper._commit = faulty_commit
