"""Runs every process of the Procfile under the platform's own supervisor, as one machine would."""

import os
import sys

from tradeplatform.supervisor import Child, Supervisor

MANAGE = [sys.executable, "manage.py"]


def main() -> None:
    port, events, simulator = (os.environ[name] for name in ("PORT", "EVENTS_PORT", "SIMULATOR_PORT"))
    state = os.path.join(os.environ["VAR_DIR"], "simulator.sqlite3")
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py"]
    children = [
        Child("web", gunicorn, {"BIND": f"127.0.0.1:{port}", "WEB_WORKERS": "1"}),
        Child("events", [*MANAGE, "run_events", "--port", events]),
        Child("worker", [*MANAGE, "run_worker", "--concurrency", "2"]),
        Child("beat", [*MANAGE, "run_beat"]),
        Child("dispatcher-1", [*MANAGE, "run_order_dispatcher"]),
        Child("dispatcher-2", [*MANAGE, "run_order_dispatcher"]),
        Child("streams-1", [*MANAGE, "run_broker_streams"]),
        Child("streams-2", [*MANAGE, "run_broker_streams"]),
        Child("brokers", [*MANAGE, "run_broker_simulator", "--port", simulator, "--state", state]),
    ]
    Supervisor(children, out=sys.stdout).run()


if __name__ == "__main__":
    main()
