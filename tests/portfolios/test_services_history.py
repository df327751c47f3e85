"""Daily closes, benchmark closes, and the tasks that keep them."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from brokers.models import BrokerAccount
from brokers.signals import account_linked
from brokers.types import Bar
from portfolios import tasks
from portfolios.models import BenchmarkPrice, EquitySnapshot, LedgerEntry, Portfolio
from portfolios.services import benchmarks
from portfolios.services.snapshots import add_past_closes, close_trade_date
from tests.portfolios.builders import make_account, make_book, make_user

pytestmark = pytest.mark.django_db

EVENING = dt.datetime(2026, 3, 5, 1, 15, tzinfo=dt.UTC)  # Wednesday 4 March, 20:15 in New York


@pytest.fixture
def account() -> BrokerAccount:
    return make_account(make_user())


def point(portfolio: Portfolio, at: dt.datetime, equity: str, flow: str = "0") -> EquitySnapshot:
    return EquitySnapshot.objects.create(
        portfolio=portfolio,
        at=at,
        trade_date=at.date(),
        equity=Decimal(equity),
        cash=Decimal(0),
        net_flow=Decimal(flow),
    )


def test_the_last_point_of_the_ended_trade_date_becomes_its_close_once(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    day = dt.datetime(2026, 3, 4, 15, tzinfo=dt.UTC)
    point(portfolio, day, "10")
    last = point(portfolio, day + dt.timedelta(hours=8), "11")

    assert close_trade_date(now=EVENING) == 1
    assert close_trade_date(now=EVENING + dt.timedelta(hours=10)) == 0

    assert EquitySnapshot.objects.get(source="close") == last


def test_a_book_without_a_point_of_the_day_gets_no_close(account: BrokerAccount) -> None:
    make_book(account)
    assert close_trade_date(now=EVENING) == 0


def test_old_points_are_thinned_to_the_last_of_each_day_and_keep_their_flows(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    EquitySnapshot.objects.all().delete()
    old = dt.datetime(2026, 1, 5, 15, tzinfo=dt.UTC)
    point(portfolio, old, "10", "3")
    point(portfolio, old + dt.timedelta(hours=1), "11", "4")
    point(portfolio, old + dt.timedelta(days=1), "12")
    recent = dt.datetime(2026, 3, 2, 15, tzinfo=dt.UTC)
    point(portfolio, recent, "13")
    point(portfolio, recent + dt.timedelta(hours=1), "14")

    close_trade_date(now=EVENING)

    kept = EquitySnapshot.objects.values_list("equity", "net_flow")
    assert list(kept) == [
        (Decimal(11), Decimal(7)),
        (Decimal(12), Decimal(0)),
        (Decimal(13), Decimal(0)),
        (Decimal(14), Decimal(0)),
    ]


def bar(day: int, close: str) -> Bar:
    start = dt.datetime(2026, 3, day, 5, tzinfo=dt.UTC)
    price = Decimal(close)
    return Bar(start=start, open=price, high=price, low=price, close=price, volume=Decimal(1))


def test_benchmark_closes_are_stored_corrected_and_never_before_the_close(
    account: BrokerAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    answers = [[bar(2, "500.10"), bar(3, "501"), bar(4, "502")], [bar(3, "501.5"), bar(4, "503")]]

    def get_bars(account: BrokerAccount, symbol: str, **values: Any) -> list[Bar]:
        asked.append(values)
        return answers.pop(0)

    monkeypatch.setattr(benchmarks, "get_bars", get_bars)
    before_close = dt.datetime(2026, 3, 4, 20, 59, tzinfo=dt.UTC)

    assert benchmarks.refresh_benchmark(account=account, now=before_close) == 2
    assert benchmarks.refresh_benchmark(account=account, now=EVENING) == 2

    closes = BenchmarkPrice.objects.values_list("date", "close")
    assert list(closes) == [
        (dt.date(2026, 3, 2), Decimal("500.1")),
        (dt.date(2026, 3, 3), Decimal("501.5")),
        (dt.date(2026, 3, 4), Decimal(503)),
    ]
    assert asked[0]["start"] == before_close - dt.timedelta(days=400)
    assert asked[1]["start"] == dt.datetime(2026, 2, 24, 5, tzinfo=dt.UTC)


def test_only_books_that_nothing_has_synced_lately_are_queued(
    account: BrokerAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[tuple[Any, ...]] = []
    monkeypatch.setattr(tasks, "enqueue_on_commit", lambda task, *args: queued.append((task.name, *args)))
    make_book(account)
    BrokerAccount.objects.update(synced_at=tasks.utc_now())
    stale = make_account(account.user, broker_account_id="A2")
    make_book(stale)
    BrokerAccount.objects.filter(pk=stale.pk).update(synced_at=tasks.utc_now() - dt.timedelta(minutes=3))
    never_opened = make_account(account.user, broker_account_id="A3")
    BrokerAccount.objects.filter(pk=never_opened.pk).update(synced_at=tasks.utc_now())

    assert tasks.sync_active_accounts() == 2

    name = "portfolios.tasks.sync_account_book"
    assert sorted(queued) == sorted([(name, str(stale.pk), False), (name, str(never_opened.pk), False)])


def test_linking_an_account_opens_its_book_at_once(account: BrokerAccount, monkeypatch: Any) -> None:
    opened: list[Any] = []
    monkeypatch.setattr("portfolios.receivers.open_linked_account", opened.append)

    account_linked.send(sender=BrokerAccount, account_id=account.pk, created=True)

    assert opened == [account.pk]


def test_days_before_anybody_watched_get_a_close_from_ledger_and_prices(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    opened_at = dt.datetime(2026, 3, 2, 15, tzinfo=dt.UTC)
    LedgerEntry.objects.filter(portfolio=portfolio).update(occurred_at=opened_at)
    Portfolio.objects.filter(pk=portfolio.pk).update(opened_at=opened_at)
    bought_at = dt.datetime(2026, 3, 3, 15, tzinfo=dt.UTC)
    LedgerEntry.objects.create(
        portfolio=portfolio,
        kind="fill",
        source_key="fill:x",
        symbol="ABCD",
        quantity=Decimal(2),
        price=Decimal(10),
        amount=Decimal(-20),
        occurred_at=bought_at,
    )
    cash = sum(LedgerEntry.objects.filter(portfolio=portfolio).values_list("amount", flat=True))
    EquitySnapshot.objects.all().delete()
    prices = {dt.date(2026, 3, day): Decimal(day) for day in (2, 3, 5)}

    assert add_past_closes(account_id=account.pk, closes={"ABCD": prices, "EFGH": {}}) == 3
    assert add_past_closes(account_id=account.pk, closes={"ABCD": prices}) == 0

    found = EquitySnapshot.objects.order_by("at").values_list("trade_date", "equity", "source")
    assert list(found) == [
        (dt.date(2026, 3, 2), cash + 20, "close"),
        (dt.date(2026, 3, 3), cash + 2 * 3, "close"),
        (dt.date(2026, 3, 5), cash + 2 * 5, "close"),
    ]
