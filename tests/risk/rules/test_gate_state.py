"""A: trading stops, reduce-only, unconfirmed orders."""

from datetime import timedelta

import pytest

from risk.facts import HaltFacts, UnconfirmedOrderFacts
from risk.types import Outcome
from tests.risk.contexts import NOW, context, held, message, outcome, sell

SELL_HELD = {"order": sell("10"), "position": held("10")}


def halt(**changes: str) -> HaltFacts:
    fields = {
        "scope": "account",
        "scope_key": "x",
        "kind": "halted",
        "started_by": "ann@example.com",
        "reason": "strange fills",
    }
    return HaltFacts(**{**fields, **changes}, started_at=NOW - timedelta(minutes=5))


def unconfirmed(symbol: str = "XYZ", client_order_id: str = "other-1") -> UnconfirmedOrderFacts:
    return UnconfirmedOrderFacts(id="o-9", client_order_id=client_order_id, symbol=symbol, since=NOW)


@pytest.mark.parametrize("scope", ["platform", "broker", "user", "account"])
def test_a_stop_at_any_level_refuses_an_opening_order(scope: str) -> None:
    assert outcome("A01", context(halts=(halt(scope=scope),))) is Outcome.HARD


def test_no_stop_lets_everything_pass() -> None:
    assert outcome("A01", context()) is Outcome.PASSED
    assert outcome("A02", context()) is Outcome.PASSED


@pytest.mark.parametrize("scope", ["platform", "broker", "user", "account"])
def test_no_stop_ever_blocks_an_exit(scope: str) -> None:
    both = (halt(scope=scope), halt(scope=scope, kind="reduce_only"))
    assert outcome("A01", context(halts=both, **SELL_HELD)) is Outcome.NOT_APPLICABLE
    assert outcome("A02", context(halts=both, **SELL_HELD)) is Outcome.NOT_APPLICABLE


def test_a_stop_blocks_a_sale_of_more_than_is_held() -> None:
    assert outcome("A01", context(halts=(halt(),), order=sell("11"), position=held("10"))) is Outcome.HARD


def test_the_widest_stop_is_named_and_an_operators_address_is_not() -> None:
    text = message("A01", context(halts=(halt(), halt(scope="platform", reason="exchange trouble"))))
    assert text == (
        "Trading is stopped for the whole platform since Mon 23 Nov 09:55 ET by the operator: exchange "
        "trouble. You can still cancel orders and close positions."
    )


def test_a_stop_of_ones_own_account_says_who_and_why() -> None:
    text = message("A01", context(halts=(halt(),)))
    assert "for Main account" in text
    assert "by ann@example.com: strange fills" in text


def test_reduce_only_refuses_openings_and_is_not_a_stop() -> None:
    ctx = context(halts=(halt(kind="reduce_only"),))
    assert outcome("A01", ctx) is Outcome.PASSED
    assert outcome("A02", ctx) is Outcome.HARD
    assert "Only orders that reduce XYZ" in message("A02", ctx)


def test_a_halt_of_the_other_kind_does_not_count_as_reduce_only() -> None:
    assert outcome("A02", context(halts=(halt(),))) is Outcome.PASSED


def test_an_unconfirmed_order_of_another_symbol_blocks_openings_only() -> None:
    doubt = (unconfirmed("ABC"),)
    assert outcome("A05", context(unconfirmed_orders=doubt)) is Outcome.HARD
    assert outcome("A05", context(unconfirmed_orders=doubt, **SELL_HELD)) is Outcome.PASSED


def test_an_unconfirmed_order_of_the_symbol_blocks_exits_too() -> None:
    ctx = context(unconfirmed_orders=(unconfirmed(),), **SELL_HELD)
    assert outcome("A05", ctx) is Outcome.HARD
    assert "Order o-9 for XYZ is unconfirmed at Sim Broker" in message("A05", ctx)


def test_an_order_does_not_block_itself() -> None:
    assert (
        outcome("A05", context(unconfirmed_orders=(unconfirmed(client_order_id="tp-0001"),)))
        is Outcome.PASSED
    )
