"""Puts the worlds of a campaign together, judges them and prints them as one table."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.faults.faults import ALL_KINDS

ZERO_TOLERANCE = ("duplicate", "lost", "denied but live", "phantom", "limit breach", "send after kill")
CONTROL_PER_10000 = 500
SETTLED_P99 = 30.0
PERSON_WITHIN = 90.0
PERSON_SHARE = 0.06
FAULTED_SHARE = 0.19
ENOUGH_ORDERS = 3_000
_COUNTS = ("violations", "faults", "calls", "activity")
_TIMES = ("settled", "absent", "ended", "asked", "known")
_HIGHEST = ("wall_seconds",)

Row = Mapping[str, Any]


def combine(worlds: Sequence[Row]) -> dict[str, Any]:
    """Return the worlds of one class as one campaign: counts added up, times pooled."""
    whole = dict(worlds[0])
    for name, value in worlds[0].items():
        values = [world[name] for world in worlds]
        if name in _COUNTS:
            whole[name] = dict(sum((Counter(one) for one in values), Counter()))
        elif name in _TIMES:
            whole[name] = sorted(number for one in values for number in one)
        elif name in _HIGHEST:
            whole[name] = max(values)
        elif isinstance(value, int | float):
            whole[name] = sum(values)
    whole["examples"] = [example for world in worlds for example in world["examples"]]
    whole["worlds"] = len(worlds)
    if len(worlds) > 1:
        digests = "".join(world["history"] for world in worlds)
        whole["history"] = hashlib.sha256(digests.encode()).hexdigest()
    return whole


def judge(result: Row) -> list[str]:
    """Return what a campaign failed at, one sentence each."""
    failures = [f"{name}: {count}" for name, count in sorted(result["violations"].items())]
    orders = result["orders"]
    per_10000 = duplicates_per_10000(result)
    if per_10000 < CONTROL_PER_10000:
        failures.append(f"the control arm made only {per_10000:.0f} duplicates per 10,000")
    if orders >= ENOUGH_ORDERS:
        share = result["attempts_faulted"] / max(result["attempts"], 1)
        if share < FAULTED_SHARE:
            failures.append(f"only {share:.1%} of the order writes met a fault")
        least = 100 if orders >= 10 * ENOUGH_ORDERS else 20
        rare = [kind for kind in ALL_KINDS if result["faults"].get(kind, 0) < least]
        failures += [f"fault {kind} struck fewer than {least} times" for kind in rare]
    return failures + (_judge_d(result) if result["plan"]["dedupe"] == "D" else _judge_n(result))


def _judge_d(result: Row) -> list[str]:
    failures = []
    settled = share_of(result["settled"], 0.99)
    if settled > SETTLED_P99 and result["orders"] >= ENOUGH_ORDERS:
        failures.append(f"class D settled p99 {settled:.1f} s")
    if _highest(result["absent"]) > PERSON_WITHIN:
        failures.append(f"class D took {_highest(result['absent']):.1f} s to find an order absent")
    if result["asked"]:
        failures.append(f"class D left {len(result['asked'])} orders to a person")
    return failures


def _judge_n(result: Row) -> list[str]:
    failures = []
    longest = max(_highest(result[name]) for name in ("settled", "absent", "asked"))
    if longest > PERSON_WITHIN:
        failures.append(f"class N took {longest:.1f} s to settle or to call a person")
    share = len(result["asked"]) / max(result["orders"], 1)
    if result["orders"] >= ENOUGH_ORDERS and share > PERSON_SHARE:
        failures.append(f"class N left {share:.1%} to a person")
    return failures


def duplicates_per_10000(result: Row) -> float:
    return 10_000 * result["control_duplicates"] / max(result["control_orders"], 1)


def share_of(ascending: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the ascending numbers lie."""
    return ascending[min(int(len(ascending) * share), len(ascending) - 1)] if ascending else 0.0


def render(results: Sequence[Row], *, seconds: float) -> str:
    """Return the table: one column per class. `seconds` is how long the whole took."""
    lines: list[tuple[str, ...]] = [("", *(f"class {one['plan']['dedupe']}" for one in results))]

    def line(title: str, cell: Any) -> None:
        lines.append((title, *(str(cell(one)) for one in results)))

    line("seed", lambda one: one["plan"]["seed"])
    line("worlds", lambda one: one["worlds"])
    line("orders taken", lambda one: one["taken"])
    line("orders sent", lambda one: one["orders"])
    line("writes sent", lambda one: one["sends"])
    for name in ZERO_TOLERANCE:
        line(name, lambda one, name=name: one["violations"].get(name, 0))
    line("other invariants broken", lambda one: sum(_others(one).values()))
    line("order writes that met a fault", lambda one: _part(one["attempts_faulted"], one["attempts"]))
    line("  of their orders, with two", lambda one: _part(one["orders_faulted_twice"], one["orders_faulted"]))
    line("  and with more", lambda one: _part(one["orders_faulted_more"], one["orders_faulted"]))
    line("control arm, duplicates per 10,000", lambda one: f"{duplicates_per_10000(one):.0f}")
    line("unconfirmed at some time", lambda one: _share(one["unconfirmed"], one))
    line("  settled by the machine", lambda one: _share(len(one["settled"]), one))
    line("    p50 / p99 / longest", lambda one: _spread(one["settled"]))
    line("  not to be sent any more, found absent", lambda one: _share(len(one["absent"]), one))
    line("    longest after the last sending", lambda one: f"{_highest(one['absent']):.1f} s")
    line("  left to a person", lambda one: _share(len(one["asked"]), one))
    line("    longest after the sending", lambda one: f"{_highest(one['asked']):.1f} s")
    line("settled or absent, p50 / p99 / longest", lambda one: _spread(one["ended"]))
    line("first byte to known at the broker, p99", lambda one: f"{share_of(one['known'], 0.99):.1f} s")
    line("tied by fields alone", lambda one: one["adopted_by_match"])
    line("same id sent again", lambda one: one["sent_again"])
    line("invariant checks of orders", lambda one: one["checks"])
    for kind in ALL_KINDS:
        line(f"fault {kind}", lambda one, kind=kind: one["faults"].get(kind, 0))
    for name in sorted({name for one in results for name in one["activity"]}):
        line(name, lambda one, name=name: one["activity"].get(name, 0))
    line("simulated time", lambda one: f"{one['simulated_seconds']:.0f} s")
    line("processor time", lambda one: f"{one['cpu_seconds']:.0f} s")
    line("history", lambda one: one["history"][:16])
    widths = [max(len(row[column]) for row in lines) for column in range(len(lines[0]))]
    table = "\n".join("  ".join(_cells(row, widths)) for row in lines)
    return f"{table}\nwall time of the whole: {seconds:.0f} s"


def _cells(row: tuple[str, ...], widths: list[int]) -> list[str]:
    numbers = zip(row[1:], widths[1:], strict=True)
    return [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in numbers)]


def _others(result: Row) -> dict[str, int]:
    return {name: count for name, count in result["violations"].items() if name not in ZERO_TOLERANCE}


def _share(count: int, result: Row) -> str:
    return _part(count, result["orders"])


def _part(count: int, whole: int) -> str:
    return f"{count} ({count / max(whole, 1):.1%})"


def _highest(ascending: Sequence[float]) -> float:
    return ascending[-1] if ascending else 0.0


def _spread(ascending: Sequence[float]) -> str:
    middle, high = share_of(ascending, 0.5), share_of(ascending, 0.99)
    return f"{middle:.1f} / {high:.1f} / {_highest(ascending):.1f} s"
