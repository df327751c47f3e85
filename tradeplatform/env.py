"""Reads settings from the environment, and from a .env file if there is one."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from tradeplatform.common.envelope import BadKeyRing, KeyRing

MEMORY_BROKER = "memory://"
DEFAULT_BROKER = "memory://localhost"
# A server that vanishes without a word is noticed within half a minute, not after libpq's two hours. A
# process that is frozen inside a transaction loses it, so that the accounts it has locked can be used again:
# inside a transaction nothing here waits for anything but the database.
_POSTGRES_OPTIONS = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "options": "-c idle_in_transaction_session_timeout=15s",
    "server_side_binding": True,
    "prepare_threshold": 5,
}


def read_env(dotenv: Path) -> environ.Env:
    """Return a typed reader; values already in the environment win over the file's."""
    env = environ.Env()
    if dotenv.is_file():
        env.read_env(str(dotenv))
    return env


def read_database(env: environ.Env, *, default: str, keep_seconds: int) -> dict[str, Any]:
    """Return Django's entry for DATABASE_URL (sqlite:///path or postgres://user:password@host/name).

    SQLite runs in write-ahead mode and takes the write lock when a transaction starts: that is what makes
    several writers wait for each other instead of failing. PostgreSQL: options in the address win over ours.
    """
    database: dict[str, Any] = dict(env.db("DATABASE_URL", default=default))
    database["CONN_MAX_AGE"] = keep_seconds
    if database["ENGINE"].endswith("sqlite3"):
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    else:
        database["CONN_HEALTH_CHECKS"] = True
        database["OPTIONS"] = {**_POSTGRES_OPTIONS, **database.get("OPTIONS", {})}
    return database


def read_cache(env: environ.Env) -> dict[str, Any]:
    """Return Django's entry for CACHE_URL: locmem:// (one process) or redis://host/number."""
    cache = dict(env.cache("CACHE_URL", default="locmemcache://tradeplatform"))
    if "redis" in cache["BACKEND"]:
        cache["BACKEND"] = "tradeplatform.common.redis_cache.RedisCache"
        # Nobody waits for a cache that is away.
        cache["OPTIONS"] = {"socket_connect_timeout": 1, "socket_timeout": 1, **cache.get("OPTIONS", {})}
    return cache


def read_key_ring(env: environ.Env, *, default: str) -> list[str]:
    """Return FIELD_ENCRYPTION_KEYS after checking its form, so that a bad ring stops the start by name."""
    keys: list[str] = env.list("FIELD_ENCRYPTION_KEYS", default=[default])
    try:
        KeyRing(keys)
    except BadKeyRing as error:
        raise ImproperlyConfigured(str(error)) from None
    return keys


def read_payments(env: environ.Env, *, demo: bool, simulator_port: int) -> tuple[str, list[str], str, bool]:
    """Return Stripe's secret key, signing secrets, address and whether it adds taxes.

    Without a key nobody is asked to pay. In demo mode the simulator stands in for Stripe.
    """
    address = f"http://127.0.0.1:{simulator_port}/stripe" if demo else "https://api.stripe.com"
    return (
        env.str("STRIPE_SECRET_KEY", default="sk_test_simulated" if demo else ""),
        env.list("STRIPE_WEBHOOK_SECRETS", default=["whsec_simulated_demo"] if demo else []),
        env.str("STRIPE_API_URL", default=address).rstrip("/"),
        env.bool("STRIPE_AUTOMATIC_TAX", default=False),
    )


def origin_of(url: str) -> str:
    """Return scheme and host of an address, as a content security policy names it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
