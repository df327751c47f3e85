"""The order path asks nobody but `common.clock` and `common.ids` for time and chance, so that it can be
replayed in a simulation."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WATCHED = sorted(
    [
        *(ROOT / "orders/services").glob("*.py"),
        *(ROOT / name for name in ("orders/dispatcher.py", "orders/doorbell.py", "orders/state_machine.py")),
        *(ROOT / name for name in ("portfolios/services/booking.py", "portfolios/services/sync.py")),
        ROOT / "risk/services/decisions.py",
    ]
)
FORBIDDEN_CALLS = {
    "timezone.now",
    "datetime.now",
    "datetime.utcnow",
    "dt.datetime.now",
    "date.today",
    "dt.date.today",
    "time.time",
    "time.monotonic",
    "time.perf_counter",
    "time.sleep",
    "uuid.uuid1",
    "uuid.uuid4",
    "os.urandom",
}
FORBIDDEN_NAMES = {"uuid4", "uuid1", "perf_counter", "urandom"}
FORBIDDEN_MODULES = {"random", "secrets"}


def sources_of_chance(source: str) -> list[str]:
    """Return the raw clocks and random sources that a module uses."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in FORBIDDEN_CALLS:
            found.append(ast.unparse(node))
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name in FORBIDDEN_MODULES]
        if isinstance(node, ast.ImportFrom):
            found += [alias.name for alias in node.names if alias.name in FORBIDDEN_NAMES]
            found += [node.module] if node.module in FORBIDDEN_MODULES else []
    return found


@pytest.mark.parametrize("path", WATCHED, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_order_path_has_one_clock_and_one_source_of_ids(path: Path) -> None:
    assert sources_of_chance(path.read_text()) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from django.utils import timezone\nx = timezone.now()", ["timezone.now"]),
        ("import datetime as dt\nx = dt.datetime.now(dt.UTC)", ["dt.datetime.now"]),
        ("import time\nx = time.monotonic()", ["time.monotonic"]),
        ("from uuid import UUID, uuid4\nx = uuid4()", ["uuid4"]),
        ("import random\nx = random.random()", ["random"]),
        ("field = Field(default=timezone.now)", ["timezone.now"]),
        ("from tradeplatform.common.clock import monotonic, utc_now\nx = utc_now()", []),
        ("from uuid import UUID, uuid5\nx = uuid5(a, 'b')", []),
    ],
)
def test_the_rule_finds_what_it_forbids(source: str, expected: list[str]) -> None:
    assert sources_of_chance(source) == expected
