"""The pages of a book: figures as booked, choices about differences, exports, and who may see them."""

import datetime as dt
import uuid
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from billing.services import ensure_plans
from brokers.enums import Side
from portfolios.enums import BreakStatus
from portfolios.models import Break, EquitySnapshot, LedgerEntry, Portfolio, Position
from portfolios.services.booking import book_fill
from tests.pages import sign_in, text_of
from tests.portfolios.builders import OPENED, fill, held, make_account, make_book, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner():
    ensure_plans()
    return make_user()


@pytest.fixture
def book(owner):
    """1,000 dollars and 10 ABCD at 20; 4 more bought at 22, 6 sold at 25; now worth 26 a share."""
    account = make_account(owner)
    portfolio = make_book(account, positions=(held("ABCD", "10", "20"),))
    book_fill(account=account, fill=fill("e1", Side.BUY, "4", "22"))
    book_fill(account=account, fill=fill("e2", Side.SELL, "6", "25", minute=2))
    Position.objects.filter(symbol="ABCD").update(
        market_price=Decimal(26), previous_close=Decimal(24), priced_at=OPENED
    )
    return Portfolio.objects.get(pk=portfolio.pk)


@pytest.fixture
def browser(owner):
    return sign_in(owner)


def page(name, *args):
    return reverse(f"portfolios:{name}", args=args)


def make_break(book, **changes):
    values = {
        "portfolio": book,
        "kind": "cash",
        "ours": str(book.cash),
        "theirs": "1100",
        "status": BreakStatus.OPEN,
        "owner": book.user.email,
        **changes,
    }
    return Break.objects.create(**values)


def test_holdings_show_what_was_booked(browser, book):
    html = text_of(browser.get(page("overview")))

    assert book.cash == Decimal("1062")
    for figure in ("$1,062.00", "$208.00", "$1,270.00", "+$30.00", "16.4%", "ABCD"):
        assert figure in html, figure
    assert f'href="{page("lots", book.pk, "ABCD")}"' in html


def test_a_position_without_a_price_leaves_totals_open(browser, book):
    Position.objects.update(market_price=None)

    html = text_of(browser.get(page("detail", book.pk)))

    assert "There is no price for ABCD" in html
    assert "$1,270.00" not in html


def test_the_panel_is_the_figures_alone(browser, book):
    html = text_of(browser.get(page("holdings_panel", book.pk)))

    assert "$1,270.00" in html
    assert "<html" not in html


def test_without_any_book_the_page_says_what_to_do(browser):
    html = text_of(browser.get(page("overview")))

    assert "No portfolio yet" in html
    assert page("import") in html


def test_an_account_whose_book_is_not_open_yet_says_so(browser, owner):
    make_account(owner)

    assert "The book is being opened" in text_of(browser.get(page("overview")))


def test_another_book_is_chosen_by_its_id(browser, book):
    assert browser.get(page("overview"), {"portfolio": str(book.pk)}).url == page("detail", book.pk)
    assert browser.get(page("overview"), {"portfolio": "nonsense"}).status_code == 404


def test_lots_show_what_is_left_of_each_purchase(browser, book):
    html = text_of(browser.get(page("lots", book.pk, "ABCD")))

    assert "Opening position" in html
    assert "$80.00" in html, "4 of the first 10 remain, at 20"
    assert "$88.00" in html, "4 at 22"
    assert "+$30.00" in html, "realised"
    assert browser.get(page("lots", book.pk, "NONE")).status_code == 404


def test_realised_results_by_symbol_and_month(browser, book):
    html = text_of(browser.get(page("realised", book.pk)))

    assert "2026-03" in html
    assert "$150.00" in html
    assert "$120.00" in html
    assert "+$30.00" in html


def test_nothing_realised_has_its_own_words(browser, owner):
    book = make_book(make_account(owner))

    assert "Nothing was sold yet" in text_of(browser.get(page("realised", book.pk)))


def test_activity_is_paged_newest_first(browser, book):
    for number in range(60):
        LedgerEntry.objects.create(
            portfolio=book,
            kind="dividend",
            source_key=f"d{number}",
            amount=Decimal(number),
            occurred_at=OPENED + dt.timedelta(days=number + 1),
        )

    first = text_of(browser.get(page("activity", book.pk)))
    second = text_of(browser.get(page("activity", book.pk), {"page": "2"}))

    assert "Page 1 of 2" in first
    assert "+$59.00" in first
    assert "+$59.00" not in second
    assert "Opening cash" in second


def test_performance_gives_reasons_where_it_has_no_figure(browser, book):
    html = text_of(browser.get(page("performance", book.pk)))

    assert "No history yet" in html or "Needs at least two days of history." in html


def test_performance_over_a_range(browser, book):
    EquitySnapshot.objects.all().delete()
    today = dt.datetime.now(dt.UTC)
    for days, equity in ((200, "1000"), (20, "1100"), (1, "1210")):
        at = today - dt.timedelta(days=days)
        EquitySnapshot.objects.create(
            portfolio=book, at=at, trade_date=at.date(), equity=Decimal(equity), cash=Decimal(0)
        )

    assert "+21.00%" in text_of(browser.get(page("performance", book.pk)))
    assert "+10.00%" in text_of(browser.get(page("performance", book.pk), {"range": "1m"}))
    assert "+21.00%" in text_of(browser.get(page("performance", book.pk), {"range": "nonsense"}))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("holdings", "ABCD,8,21,168,26,"),
        ("lots", "ABCD,2026-03-02T15:01:00+00:00,4,4,22,88"),
        ("closures", ",6,150,120,30"),
        ("ledger", "Fill,ABCD,-6,25"),
    ],
)
def test_exports_are_csv_files(browser, book, kind, words):
    response = browser.get(page("export", book.pk, kind))

    assert response.headers["Content-Type"].startswith("text/csv")
    assert f"-{kind}-" in response.headers["Content-Disposition"]
    assert words in text_of(response)


def test_an_unknown_export_is_not_found(browser, book):
    assert browser.get(page("export", book.pk, "secrets")).status_code == 404


def test_differences_show_both_values(browser, book):
    make_break(book)

    html = text_of(browser.get(page("differences", book.pk)))

    assert "$1,062.00" in html
    assert "$1,100.00" in html
    assert "+$38.00" in html
    assert "Differences (1)" in html


def test_agreement_has_its_own_words(browser, book):
    assert "Your book and the broker agree" in text_of(browser.get(page("differences", book.pk)))


def test_an_explanation_keeps_the_difference_open(browser, book, owner):
    found = make_break(book)

    browser.post(page("difference", book.pk, found.pk), {"choice": "explain", "text": "A fee"})

    found.refresh_from_db()
    assert (found.status, found.explanation, found.owner) == (BreakStatus.OPEN, "A fee", owner.email)


def test_closing_with_a_reason_leaves_the_book_alone(browser, book):
    found = make_break(book)

    browser.post(page("difference", book.pk, found.pk), {"choice": "close", "text": "Known"})

    found.refresh_from_db()
    book.refresh_from_db()
    assert (found.status, found.resolution, book.cash) == (BreakStatus.RESOLVED, "Known", Decimal(1062))
    everything = text_of(browser.get(page("differences", book.pk), {"show": "all"}))
    assert "Known" in everything


def test_adopting_books_a_correction_and_nothing_else(browser, book):
    found = make_break(book)

    response = browser.post(
        page("difference", book.pk, found.pk), {"choice": "adopt", "text": "Interest"}, follow=True
    )

    book.refresh_from_db()
    assert book.cash == Decimal(1100)
    assert LedgerEntry.objects.get(portfolio=book, kind="correction").amount == Decimal(38)
    assert "Nothing was traded" in text_of(response)


def test_adopting_after_the_book_moved_is_refused(browser, book):
    found = make_break(book, ours="900")

    response = browser.post(page("difference", book.pk, found.pk), {"choice": "adopt", "text": "x"})

    assert response.status_code == 409
    assert "Nothing was booked" in text_of(response)


@pytest.mark.parametrize("values", [{"choice": "adopt", "text": " "}, {"choice": "trade", "text": "x"}, {}])
def test_unusable_choices_are_shown_again(browser, book, values):
    found = make_break(book)

    response = browser.post(page("difference", book.pk, found.pk), values)

    found.refresh_from_db()
    assert response.status_code == 422
    assert found.status == BreakStatus.OPEN


def test_every_kind_of_difference_says_what_adopting_does(browser, book):
    for kind, symbol in (
        ("position_quantity", "ABCD"),
        ("missing_position", "ABCD"),
        ("unknown_position", "WXYZ"),
        ("average_price", "ABCD"),
    ):
        found = make_break(book, kind=kind, symbol=symbol, ours="1", theirs="2")
        html = text_of(browser.get(page("difference", book.pk, found.pk)))
        assert "None of these sends an order or moves money." in html
        assert "The correction stays visible in the activity." in html


PAGES = ("detail", "holdings_panel", "performance", "realised", "activity", "differences")


def test_strangers_find_nothing(book):
    found = make_break(book)
    browser = sign_in(make_user("stranger@example.com"))

    for name in PAGES:
        assert browser.get(page(name, book.pk)).status_code == 404, name
    assert browser.get(page("lots", book.pk, "ABCD")).status_code == 404
    assert browser.get(page("export", book.pk, "ledger")).status_code == 404
    address = page("difference", book.pk, found.pk)
    assert browser.get(address).status_code == 404
    assert browser.post(address, {"choice": "close", "text": "mine now"}).status_code == 404
    found.refresh_from_db()
    assert found.status == BreakStatus.OPEN


def test_a_difference_is_only_found_under_its_own_book(browser, book, owner):
    found = make_break(book)
    other = make_book(make_account(owner, broker_account_id="A2"))

    assert browser.get(page("difference", other.pk, found.pk)).status_code == 404


@pytest.mark.parametrize("name", PAGES)
def test_visitors_are_asked_to_sign_in(name):
    assert Client().get(page(name, uuid.uuid4())).url.startswith(reverse("account_login"))


@pytest.mark.parametrize("name", PAGES)
def test_pages_that_only_show_refuse_posts(browser, book, name):
    assert browser.post(page(name, book.pk)).status_code == 405
