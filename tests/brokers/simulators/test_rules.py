"""What the simulated Alpaca refuses, with status, code and words; and its REST surface."""

import pytest

from tests.brokers.simulators.conftest import Api, wait_for

EXITS = {"take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "90"}}


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"symbol": None}, 422, 40010001, "symbol is required"),
        ({"symbol": "NOPE"}, 422, 42210000, 'asset "NOPE" not found'),
        ({"symbol": "SIVB"}, 422, 42210000, "not active"),
        ({"side": "hold"}, 422, 40010001, "invalid side"),
        ({"type": "magic"}, 422, 40010001, "invalid type"),
        ({"time_in_force": None}, 422, 40010001, "time_in_force is required"),
        ({"qty": None}, 422, 40010001, "qty or notional is required"),
        ({"notional": "10"}, 400, 40010001, "only one of qty or notional"),
        ({"qty": "-1"}, 422, 40010001, "qty must be > 0"),
        ({"qty": "abc"}, 422, 40010001, "invalid qty"),
        ({"qty": "0.0000000001"}, 422, 40010001, "increment"),
        ({"qty": None, "notional": "0.5"}, 403, 40310000, "minimal amount"),
        ({"type": "limit"}, 422, 40010001, "require limit price"),
        ({"limit_price": "5"}, 422, 40010001, "must not have limit_price"),
        ({"type": "limit", "limit_price": "100.001"}, 422, 42210000, "sub-penny"),
        ({"type": "limit", "limit_price": "0.12345"}, 422, 42210000, "sub-penny"),
        ({"type": "trailing_stop"}, 422, 40010001, "exactly one of trail_price"),
        ({"client_order_id": "x" * 129}, 422, 40010001, "128"),
        ({"extended_hours": True}, 422, 42210000, "DAY or GTC limit"),
        ({"qty": "1.5", "time_in_force": "gtc"}, 422, 42210000, "fractional orders must be DAY"),
        ({"qty": "1.5", "order_class": "bracket", **EXITS}, 422, 42210000, "simple orders"),
        ({"symbol": "ABEO", "qty": "1.5"}, 403, 40310000, "not fractionable"),
        ({"order_class": "bracket", "take_profit": {"limit_price": "110"}}, 400, 40010001, "stop_loss"),
        ({"order_class": "oto", **EXITS}, 400, 40010001, "either"),
        ({"order_class": "bracket", "time_in_force": "ioc", **EXITS}, 422, 42210000, "DAY or GTC"),
        (
            {"order_class": "bracket", **EXITS, "stop_loss": {"stop_price": "120"}},
            422,
            42210000,
            "greater than stop_loss",
        ),
        (
            {"order_class": "bracket", **EXITS, "stop_loss": {"stop_price": "100.00"}},
            422,
            42210000,
            "base_price - 0.01",
        ),
        ({"qty": "100000"}, 403, 40310000, "insufficient buying power"),
        ({"symbol": "ATYR", "side": "sell"}, 422, 42210000, "cannot be sold short"),
        ({"side": "sell", "position_intent": "sell_to_close"}, 422, 40010001, "intent mismatch"),
    ],
)
def test_refusals_carry_status_code_and_reason(api, server, account, body, status, code, words):
    found, answer = api.order(**body)
    assert (found, answer["code"]) == (status, code), answer
    assert words in answer["message"]
    assert server.book(account.account_id)["orders"] == []
    assert len(server.book(account.account_id)["received"]) == 1


def test_buying_power_refusal_names_the_figures(api):
    _, answer = api.order(qty="100000")
    assert answer["buying_power"] == "200000"
    assert answer["cost_basis"] == "10302060"


def test_held_shares_cannot_be_sold_twice(api):
    _, bought = api.order()
    api.wait_status(bought["id"], "filled")
    _, resting = api.order(side="sell", type="limit", limit_price="150", qty="8")
    status, answer = api.order(side="sell", qty="3")
    assert status == 403
    assert answer["message"] == "insufficient qty available for order (requested: 3, available: 2)"
    names = ("available", "existing_qty", "held_for_orders", "symbol")
    assert [answer[name] for name in names] == ["2", "10", "8", "AAPL"]
    assert answer["related_orders"] == [resting["id"]]
    assert api.call("DELETE", "/v2/positions/AAPL")[0] == 403
    assert api.call("GET", "/v2/positions/AAPL")[1]["qty_available"] == "2"


def test_wash_trades_are_refused_and_complex_orders_are_exempt(api):
    _, bought = api.order()
    api.wait_status(bought["id"], "filled")
    _, stop = api.order(side="sell", type="stop", stop_price="90")
    status, answer = api.order()
    assert (status, answer["existing_order_id"]) == (403, stop["id"])
    assert answer["message"] == "potential wash trade detected. use complex orders"
    assert api.order(order_class="bracket", **EXITS)[0] == 200


def test_crossing_own_limit_is_a_wash_trade_and_a_distant_one_is_not(api):
    _, resting = api.order(type="limit", limit_price="99")
    assert api.order(side="sell", type="limit", limit_price="98.50")[0] == 403
    assert api.order(side="sell", type="limit", limit_price="99.50")[0] == 200
    assert resting["status"] == "pending_new"


def test_numbers_and_texts_are_accepted_alike(api):
    body = '{"symbol":"AAPL","qty":2,"side":"buy","type":"limit","limit_price":99.5,"time_in_force":"day"}'
    status, answer = api.call("POST", "/v2/orders", body)
    assert (status, answer["qty"], answer["limit_price"]) == (200, "2", "99.5")
    assert answer["order_class"] == ""
    assert answer["created_at"].endswith("Z")
    assert len(answer["created_at"]) == 30


def test_malformed_json_is_400(api):
    assert api.call("POST", "/v2/orders", "{nope")[0] == 400


def test_client_id_is_never_free_again(api):
    _, placed = api.order(type="limit", limit_price="50", client_order_id="forever")
    api.wait_status(placed["id"], "new")
    assert api.call("DELETE", f"/v2/orders/{placed['id']}") == (204, "")
    api.wait_status(placed["id"], "canceled")
    status, answer = api.order(client_order_id="forever")
    assert (status, answer) == (422, {"code": 40010001, "message": "client_order_id must be unique"})
    assert api.call("GET", "/v2/orders:by_client_order_id?client_order_id=forever")[1]["id"] == placed["id"]
    assert api.call("GET", "/v2/orders:by_client_order_id?client_order_id=other")[0] == 404
    status, answer = api.call("DELETE", f"/v2/orders/{placed['id']}")
    assert (status, answer["code"]) == (422, 42210000)


def test_order_list_filters_and_cursors(api):
    made = [api.order(type="limit", limit_price=f"{50 + index}")[1]["id"] for index in range(4)]

    def listed(query):
        return [row["id"] for row in api.call("GET", f"/v2/orders?{query}")[1]]

    assert listed("") == made[::-1]
    assert listed("direction=asc&limit=2") == made[:2]
    assert listed(f"direction=asc&after_order_id={made[1]}") == made[2:]
    assert listed(f"before_order_id={made[1]}") == [made[0]]
    assert listed("symbols=ABEO,MSFT") == []
    assert listed("side=sell") == []
    assert listed("status=closed") == []
    assert listed("status=all&nested=True") == made[::-1]
    assert listed("after=2099-01-01T00:00:00Z") == []
    assert api.call("GET", f"/v2/orders?after_order_id={made[0]}&before_order_id={made[1]}")[0] == 422
    assert api.call("GET", "/v2/orders?limit=501")[0] == 422


def test_cancel_all_reports_each_order(api):
    made = [api.order(type="limit", limit_price="50")[1]["id"] for _ in range(2)]
    status, rows = api.call("DELETE", "/v2/orders")
    assert status == 207
    assert sorted(row["id"] for row in rows) == sorted(made)
    assert {row["status"] for row in rows} == {200}


def test_close_all_positions_after_cancelling(api):
    _, bought = api.order()
    api.wait_status(bought["id"], "filled")
    api.order(side="sell", type="limit", limit_price="150")
    assert api.call("DELETE", "/v2/positions")[1][0]["status"] == 403
    status, rows = api.call("DELETE", "/v2/positions?cancel_orders=True")
    assert (status, rows[0]["symbol"], rows[0]["status"]) == (207, "AAPL", 200)
    wait_for(lambda: api.call("GET", "/v2/positions")[1] == [])
    assert api.call("GET", "/v2/positions/AAPL") == (
        404,
        {"code": 40410000, "message": "position does not exist"},
    )


def test_activities_page_by_the_last_id(api):
    for _ in range(3):
        _, placed = api.order()
        api.wait_status(placed["id"], "filled")
    first = api.call("GET", "/v2/account/activities/FILL?page_size=2")[1]
    rest = api.call("GET", f"/v2/account/activities/FILL?page_size=2&page_token={first[-1]['id']}")[1]
    assert (len(first), len(rest)) == (2, 1)
    assert len({row["id"] for row in first + rest}) == 3
    assert {row["activity_type"] for row in first} == {"FILL"}
    assert first[0]["order_status"] == "filled"
    own = api.call("GET", f"/v2/account/activities?order_id={first[0]['order_id']}")[1]
    assert [row["id"] for row in own] == [first[0]["id"]]


def test_configurations_change_behaviour_and_ignore_removed_keys(api):
    status, answer = api.call(
        "PATCH",
        "/v2/account/configurations",
        {"suspend_trade": True, "pdt_check": None, "dtbp_check": "both"},
    )
    assert (status, answer["suspend_trade"]) == (200, True)
    assert "dtbp_check" not in answer
    assert api.order()[0] == 403
    assert api.call("GET", "/v2/account")[1]["trade_suspended_by_user"] is True


def test_credentials_decide_the_answer(server, account):
    assert Api(server).call("GET", "/v2/account")[0] == 401
    assert "<html>" in Api(server).call("GET", "/v2/account")[1]
    status, answer = Api(server, account, host="live").call("GET", "/v2/account")
    assert (status, "code" in answer) == (403, False)
    server.revoke(key_id=account.key_id)
    assert Api(server, account).call("GET", "/v2/account")[1]["code"] == 40110000


def test_token_scopes_are_enforced(server, account):
    token = server.grant_token(account.account_id, scope="data")
    reader = Api(server, headers={"Authorization": f"Bearer {token}"})
    assert reader.call("GET", "/v2/account")[0] == 200
    assert reader.order()[0] == 403
    assert reader.call("PATCH", "/v2/account/configurations", {"no_shorting": True})[0] == 403
    reader.host = "data"
    assert reader.call("GET", "/v2/stocks/quotes/latest?symbols=AAPL")[0] == 200


def test_rate_limit_headers_and_429(server):
    limited = Api(server, server.create_account(rate_limit=2))
    assert limited.call("GET", "/v2/clock")[0] == 200
    assert limited.last_headers["x-ratelimit-remaining"] == "1"
    assert limited.last_headers["x-request-id"]
    limited.call("GET", "/v2/clock")
    status, answer = limited.call("GET", "/v2/clock")
    assert (status, answer["code"]) == (429, 42910000)


def test_recent_consolidated_data_is_refused_on_the_free_plan(server, account):
    data = Api(server, account, host="data")
    status, answer = data.call("GET", "/v2/stocks/quotes/latest?symbols=AAPL&feed=sip")
    assert (status, answer["message"]) == (403, "subscription does not permit querying recent SIP data")


def test_bars_page_over_all_symbols(server, account):
    data = Api(server, account, host="data")
    query = (
        "/v2/stocks/bars?symbols=AAPL,MSFT&timeframe=1Day&start=2026-01-02&end=2026-01-16&feed=iex&limit=7"
    )
    found, token = [], ""
    while token is not None:
        page = data.call("GET", f"{query}&page_token={token}")[1]
        found += [(symbol, bar["t"]) for symbol, bars in page["bars"].items() for bar in bars]
        token = page["next_page_token"]
    assert len(found) == len(set(found)) == 20
    weekly = data.call("GET", query.replace("1Day", "1Week").replace("limit=7", "limit=100"))[1]
    assert [len(bars) for bars in weekly["bars"].values()] == [3, 3]
