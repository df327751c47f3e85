"""What is read from the environment, and what is added to it."""

import psycopg
import pytest
from django.db import connection
from environ import Env

from tradeplatform.env import read_database


def read(monkeypatch: pytest.MonkeyPatch, address: str) -> dict:
    monkeypatch.setenv("DATABASE_URL", address)
    return read_database(Env(), default="", keep_seconds=60)


def test_a_postgresql_that_vanishes_is_noticed_and_the_address_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    options = read(monkeypatch, "postgres://me:secret@db.example/book?connect_timeout=9")["OPTIONS"]

    assert options["connect_timeout"] == 9
    assert options["keepalives_idle"] + options["keepalives_interval"] * options["keepalives_count"] <= 30
    assert options["tcp_user_timeout"] <= 30_000


@pytest.mark.skipif(connection.vendor != "postgresql", reason="asks PostgreSQL")
def test_postgresql_ends_the_transaction_of_a_frozen_process(
    monkeypatch: pytest.MonkeyPatch, db: None
) -> None:
    options = read(monkeypatch, "postgres://me:secret@db.example/book")["OPTIONS"]
    address = {name: connection.settings_dict[name] for name in ("HOST", "PORT", "USER", "PASSWORD", "NAME")}
    names = {"HOST": "host", "PORT": "port", "USER": "user", "PASSWORD": "password", "NAME": "dbname"}
    parameters = {names[name]: value for name, value in address.items() if value}
    # How Django sends parameters is not the server's concern.
    options.pop("server_side_binding")

    with psycopg.connect(**parameters, **options) as ours:
        found = ours.execute("SHOW idle_in_transaction_session_timeout").fetchone()

    assert found == ("15s",)


def test_sqlite_waits_for_other_writers(monkeypatch: pytest.MonkeyPatch) -> None:
    database = read(monkeypatch, "sqlite:////tmp/book.sqlite3")

    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in database["OPTIONS"]["init_command"]
