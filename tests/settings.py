"""Settings of the test runs: fast hasher, quiet mail, a database of its own in a file.

SQLite tests use a file, not memory: threads and servers under test open connections of their own, as in
production.
"""

import os
import tempfile
from pathlib import Path

from tradeplatform.settings import *  # noqa: F403
from tradeplatform.settings import CACHES, DATABASES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_AUTOREFRESH = True
LOG_LEVEL = "WARNING"
API_CALLS_PER_MINUTE = 100_000

# Parallel test processes share one Redis: each empties only a cache of its own, the tenth and following.
_location, _, _ = str(CACHES["default"]["LOCATION"]).rpartition("/")
if _location.startswith("redis://"):
    _worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    CACHES["default"]["LOCATION"] = f"{_location}/{10 + int(_worker) % 6}"

DATABASES["default"]["CONN_MAX_AGE"] = 0
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    _directory = Path(os.environ.get("TEST_DATABASE_DIR", tempfile.gettempdir()))
    DATABASES["default"]["TEST"] = {"NAME": str(_directory / f"tradeplatform-test-{os.getpid()}.sqlite3")}
    # A test database may be lost in a power cut.
    DATABASES["default"]["OPTIONS"]["init_command"] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
else:
    # A test may think for long inside the transaction that is rolled back at its end.
    DATABASES["default"]["OPTIONS"].pop("options", None)
