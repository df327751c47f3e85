"""Runs `check --deploy` with an environment like a production one, made up on the spot."""

import base64
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def production_environment(directory: str) -> dict[str, str]:
    """Return what a careful operator would set, with fresh keys."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "DEMO_MODE": "false",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "FIELD_ENCRYPTION_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "SITE_URL": "https://trade.example.com",
        "ALLOWED_HOSTS": "trade.example.com",
        "CSRF_TRUSTED_ORIGINS": "https://trade.example.com",
        "DATABASE_URL": "postgres://tradeplatform@127.0.0.1/tradeplatform",
        "CELERY_BROKER_URL": "redis://127.0.0.1:6379/0",
        "CACHE_URL": "redis://127.0.0.1:6379/1",
        "EMAIL_URL": "smtp://127.0.0.1:25",
        "VAR_DIR": directory,
    }


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
        return subprocess.run(
            command, cwd=ROOT, env=production_environment(directory), check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
