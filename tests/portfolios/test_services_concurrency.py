"""Several processes book the same executions at the same time: each is booked once."""

import random
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connection, transaction

from brokers.enums import Side
from brokers.models import BrokerAccount
from portfolios.models import LedgerEntry, Portfolio, Position
from portfolios.services.booking import FillFact, book_fill
from portfolios.services.rebuild import check_book
from tests.portfolios.builders import fill, make_account, make_book, make_user

pytestmark = [
    pytest.mark.services,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL's row locks"),
]

WORKERS = 6


def test_six_workers_with_the_same_fills_in_any_order_book_each_once() -> None:
    account = make_account(make_user())
    portfolio = make_book(account, cash="10000")
    facts = [
        fill(f"e{number}", Side.BUY if number % 3 else Side.SELL, "2", str(10 + number % 5), minute=number)
        for number in range(1, 31)
    ]

    def work(seed: int) -> int:
        own = random.Random(seed).sample(facts, len(facts))
        try:
            return sum(book_locked(account, fact) for fact in own)
        finally:
            connection.close()

    with ThreadPoolExecutor(WORKERS) as pool:
        booked = sum(pool.map(work, range(WORKERS)))

    assert booked == len(facts)
    assert LedgerEntry.objects.filter(portfolio=portfolio, kind="fill").count() == len(facts)
    fresh = Portfolio.objects.get(pk=portfolio.pk)
    assert fresh.cash == 10000 + sum(
        (-fact.quantity if fact.side == Side.BUY else fact.quantity) * fact.price for fact in facts
    )
    assert Position.objects.get(portfolio=portfolio).quantity == Decimal(20)
    assert check_book(fresh) == []


def book_locked(account: BrokerAccount, fact: FillFact) -> bool:
    with transaction.atomic():
        locked = BrokerAccount.objects.select_for_update().get(pk=account.pk)
        return book_fill(account=locked, fill=fact)
