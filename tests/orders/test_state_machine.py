"""Every pair of the table, and totals that do not depend on the order or repetition of reports."""

from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.enums import BrokerOrderStatus, ExecType
from brokers.types import BrokerOrder, ExecutionReport
from orders.enums import CLOSED, OrderStatus
from orders.state_machine import (
    TRANSITIONS,
    IllegalTransition,
    OrderState,
    Trigger,
    advance,
    apply_execution_report,
)

S = OrderStatus
T = Trigger
OPEN_AGAIN = "open"

# Written by hand from the rules, not read from the module: what each status does with each trigger.
# Missing pairs are illegal.
EXPECTED = {
    S.PENDING_APPROVAL: {"approved": S.QUEUED, "withdrawn": S.NOT_SENT, "intent_expired": S.NOT_SENT},
    S.QUEUED: {"claimed": S.SUBMITTING, "withdrawn": S.NOT_SENT, "intent_expired": S.NOT_SENT},
    S.SUBMITTING: {
        "send_failed_before_any_byte": S.QUEUED,
        "outcome_unknown": S.UNCONFIRMED,
        "accepted": S.ACCEPTED,
        "partially_filled": S.PARTIALLY_FILLED,
        "filled": S.FILLED,
        "canceled": S.CANCELED,
        "expired": S.EXPIRED,
        "rejected": S.REJECTED,
    },
    S.UNCONFIRMED: {
        "sent_again": S.SUBMITTING,
        "found_absent": S.NOT_SENT,
        "accepted": S.ACCEPTED,
        "partially_filled": S.PARTIALLY_FILLED,
        "filled": S.FILLED,
        "canceled": S.CANCELED,
        "expired": S.EXPIRED,
        "rejected": S.REJECTED,
    },
    S.ACCEPTED: {
        "accepted": S.ACCEPTED,
        "partially_filled": S.PARTIALLY_FILLED,
        "filled": S.FILLED,
        "canceled": S.CANCELED,
        "expired": S.EXPIRED,
        "rejected": S.REJECTED,
        "cancel_asked": S.PENDING_CANCEL,
        "replace_asked": S.PENDING_REPLACE,
        "cancel_refused": S.ACCEPTED,
        "replace_refused": S.ACCEPTED,
        "replaced": S.ACCEPTED,
        "busted": OPEN_AGAIN,
        "adoption_undone": S.UNCONFIRMED,
    },
    S.PARTIALLY_FILLED: {
        "accepted": S.PARTIALLY_FILLED,
        "partially_filled": S.PARTIALLY_FILLED,
        "filled": S.FILLED,
        "canceled": S.CANCELED,
        "expired": S.EXPIRED,
        "rejected": S.CANCELED,
        "cancel_asked": S.PENDING_CANCEL,
        "replace_asked": S.PENDING_REPLACE,
        "cancel_refused": S.PARTIALLY_FILLED,
        "replace_refused": S.PARTIALLY_FILLED,
        "replaced": S.PARTIALLY_FILLED,
        "busted": OPEN_AGAIN,
        "adoption_undone": S.UNCONFIRMED,
    },
    S.PENDING_CANCEL: {
        "accepted": S.PENDING_CANCEL,
        "partially_filled": S.PENDING_CANCEL,
        "filled": S.FILLED,
        "canceled": S.CANCELED,
        "expired": S.EXPIRED,
        "rejected": S.REJECTED,
        "cancel_refused": OPEN_AGAIN,
        "replace_refused": S.PENDING_CANCEL,
        "replaced": S.PENDING_CANCEL,
        "busted": S.PENDING_CANCEL,
    },
    S.PENDING_REPLACE: {
        "accepted": S.PENDING_REPLACE,
        "partially_filled": S.PENDING_REPLACE,
        "filled": S.FILLED,
        "canceled": S.CANCELED,
        "expired": S.EXPIRED,
        "rejected": S.REJECTED,
        "cancel_asked": S.PENDING_CANCEL,
        "replaced": OPEN_AGAIN,
        "replace_refused": OPEN_AGAIN,
        "busted": S.PENDING_REPLACE,
    },
    S.DENIED: {},
    S.NOT_SENT: {
        "accepted": S.ACCEPTED,
        "partially_filled": S.PARTIALLY_FILLED,
        "filled": S.FILLED,
        "canceled": S.CANCELED,
        "expired": S.EXPIRED,
        "rejected": S.REJECTED,
    },
    S.REJECTED: {
        "rejected": S.REJECTED,
        "canceled": S.REJECTED,
        "partially_filled": S.CANCELED,
        "filled": S.FILLED,
        "busted": S.REJECTED,
        "adoption_undone": S.UNCONFIRMED,
    },
    S.FILLED: {
        "accepted": S.FILLED,
        "partially_filled": S.FILLED,
        "filled": S.FILLED,
        "canceled": S.FILLED,
        "expired": S.FILLED,
        "rejected": S.FILLED,
        "cancel_refused": S.FILLED,
        "replace_refused": S.FILLED,
        "busted": S.CANCELED,
        "adoption_undone": S.UNCONFIRMED,
    },
    S.CANCELED: {
        "accepted": S.CANCELED,
        "partially_filled": S.CANCELED,
        "filled": S.FILLED,
        "canceled": S.CANCELED,
        "expired": S.CANCELED,
        "rejected": S.CANCELED,
        "cancel_refused": S.CANCELED,
        "replace_refused": S.CANCELED,
        "busted": S.CANCELED,
        "adoption_undone": S.UNCONFIRMED,
    },
    S.EXPIRED: {
        "accepted": S.EXPIRED,
        "partially_filled": S.EXPIRED,
        "filled": S.FILLED,
        "canceled": S.EXPIRED,
        "expired": S.EXPIRED,
        "rejected": S.EXPIRED,
        "cancel_refused": S.EXPIRED,
        "replace_refused": S.EXPIRED,
        "busted": S.EXPIRED,
        "adoption_undone": S.UNCONFIRMED,
    },
}


@pytest.mark.parametrize(("status", "trigger"), list(product(S, T)))
def test_every_pair_of_status_and_trigger(status: OrderStatus, trigger: Trigger) -> None:
    expected = EXPECTED[status].get(str(trigger))
    if expected is None:
        with pytest.raises(IllegalTransition):
            advance(status, trigger)
    elif expected == OPEN_AGAIN:
        assert advance(status, trigger) is S.ACCEPTED
        assert advance(status, trigger, cum_qty=Decimal(1)) is S.PARTIALLY_FILLED
    else:
        assert advance(status, trigger) is expected


def test_table_has_no_row_beyond_the_expected() -> None:
    assert {(s, str(t)) for s, t in TRANSITIONS} == {(s, t) for s, row in EXPECTED.items() for t in row}


def test_a_denied_order_takes_no_fact_at_all() -> None:
    with pytest.raises(IllegalTransition):
        apply_execution_report(state(S.DENIED), report(ExecType.NEW))


def state(status: OrderStatus = S.ACCEPTED, quantity: str | None = "100") -> OrderState:
    return OrderState(status=status, quantity=None if quantity is None else Decimal(quantity))


def report(exec_type: ExecType, **values: object) -> ExecutionReport:
    base: dict[str, object] = {"broker_order_id": "b1", "client_order_id": "c1", "transact_time": None}
    return ExecutionReport(exec_type=exec_type, **{**base, **values})  # type: ignore[arg-type]


def trade(exec_id: str, quantity: str, price: str = "10") -> ExecutionReport:
    return report(ExecType.TRADE, exec_id=exec_id, last_qty=Decimal(quantity), last_px=Decimal(price))


def snapshot(status: BrokerOrderStatus, cum_qty: str, quantity: str | None = None) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id="b1",
        client_order_id="c1",
        symbol="AAPL",
        side=None,
        order_type=None,
        time_in_force=None,
        status=status,
        quantity=None if quantity is None else Decimal(quantity),
        notional=Decimal(500) if quantity is None else None,
        limit_price=None,
        stop_price=None,
        trail_amount=None,
        trail_percent=None,
        extended_hours=False,
        order_class=None,
        cum_qty=Decimal(cum_qty),
        avg_px=None,
        submitted_at=None,
        updated_at=None,
    )


def run(start: OrderState, reports: list[ExecutionReport]) -> OrderState:
    """Apply reports, offering deferred ones again until nothing changes."""
    current, waiting = start, list(reports)
    while waiting:
        later = []
        for one in waiting:
            applied = apply_execution_report(current, one)
            current = applied.state
            if applied.deferred:
                later.append(one)
        if len(later) == len(waiting):
            break
        waiting = later
    return current


def test_fills_add_up_to_a_volume_weighted_average() -> None:
    end = run(state(), [trade("e1", "30", "10"), trade("e2", "70", "10.10")])
    assert end.status is S.FILLED
    assert end.cum_qty == Decimal(100)
    assert end.avg_px == Decimal("10.07")


def test_a_repeated_fill_counts_once() -> None:
    end = run(state(), [trade("e1", "30"), trade("e1", "30"), trade("e1", "30")])
    assert end.cum_qty == Decimal(30)
    assert end.status is S.PARTIALLY_FILLED


def test_a_fill_altered_under_the_same_id_is_an_incident_and_changes_no_money() -> None:
    first = run(state(), [trade("e1", "30")])
    applied = apply_execution_report(first, trade("e1", "31"))
    assert applied.incidents == ("altered_fill",)
    assert applied.state == first


def test_a_fill_after_cancel_is_booked_and_the_order_stays_canceled() -> None:
    end = run(state(), [report(ExecType.CANCELED), trade("e1", "30")])
    assert (end.status, end.cum_qty) == (S.CANCELED, Decimal(30))


def test_a_cancel_that_lost_against_the_last_fill_leaves_the_order_filled() -> None:
    end = run(state(), [report(ExecType.CANCELED), trade("e1", "100")])
    assert (end.status, end.cum_qty) == (S.FILLED, Decimal(100))


def test_a_bust_takes_the_fill_back_and_closes_what_cannot_fill_again() -> None:
    end = run(state(), [trade("e1", "100"), report(ExecType.TRADE_CANCEL, ref_exec_id="e1")])
    assert (end.status, end.cum_qty, end.avg_px) == (S.CANCELED, Decimal(0), None)


def test_a_bust_before_its_fill_waits_for_it() -> None:
    bust = report(ExecType.TRADE_CANCEL, ref_exec_id="e1")
    assert apply_execution_report(state(), bust).deferred
    assert run(state(), [bust, trade("e1", "40")]).cum_qty == Decimal(0)


def test_a_correction_replaces_the_execution_it_names() -> None:
    fixed = report(
        ExecType.TRADE_CORRECT, ref_exec_id="e1", exec_id="e2", last_qty=Decimal(60), last_px=Decimal("9.5")
    )
    end = run(state(), [trade("e1", "50"), fixed, fixed])
    assert (end.cum_qty, end.avg_px) == (Decimal(60), Decimal("9.5"))


def test_an_overfill_is_booked_and_flagged() -> None:
    applied = apply_execution_report(run(state(), [trade("e1", "90")]), trade("e2", "20"))
    assert applied.incidents == ("overfill",)
    assert applied.state.cum_qty == Decimal(110)
    assert applied.state.status is S.FILLED


@pytest.mark.parametrize(
    ("quantity", "price"),
    [("0", "10"), ("-5", "10"), ("NaN", "10"), ("Infinity", "10"), ("5", "-1"), ("5", "NaN")],
)
def test_numbers_that_are_not_a_trade_change_nothing(quantity: str, price: str) -> None:
    applied = apply_execution_report(state(), trade("e1", quantity, price))
    assert applied.incidents == ("unreadable_fill",)
    assert applied.state == state()


def test_a_fill_without_an_id_changes_nothing() -> None:
    applied = apply_execution_report(state(), trade("", "5"))
    assert applied.incidents == ("unreadable_fill",)


def test_an_unknown_kind_of_report_changes_nothing() -> None:
    applied = apply_execution_report(state(), report(ExecType.UNKNOWN))
    assert (applied.state, applied.trigger) == (state(), None)


def test_a_notional_order_is_filled_when_the_broker_says_so_and_all_fills_are_here() -> None:
    by_amount = run(state(quantity=None), [trade("e1", "3"), trade("e2", "2")])
    assert by_amount.status is S.PARTIALLY_FILLED
    early = report(ExecType.STATUS, order=snapshot(BrokerOrderStatus.FILLED, "6"))
    assert run(by_amount, [early]).status is S.PARTIALLY_FILLED
    exact = report(ExecType.STATUS, order=snapshot(BrokerOrderStatus.FILLED, "5"))
    assert run(by_amount, [exact]).status is S.FILLED


def test_a_filled_snapshot_does_not_close_an_order_whose_fills_are_missing() -> None:
    told = report(ExecType.STATUS, order=snapshot(BrokerOrderStatus.FILLED, "100"))
    assert run(state(), [told]).status is S.ACCEPTED


def canceled(cum_qty: str, quantity: str = "100", **values: object) -> ExecutionReport:
    told = snapshot(BrokerOrderStatus.CANCELED, cum_qty, quantity)
    return report(ExecType.CANCELED, order=told, **values)


@pytest.mark.parametrize(
    ("status", "waits_as"),
    [
        (S.SUBMITTING, S.ACCEPTED),
        (S.UNCONFIRMED, S.ACCEPTED),
        (S.NOT_SENT, S.ACCEPTED),
        (S.ACCEPTED, S.ACCEPTED),
        (S.PARTIALLY_FILLED, S.PARTIALLY_FILLED),
        (S.PENDING_CANCEL, S.PENDING_CANCEL),
        (S.PENDING_REPLACE, S.PENDING_REPLACE),
    ],
)
@pytest.mark.parametrize("kind", [ExecType.CANCELED, ExecType.EXPIRED, ExecType.REJECTED])
def test_an_order_is_not_closed_before_all_of_its_fills_are_here(
    status: OrderStatus, waits_as: OrderStatus, kind: ExecType
) -> None:
    told = report(kind, order=snapshot(BrokerOrderStatus.CANCELED, "30", "100"))
    applied = apply_execution_report(state(status), told)
    assert (applied.state.status, applied.fills_missing) == (waits_as, True)
    complete = run(state(status), [trade("e1", "30"), told])
    assert complete.status in (S.CANCELED, S.EXPIRED)


def test_a_close_without_a_total_is_taken_at_its_word() -> None:
    assert run(state(), [report(ExecType.CANCELED)]).status is S.CANCELED


def test_a_rejected_order_stays_rejected_whatever_total_is_told() -> None:
    assert run(state(S.REJECTED), [canceled("30")]).status is S.REJECTED


@pytest.mark.parametrize(("told", "is_complete"), [("30", True), ("70", True), ("50", False), ("71", False)])
def test_a_total_is_complete_with_and_without_the_busted_fills(told: str, is_complete: bool) -> None:
    bust = report(ExecType.TRADE_CANCEL, ref_exec_id="e2")
    end = run(state(), [trade("e1", "30"), trade("e2", "40"), bust, canceled(told)])
    assert (end.status is S.CANCELED) is is_complete


@pytest.mark.parametrize(
    ("quantity", "told", "is_complete"),
    [("100", "50", True), ("100", "51", False), ("60", "10", True), ("60", "11", False)],
)
def test_after_a_replace_the_total_counts_the_whole_order_or_the_rest(
    quantity: str, told: str, is_complete: bool
) -> None:
    """40 have filled under the old id; the new one is for all 100 or for the 60 that were left."""
    later = report(
        ExecType.TRADE, broker_order_id="b2", exec_id="e2", last_qty=Decimal(10), last_px=Decimal(10)
    )
    end = run(state(), [trade("e1", "40"), later, canceled(told, quantity, broker_order_id="b2")])
    assert (end.status is S.CANCELED) is is_complete


def test_a_live_order_that_was_believed_unsent_is_an_incident() -> None:
    applied = apply_execution_report(state(S.NOT_SENT), report(ExecType.NEW))
    assert applied.state.status is S.ACCEPTED
    assert applied.incidents == ("live_though_not_sent",)


def test_a_rejection_after_a_fill_reads_as_canceled() -> None:
    end = run(state(S.SUBMITTING), [trade("e1", "10"), report(ExecType.REJECTED)])
    assert (end.status, end.cum_qty) == (S.CANCELED, Decimal(10))


fills = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 9999), st.booleans()), min_size=1, max_size=8)


@given(fills=fills, closing=st.sampled_from([None, ExecType.CANCELED, ExecType.EXPIRED]), data=st.data())
def test_totals_do_not_depend_on_order_or_repetition(
    fills: list[tuple[int, int, bool]], closing: ExecType | None, data: st.DataObject
) -> None:
    reports = [report(ExecType.NEW)]
    for number, (quantity, cents, busted) in enumerate(fills):
        reports.append(trade(f"e{number}", str(quantity), str(Decimal(cents) / 100)))
        if busted:
            reports.append(report(ExecType.TRADE_CANCEL, ref_exec_id=f"e{number}"))
    if closing is not None:
        reports.append(report(closing))
    start = state(S.SUBMITTING, quantity=str(sum(quantity for quantity, _, _ in fills)))
    straight = run(start, reports)
    repeats = data.draw(st.lists(st.sampled_from(reports), max_size=6))
    shuffled = run(start, data.draw(st.permutations(reports + repeats)))
    assert shuffled.cum_qty == straight.cum_qty
    assert shuffled.avg_px == straight.avg_px
    assert (shuffled.status in CLOSED) == (straight.status in CLOSED)
    kept = sum(Decimal(quantity) for quantity, _, busted in fills if not busted)
    assert shuffled.cum_qty == kept
