"""I: which orders wait for their owner's approval, and what holds when it is given."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.enums import Environment
from risk.engine import evaluate
from risk.facts import ApprovalFacts, CountFacts, ExistingOrderFacts, Purpose, ReplacementFacts
from risk.types import Outcome, RiskContext, Severity, Verdict
from tests.risk.contexts import (
    NOW,
    context,
    held,
    limit_request,
    limits,
    message,
    outcome,
    request,
    run,
    sell,
    with_account,
    with_order,
    with_quote,
)

D = Decimal


def live(*, sent: int = 0, **changes: Any) -> RiskContext:
    """A live order of half a share at 99.50, which is $49.75, unless changed."""
    fields = {"order": limit_request(quantity=D("0.5"))} | changes
    counts = CountFacts(opening_orders_today=0, orders_last_minute=0, live_opening_orders=sent)
    return with_account(context(counts=counts, **fields), environment=Environment.LIVE)


def approval(**changes: Any) -> ApprovalFacts:
    fields: dict[str, Any] = {
        "id": "a-1",
        "order_hash": "a" * 64,
        "given_by": "owner@example.com",
        "requested_at": NOW - timedelta(minutes=1),
        "expires_at": NOW + timedelta(minutes=4),
        "reference_price": D("100.00"),
    }
    return ApprovalFacts(**{**fields, **changes})


def approving(ctx: RiskContext, **changes: Any) -> RiskContext:
    stored = ExistingOrderFacts(id="o-1", order_hash=ctx.order.order_hash)
    return replace(ctx, purpose=Purpose.APPROVE, existing_order=stored, approval=approval(**changes))


# --- I01 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "expected"), [(0, Outcome.APPROVAL), (19, Outcome.APPROVAL), (20, Outcome.PASSED)]
)
def test_the_first_twenty_live_orders_wait_for_approval(sent: int, expected: Outcome) -> None:
    assert outcome("I01", live(sent=sent)) is expected


@pytest.mark.parametrize(
    ("price", "expected"), [("50.00", Outcome.APPROVAL), ("50.01", Outcome.HARD), ("49.99", Outcome.APPROVAL)]
)
def test_a_pilot_order_is_worth_at_most_fifty_dollars(price: str, expected: Outcome) -> None:
    assert outcome("I01", live(order=limit_request(price, quantity=D("1")))) is expected


def test_the_message_names_value_limit_and_number() -> None:
    assert message("I01", live(sent=3, order=limit_request("60", quantity=D("1")))) == (
        "This order is worth $60.00; each of the first 20 live opening orders of an account may be worth at "
        "most $50.00, and this is number 4."
    )
    (finding,) = run("I01", live(sent=3)).findings
    assert (finding.severity, finding.value, finding.limit) == (Severity.APPROVAL, "4", "20")


def test_paper_orders_and_exits_know_no_pilot_phase() -> None:
    assert outcome("I01", context()) is Outcome.NOT_APPLICABLE
    assert outcome("I01", live(order=sell("10"), position=held("10"))) is Outcome.NOT_APPLICABLE


def test_the_pilot_limits_can_be_edited() -> None:
    eased = limits(pilot_orders="2", pilot_order_value="1000")
    assert outcome("I01", live(sent=1, limits=eased, order=request(quantity=D("10")))) is Outcome.APPROVAL
    assert outcome("I01", live(sent=2, limits=eased)) is Outcome.PASSED
    assert outcome("I01", live(limits=limits(pilot_orders="0"))) is Outcome.PASSED


@pytest.mark.parametrize("configured", [True, False])
def test_a_pilot_order_that_cannot_be_valued_is_refused_feed_or_not(configured: bool) -> None:
    ctx = live(order=request(quantity=D("1")), quote=None, quote_configured=configured)
    assert outcome("I01", ctx) is Outcome.HARD
    assert "A limit order needs no price." in message("I01", ctx)


def test_a_change_in_the_pilot_phase_is_refused() -> None:
    ctx = replace(live(), purpose=Purpose.REPLACE, replacement=replaced())
    assert outcome("I01", ctx) is Outcome.HARD
    assert "Cancel the order and place it anew." in message("I01", ctx)


def replaced() -> ReplacementFacts:
    return ReplacementFacts(
        order_id="o-9",
        client_order_id="tp-0009",
        request=limit_request(quantity=D("0.4")),
        cum_qty=D("0"),
        reserved_cash=D("40"),
        counted_by_broker=True,
    )


# --- I02, I03 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["I02", "I03"])
def test_time_and_price_are_judged_when_an_order_is_approved(code: str) -> None:
    for purpose in (Purpose.PREVIEW, Purpose.PLACE, Purpose.SEND, Purpose.REPLACE):
        assert outcome(code, replace(approving(live()), purpose=purpose)) is Outcome.NOT_APPLICABLE
    assert outcome(code, approving(live())) is Outcome.PASSED


@pytest.mark.parametrize(("left", "expected"), [(1, Outcome.PASSED), (0, Outcome.HARD), (-1, Outcome.HARD)])
def test_an_approval_ends_at_its_second(left: int, expected: Outcome) -> None:
    assert outcome("I02", approving(live(), expires_at=NOW + timedelta(seconds=left))) is expected


def test_an_approval_of_another_hash_or_of_none_is_no_approval() -> None:
    assert outcome("I02", approving(live(), order_hash="b" * 64)) is Outcome.HARD
    assert outcome("I02", replace(approving(live()), approval=None)) is Outcome.HARD
    nameless = with_order(approving(live(), order_hash=""), order_hash="")
    assert outcome("I02", nameless) is Outcome.HARD


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ("100.50", Outcome.PASSED),
        ("99.503", Outcome.PASSED),
        ("99.50", Outcome.HARD),
        ("100.51", Outcome.HARD),
    ],
)
def test_a_price_may_move_half_a_percent_either_way(seen: str, expected: Outcome) -> None:
    assert outcome("I03", approving(live(), reference_price=D(seen))) is expected


def test_the_price_is_the_one_that_the_side_would_meet() -> None:
    short = approving(live(order=request(side="sell", quantity=D("0.4"))), reference_price=D("99.90"))
    assert (run("I03", short).outcome, run("I03", short).value) == (Outcome.PASSED, "0")


@pytest.mark.parametrize("price", [None, D("0")])
def test_no_price_then_or_now_refuses_an_opening_approval(price: Decimal | None) -> None:
    assert outcome("I03", approving(live(), reference_price=price)) is Outcome.HARD
    assert outcome("I03", replace(approving(live(), reference_price=D("99.95")), quote=None)) is Outcome.HARD
    blank = with_quote(approving(live()), bid=None, ask=None, last=None, previous_close=None)
    assert outcome("I03", blank) is Outcome.HARD


def test_a_position_s_old_price_is_not_taken_for_the_market() -> None:
    ctx = replace(approving(live(position=held("1")), reference_price=D("99.95")), quote=None)
    assert outcome("I03", ctx) is Outcome.HARD


def test_without_a_feed_the_move_is_not_checked() -> None:
    ctx = replace(approving(live()), quote=None, quote_configured=False)
    assert outcome("I03", ctx) is Outcome.NOT_CHECKED


def test_an_order_that_has_become_an_exit_may_go_whatever_the_price() -> None:
    ctx = approving(context(order=sell("10"), position=held("10")), reference_price=D("50"))
    assert outcome("I03", ctx) is Outcome.NOT_APPLICABLE


# --- I10 -------------------------------------------------------------------------------------------------


def test_no_value_needs_approval_unless_one_is_set() -> None:
    assert outcome("I10", context()) is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(("limit", "expected"), [("1000", Outcome.PASSED), ("999.99", Outcome.APPROVAL)])
def test_orders_above_the_set_value_wait_for_approval(limit: str, expected: Outcome) -> None:
    assert outcome("I10", context(limits=limits(approval_order_value=limit))) is expected


def test_exits_never_wait_for_approval() -> None:
    ctx = context(limits=limits(approval_order_value="0"), order=sell("10"), position=held("10"))
    assert outcome("I10", ctx) is Outcome.NOT_APPLICABLE


def test_what_cannot_be_valued_waits_without_a_feed_and_is_refused_with_one() -> None:
    ctx = context(limits=limits(approval_order_value="100"), quote=None)
    assert outcome("I10", ctx) is Outcome.HARD
    assert outcome("I10", replace(ctx, quote_configured=False)) is Outcome.APPROVAL


def test_a_change_to_a_value_that_needs_approval_is_refused() -> None:
    ctx = context(limits=limits(approval_order_value="10"), replacement=replaced(), purpose=Purpose.REPLACE)
    assert outcome("I10", ctx) is Outcome.HARD


# --- the gate --------------------------------------------------------------------------------------------


def test_the_gate_holds_an_order_until_its_very_hash_is_approved() -> None:
    ctx = live()
    assert evaluate(ctx).verdict is Verdict.REQUIRE_APPROVAL
    approved = evaluate(approving(ctx))
    assert approved.verdict is Verdict.ALLOW
    assert [(finding.code, finding.confirmed) for finding in approved.findings] == [("I01", True)]
    sending = replace(approving(ctx), purpose=Purpose.SEND)
    assert evaluate(sending).verdict is Verdict.ALLOW
    assert evaluate(replace(sending, approval=None)).verdict is Verdict.REQUIRE_APPROVAL
    other = replace(sending, approval=approval(order_hash="b" * 64))
    assert evaluate(other).verdict is Verdict.REQUIRE_APPROVAL


def test_confirming_the_code_is_no_approval() -> None:
    ctx = with_order(live(), confirmed=frozenset({"I01", "I10"}))
    assert evaluate(ctx).verdict is Verdict.REQUIRE_APPROVAL


def test_an_approval_does_not_answer_other_questions() -> None:
    ctx = context(order=limit_request("100", quantity=D("25")), limits=limits(approval_order_value="1"))
    assert evaluate(approving(ctx)).verdict is Verdict.REQUIRE_CONFIRMATION
    confirmed = with_order(approving(ctx), confirmed=frozenset({"E01"}))
    assert evaluate(confirmed).verdict is Verdict.ALLOW


def test_an_approval_never_lifts_a_refusal() -> None:
    assert evaluate(approving(live(order=limit_request("60", quantity=D("1"))))).verdict is Verdict.DENY
