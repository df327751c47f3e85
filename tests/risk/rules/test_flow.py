"""G: repeats and rates."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.enums import OrderType, Side
from risk.facts import CountFacts, ExistingOrderFacts, Purpose, RecentIntentFacts, ReplacementFacts
from risk.types import Outcome, RiskContext, Severity
from tests.risk.contexts import NOW, context, held, limits, message, outcome, request, run, sell

D = Decimal
EXIT = {"order": sell("10"), "position": held("10")}


def intent(seconds_ago: float, **changes: Any) -> RecentIntentFacts:
    fields: dict[str, Any] = {
        "id": "o-5",
        "client_order_id": "other-5",
        "symbol": "XYZ",
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "quantity": D("10.00"),
        "notional": None,
        "created_at": NOW - timedelta(seconds=seconds_ago),
    }
    return RecentIntentFacts(**{**fields, **changes})


def counted(opening: int = 0, minute: int = 0, **changes: Any) -> RiskContext:
    return context(counts=CountFacts(opening_orders_today=opening, orders_last_minute=minute), **changes)


# --- G01 -------------------------------------------------------------------------------------------------


def test_an_id_is_used_once() -> None:
    assert outcome("G01", context()) is Outcome.PASSED
    used = ExistingOrderFacts(id="o-1", order_hash="a" * 64)
    assert message("G01", context(existing_order=used)) == "Already submitted as o-1."
    assert outcome("G01", context(existing_order=used, purpose=Purpose.REPLACE)) is Outcome.HARD


def test_what_is_sent_is_what_was_stored() -> None:
    same = ExistingOrderFacts(id="o-1", order_hash="a" * 64)
    other = ExistingOrderFacts(id="o-1", order_hash="b" * 64)
    assert outcome("G01", context(existing_order=same, purpose=Purpose.SEND)) is Outcome.PASSED
    assert outcome("G01", context(existing_order=other, purpose=Purpose.SEND)) is Outcome.HARD
    assert outcome("G01", context(existing_order=None, purpose=Purpose.SEND)) is Outcome.HARD


def test_a_preview_has_no_id_to_compare() -> None:
    assert outcome("G01", context(purpose=Purpose.PREVIEW)) is Outcome.NOT_APPLICABLE


# --- G02 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "expected"),
    [(0, Outcome.SOFT), (9.999, Outcome.SOFT), (10, Outcome.PASSED), (60, Outcome.PASSED)],
)
def test_an_equal_order_within_ten_seconds_asks(age: float, expected: Outcome) -> None:
    assert outcome("G02", context(recent_intents=(intent(age),))) is expected


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": "ABC"},
        {"side": Side.SELL},
        {"order_type": OrderType.LIMIT},
        {"quantity": D("11")},
        {"quantity": None, "notional": D("10")},
        {"client_order_id": "tp-0001"},
    ],
)
def test_an_order_that_differs_is_no_repeat(changes: dict[str, Any]) -> None:
    assert outcome("G02", context(recent_intents=(intent(1, **changes),))) is Outcome.PASSED


def test_the_newest_repeat_is_named() -> None:
    result = run("G02", context(recent_intents=(intent(7), intent(3))))
    assert result.value == "3"
    assert result.findings[0].severity is Severity.SOFT
    assert "was placed 3 s ago; within 10 s" in result.findings[0].message


def test_only_new_orders_are_compared() -> None:
    for purpose in (Purpose.SEND, Purpose.REPLACE):
        ctx = context(recent_intents=(intent(1),), purpose=purpose)
        assert outcome("G02", ctx) is Outcome.NOT_APPLICABLE


def test_a_longer_window_catches_more() -> None:
    ctx = context(recent_intents=(intent(15),), limits=limits(duplicate_window="20"))
    assert outcome("G02", ctx) is Outcome.SOFT


# --- G03, G10 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("placed", "expected"), [(29, Outcome.PASSED), (30, Outcome.HARD), (31, Outcome.HARD)]
)
def test_thirty_orders_a_minute(placed: int, expected: Outcome) -> None:
    assert outcome("G03", counted(minute=placed)) is expected


def test_the_rate_is_judged_when_placing_and_never_for_exits() -> None:
    assert outcome("G03", counted(minute=99, purpose=Purpose.SEND)) is Outcome.NOT_APPLICABLE
    assert outcome("G03", counted(minute=99, **EXIT)) is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("placed", "expected"), [(9, Outcome.PASSED), (10, Outcome.HARD), (11, Outcome.HARD)]
)
def test_ten_opening_orders_a_trade_date(placed: int, expected: Outcome) -> None:
    assert outcome("G10", counted(opening=placed)) is expected


def test_the_eleventh_opening_order_says_what_is_still_possible() -> None:
    assert message("G10", counted(opening=10)) == (
        "This account has placed 10 opening orders on trade date 2026-11-23; the limit is 10. You can still "
        "close positions."
    )


CHANGED = ReplacementFacts(
    order_id="o-1",
    client_order_id="tp-0000",
    request=request(),
    cum_qty=D("0"),
    reserved_cash=D("1000"),
    counted_by_broker=True,
)


def test_exits_and_changes_do_not_count_as_opening_orders() -> None:
    assert outcome("G10", counted(opening=99, **EXIT)) is Outcome.NOT_APPLICABLE
    for purpose in (Purpose.REPLACE, Purpose.SEND):
        changing = counted(opening=99, purpose=purpose, replacement=CHANGED)
        assert outcome("G10", changing) is Outcome.NOT_APPLICABLE


def test_a_change_is_sent_under_an_id_of_its_own() -> None:
    sending = context(existing_order=None, purpose=Purpose.SEND, replacement=CHANGED)
    assert outcome("G01", sending) is Outcome.PASSED


def test_a_limit_of_zero_stops_all_openings() -> None:
    assert outcome("G10", counted(limits=limits(max_daily_trades="0"))) is Outcome.HARD
