import codecs

import pytest

from portfolios.imports import decode
from portfolios.imports.decode import NumberedRow, UnreadableFile, read_table
from portfolios.imports.types import ProblemCode


def fail(data: bytes) -> UnreadableFile:
    with pytest.raises(UnreadableFile) as caught:
        read_table(data)
    return caught.value


def test_rows_carry_their_line_and_stripped_cells():
    table = read_table(b"a,b\n1, 2 \n\n3,4")
    assert table.header == ("a", "b")
    assert table.rows == (NumberedRow(2, ("1", "2")), NumberedRow(4, ("3", "4")))


@pytest.mark.parametrize(
    "data",
    [
        b"a,b\r\n1,2\r\n",
        b"a,b\r1,2\r",
        codecs.BOM_UTF8 + b"a,b\n1,2",
        "a,b\n1,2".encode("utf-16"),
        codecs.BOM_UTF16_BE + "a,b\n1,2".encode("utf-16-be"),
        b"\n\na,b\n1,2\n",
        b"a;b\n1;2\n",
        b"a\tb\n1\t2\n",
    ],
)
def test_line_ends_marks_encodings_and_separators_do_not_matter(data):
    table = read_table(data)
    assert table.header == ("a", "b")
    assert [row.cells for row in table.rows] == [("1", "2")]
    assert table.assumed_encoding == ""


def test_quoted_cells_may_hold_separators_and_line_ends():
    table = read_table(b'a,b\n"1,5","two\nlines"\n3,4\n')
    assert table.rows == (NumberedRow(2, ("1,5", "two\nlines")), NumberedRow(4, ("3", "4")))


def test_text_that_is_not_unicode_is_read_as_latin_1_and_says_so():
    table = read_table("a,b\ncafé,2\n".encode("latin-1"))
    assert table.rows[0].cells == ("café", "2")
    assert table.assumed_encoding == "latin-1"


@pytest.mark.parametrize("data", [b"", b"  \n \n", b",,,\n,,\n", codecs.BOM_UTF8])
def test_an_empty_file_is_refused(data):
    assert fail(data).code == ProblemCode.FILE_EMPTY


@pytest.mark.parametrize(
    "data",
    [b"a,b\n1,\x00\n", bytes(range(256)) * 20, b"\x89PNG\r\n\x1a\n\x00\x00", "a,b".encode("utf-16-le")],
)
def test_binary_data_is_refused(data):
    error = fail(data)
    assert error.code == ProblemCode.FILE_NOT_TEXT
    assert "binary data" in error.message


@pytest.mark.parametrize("data", [b"PK\x03\x04rest of a workbook", b"\xd0\xcf\x11\xe0old workbook"])
def test_a_workbook_is_refused_with_advice(data):
    error = fail(data)
    assert error.code == ProblemCode.FILE_NOT_TEXT
    assert "Save it as CSV" in error.message


def test_utf_16_that_breaks_off_is_refused():
    assert fail("a,b".encode("utf-16") + b"\x00").code == ProblemCode.FILE_NOT_TEXT


def test_more_than_ten_megabytes_are_refused_unread():
    error = fail(b"x" * (10 * 1024 * 1024 + 1))
    assert error.code == ProblemCode.FILE_TOO_LARGE
    assert "10 MB" in error.message


def test_too_many_rows_are_refused(monkeypatch):
    monkeypatch.setattr(decode, "MAX_ROWS", 3)
    assert len(read_table(b"a\n1\n2\n3\n").rows) == 3
    error = fail(b"a\n1\n2\n3\n4\n")
    assert error.code == ProblemCode.FILE_TOO_LARGE
    assert "more than 3 rows" in error.message


@pytest.mark.parametrize("data", [b'a,b\n1,2\n"open,3\n4,5\n', b'a,b\n1,2\n"x"y,3\n'])
def test_broken_quotes_are_refused_with_their_line(data):
    error = fail(data)
    assert error.code == ProblemCode.FILE_BROKEN
    assert "line 3" in error.message


def test_a_giant_cell_is_refused():
    assert fail(b"a,b\n" + b"9" * 200_000 + b",1\n").code == ProblemCode.FILE_BROKEN
