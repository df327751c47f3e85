"""What pages and exports are given: exact, scoped to the owner, None where nothing is known."""

import csv
import datetime as dt
import io
from decimal import Decimal

import pytest
from django.db import transaction

from brokers.enums import Side
from brokers.models import BrokerAccount, LatestQuote
from portfolios import holdings, selectors
from portfolios.exports import export_csv, write_cell
from portfolios.models import BenchmarkPrice, Break, EquitySnapshot, ImportBatch, LedgerEntry, Portfolio
from portfolios.services.booking import FillFact, book_fill
from tests.portfolios.builders import OPENED, fill, held, make_account, make_book, make_user
from tradeplatform.common.exceptions import NotFoundError
from tradeplatform.models import User

pytestmark = pytest.mark.django_db

NOW = OPENED + dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def own_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "quote_broker", lambda account: "feed")


@pytest.fixture
def owner() -> User:
    return make_user()


@pytest.fixture
def account(owner: User) -> BrokerAccount:
    return make_account(owner)


def book(account: BrokerAccount, *facts: FillFact) -> None:
    for fact in facts:
        with transaction.atomic():
            book_fill(account=BrokerAccount.objects.get(pk=account.pk), fill=fact)


def quote(symbol: str, last: str | None, previous_close: str | None, *, age: int = 1) -> None:
    LatestQuote.objects.create(
        broker="feed",
        symbol=symbol,
        bid=None,
        ask=None,
        bid_size=None,
        ask_size=None,
        last=Decimal(last) if last else None,
        previous_close=Decimal(previous_close) if previous_close else None,
        as_of=NOW - dt.timedelta(seconds=age),
        received_at=NOW,
    )


def test_holdings_have_value_unrealised_and_day_pnl_to_the_cent(account: BrokerAccount) -> None:
    portfolio = make_book(account, cash="500", positions=(held("ABCD", "10", "7"), held("WXYZ", "-5", "20")))
    book(
        account,
        fill("e1", Side.BUY, "10", "8.20", minute=24 * 60 - 30, commission="0.35"),
        fill("e2", Side.BUY, "2", "19", symbol="WXYZ", minute=24 * 60 - 20),
    )
    quote("ABCD", "8.50", "8")
    quote("WXYZ", "18", "21")

    view = selectors.holdings_view(Portfolio.objects.get(pk=portfolio.pk), now=NOW)

    first, second = view.rows
    assert (first.symbol, first.quantity, first.avg_price) == ("ABCD", Decimal(20), Decimal("7.6"))
    assert (first.market_value, first.cost) == (Decimal(170), Decimal("152.35"))
    assert first.unrealised_pnl == Decimal("17.65")
    # 10 held since the close gained 0.50 each; 10 bought today at 8.20 gained 0.30 each less commission.
    assert first.day_pnl == Decimal("7.65")
    assert (second.market_value, second.unrealised_pnl) == (Decimal(-54), Decimal(6))
    assert second.day_pnl == 3 * 3 + 2 * 2
    assert second.realised_pnl == 2
    assert view.cash == Decimal("379.65")
    assert (view.market_value, view.equity) == (Decimal(116), Decimal("495.65"))
    assert (view.unrealised_pnl, view.realised_pnl, view.day_pnl) == (
        Decimal("23.65"),
        Decimal(2),
        Decimal("20.65"),
    )
    assert first.share == Decimal(170) / Decimal("495.65")


def test_a_position_closed_today_counts_in_the_day_but_is_not_listed(account: BrokerAccount) -> None:
    portfolio = make_book(account, positions=(held("ABCD", "10", "7"),))
    book(account, fill("e1", Side.SELL, "10", "9", minute=24 * 60 - 30))
    quote("ABCD", "9.50", "8")

    view = selectors.holdings_view(portfolio, now=NOW)

    assert view.rows == ()
    assert view.day_pnl == 10


def test_a_missing_price_leaves_the_totals_unknown(account: BrokerAccount) -> None:
    portfolio = make_book(account, positions=(held("ABCD", "10", "7"), held("WXYZ", "1", "5")))
    quote("ABCD", "8", None)

    view = selectors.holdings_view(portfolio, now=NOW)

    assert view.unpriced == ("WXYZ",)
    assert (view.equity, view.market_value, view.unrealised_pnl, view.day_pnl) == (None, None, None, None)
    assert view.rows[0].market_value == 80
    assert view.rows[0].day_pnl is None
    assert selectors.allocation_of(view) == []


def test_the_newer_of_quote_and_sync_price_is_used(account: BrokerAccount) -> None:
    portfolio = make_book(account, positions=(held("ABCD", "10", "7", market_price=Decimal("7.7")),))
    assert selectors.holdings_view(portfolio, now=NOW).rows[0].last == Decimal("7.7")

    quote("ABCD", "8", "7.5")

    row = selectors.holdings_view(portfolio, now=NOW).rows[0]
    assert (row.last, row.priced_at) == (Decimal(8), NOW - dt.timedelta(seconds=1))
    LatestQuote.objects.update(as_of=OPENED - dt.timedelta(days=3))
    assert selectors.holdings_view(portfolio, now=NOW).rows[0].last == Decimal("7.7")


def test_day_pnl_falls_back_to_the_balances_of_the_broker(account: BrokerAccount) -> None:
    portfolio = make_book(account, positions=(held("ABCD", "10", "7"),))
    assert selectors.day_pnl_of(Portfolio.objects.get(pk=portfolio.pk), now=NOW) is None
    BrokerAccount.objects.filter(pk=account.pk).update(equity=Decimal(1600), last_equity=Decimal(1070))
    LedgerEntry.objects.create(
        portfolio=portfolio, kind="transfer", source_key="activity:t", amount=Decimal(500), occurred_at=NOW
    )

    assert selectors.day_pnl_of(Portfolio.objects.get(pk=portfolio.pk), now=NOW) == 30


def test_allocation_lists_positions_and_cash_by_size(account: BrokerAccount) -> None:
    portfolio = make_book(account, cash="100", positions=(held("ABCD", "10", "7"),))
    quote("ABCD", "30", "30")

    parts = selectors.allocation_of(selectors.holdings_view(portfolio, now=NOW))

    assert [(part.label, part.value, part.share) for part in parts] == [
        ("ABCD", Decimal(300), Decimal("0.75")),
        ("Cash", Decimal(100), Decimal("0.25")),
    ]


def test_lots_say_where_they_came_from_and_how_long_they_are_held(account: BrokerAccount) -> None:
    portfolio = make_book(account, positions=(held("ABCD", "10", "7"),))
    book(account, fill("e1", Side.BUY, "5", "8", commission="1"))

    a_year = OPENED.replace(year=2027)
    rows = selectors.lots_view(portfolio, now=a_year)
    assert [(row.source, row.remaining, row.cost) for row in rows] == [
        ("Opening position", Decimal(10), Decimal(70)),
        ("Fill", Decimal(5), Decimal(41)),
    ]
    assert {row.is_long_term for row in rows} == {False}
    later = selectors.lots_view(portfolio, now=a_year + dt.timedelta(days=1))
    assert {row.is_long_term for row in later} == {True}
    assert selectors.lots_view(portfolio, now=NOW, symbol="NONE") == []


def test_realised_pnl_adds_up_by_symbol_and_by_month(account: BrokerAccount) -> None:
    portfolio = make_book(account, positions=(held("ABCD", "10", "7"), held("WXYZ", "4", "5")))
    book(
        account,
        fill("e1", Side.SELL, "4", "8"),
        fill("e2", Side.SELL, "6", "9", minute=60 * 24 * 40),
        fill("e3", Side.SELL, "4", "4", symbol="WXYZ"),
    )

    by_symbol = [
        (row.label, row.closures, row.realised_pnl) for row in selectors.realised_by_symbol(portfolio)
    ]
    assert by_symbol == [("ABCD", 2, Decimal(16)), ("WXYZ", 1, Decimal(-4))]
    by_month = [(row.label, row.realised_pnl) for row in selectors.realised_by_month(portfolio)]
    assert by_month == [("2026-04", Decimal(12)), ("2026-03", Decimal(0))]


def snapshot(portfolio: Portfolio, day: int, equity: str, *, hour: int = 20, flow: str = "0") -> None:
    at = dt.datetime(2026, 3, day, hour, tzinfo=dt.UTC)
    EquitySnapshot.objects.create(
        portfolio=portfolio,
        at=at,
        trade_date=at.date(),
        equity=Decimal(equity),
        cash=Decimal(equity),
        net_flow=Decimal(flow),
    )


def test_the_equity_curve_takes_the_last_point_of_a_day_and_a_scaled_benchmark(
    account: BrokerAccount,
) -> None:
    portfolio = make_book(account)
    snapshot(portfolio, 2, "1010.555")
    snapshot(portfolio, 3, "900", hour=15)
    snapshot(portfolio, 3, "1020")
    for day, close in ((2, "500"), (3, "550")):
        BenchmarkPrice.objects.create(symbol="SPY", date=dt.date(2026, 3, day), close=Decimal(close))

    curve = selectors.equity_curve(portfolio, benchmark="SPY")

    assert curve == {
        "currency": "USD",
        "series": [
            {
                "name": "Equity",
                "points": [
                    {"time": "2026-03-02", "value": "1010.56"},
                    {"time": "2026-03-03", "value": "1020"},
                ],
            },
            {
                "name": "SPY",
                "points": [
                    {"time": "2026-03-02", "value": "1010.56"},
                    {"time": "2026-03-03", "value": "1111.61"},
                ],
            },
        ],
    }
    intraday = selectors.equity_curve(portfolio, intraday=True)["series"][0]["points"]
    assert [point["value"] for point in intraday] == ["900", "1020"]


def test_performance_takes_deposits_out_and_says_why_a_figure_is_missing(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    empty = selectors.performance_of(portfolio)
    assert empty["time_weighted_return"].value is None
    assert empty["time_weighted_return"].reason == "Needs at least two days of history."

    snapshot(portfolio, 3, "1100")
    snapshot(portfolio, 4, "1760", flow="500")
    view = selectors.performance_of(portfolio)

    # 10 % on the first day, 1760 / 1600 on the second.
    assert view["time_weighted_return"].value == Decimal("0.21")
    assert (view.start_equity, view.end_equity, view.net_flow) == (Decimal(1000), Decimal(1760), Decimal(500))
    assert view["max_drawdown"].value == 0
    assert view["sharpe_ratio"].value is None
    assert view["sharpe_ratio"].reason == "Needs 20 daily returns to mean anything; there are 2."
    assert view["benchmark_return"].reason == "There are no SPY prices for these days yet."
    assert view["annualised_return"].reason.startswith("Given from a year of history on")


def test_performance_against_a_benchmark_gives_beta_and_both_returns(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    EquitySnapshot.objects.all().delete()
    equity, close = Decimal(1000), Decimal(500)
    for day in range(1, 26):
        snapshot(portfolio, day, str(equity))
        BenchmarkPrice.objects.create(symbol="SPY", date=dt.date(2026, 3, day), close=close)
        step = Decimal("0.01") if day % 3 else Decimal("-0.012")
        equity = (equity * (1 + 2 * step)).quantize(Decimal("0.000001"))
        close = (close * (1 + step)).quantize(Decimal("0.000001"))

    view = selectors.performance_of(portfolio)

    assert view["beta"].value == pytest.approx(Decimal(2), abs=Decimal("0.0001"))
    assert view["correlation"].value == pytest.approx(Decimal(1), abs=Decimal("0.0001"))
    assert all(view[key].value is not None for key in ("sharpe_ratio", "sortino_ratio", "volatility"))
    assert view["benchmark_return"].value is not None
    assert all(figure.reason == "" for figure in view.figures if figure.value is not None)


def make_break(portfolio: Portfolio, **values: object) -> Break:
    facts = {"kind": "cash", "ours": "10.5", "theirs": "11", "status": "open", **values}
    return Break.objects.create(portfolio=portfolio, **facts)


def test_open_differences_are_listed_and_those_seen_once_are_not(account: BrokerAccount, owner: User) -> None:
    portfolio = make_book(account)
    found = make_break(portfolio, first_seen_at=NOW - dt.timedelta(hours=2))
    make_break(portfolio, kind="position_quantity", symbol="ABCD", status="seen")

    assert list(selectors.open_breaks_for(owner)) == [found]
    assert selectors.differing_books_for(owner) == [(portfolio, 1)]
    row = selectors.describe_breaks(selectors.breaks_for(owner), now=NOW)[0]
    assert (row.label, row.ours, row.theirs, row.difference) == (
        "Cash",
        Decimal("10.5"),
        Decimal(11),
        Decimal("0.5"),
    )
    assert (row.age, row.can_adopt, row.is_money) == (dt.timedelta(hours=2), True, True)


def test_strangers_see_nothing(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    found = make_break(portfolio)
    batch = ImportBatch.objects.create(user=account.user, portfolio_name="x", files_hash="h")
    stranger = make_user("stranger@example.com")

    assert not selectors.portfolios_for(stranger).exists()
    assert not selectors.open_breaks_for(stranger).exists()
    assert not selectors.imports_for(stranger).exists()
    for read, key in (
        (selectors.get_portfolio_for, portfolio.pk),
        (selectors.get_break_for, found.pk),
        (selectors.get_import_for, batch.pk),
    ):
        assert read(account.user, key).pk == key
        with pytest.raises(NotFoundError):
            read(stranger, key)
        with pytest.raises(NotFoundError):
            read(account.user, "no-such-id")


def test_exports_are_exact_and_spreadsheets_run_nothing_of_them(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    book(account, fill("e1", Side.BUY, "0.123456789", "3", commission="0.01"))
    LedgerEntry.objects.create(
        portfolio=portfolio,
        kind="fee",
        source_key="activity:f",
        amount=Decimal(-1),
        occurred_at=NOW,
        note="=1+1",
    )

    rows = list(csv.reader(io.StringIO(export_csv(portfolio, "ledger", now=NOW))))

    assert rows[2] == [
        "2026-03-02T15:01:00+00:00",
        "Fill",
        "ABCD",
        "0.123456789",
        "3",
        "0.01",
        "-0.380370367",
        "",
        "exec:e1",
    ]
    assert rows[3][7] == "'=1+1"
    for kind in ("holdings", "lots", "closures"):
        assert export_csv(portfolio, kind, now=NOW).count("\r\n") >= 1
    with pytest.raises(NotFoundError):
        export_csv(portfolio, "secrets", now=NOW)


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("-2", "-2"),
        ("+cmd|' /C calc'", "'+cmd|' /C calc'"),
        ("", ""),
    ],
)
def test_cells_that_look_like_formulas_are_quoted(cell: str, written: str) -> None:
    assert write_cell(cell) == written


def test_positions_and_the_book_of_an_account(account: BrokerAccount) -> None:
    assert selectors.portfolio_of(account) is None
    portfolio = make_book(account, positions=(held("ABCD", "1", "7"), held("WXYZ", "2", "3")))
    book(account, fill("e1", Side.SELL, "1", "8"))

    assert selectors.portfolio_of(account) == portfolio
    assert [row.symbol for row in selectors.positions_of(portfolio)] == ["WXYZ"]
    assert [row.kind for row in selectors.entries_of(portfolio)][0] == "fill"
