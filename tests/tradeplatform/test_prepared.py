"""Prepared statements give what the querysets they are made of would give, and compile only once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from unittest.mock import patch

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Exists, F, OuterRef
from django.db.models.sql.compiler import SQLCompiler

from brokers.models import BrokerAccount, BrokerConnection, LatestQuote
from tradeplatform.common.prepared import (
    PreparedQuery,
    PreparedUpdate,
    Slot,
    append_row,
    insert_row,
    one_round_trip,
    run_sql,
    slot,
)
from tradeplatform.models import ApiKey, User

AT = datetime(2026, 11, 25, 15, tzinfo=UTC)


@pytest.fixture
def account(db: None) -> BrokerAccount:
    user = User.objects.create_user("owner@example.com", "correct-horse-battery")
    link = BrokerConnection.objects.create(user=user, broker="alpaca", kind="api_key")
    return BrokerAccount.objects.create(
        user=user, connection=link, broker="alpaca", environment="paper", label="Mine", cash=Decimal("10.50")
    )


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    made: list[str] = []
    compile_query = SQLCompiler.as_sql

    def count(self: SQLCompiler, *args: object, **kwargs: object) -> object:
        made.append(type(self).__name__)
        return compile_query(self, *args, **kwargs)

    with patch.object(SQLCompiler, "as_sql", count):
        yield made


def quote(symbol: str = "KO", **values: object) -> LatestQuote:
    return LatestQuote(broker="alpaca", symbol=symbol, as_of=AT, received_at=AT, **values)


def test_a_query_gives_models_with_their_relations_and_compiles_once(
    account: BrokerAccount, compilations: list[str]
) -> None:
    by_id = PreparedQuery(
        lambda: BrokerAccount.objects.select_related("connection", "user").filter(
            pk=slot(BrokerAccount, "id")
        )
    )
    assert by_id.first(id=account.pk) == account
    compilations.clear()
    found = by_id.first(id=str(account.pk))
    assert found is not None
    assert found.cash == Decimal("10.5")
    assert (found.connection.broker, found.user.email) == ("alpaca", "owner@example.com")
    assert compilations == []
    assert not found._state.adding
    assert by_id.first(id="00000000-0000-0000-0000-000000000000") is None


def test_a_query_gives_annotations_deferred_fields_tuples_and_single_values(account: BrokerAccount) -> None:
    keys = ApiKey.objects.filter(user=OuterRef("pk"), name=slot(ApiKey, "name"))
    people = PreparedQuery(lambda: User.objects.only("email").annotate(has_key=Exists(keys)))
    ApiKey.objects.create(user=account.user, name="robot", key_hash="x", scopes=["read"])
    (person,) = people.all(name="robot")
    assert (person.email, person.has_key) == ("owner@example.com", True)
    assert people.all(name="other")[0].has_key is False
    assert "first_name" in person.get_deferred_fields() or "password" in person.get_deferred_fields()
    pairs = PreparedQuery(lambda: ApiKey.objects.order_by("id").values_list("name", "scopes"))
    assert pairs.all() == [("robot", ["read"])]
    counts = PreparedQuery(
        lambda: (
            ApiKey.objects.filter(user_id=slot(ApiKey, "user"))
            .order_by()
            .values("user_id")
            .annotate(found=Count("pk"))
            .values_list("found", flat=True)
        )
    )
    assert counts.first(user=account.user_id) == 1
    assert counts.first(user=0) is None


def test_a_query_compares_times_and_reads_exact_decimals(db: None) -> None:
    insert_row(quote(bid=Decimal("1.234567891"), ask=None))
    since = PreparedQuery(
        lambda: LatestQuote.objects.filter(received_at__gte=slot(LatestQuote, "received_at", name="since"))
    )
    (found,) = since.all(since=AT)
    assert (found.bid, found.ask, found.as_of) == (Decimal("1.234567891"), None, AT)
    assert since.all(since=AT + timedelta(microseconds=1)) == []


def test_an_update_takes_values_and_expressions(account: BrokerAccount) -> None:
    update = PreparedUpdate(
        lambda: BrokerAccount.objects.filter(pk=slot(BrokerAccount, "id")),
        send_fence=F("send_fence") + 1,
        cash=slot(BrokerAccount, "cash"),
        synced_at=slot(BrokerAccount, "synced_at"),
    )
    assert update.run(id=account.pk, cash=Decimal("7.25"), synced_at=AT) == 1
    assert update.run(id=account.pk, cash=Decimal("7.5"), synced_at=None) == 1
    account.refresh_from_db()
    assert (account.send_fence, account.cash, account.synced_at) == (2, Decimal("7.5"), None)
    assert update.run(id=account.connection_id, cash=Decimal(1), synced_at=None) == 0


def test_a_missing_value_is_an_error_and_changes_nothing(account: BrokerAccount) -> None:
    update = PreparedUpdate(
        lambda: BrokerAccount.objects.filter(pk=slot(BrokerAccount, "id")),
        label=slot(BrokerAccount, "label"),
    )
    with pytest.raises(KeyError):
        update.run(label="Everything")
    account.refresh_from_db()
    assert account.label == "Mine"


def test_an_insert_gives_the_row_its_id_and_its_exact_values(db: None) -> None:
    row = quote(last=Decimal("60.10"))
    assert insert_row(row) is True
    assert row.pk is not None
    assert not row._state.adding
    assert LatestQuote.objects.get(pk=row.pk).last == Decimal("60.1")
    row.last = Decimal(61)
    row.save()
    assert LatestQuote.objects.get().last == Decimal(61)


def test_an_insert_of_a_taken_key_raises_or_is_left_alone(db: None) -> None:
    insert_row(quote(last=Decimal(1)))
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_row(quote(last=Decimal(2)))
    assert insert_row(quote(last=Decimal(3)), if_new=True) is False
    assert insert_row(quote("PEP", last=Decimal(4)), if_new=True) is True
    assert dict(LatestQuote.objects.values_list("symbol", "last")) == {"KO": Decimal(1), "PEP": Decimal(4)}


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no row locks")
def test_a_locking_query_locks(account: BrokerAccount) -> None:
    locked = PreparedQuery(
        lambda: BrokerAccount.objects.select_for_update().filter(pk=slot(BrokerAccount, "id"))
    )
    with transaction.atomic():
        locked.first(id=account.pk)
    made = locked._compiled[connection.vendor]
    assert made.sql.endswith("FOR UPDATE")


LATEST = PreparedQuery(lambda: LatestQuote.objects.order_by("symbol").values_list("symbol", "last"))
SAVE_LAST = PreparedUpdate(
    lambda: LatestQuote.objects.filter(symbol=slot(LatestQuote, "symbol")), last=slot(LatestQuote, "last")
)


def test_writes_sent_together_are_there_for_a_query_among_them_and_after(db: None) -> None:
    with transaction.atomic(), one_round_trip():
        append_row(quote("KO", last=Decimal(1)))
        SAVE_LAST.write(symbol="KO", last=Decimal(2))
        assert LATEST.all() == [("KO", Decimal(2))]
        assert insert_row(quote("KO", last=Decimal(3)), if_new=True) is False
        append_row(quote("KO", last=Decimal(4)), if_new=True)
        append_row(quote("PEP", last=Decimal(5)))
    assert LATEST.all() == [("KO", Decimal(2)), ("PEP", Decimal(5))]


def test_a_failure_among_writes_sent_together_raises_and_undoes_all(db: None) -> None:
    reached = []

    def write() -> None:
        with one_round_trip():
            append_row(quote("KO", last=Decimal(1)))
            append_row(quote("KO", last=Decimal(2)))
            append_row(quote("PEP", last=Decimal(3)))
        reached.append("the end")

    with pytest.raises(IntegrityError), transaction.atomic():
        write()
    assert reached == []
    assert LATEST.all() == []


def test_a_mistake_among_writes_sent_together_undoes_all(db: None) -> None:
    def write() -> None:
        append_row(quote("KO", last=Decimal(1)))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), transaction.atomic(), one_round_trip():
        write()
    assert LATEST.all() == []


@pytest.mark.django_db(transaction=True)
def test_writes_are_sent_together_only_inside_a_transaction() -> None:
    with pytest.raises(RuntimeError), one_round_trip():
        append_row(quote("KO", last=Decimal(1)))
    assert not LatestQuote.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_new_connection_gets_a_new_cursor() -> None:
    append_row(quote("KO", last=Decimal(1)))
    connection.close()
    assert LATEST.all() == [("KO", Decimal(1))]
    connection.close()
    assert run_sql("SELECT 1").fetchone() == (1,)


@pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite keeps its statements prepared by itself"
)
@pytest.mark.django_db(transaction=True)
def test_the_server_keeps_a_repeated_statement_prepared() -> None:
    for _ in range(8):
        LATEST.all()
    kept = run_sql("SELECT statement FROM pg_prepared_statements").fetchall()
    assert any("brokers_latestquote" in statement for (statement,) in kept)


def test_constants_are_written_into_the_statement_and_only_slots_are_parameters(
    account: BrokerAccount,
) -> None:
    rows = BrokerAccount.objects.filter(
        pk=slot(BrokerAccount, "id"), broker="alpaca", is_active=True, send_fence__in=[0, 7]
    )
    query = PreparedQuery(lambda: rows.filter(label__startswith="Mi").exclude(label="it's 100 %").order_by())
    assert query.first(id=account.pk) == account
    made = query._compiled[connection.vendor]
    assert "'alpaca'" in made.sql
    assert "IN (0, 7)" in made.sql
    assert [part for part in made.parameters if not isinstance(part, Slot)] == ["Mi%", "it's 100 %"]


def test_constants_of_an_update_are_written_into_it(account: BrokerAccount) -> None:
    rename = PreparedUpdate(
        lambda: BrokerAccount.objects.filter(pk=slot(BrokerAccount, "id"), broker="alpaca"),
        label=slot(BrokerAccount, "label"),
        is_active=False,
        restriction="O'Neil closed it",
    )
    assert rename.run(id=account.pk, label="100 %s") == 1
    account.refresh_from_db()
    assert (account.label, account.is_active, account.restriction) == ("100 %s", False, "O'Neil closed it")
