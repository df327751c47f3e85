"""Scripted misbehaviour: what the client sees, and what the book says really happened."""

import http.client

import pytest

from tests.brokers.simulators.conftest import wait_for


def orders(server, account):
    return server.book(account.account_id)["orders"]


def test_error_before_accept_leaves_nothing_in_the_book(server, account, api):
    server.fault("status_before", status=503)
    assert api.order(client_order_id="a")[0] == 503
    assert orders(server, account) == []
    assert api.order(client_order_id="a")[0] == 200
    assert server.fault_counts() == {"orders.create:status_before": 1}


@pytest.mark.parametrize("status", [429, 500, 504])
def test_error_after_accept_hides_an_order_that_exists(server, account, api, status):
    server.fault("status_after", status=status)
    assert api.order(client_order_id="a")[0] == status
    assert [row["client_order_id"] for row in orders(server, account)] == ["a"]
    assert api.call("GET", "/v2/orders:by_client_order_id?client_order_id=a")[0] == 200
    assert api.order(client_order_id="a")[0] == 422


@pytest.mark.parametrize(("kind", "kept"), [("drop_before", 0), ("drop_after", 1)])
def test_dropped_connection(server, account, api, kind, kept):
    server.fault(kind)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        api.order()
    assert len(orders(server, account)) == kept


@pytest.mark.parametrize(("kind", "kept"), [("hang", 0), ("hang_after", 1)])
def test_hanging_call_stays_silent_and_then_breaks(server, account, api, kind, kept):
    server.fault(kind, seconds=0.2)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        api.order()
    assert len(orders(server, account)) == kept


def test_late_accept_answers_first_and_places_later(server, account, api):
    server.fault("late_accept", seconds=0.3, status=504)
    assert api.order(client_order_id="late")[0] == 504
    assert orders(server, account) == []
    row = wait_for(lambda: orders(server, account))[0]
    assert row["client_order_id"] == "late"


def test_damaged_answers_of_an_accepted_order(server, account, api):
    server.fault("garbage")
    status, text = api.order()
    assert status == 200
    assert isinstance(text, str)
    server.fault("html")
    assert "<html>" in api.order()[1]
    server.fault("half")
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        api.order()
    server.fault("wrong_id")
    wrong = api.order()[1]["id"]
    rows = orders(server, account)
    assert len(rows) == 4
    assert wrong not in {row["id"] for row in rows}


def test_unknown_null_and_missing_fields(server, api):
    server.fault("unknown_enum", endpoint="orders.*", value="quantum")
    assert api.order()[1]["status"] == "quantum"
    server.fault("null_fields", endpoint="account.get", fields=["account_number", "cash"])
    account = api.call("GET", "/v2/account")[1]
    assert (account["account_number"], account["cash"]) == (None, None)
    server.fault("missing_fields", endpoint="positions.list", fields=["qty_available"])
    assert all("qty_available" not in row for row in api.call("GET", "/v2/positions")[1])


def test_reject_after_a_good_answer(server, account, api):
    server.fault("reject")
    status, placed = api.order()
    assert (status, placed["status"]) == (200, "pending_new")
    assert api.wait_status(placed["id"], "rejected")["failed_at"]


def test_rules_count_skip_and_repeat_by_seed(server, api):
    def pattern():
        server.clear_faults()
        server.fault("status_before", endpoint="clock.get", count=None, probability=0.5, seed=11, status=500)
        return [api.call("GET", "/v2/clock")[0] for _ in range(20)]

    first = pattern()
    assert first == pattern()
    assert 0 < first.count(500) < 20
    server.clear_faults()
    server.fault("status_before", endpoint="clock.get", count=1, skip=1, status=500)
    assert [api.call("GET", "/v2/clock")[0] for _ in range(3)] == [200, 500, 200]


def test_rule_for_one_account_spares_the_others(server, account, api):
    other = server.create_account()
    server.fault("status_before", endpoint="*", account_id=other.account_id)
    assert api.call("GET", "/v2/clock")[0] == 200


def test_unknown_fault_is_refused(server):
    from brokers.simulators.testing import ControlError

    with pytest.raises(ControlError, match="unknown fault kind"):
        server.fault("earthquake")
