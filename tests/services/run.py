"""Runs pytest on a private PostgreSQL and Redis, and stops both again.

python tests/services/run.py -- [pytest arguments]
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.services.servers import running_servers  # noqa: E402


def main() -> int:
    # Told to end, this still stops what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    with running_servers() as (postgres, redis):
        environment = {
            **os.environ,
            "DATABASE_URL": postgres.url,
            "CELERY_BROKER_URL": f"{redis.url}/0",
            "CACHE_URL": f"{redis.url}/1",
            "TEST_SERVICES": "1",
        }
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
