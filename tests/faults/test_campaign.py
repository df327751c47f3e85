"""Short fault campaigns: nothing is doubled or lost, a seed replays, each missing safeguard is noticed.

The promises in numbers are kept by `make faults`, which plays thousands of orders.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.report import judge

ROOT = Path(__file__).resolve().parents[2]

# They need no services; but each plays in a process of its own, for a quarter of a minute.
pytestmark = pytest.mark.services


def run_campaign(
    *, dedupe: str, orders: int, seed: int, mutate: str = "", kinds: str = "", rate: float = 0.2
) -> dict[str, Any]:
    """Run one campaign in a process of its own: it keeps its database and its clock to itself."""
    command = [sys.executable, "-m", "benchmarks.faults", "--json", "--class", dedupe]
    command += ["--orders", str(orders), "--seed", str(seed), "--mutate", mutate]
    command += ["--kinds", kinds, "--rate", str(rate)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.stdout, done.stderr[-3000:]
    results = json.loads(done.stdout)
    assert (done.returncode != 0) == bool(judge(results[0])), done.stderr[-3000:]
    return results[0]


@pytest.mark.parametrize("dedupe", ["D", "N"])
def test_nothing_is_doubled_lost_or_sent_past_the_gate_under_faults(dedupe: str) -> None:
    result = run_campaign(dedupe=dedupe, orders=30, seed=5)
    assert judge(result) == []
    assert result["orders"] >= 30
    assert result["violations"] == {}
    assert sum(result["faults"].values()) > 25
    assert 10_000 * result["control_duplicates"] / result["control_orders"] >= 500


def test_the_same_seed_replays_the_same_history_and_another_does_not() -> None:
    first, second = (run_campaign(dedupe="D", orders=15, seed=12) for _ in range(2))
    other = run_campaign(dedupe="D", orders=10, seed=9)
    assert first["activity"]["orders by hand"]
    assert (first["history"], first["events"]) == (second["history"], second["events"])
    assert first["history"] != other["history"]


@pytest.mark.parametrize(
    ("mutate", "orders", "kinds", "expected"),
    [
        # A stale refusal closes an order that lives at the broker, whole or filled in part.
        ("fence", 90, "refused_past_lease,hang_past_lease", {"denied but live", "state differs"}),
        ("lease", 20, "killed_before_send,killed_after_send", {"I3 dead claim unnoticed"}),
        ("unique_key", 60, "", {"duplicate"}),
        ("commit_before_send", 5, "", {"uncommitted send"}),
    ],
)
def test_the_campaign_notices_a_missing_safeguard(
    mutate: str, orders: int, kinds: str, expected: set[str]
) -> None:
    rate = 0.6 if kinds else 0.2
    result = run_campaign(dedupe="D", orders=orders, seed=1, mutate=mutate, kinds=kinds, rate=rate)
    assert expected & set(result["violations"])
