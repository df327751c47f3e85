"""Every part of `make bench` runs at a tiny size and reports the rows that docs/performance.md explains.

The figures are not looked at: a busy machine decides nothing here. What must hold on any machine is looked
at: nothing lost, nothing sent twice, constant numbers of queries.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TINY = {
    "POSTS": 8,
    "LOADED": 10,
    "COST": 4,
    "ACCOUNTS": 3,
    "ORDERS": 9,
    "GATES": 4,
    "POSITIONS": 10,
    "STORED": 50,
    "PAGES": 2,
    "GROWN": 200,
    "GROWTH_ACCOUNTS": 2,
    "PLACED": 4,
    "STREAMS": 4,
    "FILLS": 6,
    "SYNCED": 4,
    "SYNC_POSITIONS": 3,
    "SCREENS": 4,
    "KILL_SECONDS": 2,
    "SETTLE": 3,
}
MUST_HOLD = {
    "cost": {"place: commits": 1, "send: commits": 2, "book: commits": 1},
    "post": {"orders lost": 0, "orders sent twice": 0},
    "post_celery": {"orders lost": 0, "orders sent twice": 0},
    "post_embedded": {"orders lost": 0, "orders sent twice": 0},
    "path": {"orders lost": 0, "orders at the broker that are not ours, or twice": 0},
    "gate": {},
    "dashboard": {"queries more than with 10 orders": 0},
    "growth": {},
    "streams": {"fills not booked": 0},
    "sync": {},
    "screen": {"fills never shown": 0},
    "kill": {},
}

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(not os.environ.get("TEST_SERVICES"), reason="needs make test-services"),
]


def free_ports(count: int) -> int:
    """Return the first of `count` free ports in a row, in a range of this test process."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    start = 20000 + worker % 6 * 2000
    for first in range(start, start + 2000, 50):
        probes = [socket.socket() for _ in range(count)]
        try:
            for number, probe in enumerate(probes):
                probe.bind(("127.0.0.1", first + number))
            return first
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
    raise RuntimeError("There are no free ports in a row.")


@pytest.mark.parametrize("part", sorted(MUST_HOLD))
def test_a_part_runs_and_reports(part: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        **{f"BENCH_{name}": str(value) for name, value in TINY.items()},
        "BENCH_PORT": str(free_ports(5)),
        "BENCH_RESULTS": str(tmp_path),
        "BENCH_LOG_LEVEL": "ERROR",
    }
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", part],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    stored = tmp_path / f"{part}.json"
    assert stored.exists(), run.stdout[-2000:] + run.stderr[-4000:]
    document = json.loads(stored.read_text())
    assert document["machine"]["cpus"]
    assert document["load_average"]
    rows = {row["name"]: row for row in document["rows"]}
    assert all(isinstance(row["value"], int | float) and row["unit"] for row in rows.values())
    assert any(row["goal"] for row in rows.values()) or part == "cost"
    assert {name: rows[name]["value"] for name in MUST_HOLD[part]} == MUST_HOLD[part]
    if part == "gate":
        assert rows["queries of the context"]["value"] <= 12
    assert f"{part} " in run.stdout
