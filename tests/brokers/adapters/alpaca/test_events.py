"""The event table of `trade_updates`: every word has its meaning, none is lost."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from brokers.adapters.alpaca.adapter import AlpacaAdapter
from brokers.adapters.alpaca.events import make_dedupe_key, make_stream_event
from brokers.enums import ExecType
from tests.brokers.adapters.alpaca import payloads

D = Decimal
NOW = datetime(2026, 11, 2, 15, 0, tzinfo=UTC)


def interpret(data):
    (report,) = AlpacaAdapter.interpret_event(make_stream_event(data, received_at=NOW))
    return report


@pytest.mark.parametrize(
    ("event", "exec_type"),
    [
        ("accepted", ExecType.NEW),
        ("pending_new", ExecType.PENDING_NEW),
        ("new", ExecType.NEW),
        ("held", ExecType.STATUS),
        ("done_for_day", ExecType.STATUS),
        ("pending_cancel", ExecType.PENDING_CANCEL),
        ("canceled", ExecType.CANCELED),
        ("expired", ExecType.EXPIRED),
        ("pending_replace", ExecType.PENDING_REPLACE),
        ("replaced", ExecType.REPLACED),
        ("order_replace_rejected", ExecType.REPLACE_REJECTED),
        ("order_cancel_rejected", ExecType.CANCEL_REJECTED),
        ("rejected", ExecType.REJECTED),
        ("stopped", ExecType.STATUS),
        ("suspended", ExecType.STATUS),
        ("calculated", ExecType.STATUS),
        ("pending_review", ExecType.STATUS),
        ("restated", ExecType.UNKNOWN),
        ("invented_in_2027", ExecType.UNKNOWN),
    ],
)
def test_events_without_a_trade(event, exec_type):
    report = interpret(payloads.trade_update(event))

    assert report.exec_type is exec_type
    assert (report.broker_order_id, report.client_order_id) == (payloads.ORDER_ID, "tp-01jc")
    assert (report.exec_id, report.last_qty) == ("", None)
    assert report.transact_time == datetime(2026, 11, 2, 14, 30, 7, 123456, tzinfo=UTC)
    assert report.order is not None


@pytest.mark.parametrize("event", ["fill", "partial_fill"])
def test_a_fill_carries_its_own_numbers_and_the_claim_of_the_order(event):
    report = interpret(payloads.fill_update() | {"event": event})

    assert report.exec_type is ExecType.TRADE
    assert report.exec_id == payloads.EXECUTION_ID
    assert (report.last_qty, report.last_px) == (D(4), D("187.31"))
    assert (report.cum_qty, report.avg_px) == (D(4), D("187.31"))


def test_a_fill_without_id_gets_the_same_name_as_in_the_activity_list():
    from brokers.adapters.alpaca.mapping import read_execution

    streamed = interpret(payloads.fill_update() | {"execution_id": None})
    listed = read_execution(payloads.fill_activity(id=None))

    assert streamed.exec_id == listed.exec_id == f"{payloads.ORDER_ID}:4"


@pytest.mark.parametrize("changes", [{"price": None}, {"qty": "four"}, {"price": "0"}, {"qty": "-4"}])
def test_a_fill_with_unreadable_numbers_is_kept_as_unknown(changes):
    report = interpret(payloads.fill_update() | changes)

    assert report.exec_type is ExecType.UNKNOWN
    assert report.broker_order_id == payloads.ORDER_ID
    assert "unreadable" in report.text


def test_replaced_names_the_successor():
    order = payloads.order(status="replaced", replaced_by="new-id")
    report = interpret(payloads.trade_update("replaced", order=order))

    assert (report.broker_order_id, report.replaced_by) == (payloads.ORDER_ID, "new-id")


@pytest.mark.parametrize(
    ("changes", "exec_id", "busted"),
    [
        ({}, "", payloads.EXECUTION_ID),
        ({"previous_execution_id": "old"}, payloads.EXECUTION_ID, "old"),
    ],
)
def test_a_bust_names_the_fill_that_it_annuls(changes, exec_id, busted):
    report = interpret(payloads.trade_update("trade_bust", qty="4", price="187.31", **changes))

    assert report.exec_type is ExecType.TRADE_CANCEL
    assert (report.exec_id, report.ref_exec_id) == (exec_id, busted)


def test_a_correction_has_an_id_of_its_own():
    data = payloads.fill_update() | {"event": "trade_correct", "price": "187.30"}
    report = interpret(data)

    assert report.exec_type is ExecType.TRADE_CORRECT
    assert report.ref_exec_id == payloads.EXECUTION_ID
    assert report.exec_id not in ("", payloads.EXECUTION_ID)
    assert report.exec_id == interpret(data).exec_id
    assert report.last_px == D("187.30")


@pytest.mark.parametrize("data", [{}, {"event": None}, {"event": "fill", "order": []}, {"order": {"id": 5}}])
def test_nonsense_is_unknown_and_never_a_crash(data):
    assert interpret(data).exec_type is ExecType.UNKNOWN


class TestDedupeKey:
    def test_a_repeat_has_the_same_key(self):
        assert make_dedupe_key(payloads.fill_update()) == make_dedupe_key(payloads.fill_update())

    def test_a_bust_under_the_id_of_its_fill_is_another_event(self):
        bust = payloads.fill_update() | {"event": "trade_bust"}

        assert make_dedupe_key(bust) != make_dedupe_key(payloads.fill_update())

    def test_without_execution_id_order_event_and_time_decide(self):
        data = payloads.trade_update("canceled", execution_id=None)

        assert make_dedupe_key(data) == f"{payloads.ORDER_ID}:canceled:{data['timestamp']}"
        assert make_dedupe_key(data) != make_dedupe_key(data | {"timestamp": "2026-11-02T14:30:08Z"})

    def test_without_any_of_them_the_content_decides(self):
        assert make_dedupe_key({"event": "new"}) == make_dedupe_key({"event": "new"})
        assert make_dedupe_key({"event": "new"}) != make_dedupe_key({"event": "held"})
