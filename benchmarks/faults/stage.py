"""What the parts of a running campaign share; adapters are made by the platform and find it here."""

from dataclasses import dataclass

from benchmarks.faults.book import Book
from benchmarks.faults.faults import Faults
from benchmarks.faults.oracle import SendWatch
from benchmarks.faults.world import World


@dataclass(kw_only=True)
class Stage:
    world: World
    faults: Faults
    book: Book
    watch: SendWatch


_stages: list[Stage] = []


def set_stage(stage: Stage) -> None:
    """Make `stage` the one that adapters play on."""
    _stages[:] = [stage]


def get_stage() -> Stage:
    return _stages[0]
