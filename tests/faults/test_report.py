"""What makes a campaign fail, and how its worlds are put together."""

from typing import Any

import pytest

from benchmarks.faults.faults import ALL_KINDS
from benchmarks.faults.report import combine, judge, render, share_of


def make_world(**changes: Any) -> dict[str, Any]:
    world: dict[str, Any] = {
        "plan": {"dedupe": "D", "seed": 7},
        "orders": 3000,
        "taken": 3100,
        "sends": 3200,
        "violations": {},
        "examples": [],
        "faults": dict.fromkeys(ALL_KINDS, 25),
        "calls": {},
        "attempts": 3300,
        "attempts_faulted": 660,
        "orders_faulted": 650,
        "orders_faulted_twice": 40,
        "orders_faulted_more": 8,
        "activity": {"cancels": 3},
        "unconfirmed": 4,
        "settled": [1.0, 2.0, 8.1],
        "absent": [65.0],
        "ended": [1.0, 2.0, 8.1, 73.0],
        "asked": [],
        "known": [0.1],
        "sent_again": 1,
        "adopted_by_match": 0,
        "control_duplicates": 200,
        "control_orders": 3000,
        "checks": 10,
        "simulated_seconds": 900.0,
        "wall_seconds": 200.0,
        "cpu_seconds": 190.0,
        "history": "ab",
    }
    return world | changes


def test_a_campaign_that_keeps_every_promise_passes() -> None:
    assert judge(combine([make_world()])) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"violations": {"duplicate": 1}}, "duplicate: 1"),
        ({"violations": {"I4 filled fell": 2}}, "I4 filled fell: 2"),
        ({"control_duplicates": 10}, "the control arm made only 33 duplicates per 10,000"),
        ({"faults": dict.fromkeys(ALL_KINDS[1:], 25)}, f"fault {ALL_KINDS[0]} struck fewer than 20 times"),
        ({"attempts_faulted": 620}, "only 18.8% of the order writes met a fault"),
        ({"settled": [31.0] * 100}, "class D settled p99 31.0 s"),
        ({"absent": [90.1]}, "class D took 90.1 s to find an order absent"),
        ({"asked": [84.0]}, "class D left 1 orders to a person"),
        (
            {"plan": {"dedupe": "N", "seed": 7}, "asked": [84.0] * 181},
            "class N left 6.0% to a person",
        ),
        (
            {"plan": {"dedupe": "N", "seed": 7}, "settled": [91.0]},
            "class N took 91.0 s to settle or to call a person",
        ),
    ],
)
def test_a_broken_promise_is_named(changes: dict[str, Any], complaint: str) -> None:
    assert judge(combine([make_world(**changes)])) == [complaint]


def test_worlds_are_added_up_and_their_times_are_pooled() -> None:
    second = make_world(settled=[0.5], violations={"lost": 1}, examples=["seed 8, lost"], history="cd")
    whole = combine([make_world(), second])
    assert (whole["orders"], whole["worlds"], whole["control_duplicates"]) == (6000, 2, 400)
    assert whole["settled"] == [0.5, 1.0, 2.0, 8.1]
    assert whole["violations"] == {"lost": 1}
    assert whole["activity"] == {"cancels": 6}
    assert whole["examples"] == ["seed 8, lost"]
    assert whole["history"] != make_world()["history"]


def test_a_large_campaign_needs_a_hundred_of_each_fault() -> None:
    whole = combine([make_world() for _ in range(10)])
    assert judge(whole) == []
    few = combine([make_world(faults=dict.fromkeys(ALL_KINDS, 9)) for _ in range(10)])
    assert len(judge(few)) == len(ALL_KINDS)


def test_the_table_has_a_column_for_each_class() -> None:
    other = make_world(plan={"dedupe": "N", "seed": 7})
    table = render([combine([make_world()]), combine([other])], seconds=12)
    head, *rows = table.splitlines()
    assert head.split() == ["class", "D", "class", "N"]
    assert len({len(row) for row in rows[:-1]}) == 1
    assert "wall time of the whole: 12 s" in table


def test_a_quantile_of_nothing_is_zero() -> None:
    assert share_of([], 0.99) == 0.0
    assert share_of([1.0, 2.0, 3.0], 0.5) == 2.0
