"""What the gate gets to see."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from brokers.models import BrokerAccount, LatestQuote
from orders.exceptions import OrderDenied
from orders.market_facts import read_market
from tests.orders.helpers import D, place
from tests.orders.scripted_broker import ScriptedAdapter, ScriptedBook
from tradeplatform.models import User

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("age", "verdict"), [(timedelta(minutes=14), "allowed"), (timedelta(minutes=16), "D05")]
)
def test_a_quiet_quote_holds_for_a_quarter_of_an_hour(
    user: User, account: BrokerAccount, age: timedelta, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh_quote = ScriptedAdapter.get_quote
    monkeypatch.setattr(
        ScriptedAdapter,
        "get_quote",
        lambda self, symbol: replace(fresh_quote(self, symbol), as_of=timezone.now() - age),
    )
    if verdict == "allowed":
        assert place(user, account).order.status == "queued"
        return
    with pytest.raises(OrderDenied) as denied:
        place(user, account)
    assert verdict in {finding["code"] for finding in denied.value.details["findings"]}


def test_a_stored_quote_older_than_two_seconds_is_read_again(
    account: BrokerAccount, book: ScriptedBook
) -> None:
    read_market(account, "ACME", now=timezone.now())
    book.price = D("20")
    LatestQuote.objects.update(received_at=timezone.now() - timedelta(seconds=3))
    quote = read_market(account, "ACME", now=timezone.now()).quote
    assert quote is not None
    assert quote.ask == D("20")
