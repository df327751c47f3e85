"""What a benchmark reports: rows of a table, each with what was aimed for."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One number. `goal` is text for people; `met` is None where there is none to reach."""

    part: str
    name: str
    value: float
    unit: str
    goal: str = ""
    met: bool | None = None


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile; `share` 0.99 for p99. NaN without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def at_most(part: str, name: str, value: float, unit: str, limit: float, *, aim: float | None = None) -> Row:
    """Return a row that must not exceed `limit`; `aim` is what we would like, for people only."""
    goal = f"≤ {limit:g}" + (f", aim {aim:g}" if aim is not None else "")
    return Row(part, name, value, unit, goal, value <= limit)


def at_least(part: str, name: str, value: float, unit: str, limit: float, *, aim: float | None = None) -> Row:
    """Return a row that must reach `limit`."""
    goal = f"≥ {limit:g}" + (f", aim {aim:g}" if aim is not None else "")
    return Row(part, name, value, unit, goal, value >= limit)


def spread(part: str, name: str, milliseconds: Sequence[float]) -> list[Row]:
    """Return p50, p95 and p99 of a series as rows without goals."""
    return [
        Row(part, f"{name} p{share}", percentile(milliseconds, share / 100), "ms") for share in (50, 95, 99)
    ]


def report(rows: Sequence[Row]) -> None:
    """Hand the rows to the program that started this part: one JSON line, the last of the output."""
    json.dump([asdict(row) for row in rows], sys.stdout)
    sys.stdout.write("\n")
