"""State file of the simulator: one SQLite table, written before any answer leaves.

Write-ahead logging without a sync per commit survives the death of the process at any moment, which is what
the crash tests need; it does not promise to survive a power cut.
"""

import sqlite3
from collections.abc import Iterable

from brokers.simulators.records import RECORD_TYPES, Record, RecordT, dump_record, load_record


class Store:
    """Rows of records in a SQLite file, or in memory for ``None`` or ``:memory:``."""

    def __init__(self, path: str | None) -> None:
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("PRAGMA busy_timeout=5000")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS records"
            " (kind TEXT, id TEXT, body TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID"
        )

    def write(self, records: Iterable[Record]) -> None:
        """Insert or replace all ``records`` in one transaction."""
        rows = [(record.KIND, record.id, dump_record(record)) for record in records]
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", rows)
        self._db.execute("COMMIT")

    def load(self) -> dict[str, list[Record]]:
        """All records by kind."""
        types = {kind.KIND: kind for kind in RECORD_TYPES}
        found: dict[str, list[Record]] = {name: [] for name in types}
        for kind, body in self._db.execute("SELECT kind, body FROM records"):
            found[kind].append(load_record(types[kind], body))
        return found

    def read(self, kind: type[RecordT]) -> list[RecordT]:
        """All records of one kind."""
        rows = self._db.execute("SELECT body FROM records WHERE kind = ?", (kind.KIND,))
        return [load_record(kind, body) for (body,) in rows]

    def delete(self, kind: type[Record], ids: Iterable[str]) -> None:
        """Forget records of one kind."""
        self._db.executemany(
            "DELETE FROM records WHERE kind = ? AND id = ?", [(kind.KIND, record_id) for record_id in ids]
        )

    def clear(self) -> None:
        """Forget everything."""
        self._db.execute("DELETE FROM records")

    def close(self) -> None:
        """Close the file."""
        self._db.close()
