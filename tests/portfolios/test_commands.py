"""The commands print what they did and fail with a sentence."""

from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from portfolios.models import ImportBatch, LedgerEntry, Portfolio
from tests.portfolios.builders import held, make_account, make_book, make_user
from tests.portfolios.test_import_services import DAYS, LOG

pytestmark = pytest.mark.django_db


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    make_user()
    (tmp_path / "trades.csv").write_text(LOG)
    (tmp_path / "days.csv").write_text(DAYS)
    return [str(tmp_path / "trades.csv"), str(tmp_path / "days.csv")]


def test_without_apply_the_import_is_only_reported(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("import_tracker", "owner@example.com", *files, "--opening-cash", "100", "--name", "Mine")

    report = capsys.readouterr().out
    assert "trades.csv: trade_log, 4 rows" in report
    assert "Trade rows read: 4, to book: 3, new: 3, known: 0" in report
    assert "Days checked: 2. Cash differs on 1, positions differ on 0." in report
    assert "2025-03-04 cash: ours 98, file 99" in report
    assert "Final cash: 98.00, logged: 99.00. Realised P&L: 8.00" in report
    assert "Still held: 2 QQAA" in report
    assert "Nothing was booked" in report
    assert not Portfolio.objects.exists()


def test_apply_books_and_undo_takes_it_out_again(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("import_tracker", "OWNER@example.com", *files, "--opening-cash", "100", "--apply")
    assert "3 rows added to “Imported history”." in capsys.readouterr().out
    assert Portfolio.objects.get().cash == 98

    batch = ImportBatch.objects.get(status="applied")
    call_command("import_tracker", "owner@example.com", "--undo", str(batch.pk))

    assert "3 rows taken out of “Imported history”." in capsys.readouterr().out
    assert not LedgerEntry.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody@example.com"], "There is no user nobody@example.com."),
        (["owner@example.com"], "files_missing"),
        (["owner@example.com", "/no/such/file.csv"], "cannot be read"),
        (["owner@example.com", "--undo", "nothing"], "not_found"),
        (["owner@example.com", "--opening-cash", "lots"], "not a number"),
    ],
)
def test_mistakes_are_told_in_a_sentence(files: list[str], arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("import_tracker", *arguments)


def test_the_check_of_books_passes_fails_and_a_rebuild_repairs(capsys: pytest.CaptureFixture[str]) -> None:
    portfolio = make_book(make_account(make_user()), positions=(held("ABCD", "10", "7"),))
    call_command("rebuild_books", "--check")
    assert "1 books agree with their ledger." in capsys.readouterr().out

    Portfolio.objects.filter(pk=portfolio.pk).update(cash=Decimal(5))
    with pytest.raises(CommandError, match="1 of 1 books differ"):
        call_command("rebuild_books", "--check", "--portfolio", str(portfolio.pk))
    assert "Cash: stored 5, the ledger gives 1000." in capsys.readouterr().out

    call_command("rebuild_books")
    call_command("rebuild_books", "--check")
    with pytest.raises(CommandError, match="There is no book"):
        call_command("rebuild_books", "--portfolio", "nothing")
