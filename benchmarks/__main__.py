"""Runs the benchmarks: python -m benchmarks [part ...]; sizes come from BENCH_* variables.

Each part gets a process and a database of its own, copied from one prepared template. docs/performance.md
says what each part measures and lists the variables.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from benchmarks.measure import Row
from benchmarks.servers import PORTS, ROOT, broker_environment, run_postgres, run_redis

RESULTS = Path(os.environ.get("BENCH_RESULTS", ROOT / "benchmarks" / "results"))
PART_SECONDS = int(os.environ.get("BENCH_PART_SECONDS", "1200"))


def main() -> int:
    wanted = [name for name in ",".join(sys.argv[1:]).split(",") if name] or list(PARTS)
    unknown = set(wanted) - set(PARTS)
    if unknown:
        sys.exit(f"There is no part {', '.join(sorted(unknown))}. Parts: {', '.join(PARTS)}.")
    directory = Path(tempfile.mkdtemp(prefix="tradeplatform-bench-"))
    rows: list[Row] = []
    try:
        with run_postgres(directory) as postgres, run_redis(directory) as redis:
            _prepare_template(postgres, redis, directory)
            for number, name in enumerate(wanted):
                rows += _run_part(name, postgres, f"{redis}/{number % 8 + 2}", directory)
    finally:
        if os.environ.get("BENCH_KEEP"):
            print(f"Logs: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    _print_table(rows)
    return 0 if all(row.met is not False for row in rows) else 1


# Name: module and form of the installation. "celery" rings the dispatcher's bell through the task queue, as
# an installation without PostgreSQL's NOTIFY does.
PARTS = {
    "cost": ("cost", "services"),
    "post": ("post", "services"),
    "post_celery": ("post", "celery"),
    "post_embedded": ("post", "embedded"),
    "path": ("path", "services"),
    "gate": ("gate", "services"),
    "dashboard": ("dashboard", "services"),
    "growth": ("growth", "services"),
    "streams": ("streams", "services"),
    "sync": ("sync", "services"),
    "screen": ("screen", "services"),
    "kill": ("kill", "services"),
}


def _environment(name: str, database: str, cache: str, directory: Path) -> dict[str, str]:
    module, form = PARTS[name]
    own_file = form in ("embedded", "celery")
    logs = directory / name
    logs.mkdir(exist_ok=True)
    return {
        **os.environ,
        **broker_environment(),
        "DATABASE_URL": f"sqlite:///{logs / 'site.sqlite3'}" if own_file else database,
        "CELERY_BROKER_URL": "memory://localhost" if form == "embedded" else cache,
        "CACHE_URL": "locmemcache://bench" if form == "embedded" else cache,
        "VAR_DIR": str(logs),
        "PORT": str(PORTS["web"]),
        "BIND": f"127.0.0.1:{PORTS['web']}",
        "API_CALLS_PER_MINUTE": "1000000",
        "LOG_JSON": "true",
        "LOG_LEVEL": os.environ.get("BENCH_LOG_LEVEL", "INFO"),
        "BENCH_LOGS": str(logs),
        "BENCH_FORM": form,
        "BENCH_PART": name,
        "BENCH_MODULE": module,
    }


def _prepare_template(postgres: str, redis: str, directory: Path) -> None:
    _create_database(postgres, "template_site", "template1")
    (directory / "post").mkdir(exist_ok=True)
    environment = _environment("post", f"{postgres}/template_site", f"{redis}/1", directory)
    subprocess.run(
        [sys.executable, "manage.py", "prepare"],
        cwd=ROOT,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _create_database(postgres: str, name: str, template: str) -> None:
    with psycopg.connect(f"{postgres}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")


def _run_part(name: str, postgres: str, cache: str, directory: Path) -> list[Row]:
    print(f"{name} ...", file=sys.stderr, flush=True)
    began = time.monotonic()
    _create_database(postgres, f"bench_{name}", "template_site")
    environment = _environment(name, f"{postgres}/bench_{name}", cache, directory)
    if environment["DATABASE_URL"].startswith("sqlite"):
        subprocess.run(
            [sys.executable, "manage.py", "prepare"],
            cwd=ROOT,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    run = subprocess.run(
        [sys.executable, "-m", f"benchmarks.parts.{PARTS[name][0]}"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=PART_SECONDS,
        check=False,
    )
    if run.returncode != 0:
        sys.exit(f"{name} failed with {run.returncode}.\n{run.stdout}")
    rows = [Row(**row) for row in json.loads(run.stdout.strip().splitlines()[-1])]
    _store(name, rows, time.monotonic() - began)
    return rows


def _store(name: str, rows: list[Row], seconds: float) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    document = {
        "part": name,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cpus": os.cpu_count(), "processor": _processor(), "python": platform.python_version()},
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "seconds": round(seconds, 1),
        "rows": [
            {
                "name": row.name,
                "value": round(row.value, 4),
                "unit": row.unit,
                "goal": row.goal,
                "met": row.met,
            }
            for row in rows
        ],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _print_table(rows: list[Row]) -> None:
    width = max((len(row.name) for row in rows), default=10)
    print(f"{'part':<14} {'what':<{width}} {'value':>12} {'unit':<9} {'goal':<14} met")
    for row in rows:
        met = "" if row.met is None else ("yes" if row.met else "NO")
        value = f"{row.value:,.2f}" if row.value < 1000 else f"{row.value:,.0f}"
        print(f"{row.part:<14} {row.name:<{width}} {value:>12} {row.unit:<9} {row.goal:<14} {met}")
    loads = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{os.cpu_count()} processors, {_processor()}; load average at the end {loads}.")


if __name__ == "__main__":
    sys.exit(main())
