"""Imports on the database: previewed, applied once, extended, undone; strangers and bad files."""

import datetime as dt
from decimal import Decimal

import pytest

from portfolios.imports import sample_files
from portfolios.imports.samples import SAMPLE_OPENING_CASH
from portfolios.imports.types import CashAdjustment
from portfolios.models import Break, EquitySnapshot, ImportBatch, LedgerEntry, Portfolio, Position
from portfolios.selectors import performance_of, realised_by_symbol, same_cause_as
from portfolios.services.breaks import resolve_break, resolve_breaks
from portfolios.services.imports import (
    ApplyResult,
    apply_import,
    discard_preview,
    preview_import,
    undo_import,
)
from portfolios.services.rebuild import check_book
from tests.portfolios.builders import make_user
from tradeplatform.common.exceptions import ConflictError, InvalidRequest, NotFoundError
from tradeplatform.models import AuditEntry, User

pytestmark = pytest.mark.django_db

LOG_HEADER = "Date,Ticker,Shares Bought,Buy Price,Cost Basis,PnL,Reason,Shares Sold,Sell Price\n"
DAY_HEADER = (
    "Date,Ticker,Shares,Buy Price,Cost Basis,Stop Loss,Current Price,Total Value,PnL,Action,"
    "Cash Balance,Total Equity\n"
)
LOG = LOG_HEADER + (
    "2025-03-03,QQAA,10,5.00,50.00,0,MANUAL BUY,,\n"
    "2025-03-04,QQAA,,,20.00,4.00,MANUAL SELL,4,6.00\n"
    "2025-03-04,QQAA,,,20.00,4.00,MANUAL SELL,4,6.00\n"
    "2025-03-04,QQAA,,,20.00,4.00,MANUAL SELL,4,6.00\n"
)
LONGER_LOG = LOG + "2025-03-05,QQBB,2,7.50,15.00,0,MANUAL BUY,,\n"
DAYS = DAY_HEADER + (
    "2025-03-03,QQAA,10,5.00,50.00,4,5.10,51.00,1.00,HOLD,,\n"
    "2025-03-03,TOTAL,,,,,,51.00,1.00,,50.00,101.00\n"
    "2025-03-04,QQAA,2,5.00,10.00,4,6.00,12.00,2.00,HOLD,,\n"
    "2025-03-04,TOTAL,,,,,,12.00,2.00,,99.00,111.00\n"
)
LONGER_DAYS = DAYS + (
    "2025-03-05,QQAA,2,5.00,10.00,4,6.50,13.00,3.00,HOLD,,\n2025-03-05,TOTAL,,,,,,13.00,3.00,,83.00,96.00\n"
)


@pytest.fixture
def user() -> User:
    return make_user()


def preview(user: User, log: str = LOG, days: str = DAYS, *, cash: str = "100") -> ImportBatch:
    files = [("trades.csv", log.encode()), ("days.csv", days.encode())]
    return preview_import(user=user, files=files, portfolio_name="Tracker", opening_cash=Decimal(cash))


def run(user: User, log: str = LOG, days: str = DAYS) -> ApplyResult:
    return apply_import(user=user, batch_id=preview(user, log, days).pk)


def imported(user: User) -> Portfolio:
    portfolio = Portfolio.objects.get(user=user, kind="imported")
    assert check_book(portfolio) == []
    return portfolio


def test_a_preview_says_what_would_happen_and_books_nothing(user: User) -> None:
    batch = preview(user)

    summary = batch.preview["summary"]
    assert (summary["trades_read"], summary["trades_to_book"], summary["rows_new"]) == (4, 3, 3)
    assert summary["repeats_dropped"] == 1
    assert "repeats line 3" in batch.preview["dropped_repeats"][0]["message"]
    assert (summary["final_cash"], summary["logged_cash"]) == ("98", "99")
    assert (summary["cash_break_days"], summary["position_break_days"]) == (1, 0)
    assert batch.preview["breaks"][0]["ours"] == "98"
    assert batch.preview["breaks"][0]["theirs"] == "99"
    assert batch.status == "previewed"
    assert not Portfolio.objects.exists()
    assert not LedgerEntry.objects.exists()


def test_applying_books_trades_breaks_and_the_equity_history(user: User) -> None:
    result = run(user)

    portfolio = imported(user)
    assert (result.added, result.already_imported) == (3, False)
    assert result.message == "3 rows added to “Tracker”."
    assert (portfolio.cash, portfolio.realised_pnl) == (Decimal(98), Decimal(8))
    position = Position.objects.get(portfolio=portfolio)
    assert (position.quantity, position.avg_price, position.market_price) == (2, 5, 6)
    found = Break.objects.get()
    assert (found.kind, found.ours, found.theirs, found.as_of_date, found.status) == (
        "cash",
        "98",
        "99",
        dt.date(2025, 3, 4),
        "open",
    )
    points = EquitySnapshot.objects.values_list("trade_date", "equity", "source")
    assert list(points) == [
        (dt.date(2025, 2, 28), Decimal(100), "opening"),
        (dt.date(2025, 3, 3), Decimal(101), "import"),
        (dt.date(2025, 3, 4), Decimal(111), "import"),
    ]
    assert performance_of(portfolio)["time_weighted_return"].value == Decimal("0.11")
    assert realised_by_symbol(portfolio)[0].realised_pnl == 8
    assert AuditEntry.objects.get(action="import_applied").data["rows"] == 3


def test_applying_twice_and_importing_the_same_files_again_add_nothing(user: User) -> None:
    batch = preview(user)
    apply_import(user=user, batch_id=batch.pk)

    again = apply_import(user=user, batch_id=batch.pk)
    same_files = run(user)

    assert (again.added, again.already_imported) == (0, True)
    assert (same_files.added, same_files.already_imported) == (0, True)
    assert same_files.message == "Everything in these files is in “Tracker” already. Nothing was added."
    assert imported(user).cash == 98
    assert Break.objects.count() == 1


def test_longer_files_add_only_their_new_rows(user: User) -> None:
    run(user)

    result = run(user, LONGER_LOG, LONGER_DAYS)

    assert result.added == 1
    assert imported(user).cash == 83
    assert LedgerEntry.objects.filter(kind="fill").count() == 4
    assert EquitySnapshot.objects.count() == 4
    facts = sorted(Break.objects.values_list("as_of_date", "kind", "symbol"))
    assert facts == [(dt.date(2025, 3, 4), "cash", ""), (dt.date(2025, 3, 5), "position", "QQBB")]


def test_new_days_without_new_trades_extend_the_history(user: User) -> None:
    run(user)

    result = run(user, LOG, LONGER_DAYS)

    assert (result.added, result.already_imported) == (0, False)
    assert EquitySnapshot.objects.latest("at").equity == 96
    assert imported(user).cash == 98


def test_a_continuation_is_checked_on_top_of_what_is_booked(user: User) -> None:
    run(user)
    later = LOG_HEADER + "2025-03-05,QQAA,,,10.00,4.00,MANUAL SELL,2,7.00\n"
    days = DAY_HEADER + "2025-03-05,TOTAL,,,,,,0,0,,112.00,112.00\n"

    batch = preview(user, later, days)

    assert batch.preview["summary"]["final_cash"] == "112"
    assert batch.preview["breaks"] == []
    apply_import(user=user, batch_id=batch.pk)
    assert imported(user).realised_pnl == 12
    assert not Position.objects.exclude(quantity=0).exists()


def test_undoing_takes_everything_of_the_import_out(user: User) -> None:
    batch = preview(user)
    apply_import(user=user, batch_id=batch.pk)

    result = undo_import(user=user, batch_id=batch.pk)

    assert (result.removed, result.book_removed) == (3, True)
    assert not Portfolio.objects.exists()
    assert not LedgerEntry.objects.exists()
    assert not Break.objects.exists()
    assert not EquitySnapshot.objects.exists()
    batch.refresh_from_db()
    assert (batch.status, batch.portfolio) == ("undone", None)
    assert undo_import(user=user, batch_id=batch.pk).removed == 0
    assert run(user).added == 3


def test_undoing_an_extension_brings_the_earlier_state_back(user: User) -> None:
    first = preview(user)
    apply_import(user=user, batch_id=first.pk)
    second = run(user, LONGER_LOG, LONGER_DAYS).batch

    with pytest.raises(ConflictError) as caught:
        undo_import(user=user, batch_id=first.pk)
    assert caught.value.code == "later_import_exists"
    undo_import(user=user, batch_id=second.pk)

    assert imported(user).cash == 98
    assert list(Break.objects.values_list("as_of_date", "ours")) == [(dt.date(2025, 3, 4), "98")]
    assert EquitySnapshot.objects.count() == 3


def test_what_a_person_resolved_stays_resolved_through_later_imports(user: User) -> None:
    run(user)
    resolve_break(break_id=Break.objects.get().pk, resolution="Interest", actor=user.email, owner=user)

    run(user, LONGER_LOG, LONGER_DAYS)

    resolved = Break.objects.filter(as_of_date=dt.date(2025, 3, 4))
    assert [row.status for row in resolved] == ["resolved"]


def test_an_imported_value_cannot_be_adopted(user: User) -> None:
    run(user)

    with pytest.raises(InvalidRequest) as caught:
        resolve_break(break_id=Break.objects.get().pk, resolution="x", actor=user.email, adopt=True)

    assert caught.value.code == "nothing_to_adopt"
    assert imported(user).cash == 98


def test_a_preview_made_before_another_import_is_refused(user: User) -> None:
    stale = preview(user)
    run(user)

    with pytest.raises(ConflictError) as caught:
        apply_import(user=user, batch_id=stale.pk)

    assert caught.value.code == "preview_outdated"


def test_an_undone_import_is_not_applied_again(user: User) -> None:
    batch = preview(user)
    apply_import(user=user, batch_id=batch.pk)
    undo_import(user=user, batch_id=batch.pk)

    with pytest.raises(ConflictError):
        apply_import(user=user, batch_id=batch.pk)
    with pytest.raises(ConflictError):
        undo_import(user=user, batch_id=preview(user).pk)


def test_a_stranger_finds_no_import_and_gets_a_book_of_their_own(user: User) -> None:
    batch = preview(user)
    stranger = make_user("stranger@example.com")

    with pytest.raises(NotFoundError):
        apply_import(user=stranger, batch_id=batch.pk)
    with pytest.raises(NotFoundError):
        undo_import(user=stranger, batch_id="no-such-id")
    run(user)
    run(stranger)

    assert Portfolio.objects.filter(name="Tracker").count() == 2
    assert imported(stranger).cash == 98


def test_the_same_name_needs_the_same_opening_cash(user: User) -> None:
    run(user)

    with pytest.raises(InvalidRequest) as caught:
        preview(user, cash="200")

    assert caught.value.code == "opening_cash_differs"
    assert "opened with 100.00 USD" in caught.value.message


@pytest.mark.parametrize(
    ("name", "files", "cash", "code"),
    [
        ("  ", [("a.csv", LOG.encode())], "1", "name_invalid"),
        ("x" * 81, [("a.csv", LOG.encode())], "1", "name_invalid"),
        ("ok", [], "1", "files_missing"),
        ("ok", [("a.csv", LOG.encode())] * 11, "1", "files_missing"),
        ("ok", [("a.csv", b"x" * (10 * 1024 * 1024 + 1))], "1", "file_too_large"),
        ("ok", [("a.csv", b"\x00\x01\x02")], "1", "file_not_text"),
        ("ok", [("a.csv", b"")], "1", "file_empty"),
        ("ok", [("a.csv", b"Wrong,Columns\n1,2\n")], "1", "columns_unknown"),
        ("ok", [("a.csv", LOG_HEADER.encode())], "1", "nothing_to_import"),
        ("ok", [("a.csv", LOG.encode())], "-1", "opening_cash_invalid"),
        ("ok", [("a.csv", LOG.encode())], "NaN", "opening_cash_invalid"),
        ("ok", [("a.csv", LOG.encode())], "1e13", "opening_cash_invalid"),
    ],
)
def test_input_that_cannot_be_used_is_refused_with_a_code(
    user: User, name: str, files: list[tuple[str, bytes]], cash: str, code: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        preview_import(user=user, files=files, portfolio_name=name, opening_cash=Decimal(cash))

    assert caught.value.code == code
    assert not ImportBatch.objects.exists()


def test_a_bad_row_is_named_with_its_line_and_the_rest_is_read(user: User) -> None:
    log = LOG + "2025-03-06,=CMD(),1,5,5,0,MANUAL BUY,,\n"

    batch = preview(user, log)

    problem = next(row for row in batch.preview["problems"] if row["severity"] == "error")
    assert (problem["file"], problem["line"], problem["code"]) == ("trades.csv", 6, "cell_invalid")
    assert batch.preview["summary"]["trades_read"] == 4


def test_deposits_that_the_files_do_not_show_are_booked_as_flows(user: User) -> None:
    files = [("trades.csv", LOG.encode()), ("days.csv", DAYS.encode())]
    batch = preview_import(
        user=user,
        files=files,
        portfolio_name="Tracker",
        opening_cash=Decimal(100),
        adjustments=[CashAdjustment(dt.date(2025, 3, 4), Decimal(1), "Interest")],
    )

    apply_import(user=user, batch_id=batch.pk)

    assert imported(user).cash == 99
    assert not Break.objects.exists()
    assert EquitySnapshot.objects.get(trade_date=dt.date(2025, 3, 4)).net_flow == 1


def test_a_portfolio_file_alone_opens_positions_as_of_its_day(user: User) -> None:
    holdings = "Ticker,Shares,Cost Basis,Current Price,Total Value\nQQAA,10,5.00,6.00,60.00\n"
    batch = preview_import(
        user=user,
        files=[("holdings.csv", holdings.encode())],
        portfolio_name="Held",
        opening_cash=Decimal(40),
        as_of=dt.date(2025, 3, 3),
    )

    result = apply_import(user=user, batch_id=batch.pk)

    assert result.added == 1
    position = Position.objects.get(portfolio=imported(user))
    assert (position.quantity, position.avg_price, position.market_price) == (10, 5, 6)
    assert imported(user).cash == 40


def test_a_booked_row_that_turns_out_to_be_a_repeat_is_named_and_kept(user: User) -> None:
    twice = "2025-03-04,QQAA,,,20.00,4.00,MANUAL SELL,4,6.00\n" * 2
    log = LOG_HEADER + "2025-03-03,QQAA,10,5.00,50.00,0,MANUAL BUY,,\n" + twice
    run(user, log)
    later = log + "2025-03-05,QQAA,,,20.00,4.00,MANUAL SELL,4,6.50\n"

    batch = preview(user, later)

    assert [row["is_booked"] for row in batch.preview["dropped_repeats"]] == [True]
    assert "repeat_already_booked" in {row["code"] for row in batch.preview["problems"]}
    apply_import(user=user, batch_id=batch.pk)
    assert Position.objects.get(portfolio=imported(user)).quantity == -2


def test_the_sample_files_import_without_an_error(user: User) -> None:
    batch = preview_import(
        user=user,
        files=sample_files(),
        portfolio_name="Sample",
        opening_cash=Decimal(SAMPLE_OPENING_CASH),
    )

    result = apply_import(user=user, batch_id=batch.pk)

    assert result.added == batch.preview["summary"]["trades_to_book"] > 0
    assert not [row for row in batch.preview["problems"] if row["severity"] == "error"]
    assert imported(user).cash == Decimal(batch.preview["summary"]["final_cash"])
    assert imported(user).realised_pnl == Decimal(batch.preview["summary"]["realised_pnl"])


def test_a_preview_that_was_never_applied_can_be_discarded(user: User) -> None:
    batch = preview(user)
    stranger = make_user("stranger@example.com")
    with pytest.raises(NotFoundError):
        discard_preview(user=stranger, batch_id=batch.pk)

    discard_preview(user=user, batch_id=batch.pk)

    assert not ImportBatch.objects.exists()
    assert AuditEntry.objects.filter(action="import_discarded", object_id=str(batch.pk)).count() == 1


def test_an_applied_import_cannot_be_discarded(user: User) -> None:
    run(user)
    batch = ImportBatch.objects.get()
    with pytest.raises(ConflictError):
        discard_preview(user=user, batch_id=batch.pk)
    assert LedgerEntry.objects.filter(batch=batch).exists()


def test_all_differences_of_one_cause_are_closed_together(user: User) -> None:
    run(user)
    book, batch = Portfolio.objects.get(), ImportBatch.objects.get()
    Break.objects.all().delete()

    def differ(kind: str, day: int, ours: str, theirs: str, symbol: str = "") -> Break:
        return Break.objects.create(
            portfolio=book,
            batch=batch,
            kind=kind,
            symbol=symbol,
            as_of_date=dt.date(2026, 1, day),
            ours=ours,
            theirs=theirs,
            status="open",
        )

    first, same = differ("cash", 5, "10.00", "12.28"), differ("cash", 6, "20.001", "22.28")
    other, shares = differ("cash", 7, "10", "11"), differ("position", 5, "1", "2", "ABCD")
    assert same_cause_as(first) == [first.pk, same.pk]

    closed = resolve_breaks(
        break_ids=same_cause_as(first), resolution="Interest", actor=user.email, owner=user
    )

    assert [row.pk for row in closed] == [first.pk, same.pk]
    assert set(Break.objects.filter(resolution="Interest")) == {first, same}
    assert set(Break.objects.filter(resolved_at=None)) == {other, shares}
    with pytest.raises(NotFoundError):
        resolve_breaks(
            break_ids=[other.pk], resolution="x", actor="s", owner=make_user("stranger@example.com")
        )
