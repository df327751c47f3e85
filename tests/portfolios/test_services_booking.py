"""Fills, busts and activities on the database: booked once, right to the cent, in any order."""

import datetime as dt
import itertools
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from brokers.enums import Side
from brokers.models import BrokerAccount
from brokers.types import BrokerActivity
from portfolios.lots import LotError
from portfolios.models import EquitySnapshot, LedgerEntry, Lot, LotClosure, Portfolio, Position
from portfolios.services.booking import FillFact, book_activity, book_fill, reverse_fill
from portfolios.services.rebuild import check_book, rebuild_book
from tests.portfolios.builders import OPENED, fill, held, make_account, make_book, make_user
from tradeplatform.models import UserEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> BrokerAccount:
    return make_account(make_user())


def book(account: BrokerAccount, fact: FillFact) -> bool:
    with transaction.atomic():
        locked = BrokerAccount.objects.select_for_update().get(pk=account.pk)
        return book_fill(account=locked, fill=fact)


def bust(account: BrokerAccount, exec_id: str) -> bool:
    with transaction.atomic():
        locked = BrokerAccount.objects.select_for_update().get(pk=account.pk)
        return reverse_fill(
            account=locked, exec_id=exec_id, at=OPENED + dt.timedelta(hours=1), reason="Busted by the broker"
        )


def act(account: BrokerAccount, activity_id: str, kind: str, **values: object) -> bool:
    facts: dict[str, object] = {
        "symbol": "",
        "amount": None,
        "quantity": None,
        "occurred_at": OPENED + dt.timedelta(hours=2),
        **values,
    }
    activity = BrokerActivity(activity_id=activity_id, kind=kind, **facts)  # type: ignore[arg-type]
    with transaction.atomic():
        locked = BrokerAccount.objects.select_for_update().get(pk=account.pk)
        return book_activity(account=locked, activity=activity)


def state(portfolio: Portfolio, symbol: str = "ABCD") -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Cash, quantity, average price and realised P&L of the book."""
    fresh = Portfolio.objects.get(pk=portfolio.pk)
    position = Position.objects.get(portfolio=portfolio, symbol=symbol)
    assert check_book(fresh) == []
    return fresh.cash, position.quantity, position.avg_price, fresh.realised_pnl


def test_a_fill_moves_cash_shares_and_average_exactly(account: BrokerAccount) -> None:
    portfolio = make_book(account)

    assert book(account, fill("e1", Side.BUY, "10", "12.34", commission="0.35")) is True

    assert state(portfolio) == (Decimal("876.25"), Decimal(10), Decimal("12.34"), Decimal(0))


def test_the_same_execution_twice_is_booked_once(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    book(account, fill("e1", Side.BUY, "10", "12.34"))

    assert book(account, fill("e1", Side.BUY, "10", "12.34")) is False

    assert state(portfolio)[:2] == (Decimal("876.6"), Decimal(10))
    assert LedgerEntry.objects.filter(portfolio=portfolio, kind="fill").count() == 1


def test_a_sale_closes_the_oldest_lot_first_and_realises_its_gain(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    book(account, fill("e1", Side.BUY, "10", "10.00", minute=1, commission="1"))
    book(account, fill("e2", Side.BUY, "10", "20.00", minute=2))
    book(account, fill("e3", Side.SELL, "15", "15.00", minute=3, commission="0.30"))

    # 10 shares cost 101 and 5 cost 100; the sale brings 225 less 0.30.
    assert state(portfolio) == (Decimal("923.7"), Decimal(5), Decimal(20), Decimal("23.7"))
    assert [lot.remaining for lot in Lot.objects.filter(portfolio=portfolio)] == [Decimal(0), Decimal(5)]
    assert [row.realised_pnl for row in LotClosure.objects.all()] == [Decimal("48.8"), Decimal("-25.1")]


def test_a_sale_beyond_the_holding_goes_short_and_a_purchase_covers_it(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    book(account, fill("e1", Side.BUY, "5", "10", minute=1))
    book(account, fill("e2", Side.SELL, "8", "12", minute=2))
    assert state(portfolio) == (Decimal(1046), Decimal(-3), Decimal(12), Decimal(10))

    book(account, fill("e3", Side.BUY, "3", "11", minute=3))

    assert state(portfolio) == (Decimal(1013), Decimal(0), Decimal(0), Decimal(13))


def test_fractions_of_nine_decimals_keep_every_digit(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    book(account, fill("e1", Side.BUY, "0.123456789", "3", minute=1))
    book(account, fill("e2", Side.SELL, "0.123456788", "4", minute=2))

    assert state(portfolio) == (
        Decimal("1000.123456785"),
        Decimal("0.000000001"),
        Decimal(3),
        Decimal("0.123456788"),
    )


def test_opening_lots_are_sold_at_the_broker_average(account: BrokerAccount) -> None:
    portfolio = make_book(account, cash="100", positions=(held("ABCD", "10", "7.5"),))
    book(account, fill("e1", Side.SELL, "4", "8"))

    assert state(portfolio) == (Decimal(132), Decimal(6), Decimal("7.5"), Decimal(2))


def test_a_bust_gives_the_book_that_would_have_been(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    book(account, fill("e1", Side.BUY, "10", "10", minute=1))
    book(account, fill("e2", Side.BUY, "10", "20", minute=2))
    book(account, fill("e3", Side.SELL, "10", "30", minute=3))

    assert bust(account, "e1") is True

    # The sale now closes the lot at 20.
    assert state(portfolio) == (Decimal(1100), Decimal(0), Decimal(0), Decimal(100))
    kinds = LedgerEntry.objects.filter(portfolio=portfolio).order_by("id").values_list("kind", flat=True)
    assert list(kinds) == ["opening_cash", "fill", "fill", "fill", "bust"]


def test_a_bust_is_booked_once_and_only_for_a_booked_fill(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    book(account, fill("e1", Side.BUY, "10", "10"))

    assert bust(account, "unknown") is False
    assert bust(account, "e1") is True
    assert bust(account, "e1") is False

    assert state(portfolio) == (Decimal(1000), Decimal(0), Decimal(0), Decimal(0))


def test_every_order_of_arrival_leads_to_the_same_book() -> None:
    facts = [
        fill("e1", Side.BUY, "10", "10", minute=1),
        fill("e2", Side.SELL, "15", "12", minute=2, commission="0.07"),
        fill("e3", Side.BUY, "4", "11", minute=2),
        fill("e4", Side.BUY, "8", "13", minute=4),
    ]
    user = make_user()
    results = set()
    for number, order in enumerate(itertools.permutations(facts)):
        account = make_account(user, broker_account_id=f"A{number}")
        portfolio = make_book(account)
        for fact in order:
            book(account, fact)
        book(account, order[0])
        lots = tuple(
            (lot.opened_at, lot.quantity, lot.remaining, lot.price, lot.extra_cost)
            for lot in Lot.objects.filter(portfolio=portfolio)
        )
        results.add((state(portfolio), lots))

    assert len(results) == 1
    cash, quantity, _, realised = results.pop()[0]
    assert (cash, quantity) == (Decimal("931.93"), Decimal(7))
    assert realised == Decimal("22.93")


def test_a_foreign_execution_before_the_cut_is_part_of_the_opening(account: BrokerAccount) -> None:
    portfolio = make_book(account, positions=(held("ABCD", "10", "7.5"),))

    assert book(account, fill("e1", Side.BUY, "10", "7.5", minute=0, own_order=False)) is False
    assert book(account, fill("e2", Side.BUY, "1", "7.5", minute=1, own_order=False)) is True

    assert state(portfolio)[:2] == (Decimal("992.5"), Decimal(11))


def test_an_own_execution_before_the_cut_is_booked_all_the_same(account: BrokerAccount) -> None:
    portfolio = make_book(account)

    assert book(account, fill("e1", Side.BUY, "10", "7.5", minute=-1)) is True

    assert state(portfolio)[:2] == (Decimal(925), Decimal(10))


@pytest.mark.parametrize(("quantity", "price"), [("0", "1"), ("-1", "1"), ("NaN", "1"), ("1", "-1")])
def test_an_impossible_fill_is_refused_and_leaves_nothing(
    account: BrokerAccount, quantity: str, price: str
) -> None:
    portfolio = make_book(account)

    with pytest.raises(LotError):
        book(account, fill("e1", Side.BUY, quantity, price))

    assert LedgerEntry.objects.filter(portfolio=portfolio).count() == 1


def test_booking_takes_the_same_number_of_queries_however_long_the_history(account: BrokerAccount) -> None:
    make_book(account)
    for number in range(1, 4):
        book(account, fill(f"b{number}", Side.BUY, "1", "10", minute=number))
    with CaptureQueriesContext(connection) as few:
        book(account, fill("s1", Side.SELL, "1", "11", minute=10))
    for number in range(20, 60):
        book(account, fill(f"b{number}", Side.BUY, "1", "10", minute=number))
    with CaptureQueriesContext(connection) as many:
        book(account, fill("s2", Side.SELL, "1", "11", minute=70))

    assert len(many) == len(few)


def test_a_fill_tells_the_owner_about_position_and_balance(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    UserEvent.objects.all().delete()

    book(account, fill("e1", Side.BUY, "10", "12.34"))

    events = {event.kind: event.payload for event in UserEvent.objects.filter(user=account.user)}
    assert events["position"] == {
        "account": str(account.pk),
        "portfolio": str(portfolio.pk),
        "symbol": "ABCD",
        "quantity": "10",
        "avg_price": "12.34",
        "realised_pnl": "0",
    }
    assert events["balance"]["cash"] == "876.6"


def test_dividends_fees_and_interest_move_cash_once(account: BrokerAccount) -> None:
    portfolio = make_book(account, positions=(held("ABCD", "10", "7.5"),))

    assert act(account, "a1", "dividend", symbol="ABCD", amount=Decimal("2.50")) is True
    assert act(account, "a1", "dividend", symbol="ABCD", amount=Decimal("2.50")) is False
    assert act(account, "a2", "fee", amount=Decimal("-0.02")) is True
    assert act(account, "a3", "interest", amount=Decimal("0.11")) is True

    assert state(portfolio) == (Decimal("1002.59"), Decimal(10), Decimal("7.5"), Decimal(0))


def test_a_split_keeps_the_cost_and_changes_shares_and_average(account: BrokerAccount) -> None:
    portfolio = make_book(account, positions=(held("ABCD", "10", "30"),))
    book(account, fill("e1", Side.SELL, "4", "33"))

    assert act(account, "a1", "split", symbol="ABCD", quantity=Decimal(12)) is True

    assert state(portfolio) == (Decimal(1132), Decimal(18), Decimal(10), Decimal(12))


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "split", "symbol": "ABCD", "quantity": Decimal(-10)},
        {"kind": "split", "symbol": "ZZZZ", "quantity": Decimal(5)},
        {"kind": "mystery", "amount": Decimal(5)},
        {"kind": "fee"},
    ],
)
def test_an_activity_that_cannot_be_booked_changes_nothing(
    account: BrokerAccount, values: dict[str, object]
) -> None:
    portfolio = make_book(account, positions=(held("ABCD", "10", "30"),))
    kind = str(values.pop("kind"))

    assert act(account, "a1", kind, **values) is False

    assert state(portfolio)[:2] == (Decimal(1000), Decimal(10))


def test_an_activity_before_the_cut_is_part_of_the_opening(account: BrokerAccount) -> None:
    portfolio = make_book(account)

    assert act(account, "a1", "transfer", amount=Decimal(500), occurred_at=OPENED) is False

    assert Portfolio.objects.get(pk=portfolio.pk).cash == 1000


def test_a_deposit_known_late_restates_the_flow_of_its_snapshot(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    EquitySnapshot.objects.create(
        portfolio=portfolio,
        at=OPENED + dt.timedelta(hours=3),
        trade_date=OPENED.date(),
        equity=Decimal(1500),
        cash=Decimal(1500),
    )

    act(account, "a1", "transfer", amount=Decimal(500))

    flows = EquitySnapshot.objects.filter(portfolio=portfolio).values_list("net_flow", flat=True)
    assert list(flows) == [Decimal(0), Decimal(500)]


def test_rebuilding_repairs_a_projection_and_the_check_names_what_was_wrong(account: BrokerAccount) -> None:
    portfolio = make_book(account)
    book(account, fill("e1", Side.BUY, "10", "10", minute=1))
    book(account, fill("e2", Side.SELL, "4", "12", minute=2))
    Portfolio.objects.filter(pk=portfolio.pk).update(cash=Decimal("1.5"))
    Lot.objects.filter(portfolio=portfolio).update(remaining=Decimal(5))

    problems = check_book(portfolio)
    assert problems[0] == "Cash: stored 1.5, the ledger gives 948."
    assert "ABCD lots: 1 rows too many, 1 missing." in problems

    rebuild_book(portfolio)
    assert state(portfolio) == (Decimal(948), Decimal(6), Decimal(10), Decimal(8))
