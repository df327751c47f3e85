"""Importing through the pages: preview, confirm, undo, and every file that cannot be used."""

import uuid

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from billing.services import ensure_plans
from portfolios.enums import ImportStatus
from portfolios.imports import sample_files
from portfolios.imports.decode import MAX_BYTES
from portfolios.models import Break, ImportBatch, LedgerEntry, Portfolio
from tests.pages import sign_in, text_of
from tests.portfolios.builders import make_user

pytestmark = pytest.mark.django_db

HEADER = b"Date,Ticker,Shares Bought,Buy Price,Cost Basis,PnL,Reason,Shares Sold,Sell Price\n"
TRADE = b"2025-03-03,ZZKA,40.0,5.0,200.0,0.0,MANUAL BUY,,\n"


@pytest.fixture
def owner():
    ensure_plans()
    return make_user()


@pytest.fixture
def browser(owner):
    return sign_in(owner)


def page(name, *args):
    return reverse(f"portfolios:{name}", args=args)


def send(browser, *files, name="Tracker", cash="1000.00", **more):
    uploads = [SimpleUploadedFile(file_name, content) for file_name, content in files]
    return browser.post(
        page("import"), {"csv_files": uploads, "portfolio_name": name, "opening_cash": cash, **more}
    )


def preview(browser, *files, **more):
    response = send(browser, *(files or sample_files()), **more)
    assert response.status_code == 302, text_of(response)
    return ImportBatch.objects.latest("created_at")


def test_the_page_offers_samples_and_names_its_limits(browser):
    html = text_of(browser.get(page("import")))

    assert "at most 10 MB each" in html
    assert "No imports yet" in html
    for name, content in sample_files():
        sample = browser.get(page("import_sample", name))
        assert sample.content == content
        assert name in sample.headers["Content-Disposition"]
    assert browser.get(page("import_sample", "passwd")).status_code == 404


def test_a_preview_books_nothing_and_names_what_it_found(browser):
    batch = preview(browser)

    html = text_of(browser.get(page("import_detail", batch.pk)))

    assert not Portfolio.objects.exists()
    assert not LedgerEntry.objects.exists()
    assert "Trade log" in html
    assert "Daily positions and totals" in html
    assert "sample-trade-log.csv:" in html, "the false repeat is named with its file"
    assert "Line 7" in html
    assert "$871.00" in html, "cash after the last trade"
    assert "$870.50" in html, "cash in the last daily file"
    assert "ZZTO" in html


def test_differences_are_summed_up_by_cause(browser):
    batch = preview(browser)

    html = text_of(browser.get(page("import_detail", batch.pk)))

    assert "Cash:" in html
    assert "−$0.50" in html
    assert "on 1 day, 7 Mar 2025" in html


def test_confirming_books_the_rows_once(browser):
    batch = preview(browser)

    browser.post(page("import_apply", batch.pk))
    again = browser.post(page("import_apply", batch.pk), follow=True)

    book = Portfolio.objects.get()
    assert (book.name, str(book.cash)) == ("Tracker", "871")
    assert "in the book already" in text_of(again)
    html = text_of(browser.get(page("import_detail", batch.pk)))
    assert page("detail", book.pk) in html
    assert "Imported into Tracker" in html


def test_undo_asks_and_then_takes_everything_out(browser):
    batch = preview(browser)
    browser.post(page("import_apply", batch.pk))

    assert "Undo this import?" in text_of(browser.get(page("import_undo", batch.pk)))
    assert Portfolio.objects.exists()
    response = browser.post(page("import_undo", batch.pk), follow=True)

    assert not Portfolio.objects.exists()
    assert not Break.objects.exists()
    assert "Undone" in text_of(response)
    batch.refresh_from_db()
    assert batch.status == ImportStatus.UNDONE
    assert "Undone import" in text_of(browser.get(page("import_detail", batch.pk)))


def test_undoing_what_was_never_imported_changes_nothing(browser):
    batch = preview(browser)

    assert browser.get(page("import_undo", batch.pk)).url == page("import_detail", batch.pk)
    assert "never applied" in text_of(browser.post(page("import_undo", batch.pk), follow=True))


def test_a_preview_that_the_book_has_overtaken_is_not_booked(browser):
    stale = preview(browser, ("log.csv", HEADER + TRADE))
    fresh = preview(browser)
    browser.post(page("import_apply", fresh.pk))

    response = browser.post(page("import_apply", stale.pk), follow=True)

    assert "has changed since this preview" in text_of(response)


def test_an_imported_book_is_shown_with_its_differences(browser):
    browser.post(page("import_apply", preview(browser).pk))
    book = Portfolio.objects.get()

    html = text_of(browser.get(page("detail", book.pk)))
    assert "Imported history" in html
    assert "$871.00" in html
    differences = text_of(browser.get(page("differences", book.pk)))
    assert "$870.50" in differences
    found = Break.objects.get()
    one = text_of(browser.get(page("difference", book.pk, found.pk)))
    assert "Close it with a reason" in one
    assert "Adopt" not in one, "a file is no broker"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "The file is empty"),
        ("blank.csv", b" \n,,\n", "empty cells"),
        ("image.csv", b"\x89PNG\r\n\x1a\n\x00\x00\x01\x02", "binary data"),
        ("book.xlsx", b"PK\x03\x04rest", "spreadsheet workbook"),
        ("wrong.csv", b"Name,City\nAnn,Paris\n", "wrong.csv"),
        ("quotes.csv", HEADER + b'2025-03-03,"ZZKA,40\n', "quotation mark is not closed"),
    ],
)
def test_files_that_cannot_be_used_say_why_and_store_nothing(browser, name, content, words):
    response = send(browser, (name, content))

    assert response.status_code == 422
    assert words in text_of(response)
    assert "Nothing was" in text_of(response)
    assert not ImportBatch.objects.exists()


def test_a_file_of_fifty_megabytes_is_refused_unread(browser):
    huge = SimpleUploadedFile("huge.csv", b"x" * (50 * 1024 * 1024))

    response = browser.post(
        page("import"), {"csv_files": [huge], "portfolio_name": "T", "opening_cash": "100"}
    )

    assert response.status_code == 413
    assert "huge.csv is larger than 10 MB" in text_of(response)
    assert not ImportBatch.objects.exists()


def test_a_file_just_over_the_limit_is_refused(browser):
    response = send(browser, ("over.csv", b"x" * (MAX_BYTES + 1)))

    assert response.status_code == 413


def test_too_many_files_are_refused(browser):
    files = [(f"{number}.csv", HEADER + TRADE) for number in range(11)]

    response = send(browser, *files)

    assert response.status_code == 422
    assert "at most 10 files" in text_of(response)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + HEADER + TRADE,
        (HEADER + TRADE).replace(b"\n", b"\r\n"),
        (HEADER + TRADE).replace(b",", b";"),
    ],
)
def test_marks_line_ends_and_separators_do_not_matter(browser, content):
    batch = preview(browser, ("log.csv", content))

    assert batch.preview["summary"]["trades_read"] == 1


def test_formulas_stay_text_on_every_page(browser):
    line = TRADE.replace(b"MANUAL BUY", b'"=HYPERLINK(""http://x"",""<b>hi</b>"")"')
    batch = preview(browser, ("log.csv", HEADER + line))

    html = text_of(browser.get(page("import_detail", batch.pk)))
    browser.post(page("import_apply", batch.pk))
    export = text_of(browser.get(page("export", Portfolio.objects.get().pk, "ledger")))

    assert "<b>hi</b>" not in html
    assert "'=HYPERLINK" in export


@pytest.mark.parametrize("cash", ["", "-1", "abc", "NaN", "1e30", "0.001"])
def test_an_unusable_opening_cash_is_shown_again(browser, cash):
    response = send(browser, *sample_files(), cash=cash)

    assert response.status_code == 422
    assert not ImportBatch.objects.exists()


def test_a_missing_name_and_missing_files_are_named(browser):
    response = browser.post(page("import"), {"portfolio_name": " ", "opening_cash": "1"})

    html = text_of(response)
    assert response.status_code == 422
    assert "Choose one or more CSV files." in html
    assert "This field is required." in html


def test_another_opening_cash_for_a_known_book_is_refused(browser):
    browser.post(page("import_apply", preview(browser).pk))

    response = send(browser, *sample_files(), cash="5")

    assert response.status_code == 422
    assert "was opened with 1,000.00 USD" in text_of(response)


def test_strangers_find_nothing(browser):
    batch = preview(browser)
    stranger = sign_in(make_user("stranger@example.com"))

    assert stranger.get(page("import_detail", batch.pk)).status_code == 404
    assert stranger.post(page("import_apply", batch.pk)).status_code == 404
    assert stranger.get(page("import_undo", batch.pk)).status_code == 404
    assert stranger.post(page("import_undo", batch.pk)).status_code == 404
    assert "Tracker" not in text_of(stranger.get(page("import")))
    batch.refresh_from_db()
    assert batch.status == ImportStatus.PREVIEWED


def test_visitors_are_asked_to_sign_in():
    for address in (page("import"), page("import_detail", uuid.uuid4()), page("import_sample", "x.csv")):
        assert Client().get(address).url.startswith(reverse("account_login"))


def test_wrong_methods_are_refused(browser):
    batch = preview(browser)

    assert browser.get(page("import_apply", batch.pk)).status_code == 405
    assert browser.post(page("import_detail", batch.pk)).status_code == 405
    assert browser.put(page("import")).status_code == 405
