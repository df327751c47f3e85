"""What the driver of SQLite does again for each statement, done once for each text."""

from functools import lru_cache
from typing import Any

from django.db.backends.sqlite3.base import SQLiteCursorWrapper


def keep_converted_statements() -> None:
    """Remember how a statement's marks for values are written for SQLite; a campaign runs few texts often."""
    convert: Any = SQLiteCursorWrapper.convert_query

    @lru_cache(maxsize=5_000)
    def converted(text: str) -> str:
        return str(convert(None, text))

    def convert_query(self: SQLiteCursorWrapper, query: str, *, param_names: Any = None) -> str:
        return converted(query) if param_names is None else str(convert(self, query, param_names=param_names))

    SQLiteCursorWrapper.convert_query = convert_query  # type: ignore[method-assign, assignment]
