"""All files of one import read together: each fact once, in booking order."""

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from portfolios.imports.decode import UnreadableFile, read_table
from portfolios.imports.parse import parse_rows
from portfolios.imports.recognise import recognise
from portfolios.imports.types import (
    DailyPosition,
    DailyTotal,
    FileKind,
    FileReading,
    ImportProblem,
    ImportReading,
    ProblemCode,
    Severity,
    TradeRow,
)


class _Sourced(Protocol):
    @property
    def source_key(self) -> str: ...

    @property
    def file(self) -> str: ...

    @property
    def line(self) -> int: ...


SourcedRow = TypeVar("SourcedRow", bound=_Sourced)
DailyRow = TypeVar("DailyRow", DailyPosition, DailyTotal)


def read_import(files: Sequence[tuple[str, bytes]]) -> ImportReading:
    """Read the files of one import, given as name and content, in any order and mixture of kinds.

    Never raises for what a file contains: an unreadable file has kind UNREADABLE and an ERROR problem. A
    row that stands in two files (an older and a newer log) counts once.
    """
    readings = [read_file(name, data) for name, data in files]
    problems = [problem for reading in readings for problem in reading.problems]
    trades = _merge((reading.trades for reading in readings), problems, what="trade")
    positions = _merge((reading.positions for reading in readings), problems, what="daily row")
    totals = _merge((reading.totals for reading in readings), problems, what="daily total")
    holdings = _merge((reading.holdings for reading in readings), problems, what="holding")
    return ImportReading(
        files=tuple(readings),
        trades=_in_booking_order(trades),
        positions=_keep_last(positions, lambda row: (row.on, row.symbol, row.is_sold), problems),
        totals=_keep_last(totals, lambda row: (row.on, row.lists_positions), problems),
        holdings=tuple(holdings),
        problems=tuple(problems),
        file_hash=_hash_all(readings),
    )


def read_file(name: str, data: bytes) -> FileReading:
    """Read one file; see ``read_import`` for how errors are reported."""
    digest = hashlib.sha256(data).hexdigest()
    try:
        table = read_table(data)
        recognition = recognise(table.header)
    except UnreadableFile as error:
        problem = ImportProblem(error.code, Severity.ERROR, error.message, name)
        return FileReading(name=name, kind=FileKind.UNREADABLE, sha256=digest, problems=(problem,))
    parsed = parse_rows(table, recognition, file=name)
    problems = list(parsed.problems)
    if table.assumed_encoding:
        message = "The text is not Unicode; it was read as Western European (Latin-1). Check names and notes."
        problems.insert(0, ImportProblem(ProblemCode.ENCODING_ASSUMED, Severity.WARNING, message, name))
    return FileReading(
        name=name,
        kind=recognition.kind,
        sha256=digest,
        columns=table.header,
        rows_read=len(table.rows),
        trades=tuple(parsed.trades),
        positions=tuple(parsed.positions),
        totals=tuple(parsed.totals),
        holdings=tuple(parsed.holdings),
        problems=tuple(problems),
    )


def _merge(
    groups: Iterable[Sequence[SourcedRow]], problems: list[ImportProblem], *, what: str
) -> list[SourcedRow]:
    """Rows of all files, those another file has already given left out. Keys number repeats within a file."""
    merged: dict[str, SourcedRow] = {}
    for rows in groups:
        known = [row for row in rows if row.source_key in merged]
        merged.update({row.source_key: row for row in rows if row.source_key not in merged})
        if known:
            count = "1 row" if len(known) == 1 else f"{len(known)} rows"
            first = merged[known[0].source_key]
            message = f"{count} of kind {what} also in {first.file}; counted once."
            problems.append(
                ImportProblem(ProblemCode.ALREADY_IN_OTHER_FILE, Severity.NOTICE, message, known[0].file)
            )
    return list(merged.values())


def _in_booking_order(trades: Sequence[TradeRow]) -> tuple[TradeRow, ...]:
    """By day; within a day as the files had them. ``sequence`` then counts through the whole import."""
    ordered = sorted(enumerate(trades), key=lambda pair: (pair[1].on, pair[0]))
    return tuple(replace(trade, sequence=place) for place, (_, trade) in enumerate(ordered))


def _keep_last(
    rows: Sequence[DailyRow], key: Callable[[DailyRow], Hashable], problems: list[ImportProblem]
) -> tuple[DailyRow, ...]:
    """One row per day and symbol: a tracker run twice a day appends, so the last row counts."""
    kept: dict[Hashable, DailyRow] = {}
    for row in rows:
        earlier = kept.pop(key(row), None)
        kept[key(row)] = row
        if earlier is not None:
            message = f"Line {earlier.line} of {earlier.file} is about the same day; the later row counts."
            problems.append(
                ImportProblem(ProblemCode.REPEATED_DAILY_ROW, Severity.NOTICE, message, row.file, row.line)
            )
    return tuple(sorted(kept.values(), key=lambda row: row.on))


def _hash_all(readings: Sequence[FileReading]) -> str:
    """One hash for the set of contents; names and order do not matter."""
    joined = "\n".join(sorted({reading.sha256 for reading in readings}))
    return hashlib.sha256(joined.encode()).hexdigest()
