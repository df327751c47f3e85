"""`python -m benchmarks.faults --orders 3000 --seed 7 --class both`; the exit code is 1 on a broken promise.

A campaign is made of worlds of at most 3,000 orders, each with a seed of its own (7, 8, 9 ...), a process of
its own and nothing in common with the others: so its cost grows with the orders and not faster, and what
fails in one world replays in a few minutes.
"""

import argparse
import gc
import json
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ORDERS_PER_WORLD = 3_000


def main() -> int:
    options = _parse()
    if options.world:
        print(json.dumps(_play_world(options)))
        return 0
    started = time.perf_counter()
    worlds = _run_worlds(options)
    from benchmarks.faults.report import combine, judge, render

    results = [
        combine([one for one in worlds if one["plan"]["dedupe"] == name]) for name in _classes(options)
    ]
    if options.json:
        print(json.dumps(results))
    else:
        print(render(results, seconds=time.perf_counter() - started))
        for result in results:
            _print_verdict(result, judge(result))
    return int(any(judge(result) for result in results))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--orders", type=int, default=3000, help="of each class")
    parser.add_argument("--seed", type=int, default=None, help="default: a fresh one, printed")
    parser.add_argument("--class", dest="dedupe", choices=["D", "N", "both"], default="both")
    parser.add_argument(
        "--mutate", default="", choices=["", "fence", "lease", "unique_key", "commit_before_send"]
    )
    parser.add_argument("--kinds", default="", help="faults of order writes, by comma; default: all of them")
    parser.add_argument("--rate", type=float, default=None, help="share of order writes that are faulted")
    parser.add_argument("--json", action="store_true", help="print the numbers instead of the table")
    parser.add_argument("--trace", default="", help="write the last lines of the history to this file")
    parser.add_argument("--world", action="store_true", help="play one world in this process, print its JSON")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1_000_000)
    return options


def _classes(options: argparse.Namespace) -> list[str]:
    return ["D", "N"] if options.dedupe == "both" else [options.dedupe]


def _run_worlds(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Play all worlds, as many at a time as there are processors; the order of the results is fixed."""
    plans = []
    for index, first in enumerate(range(0, options.orders, ORDERS_PER_WORLD)):
        orders = min(ORDERS_PER_WORLD, options.orders - first)
        plans += [(name, options.seed + index, orders) for name in _classes(options)]
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(lambda plan: _run_world(options, *plan), plans))


def _run_world(options: argparse.Namespace, name: str, seed: int, orders: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.faults", "--world", "--class", name]
    command += ["--orders", str(orders), "--seed", str(seed), "--trace", options.trace]
    command += ["--mutate", options.mutate, "--kinds", options.kinds]
    command += ["--rate", str(options.rate)] if options.rate is not None else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"The world of class {name} with seed {seed} stopped before its end.")
    world: dict[str, Any] = json.loads(done.stdout)
    print(f"class {name}, seed {seed}: {orders} orders in {world['wall_seconds']:.0f} s", file=sys.stderr)
    return world


def _play_world(options: argparse.Namespace) -> dict[str, Any]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.faults.settings"
    import django

    django.setup()
    import structlog

    structlog.configure(processors=[_drop])
    from benchmarks.faults.campaign import Campaign, CampaignPlan
    from benchmarks.faults.faults import WRITE_KINDS, WRITE_RATE
    from benchmarks.faults.sqlite import keep_converted_statements

    keep_converted_statements()

    plan = CampaignPlan(
        dedupe=options.dedupe,
        orders=options.orders,
        seed=options.seed,
        mutation=options.mutate,
        write_kinds=tuple(options.kinds.split(",")) if options.kinds else WRITE_KINDS,
        write_rate=WRITE_RATE if options.rate is None else options.rate,
    )
    campaign = Campaign(plan)
    # What a campaign keeps it keeps to the end: looking for rubbish among it is most of the time in vain.
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    try:
        return campaign.run().to_json()
    finally:
        if options.trace:
            Path(options.trace).write_text("\n".join(campaign.world.history.lines) + "\n")


def _drop(logger: Any, method: str, event: Any) -> Any:
    """Logs of a campaign would be nothing but the faults it makes."""
    import structlog

    raise structlog.DropEvent


def _print_verdict(result: dict[str, Any], failures: list[str]) -> None:
    plan = result["plan"]
    print(f"class {plan['dedupe']}, seed {plan['seed']}: {'FAILED' if failures else 'passed'}")
    for failure in failures:
        print(f"  {failure}")
    for example in result["examples"][:12] if failures else []:
        print(f"    {example}")


if __name__ == "__main__":
    sys.exit(main())
