"""From bytes to numbered rows of cells, refusing what is no table of text."""

import codecs
import csv
import io
import re
from dataclasses import dataclass

from portfolios.imports.types import ProblemCode

MAX_BYTES = 10 * 1024 * 1024
MAX_ROWS = 200_000
DELIMITERS = (",", ";", "\t")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WORKBOOK_MARKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


class UnreadableFile(Exception):
    """The file as a whole cannot be read; the message says why and what to do."""

    def __init__(self, code: ProblemCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class NumberedRow:
    """Stripped cells and the line in the file on which the row begins (the header is line 1)."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """``assumed_encoding`` is set when the text was not Unicode and Western European was taken."""

    header: tuple[str, ...]
    rows: tuple[NumberedRow, ...]
    delimiter: str
    assumed_encoding: str = ""


def read_table(data: bytes) -> Table:
    """Decode and split a file.

    Raises UnreadableFile: too large, empty, binary, broken quotes, too many rows.
    """
    if len(data) > MAX_BYTES:
        limit = MAX_BYTES // (1024 * 1024)
        raise UnreadableFile(
            ProblemCode.FILE_TOO_LARGE,
            f"The file is larger than {limit} MB. Nothing was read; split it by date and import the parts.",
        )
    text, assumed = _decode(data)
    if not text.strip():
        raise UnreadableFile(ProblemCode.FILE_EMPTY, "The file is empty. Nothing was read.")
    delimiter = _find_delimiter(text)
    rows = _split(text, delimiter)
    if not rows:
        raise UnreadableFile(ProblemCode.FILE_EMPTY, "The file holds only empty cells. Nothing was read.")
    return Table(rows[0].cells, tuple(rows[1:]), delimiter, assumed)


def _decode(data: bytes) -> tuple[str, str]:
    if data.startswith(_WORKBOOK_MARKS):
        raise UnreadableFile(
            ProblemCode.FILE_NOT_TEXT,
            "This is a spreadsheet workbook, not a CSV file. Save it as CSV and import that file.",
        )
    text, assumed = _decode_text(data)
    if _CONTROL.search(text):
        raise UnreadableFile(
            ProblemCode.FILE_NOT_TEXT,
            "The file holds binary data, not text. Nothing was read; export it again as CSV.",
        )
    return text, assumed


def _decode_text(data: bytes) -> tuple[str, str]:
    try:
        if data.startswith(_UTF16_MARKS):
            return data.decode("utf-16"), ""
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        if data.startswith(_UTF16_MARKS):
            raise UnreadableFile(
                ProblemCode.FILE_NOT_TEXT,
                "The file says it is UTF-16 text but breaks off inside a character. Export it again as CSV.",
            ) from None
    return data.decode("latin-1"), "latin-1"


def _find_delimiter(text: str) -> str:
    first = next(line for line in text.splitlines() if line.strip())
    return max(DELIMITERS, key=first.count)


def _split(text: str, delimiter: str) -> list[NumberedRow]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[NumberedRow] = []
    line = 1
    try:
        for record in reader:
            cells = tuple(cell.strip() for cell in record)
            if any(cells):
                rows.append(NumberedRow(line, cells))
            if len(rows) > MAX_ROWS + 1:
                raise UnreadableFile(
                    ProblemCode.FILE_TOO_LARGE,
                    f"The file has more than {MAX_ROWS:,} rows. Nothing was read; split it by date.",
                )
            line = reader.line_num + 1
    except csv.Error:
        raise UnreadableFile(
            ProblemCode.FILE_BROKEN,
            f"The table breaks at line {line}: a quotation mark is not closed, or a cell is far too long. "
            "Nothing was read.",
        ) from None
    return rows
