"""Statements of the order's path, compiled once and then run with new values.

Django builds and compiles a query each time it is used. For the short statements between a request and its
bytes at the broker that takes several times as long as the database needs to answer, and an order runs about
sixty of them. Written here, a statement is an ordinary queryset with `Slot`s where values go; its SQL is
made at first use and kept for the life of the process.

    BY_ID = PreparedQuery(lambda: Order.objects.filter(pk=Slot("pk", Order._meta.pk)))
    order = BY_ID.first(pk=order_id)

Only for statements whose shape never depends on a value: a comparison with None is another statement.
"""

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models import Field, Model, QuerySet, Value
from django.db.models.query import FlatValuesListIterable, ModelIterable, get_related_populators
from django.db.models.sql import UpdateQuery

Found = TypeVar("Found")


class Slot(Value):
    """Stands where each run puts its own value; `field` says how the database wants it written."""

    def __init__(self, name: str, field: Any) -> None:
        super().__init__(name, output_field=field)

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]


def slot(model: type[Model], field: str, *, name: str = "") -> Slot:
    """Return a slot for a value of a model's field, under the field's name or another."""
    return Slot(name or field, model._meta.get_field(field))


class _Kept(threading.local):
    """The cursor that this thread keeps, and the connection to the server that it belongs to."""

    session: Any = None
    cursor: CursorWrapper | None = None


_kept = _Kept()


def _connection() -> BaseDatabaseWrapper:
    """Return the thread's connection itself: `django.db.connection` looks it up anew for each attribute."""
    return connections[DEFAULT_DB_ALIAS]


def run_sql(sql: str, parameters: Sequence[Any] = ()) -> CursorWrapper:
    """Run SQL with this thread's kept cursor and return it. Read its rows before the next statement."""
    return _execute(_connection(), sql, parameters)


def _execute(connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any]) -> CursorWrapper:
    """Run a statement on the cursor that this thread keeps; making one takes as long as a short statement.

    Its rows are read before the next statement. Where statements are logged each has a cursor of its own.
    """
    connection.close_if_health_check_failed()
    cursor = _kept.cursor
    if cursor is None or _kept.session is not connection.connection or connection.queries_logged:
        cursor = connection.cursor()
        _kept.session, _kept.cursor = connection.connection, None if connection.queries_logged else cursor
    else:
        connection.validate_thread_sharing()
    cursor.execute(sql, parameters)
    return cursor


@contextmanager
def one_round_trip() -> Iterator[None]:
    """Send the writes of this block to PostgreSQL without waiting for each answer, and wait at its end.

    For statements whose answers nobody needs (`append_row`, `PreparedUpdate.write`), inside a transaction.
    One that fails raises at the end of the block, and the transaction is lost, as it is without the block.
    A query inside waits for what was sent before it.
    """
    connection = _connection()
    if not connection.in_atomic_block:
        raise RuntimeError("Writes are sent together inside a transaction.")
    if connection.vendor != "postgresql":
        yield
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


_MARK = re.compile(r"%[s%]")
_PLAIN = re.compile(r"[\w .:/-]*", re.ASCII)


def _write_constants(sql: str, parameters: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """Return the statement with its constants written into it; the slots are the parameters that are left.

    A database that is shown `status = 'ready'` knows that the index of ready rows will do. For a parameter it
    plans without that index, or as SQLite does, plans anew at every run.
    """
    values = iter(parameters)
    left = []

    def write(mark: re.Match[str]) -> str:
        if mark[0] == "%%":
            return mark[0]
        value = next(values)
        if isinstance(value, bool):
            return "TRUE" if value else "FALSE"
        if isinstance(value, int):
            # PostgreSQL's are of a class of their own, which says how wide they are.
            return str(int(value))
        if isinstance(value, str) and _PLAIN.fullmatch(value):
            return f"'{str.__str__(value)}'"
        left.append(value)
        return mark[0]

    return _MARK.sub(write, sql), tuple(left)


def _fill(connection: BaseDatabaseWrapper, parameters: Sequence[Any], values: dict[str, Any]) -> list[Any]:
    return [
        part.field.get_db_prep_save(values[part.value], connection) if isinstance(part, Slot) else part
        for part in parameters
    ]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """SQL with its parameters, and how a row of the answer becomes what the queryset would give."""

    sql: str
    parameters: tuple[Any, ...]
    converters: tuple[tuple[int, list[Any], Any], ...]
    model: type[Model] | None
    names: tuple[str, ...]
    start: int
    end: int
    annotations: tuple[tuple[str, int], ...]
    related: tuple[Any, ...]
    is_flat: bool


def _compile(connection: BaseDatabaseWrapper, queryset: QuerySet[Any]) -> _Compiled:
    compiler = queryset.query.get_compiler(connection=connection)
    sql, parameters = _write_constants(*compiler.as_sql())
    columns = compiler.select
    converters = compiler.get_converters([expression for expression, _, _ in columns])
    model, start, end = None, 0, len(columns)
    names: tuple[str, ...] = ()
    related: tuple[Any, ...] = ()
    if queryset._iterable_class is ModelIterable:
        model = compiler.klass_info["model"]
        fields = compiler.klass_info["select_fields"]
        start, end = fields[0], fields[-1] + 1
        names = tuple(column[0].target.attname for column in columns[start:end])
        related = tuple(get_related_populators(compiler.klass_info, columns, connection.alias))  # type: ignore[call-arg]
    return _Compiled(
        sql=sql,
        parameters=parameters,
        converters=tuple((at, found, expression) for at, (found, expression) in converters.items()),
        model=model,
        names=names,
        start=start,
        end=end,
        annotations=tuple(compiler.annotation_col_map.items()),
        related=related,
        is_flat=queryset._iterable_class is FlatValuesListIterable,
    )


class PreparedQuery(Generic[Found]):
    """A queryset, built by `build`, whose SQL is made once. Row locks need a transaction as ever."""

    def __init__(self, build: Callable[[], QuerySet[Any, Found]]) -> None:
        self._build = build
        self._compiled: dict[str, _Compiled] = {}

    def all(self, **values: Any) -> list[Found]:
        """Run with these values; return the rows as the queryset would: models, or tuples of values."""
        connection = _connection()
        made = self._compiled.get(connection.vendor)
        if made is None:
            made = self._compiled[connection.vendor] = _compile(connection, self._build())
        rows = _execute(connection, made.sql, _fill(connection, made.parameters, values)).fetchall()
        return list(_read(connection, made, rows)) if rows else []

    def first(self, **values: Any) -> Found | None:
        """Return the first row, None without any. The queryset says itself how many it wants."""
        found = self.all(**values)
        return found[0] if found else None


def _read(connection: BaseDatabaseWrapper, made: _Compiled, rows: Sequence[Sequence[Any]]) -> Iterator[Any]:
    for row in rows:
        if made.converters:
            row = list(row)
            for at, functions, expression in made.converters:
                for convert in functions:
                    row[at] = convert(row[at], expression, connection)
        if made.model is None:
            yield row[0] if made.is_flat else tuple(row)
            continue
        found = made.model.from_db(connection.alias, made.names, row[made.start : made.end])
        for populator in made.related:
            populator.populate(row, found)
        for name, at in made.annotations:
            setattr(found, name, row[at])
        yield found


class PreparedUpdate:
    """`UPDATE` of the rows of a queryset; `changes` are values, expressions or slots by field name."""

    def __init__(self, build: Callable[[], QuerySet[Any]], **changes: Any) -> None:
        self._build = build
        self._changes = changes
        self._compiled: dict[str, tuple[str, tuple[Any, ...]]] = {}

    def run(self, **values: Any) -> int:
        """Run with these values and return how many rows changed."""
        return int(self._run(values).rowcount)

    def write(self, **values: Any) -> None:
        """Run with these values where it need not be known how many rows changed."""
        self._run(values)

    def _run(self, values: dict[str, Any]) -> CursorWrapper:
        connection = _connection()
        made = self._compiled.get(connection.vendor)
        if made is None:
            query: Any = self._build().order_by().query.chain(UpdateQuery)
            query.add_update_values(self._changes)
            made = _write_constants(*query.get_compiler(connection=connection).as_sql())
            self._compiled[connection.vendor] = made
        return _execute(connection, made[0], _fill(connection, made[1], values))


@dataclass(frozen=True, slots=True)
class _Insert:
    """`sql` gives the key back, so that it tells whether a row was inserted; `blind` gives nothing back."""

    sql: str
    blind: str
    fields: "tuple[Field[Any, Any], ...]"
    key: "Field[Any, Any]"


_inserts: dict[tuple[str, type[Model], bool], _Insert] = {}


def insert_row(row: Model, *, if_new: bool = False) -> bool:
    """Insert a new model instance and give it its generated id.

    `if_new` leaves a row alone whose unique key is taken; the answer says whether it was inserted.
    """
    connection = _connection()
    made = _insert_of(connection, type(row), if_new=if_new)
    returned = _execute(connection, made.sql, _values_of(connection, made, row)).fetchone()
    if returned is not None and getattr(made.key, "db_returning", False):
        setattr(row, made.key.attname, returned[0])
    return returned is not None


def append_row(row: Model, *, if_new: bool = False) -> None:
    """Insert a new model instance whose generated id nobody needs, without waiting for the answer.

    `if_new` leaves a row alone whose unique key is taken.
    """
    connection = _connection()
    made = _insert_of(connection, type(row), if_new=if_new)
    _execute(connection, made.blind, _values_of(connection, made, row))


def _values_of(connection: BaseDatabaseWrapper, made: _Insert, row: Model) -> list[Any]:
    row._state.adding = False
    row._state.db = connection.alias
    return [field.get_db_prep_save(field.pre_save(row, True), connection) for field in made.fields]


def _insert_of(connection: BaseDatabaseWrapper, model: type[Model], *, if_new: bool) -> _Insert:
    key = (connection.vendor, model, if_new)
    made = _inserts.get(key)
    if made is None:
        made = _inserts[key] = _compile_insert(connection, model, if_new=if_new)
    return made


def _compile_insert(connection: BaseDatabaseWrapper, model: type[Model], *, if_new: bool) -> _Insert:
    quote = connection.ops.quote_name
    key: Any = model._meta.pk
    fields = tuple(
        field
        for field in model._meta.local_concrete_fields
        if field is not key or not getattr(key, "db_returning", False)
    )
    columns = ", ".join(quote(str(field.column)) for field in fields)
    marks = ", ".join("%s" for _ in fields)
    blind = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({marks})"  # noqa: S608
    if if_new:
        blind += " ON CONFLICT DO NOTHING"
    return _Insert(f"{blind} RETURNING {quote(str(key.column))}", blind, fields, key)
