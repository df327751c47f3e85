"""The two websockets: handshakes, codecs, limits, and a stream that loses, repeats and reorders events."""

import json

import msgpack
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.brokers.simulators.conftest import wait_for


def receive(socket):
    return json.loads(socket.recv(timeout=10))


def listen(socket, account):
    data = {"key_id": account.key_id, "secret_key": account.secret}
    socket.send(json.dumps({"action": "authenticate", "data": data}))
    assert receive(socket)["data"] == {"status": "authorized", "action": "authenticate"}
    socket.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates", "nonsense"]}}))
    assert receive(socket) == {"stream": "listening", "data": {"streams": ["trade_updates"]}}


@pytest.fixture
def updates(server, account):
    with connect(server.paper_stream_url) as socket:
        listen(socket, account)
        yield socket


def events(socket, count):
    return [receive(socket)["data"] for _ in range(count)]


def test_listening_needs_authorization(server, account):
    with connect(server.paper_stream_url) as socket:
        socket.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        assert receive(socket)["data"] == {"status": "unauthorized", "action": "listen"}
        socket.send(json.dumps({"action": "auth", "key": account.key_id, "secret": "wrong"}))
        assert receive(socket)["data"]["status"] == "unauthorized"
        socket.send(json.dumps({"action": "auth", "key": account.key_id, "secret": account.secret}))
        assert receive(socket)["data"]["status"] == "authorized"
        socket.send("}not json")
        assert receive(socket)["stream"] == "error"


def test_paper_sends_binary_json_and_live_sends_text(server):
    for env, url, kind in (("paper", server.paper_stream_url, bytes), ("live", server.live_stream_url, str)):
        made = server.create_account(env=env)
        with connect(url) as socket:
            socket.send(json.dumps({"action": "auth", "key": made.key_id, "secret": made.secret}))
            assert isinstance(socket.recv(timeout=10), kind)


def test_oauth_token_and_messagepack(server, account, api):
    token = server.grant_token(account.account_id)
    headers = {"Content-Type": "application/msgpack"}
    with connect(server.paper_stream_url, additional_headers=headers) as socket:
        socket.send(msgpack.packb({"action": "authenticate", "data": {"oauth_token": token}}))
        assert msgpack.unpackb(socket.recv(timeout=10))["data"]["status"] == "authorized"
        socket.send(msgpack.packb({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        socket.recv(timeout=10)
        api.order()
        assert msgpack.unpackb(socket.recv(timeout=10))["data"]["event"] == "pending_new"


def test_fill_event_carries_the_execution_and_the_cumulative_truth(server, account, api, updates):
    _, placed = api.order(qty="7")
    names = events(updates, 3)
    assert [row["event"] for row in names] == ["pending_new", "new", "fill"]
    fill = names[-1]
    assert (fill["price"], fill["qty"], fill["position_qty"]) == ("100.02", "7", "7")
    assert (fill["order"]["id"], fill["order"]["filled_qty"]) == (placed["id"], "7")
    (execution,) = server.book(account.account_id)["executions"]
    assert fill["execution_id"] == execution["id"]


def test_accounts_do_not_see_each_other(server, account, updates):
    other = server.create_account()
    with connect(server.paper_stream_url) as socket:
        listen(socket, other)
        body = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
        server.control("orders", account_id=other.account_id, order=body)
        assert [row["event"] for row in events(socket, 3)][-1] == "fill"
    with pytest.raises(TimeoutError):
        updates.recv(timeout=0.2)


def test_order_placed_in_the_brokers_app_arrives(server, account, updates):
    body = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
    placed = server.control("orders", account_id=account.account_id, order=body)
    assert events(updates, 1)[0]["order"]["id"] == placed["id"]
    assert server.book(account.account_id)["orders"][0]["source"] == "broker_app"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"kind": "lost", "skip": 1}, ["pending_new", "fill"]),
        ({"kind": "duplicate", "skip": 2}, ["pending_new", "new", "fill", "fill"]),
        ({"kind": "reorder", "skip": 1}, ["pending_new", "fill", "new"]),
        ({"kind": "late", "skip": 0, "seconds": 0.3}, ["new", "fill", "pending_new"]),
    ],
)
def test_damaged_delivery(server, api, updates, rule, expected):
    server.fault(endpoint="stream.trade_updates", **rule)
    api.order()
    assert [row["event"] for row in events(updates, len(expected))] == expected


def test_unknown_status_inside_an_event(server, api, updates):
    server.fault("unknown_enum", endpoint="stream.trade_updates", value="entangled")
    api.order()
    assert events(updates, 1)[0]["order"]["status"] == "entangled"


def test_bust_is_announced(server, account, api, updates):
    api.order()
    events(updates, 3)
    (execution,) = server.book(account.account_id)["executions"]
    server.control("executions/bust", execution_id=execution["id"])
    (bust,) = events(updates, 1)
    assert (bust["event"], bust["order"]["filled_qty"]) == ("trade_bust", "0")
    types = [row["type"] for row in api.call("GET", "/v2/account/activities/FILL")[1]]
    assert types == ["trade_bust", "fill"]


def test_server_can_cut_sockets_and_refuse_handshakes(server, account, updates):
    server.control("streams/disconnect", account_id=account.account_id)
    with pytest.raises(ConnectionClosed):
        updates.recv(timeout=10)
    wait_for(lambda: server.read("streams")["trade_updates"] == 0)
    server.fault("status_before", endpoint="stream.connect", status=429)
    with pytest.raises(InvalidStatus) as caught, connect(server.paper_stream_url):
        raise AssertionError("the handshake was accepted")
    assert caught.value.response.status_code == 429


def open_data(socket, account):
    assert receive(socket) == [{"T": "success", "msg": "connected"}]
    socket.send(json.dumps({"action": "auth", "key": account.key_id, "secret": account.secret}))
    assert receive(socket) == [{"T": "success", "msg": "authenticated"}]


def code(socket):
    return receive(socket)[0]["code"]


def test_market_data_conversation_and_its_errors(server, account):
    with connect(server.data_stream_url) as socket:
        assert receive(socket)[0]["msg"] == "connected"
        socket.send(json.dumps({"action": "subscribe", "quotes": ["AAPL"]}))
        assert code(socket) == 401
        socket.send(json.dumps({"action": "auth", "key": "a", "secret": "b"}))
        assert code(socket) == 402
        socket.send(json.dumps({"action": "dance"}))
        assert code(socket) == 400
        socket.send(json.dumps({"action": "auth", "key": account.key_id, "secret": account.secret}))
        assert receive(socket)[0]["msg"] == "authenticated"
        socket.send(json.dumps({"action": "auth", "key": account.key_id, "secret": account.secret}))
        assert code(socket) == 403
        socket.send(json.dumps({"action": "subscribe", "quotes": ["AAPL"], "trades": ["ABEO"]}))
        (lists,) = receive(socket)
        assert (lists["quotes"], lists["trades"], lists["corrections"]) == (["AAPL"], ["ABEO"], ["ABEO"])
        greeting = receive(socket)
        assert [(row["T"], row["S"]) for row in greeting] == [("q", "AAPL"), ("t", "ABEO")]
        assert (greeting[0]["bp"], greeting[0]["ap"]) == (99.98, 100.02)
        socket.send(json.dumps({"action": "subscribe", "quotes": [f"S{index}" for index in range(40)]}))
        assert code(socket) == 405
        with connect(server.data_stream_url) as second:
            assert receive(second)[0]["msg"] == "connected"
            second.send(json.dumps({"action": "auth", "key": account.key_id, "secret": account.secret}))
            assert code(second) == 406
        socket.send(json.dumps({"action": "unsubscribe", "quotes": ["AAPL"]}))
        assert receive(socket)[0]["quotes"] == []


def test_market_data_by_token_needs_the_data_scope(server, account):
    for scope, answer in (("trading", 411), ("data", None)):
        token = server.grant_token(account.account_id, scope=scope)
        with connect(server.data_stream_url) as socket:
            receive(socket)
            socket.send(json.dumps({"action": "auth", "key": "oauth", "secret": token}))
            assert receive(socket)[0].get("code") == answer


def test_market_data_accepts_handshake_headers(server, account):
    headers = {"APCA-API-KEY-ID": account.key_id, "APCA-API-SECRET-KEY": account.secret}
    with connect(server.data_stream_url, additional_headers=headers) as socket:
        assert [receive(socket)[0]["msg"] for _ in range(2)] == ["connected", "authenticated"]
