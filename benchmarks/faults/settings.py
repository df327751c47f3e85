"""Settings of a campaign: everything in this process's memory, time from the simulated clock."""

from tradeplatform.settings import *  # noqa: F403

SITE_NAME = "Fault campaign"
LOG_LEVEL = "CRITICAL"
LOGGING = {"version": 1, "disable_existing_loggers": True}
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
        # The order path has more different statements than the driver remembers by itself.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "cached_statements": 2000},
        "CONN_MAX_AGE": None,
    }
}
CACHES = {"default": {"BACKEND": "benchmarks.faults.cache.SimulatedCache"}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
BROKER_ADAPTERS = {
    "sim_d": "benchmarks.faults.adapter.SimDAdapter",
    "sim_n": "benchmarks.faults.adapter.SimNAdapter",
}
