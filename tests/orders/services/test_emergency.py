"""Halting and cancelling while the database cannot be written."""

import json
import os
import sqlite3
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connection
from django.test import Client
from django.utils import timezone

from brokers.exceptions import Unavailable
from brokers.models import CredentialAccess
from orders.enums import OrderStatus
from orders.models import OrderEvent
from orders.services import emergency
from orders.services.emergency import import_cancels, import_latch
from orders.services.halts import cancel_for_halts
from orders.services.reconcile import reconcile_account
from risk.latch import latch_path, read_latch
from risk.models import TradingHalt
from risk.selectors import active_halts
from risk.services.halts import latch_halt
from tests.orders.helpers import fresh, place, send
from tradeplatform.common.database import forget_unwritable, is_unwritable
from tradeplatform.models import AuditEntry


@pytest.fixture(autouse=True)
def var_directory(settings, tmp_path):
    settings.VAR_DIR = tmp_path
    yield tmp_path
    forget_unwritable()


class ReadOnly:
    """The test's own connection, taking no writes until the block ends."""

    def __enter__(self):
        self._set("ON")

    def __exit__(self, *_error):
        self._set("OFF")

    @staticmethod
    def _set(value):
        name = "PRAGMA query_only" if connection.vendor == "sqlite" else "SET default_transaction_read_only"
        with connection.cursor() as cursor:
            cursor.execute(f"{name} = {value}")


def test_the_sender_obeys_a_halt_that_only_the_file_knows(user, account, book):
    order = place(user, account).order
    latch_halt(scope="platform", reason="Fire", actor="system:test")

    assert send(order) is False

    assert book.posts == []
    assert fresh(order).status == OrderStatus.NOT_SENT
    assert not TradingHalt.objects.exists()


@pytest.mark.parametrize(
    ("scope", "key", "stops"),
    [
        ("platform", "", True),
        ("broker", "scripted", True),
        ("broker", "alpaca", False),
        ("user", "own", True),
        ("user", "0", False),
        ("account", "own", True),
        ("account", "00000000-0000-0000-0000-000000000000", False),
    ],
)
def test_the_file_halts_exactly_its_scope(user, account, book, scope, key, stops):
    own = {"user": str(user.pk), "account": str(account.pk)}
    latch_halt(scope=scope, scope_key=own[scope] if key == "own" else key, reason="Fire", actor="system:test")

    halts = active_halts(user_id=user.pk, account_id=account.pk, broker=account.broker)

    assert bool(halts) is stops


@pytest.mark.parametrize("content", [b"{not json\n", b"\xff\xfe\n", b'{"scope": "moon"}\n', b'"text"\n'])
def test_a_file_that_cannot_be_read_halts_everything(user, account, book, content):
    order = place(user, account).order
    latch_path().write_bytes(content)

    assert send(order) is False
    assert book.posts == []


def test_the_dispatcher_makes_an_ordinary_halt_of_the_file(user, account, book):
    order = place(user, account).order
    send(order)
    latch_halt(scope="account", scope_key=str(account.pk), reason="Fire", actor=user.email, cancel_open=True)

    assert import_latch() == 1

    found = TradingHalt.objects.get()
    assert (found.scope, found.scope_key, found.reason) == ("account", str(account.pk), "Fire")
    assert found.cancel_open is True
    assert not latch_path().exists()
    assert cancel_for_halts() == 1
    assert import_latch() == 0


def test_a_latched_halt_of_nobody_known_halts_the_platform(user, account):
    latch_halt(scope="user", scope_key="987654", reason="Fire", actor="system:test")

    import_latch()

    assert TradingHalt.objects.get().scope == "platform"


def test_the_command_halts_and_lifts_without_any_database(tmp_path):
    environment = {
        **os.environ,
        "VAR_DIR": str(tmp_path),
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing",
        "DJANGO_SETTINGS_MODULE": "tradeplatform.settings",
    }

    def run(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "manage.py", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    halted = run("emergency_halt", "--reason", "Fire")
    assert halted.returncode == 0, halted.stderr
    line = json.loads((tmp_path / "halt.latch").read_text())
    assert (line["scope"], line["reason"]) == ("platform", "Fire")

    unread = run("emergency_cancel", "--all")
    assert unread.returncode == 1
    assert "cannot even be read" in unread.stderr

    lifted = run("emergency_halt", "--lift")
    assert lifted.returncode == 0, lifted.stderr
    assert not (tmp_path / "halt.latch").exists()


@pytest.mark.django_db(transaction=True)
def test_cancels_reach_the_broker_without_writing_the_database(user, account, book, capsys):
    first, second = (
        place(user, account).order,
        place(user, account, limit_price="9.00", confirm=("G02",)).order,
    )
    send(first)
    send(second)
    accesses = CredentialAccess.objects.filter(purpose=emergency.PURPOSE)

    with ReadOnly():
        call_command("emergency_cancel", str(account.pk))

    assert sorted(book.cancels) == sorted([fresh(first).broker_order_id, fresh(second).broker_order_id])
    assert "2 cancel(s) taken" in capsys.readouterr().out
    assert not accesses.exists()
    states = [json.loads(line)["state"] for line in emergency.cancels_path().read_text().splitlines()]
    assert states == ["asking", "credentials_read", "done"] * 2


@pytest.mark.django_db(transaction=True)
def test_what_was_cancelled_is_taken_into_the_database_once(user, account, book):
    order = place(user, account).order
    send(order)
    with ReadOnly():
        call_command("emergency_cancel", "--all")
    path = emergency.cancels_path()
    kept = path.read_text()

    assert import_cancels() == 0, "the command may still be running"
    old = timezone.now().timestamp() - 60
    os.utime(path, (old, old))
    assert import_cancels() == 1

    assert not path.exists()
    facts = OrderEvent.objects.filter(order=order, kind="emergency_cancel").order_by("id")
    assert [fact.data["state"] for fact in facts] == ["asking", "done"]
    assert AuditEntry.objects.filter(action="order.emergency_cancel", object_id=str(order.pk)).count() == 1
    assert CredentialAccess.objects.get(purpose=emergency.PURPOSE).count == 1

    path.write_text(kept + '{"id": "cut o')
    os.utime(path, (old, old))
    assert import_cancels() == 0
    assert OrderEvent.objects.filter(kind="emergency_cancel").count() == 2

    reconcile_account(account.pk)
    assert fresh(order).status == OrderStatus.CANCELED


@pytest.mark.django_db(transaction=True)
def test_one_broker_that_fails_does_not_keep_the_next_cancel(user, account, book):
    first, second = (
        place(user, account).order,
        place(user, account, limit_price="9.00", confirm=("G02",)).order,
    )
    send(first)
    send(second)
    book.raise_next(Unavailable("No answer"))

    with ReadOnly(), pytest.raises(CommandError, match="still be open"):
        call_command("emergency_cancel", "--all")

    assert len(book.cancels) == 2
    outcomes = [json.loads(line).get("outcome") for line in emergency.cancels_path().read_text().splitlines()]
    assert outcomes == [None, None, "Unavailable: No answer", None, None, "asked"]


def test_a_canceller_cannot_place_or_change(user, account):
    broker = emergency.manager.get_canceller(account, purpose="test", note_access=lambda _id: None)

    for name in ("place_order", "replace_order"):
        with pytest.raises(PermissionError):
            getattr(broker, name)


@pytest.mark.django_db(transaction=True)
def test_with_a_read_only_database_the_site_refuses_and_says_so(user, account, book):
    client = Client(raise_request_exception=False)
    client.force_login(user)
    form = {"scope": f"account:{account.pk}", "reason": "Fire"}

    with ReadOnly():
        placed = client.post(
            "/api/v1/orders/",
            {
                "account": str(account.pk),
                "symbol": "ACME",
                "side": "buy",
                "order_type": "limit",
                "quantity": "1",
                "limit_price": "10",
            },
            content_type="application/json",
            headers={"Idempotency-Key": "k1"},
        )
        dashboard = client.get("/dashboard/")
        halted = client.post("/risk/halt/", form)

    assert placed.status_code == 503
    assert placed.json()["code"] == "database_unwritable"
    assert dashboard.status_code == 200
    assert "Nothing new is sent" in dashboard.content.decode()
    assert halted.status_code == 200
    assert "halted" in halted.content.decode().lower()
    assert [halt.scope_key for halt in read_latch()] == [str(account.pk)]
    assert book.posts == []


@pytest.mark.django_db(transaction=True)
def test_nothing_is_sent_while_the_database_is_read_only_not_even_an_exit(user, account, book):
    order = place(user, account).order

    with ReadOnly(), pytest.raises(DatabaseError) as refused:
        send(order)

    assert is_unwritable(refused.value)
    assert book.posts == []
    assert send(order) is True


def test_a_read_only_database_file_is_recognised(tmp_path):
    path = tmp_path / "book.sqlite3"
    sqlite3.connect(path).execute("create table t (a)").connection.close()
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    with pytest.raises(sqlite3.OperationalError) as refused:
        reader.execute("insert into t values (1)")
    reader.close()

    assert is_unwritable(OperationalError(str(refused.value)))
    assert not is_unwritable(OperationalError("database is locked"))
    assert not is_unwritable(ValueError("readonly database"))
