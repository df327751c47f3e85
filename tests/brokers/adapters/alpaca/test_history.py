"""Paged lists: read to the end, nothing twice, nothing skipped, no endless loops."""

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from brokers.adapters.alpaca import constants
from brokers.exceptions import Unavailable
from tests.brokers.adapters.alpaca import payloads
from tests.brokers.adapters.alpaca.scripted_server import answer

SINCE = datetime(2026, 11, 2, 14, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch):
    monkeypatch.setattr(constants, "ORDERS_PAGE", 2)
    monkeypatch.setattr(constants, "ACTIVITIES_PAGE", 2)


def query(server, index):
    return {name: values[0] for name, values in parse_qs(urlsplit(server.requests[index][1]).query).items()}


def order_at(order_id, second, **changes):
    return payloads.order(id=order_id, submitted_at=f"2026-11-02T14:30:{second:02d}.5Z", **changes)


def fill(execution_id, second):
    return payloads.fill_activity(
        id=f"202611021430{second:02d}000::{execution_id}", transaction_time=f"2026-11-02T14:30:{second:02d}Z"
    )


class TestOrders:
    def test_pages_overlap_by_an_instant_and_repeats_are_dropped(self, server, adapter):
        server.script = [
            answer([order_at("d", 9), order_at("c", 8)]),
            answer([order_at("c", 8), order_at("b", 8)]),
            answer([order_at("b", 8)]),
        ]

        orders = adapter.list_orders(since=SINCE)

        assert [order.broker_order_id for order in orders] == ["d", "c", "b"]
        first = query(server, 0)
        assert (first["status"], first["direction"], first["nested"]) == ("all", "desc", "true")
        assert first["after"] == "2026-11-02T14:29:59.999999Z"
        assert query(server, 1)["until"] == "2026-11-02T14:30:08.500001Z"

    def test_exits_count_as_rows_of_a_page(self, server, adapter):
        server.script = [answer([order_at("b", 9, legs=[order_at("leg", 9)])]), answer([order_at("a", 1)])]

        assert [order.broker_order_id for order in adapter.list_orders(open_only=True)] == ["b", "a"]
        assert query(server, 0)["status"] == "open"

    @pytest.mark.parametrize("page", [[order_at("b", 9), order_at("a", 9)], [{"id": "a"}, {"id": "b"}]])
    def test_a_list_that_does_not_advance_is_not_taken_for_complete(self, server, adapter, page):
        server.script = [answer(page)] * 4

        with pytest.raises(Unavailable):
            adapter.list_orders()

        assert len(server.requests) <= 2


class TestExecutions:
    def test_oldest_first_with_page_tokens(self, server, adapter):
        server.script = [
            answer([fill("a", 1), fill("b", 2)]),
            answer([fill("b", 2), fill("c", 3)]),
            answer([]),
        ]

        fills = adapter.list_executions(since=SINCE)

        assert [row.exec_id for row in fills] == ["a", "b", "c"]
        assert urlsplit(server.requests[0][1]).path == "/v2/account/activities/FILL"
        assert query(server, 0)["direction"] == "asc"
        assert query(server, 1)["page_token"] == "20261102143002000::b"

    def test_earlier_rows_of_a_generous_server_are_left_out(self, server, adapter):
        old = payloads.fill_activity(id="1::old", transaction_time="2026-11-02T14:29:59.9Z")
        server.script = [answer([old]), answer([fill("a", 0)])]

        assert adapter.list_executions(since=SINCE) == []
        assert [row.exec_id for row in adapter.list_executions(since=SINCE)] == ["a"]

    def test_a_token_that_leads_nowhere_is_an_error(self, server, adapter):
        server.script = [answer([fill("a", 1), fill("b", 2)])] * 3

        with pytest.raises(Unavailable):
            adapter.list_executions()

    def test_one_unreadable_fill_spoils_the_list(self, server, adapter):
        server.script = [answer([fill("a", 1) | {"price": None}])]

        with pytest.raises(Unavailable):
            adapter.list_executions()


class TestActivities:
    def test_fills_are_left_out_and_late_bookings_are_read_again(self, server, adapter):
        server.script = [answer([payloads.dividend_activity(), fill("a", 1)]), answer([])]

        rows = adapter.list_activities(since=SINCE)

        assert [row.kind for row in rows] == ["dividend"]
        assert query(server, 0)["after"].startswith("2026-10-30")


class TestBars:
    def test_all_pages_in_order(self, server, adapter):
        def bar(minute):
            return {
                "t": f"2026-11-02T14:{minute}:00Z",
                "o": 1,
                "h": 2,
                "l": 1,
                "c": 2,
                "v": 5,
                "n": 1,
                "vw": 1,
            }

        server.script = [
            answer({"bars": {"AAPL": [bar(30)]}, "next_page_token": "more"}),
            answer({"bars": {"AAPL": [bar(31)]}, "next_page_token": None}),
        ]

        bars = adapter.get_bars("AAPL", timeframe="1Min", start=SINCE, end=SINCE)

        assert [row.start.minute for row in bars] == [30, 31]
        assert (query(server, 0)["feed"], query(server, 0)["adjustment"]) == ("iex", "split")
        assert query(server, 1)["page_token"] == "more"
