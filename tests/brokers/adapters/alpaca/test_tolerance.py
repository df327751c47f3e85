"""Every field of every answer dropped, renamed, nulled or retyped: a value or a declared failure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.adapters.alpaca import mapping
from brokers.adapters.alpaca.events import make_stream_event, read_trade_update
from brokers.adapters.alpaca.market_mapping import read_bars, read_snapshots
from brokers.adapters.alpaca.parsing import UnreadableAnswer
from brokers.types import ExecutionReport
from tests.brokers.adapters.alpaca import payloads
from tests.brokers.adapters.alpaca.test_events import NOW

BRACKET = payloads.order(order_class="bracket", legs=[payloads.order(id="leg", status="held")])
OBJECTS = {
    "order": (mapping.read_order, BRACKET),
    "account": (mapping.read_account, payloads.account()),
    "position": (mapping.read_position, payloads.position()),
    "fill": (mapping.read_execution, payloads.fill_activity()),
    "activity": (mapping.read_activity, payloads.dividend_activity()),
    "asset": (mapping.read_asset, payloads.asset()),
    "clock": (mapping.read_clock, payloads.clock()),
    "snapshot": (lambda row: read_snapshots({"AAPL": row}), payloads.snapshot()),
}
CASES = [(name, field) for name, (_, row) in OBJECTS.items() for field in row]
ODD = [None, "", "?", 0, -1, 1.5, True, [], {}, [None], {"a": 1}, "9" * 400, "NaN", "\x00"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def damaged(row, field):
    """Every damage to one field."""
    without = {key: value for key, value in row.items() if key != field}
    yield without
    yield without | {f"{field}_v2": row[field]}
    yield from (without | {field: value} for value in ODD)


@pytest.mark.parametrize(("name", "field"), CASES)
def test_a_damaged_field_is_read_or_refused(name, field):
    read, row = OBJECTS[name]
    for variant in damaged(row, field):
        try:
            read(variant)
        except UnreadableAnswer:
            continue


@pytest.mark.parametrize("field", sorted(payloads.fill_update()))
def test_a_damaged_event_is_always_a_report(field):
    for variant in damaged(payloads.fill_update(), field):
        event = make_stream_event(variant, received_at=NOW)
        assert isinstance(read_trade_update(event.payload), ExecutionReport)
        assert 0 < len(event.dedupe_key) <= 160
        assert len(event.kind) <= 40


@given(st.sampled_from(sorted(OBJECTS)), st.data())
def test_several_arbitrary_fields_at_once(name, data):
    read, row = OBJECTS[name]
    fields = data.draw(st.lists(st.sampled_from(sorted(row)), max_size=4, unique=True))
    changes = {field: data.draw(json_values) for field in fields}
    try:
        read(row | changes)
    except UnreadableAnswer:
        return


@given(json_values)
def test_arbitrary_json_instead_of_an_answer(answer):
    lists = (mapping.read_orders, mapping.read_positions, mapping.read_executions, mapping.read_assets)
    readers = (*lists, *(read for read, _ in OBJECTS.values()), lambda value: read_bars(value, "AAPL"))
    for read in readers:
        try:
            read(answer)
        except UnreadableAnswer:
            continue


@given(st.dictionaries(st.sampled_from(["event", "order", "qty", "price", "timestamp"]), json_values))
def test_arbitrary_events_are_always_reports(data):
    assert isinstance(read_trade_update(data), ExecutionReport)
    assert make_stream_event(data, received_at=NOW).dedupe_key
