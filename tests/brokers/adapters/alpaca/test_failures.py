"""What each broken, refused or missing answer means for the money. One call is one request, always."""

import json
import socket
import time
import traceback
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from brokers.adapters.alpaca import constants
from brokers.enums import Environment
from brokers.exceptions import (
    AuthorizationExpired,
    DuplicateClientOrderId,
    NotFound,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    Unavailable,
)
from brokers.types import Credentials, DecisionToken, ReplaceRequest
from tests.brokers.adapters.alpaca import payloads
from tests.brokers.adapters.alpaca.conftest import KEYS, REQUEST, TOKEN, make_adapter, place
from tests.brokers.adapters.alpaca.scripted_server import (
    answer,
    hang_up,
    html,
    raw,
    reset,
    stay_silent,
    trickle,
)

CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"id\"\r\n"  # fmt: skip


def refusal(code, message="no", **extra):
    return {"code": code, "message": message, **extra}


class TestOrder:
    def test_goes_out_once_with_strings_and_comes_back_as_an_order(self, server, adapter):
        server.script = [answer(payloads.order())]

        order = place(adapter)

        assert order.broker_order_id == payloads.ORDER_ID
        ((method, path, headers, body),) = server.requests
        assert (method, path) == ("POST", "/v2/orders")
        assert (headers["apca-api-key-id"], headers["apca-api-secret-key"]) == ("PKTEST", "very-secret")
        assert json.loads(body)["limit_price"] == "187.35"

    def test_token_links_use_the_bearer_header(self, server):
        server.script = [answer(payloads.order())]

        place(make_adapter(TOKEN, Environment.LIVE))

        assert server.requests[0][1] == "/v2/orders"
        assert server.requests[0][2]["authorization"] == "Bearer oauth-secret"

    @pytest.mark.parametrize(
        "script",
        [
            hang_up,
            reset,
            stay_silent,
            html(200),
            html(400),
            html(403),
            html(404),
            html(502),
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"id\": "),
            raw(CHUNK),
            raw(b"\x00\x01 what?\r\n\r\n"),
            answer(""),
            answer("[]"),
            answer("null"),
            answer("{}"),
            answer("[" * 100_000),
            answer(payloads.order(), 302, headers={"Location": "/elsewhere"}),
            answer(payloads.order(client_order_id="someone-elses")),
            answer(payloads.order(client_order_id=None)),
            answer(payloads.order(id=None)),
            answer(payloads.order(filled_qty="a few")),
            answer(refusal(40310000)),
            answer(refusal(50010000), 500),
            answer(refusal(50010000), 422),
            answer(refusal(40310000), 500),
            answer({"message": "timeout"}, 504),
            answer({"message": "no code"}, 422),
            answer({"message": "no code"}, 404),
            answer(refusal(40010001), 408),
            answer({"code": True}, 422),
        ],
    )  # fmt: skip
    def test_whatever_is_not_proof_is_unknown_and_sent_once(self, server, adapter, script):
        server.script = [script] + [answer(payloads.order())] * 5

        with pytest.raises(OutcomeUnknown):
            place(adapter)

        assert server.posts() == 1

    def test_a_body_that_trickles_in_does_not_hold_the_sender(self, server, adapter, monkeypatch):
        monkeypatch.setattr(constants, "BODY_TIMEOUT", 0.3)
        server.script = [trickle]
        started = time.monotonic()

        with pytest.raises(OutcomeUnknown):
            place(adapter)

        assert time.monotonic() - started < 3

    @pytest.mark.parametrize(
        ("status", "code", "message"),
        [
            (400, 40010001, "bracket orders require take_profit.limit_price"),
            (403, 40310000, "insufficient buying power"),
            (403, 40310000, "insufficient qty available for order"),
            (404, 40410000, "asset not found"),
            (422, 42210000, "sub-penny increment does not fulfill minimum pricing criteria"),
            (422, 40010001, "qty must be > 0"),
            (422, "42210000", "asset not found"),
        ],
    )
    def test_a_business_code_is_proof_of_refusal(self, server, adapter, status, code, message):
        server.script = [answer(refusal(code, message), status)]

        with pytest.raises(Rejected) as caught:
            place(adapter)

        assert type(caught.value) is Rejected
        assert (caught.value.message, caught.value.code) == (message, str(code))
        assert caught.value.request_id == "req-1"

    def test_a_used_id_is_told_apart_from_other_refusals_of_the_same_code(self, server, adapter):
        server.script = [answer(refusal(40010001, "client_order_id must be unique"), 422)]

        with pytest.raises(DuplicateClientOrderId):
            place(adapter)

    @pytest.mark.parametrize(
        "script",
        [
            answer({"message": "unauthorized."}, 401),
            html(401),
            answer(refusal(40110000, "request is not authorized"), 401),
            answer({"message": "forbidden."}, 403),
        ],
    )
    def test_refused_credentials(self, server, adapter, script):
        server.script = [script]

        with pytest.raises(AuthorizationExpired):
            place(adapter)

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"Retry-After": "7"}, 7.0),
            ({"X-RateLimit-Reset": str(int(time.time()) - 100)}, 0.0),
            ({"Retry-After": "soon"}, None),
            ({}, None),
        ],
    )
    def test_rate_limit_is_not_retried(self, server, adapter, headers, seconds):
        server.script = [answer({"message": "too many requests."}, 429, headers=headers)]

        with pytest.raises(RateLimited) as caught:
            place(adapter)

        assert caught.value.retry_after_seconds == seconds
        assert server.posts() == 1
        assert not adapter.refused_proof_on_rate_limit()

    def test_rate_limit_reset_is_a_moment(self, server, adapter):
        reset_at = {"X-RateLimit-Reset": str(int(time.time()) + 30)}
        server.script = [answer({}, 429, headers=reset_at)]

        with pytest.raises(RateLimited) as caught:
            place(adapter)

        assert 25 < caught.value.retry_after_seconds <= 30

    def test_refused_connection_means_that_nothing_was_sent(self, server, adapter, settings):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings.ALPACA_PAPER_URL = f"http://127.0.0.1:{port}"

        with pytest.raises(NotSent):
            place(adapter)
        with pytest.raises(Unavailable):
            adapter.get_account_info()

    def test_failed_tls_handshake_means_that_nothing_was_sent(self, server, adapter, settings):
        settings.ALPACA_PAPER_URL = server.url.replace("http://", "https://")
        server.script = [hang_up]

        with pytest.raises(NotSent):
            place(adapter)

        assert server.requests == []

    def test_silent_tls_handshake_means_that_nothing_was_sent(self, adapter, settings):
        with socket.create_server(("127.0.0.1", 0)) as mute:
            settings.ALPACA_PAPER_URL = f"https://127.0.0.1:{mute.getsockname()[1]}"

            with pytest.raises(NotSent):
                place(adapter)

    def test_a_reused_connection_that_dies_is_unknown_and_not_tried_again(self, server, adapter):
        server.script = [answer(payloads.account()), reset, answer(payloads.order())]
        adapter.get_account_info()

        with pytest.raises(OutcomeUnknown):
            place(adapter)

        assert (server.connections, server.posts()) == (1, 1)

    def test_connections_stay_open_between_calls(self, server, adapter):
        server.script = [answer(payloads.account()), answer(payloads.order()), answer(payloads.account())]

        adapter.get_account_info()
        place(make_adapter())
        adapter.get_account_info()

        assert server.connections == 1

    def test_a_connection_that_idled_too_long_is_not_trusted_with_an_order(
        self, server, adapter, monkeypatch
    ):
        server.script = [answer(payloads.account()), answer(payloads.order())]
        adapter.get_account_info()
        monkeypatch.setattr(constants, "MAX_IDLE", timedelta(seconds=-1))

        place(adapter)

        assert server.connections == 2

    @pytest.mark.parametrize(
        "values",
        [{}, {"key_id": "k"}, {"key_id": "k", "secret_key": ""}, {"key_id": "k\r\nX: y", "secret_key": "s"}],
    )
    def test_unusable_credentials_are_a_broken_link(self, server, values):
        with pytest.raises(AuthorizationExpired):
            place(make_adapter(Credentials(KEYS.kind, values)))

    def test_no_secret_is_in_a_failure(self, server, adapter):
        server.script = [reset]

        with pytest.raises(OutcomeUnknown) as caught:
            place(adapter)

        text = "".join(traceback.format_exception(caught.value))
        assert "very-secret" not in text
        assert "PKTEST" not in text


class TestToken:
    @pytest.mark.parametrize(
        ("order_hash", "lifetime", "refusal"),
        [("another", timedelta(seconds=5), PermissionError), ("h", timedelta(seconds=-1), NotSent)],
    )
    def test_without_a_live_decision_nothing_is_sent(self, server, adapter, order_hash, lifetime, refusal):
        token = DecisionToken(
            decision_id=UUID(int=1), order_hash=order_hash, expires_at=datetime.now(UTC) + lifetime
        )

        with pytest.raises(refusal):
            adapter.place_order(REQUEST, client_order_id="c", token=token, order_hash="h")
        with pytest.raises(refusal):
            adapter.replace_order(
                "o", ReplaceRequest(quantity=None), client_order_id="c", token=token, order_hash="h"
            )

        assert server.requests == []


class TestReplace:
    def replace(self, adapter):
        token = DecisionToken(
            decision_id=UUID(int=1), order_hash="h", expires_at=datetime.now(UTC) + timedelta(seconds=5)
        )
        return adapter.replace_order(
            "old-id", ReplaceRequest(limit_price=REQUEST.limit_price), client_order_id="c2", token=token,
            order_hash="h",
        )  # fmt: skip

    @pytest.mark.parametrize("replaces", ["old-id", None])
    def test_returns_the_new_order(self, server, adapter, replaces):
        server.script = [answer(payloads.order(client_order_id="c2", replaces=replaces))]

        order = self.replace(adapter)

        assert (order.broker_order_id, order.replaces) == (payloads.ORDER_ID, "old-id")
        assert server.requests[0][:2] == ("PATCH", "/v2/orders/old-id")
        assert json.loads(server.requests[0][3]) == {"client_order_id": "c2", "limit_price": "187.35"}

    @pytest.mark.parametrize(
        "changes", [{"client_order_id": "c1"}, {"replaces": "third"}, {"id": "old-id"}, {"id": None}]
    )
    def test_another_orders_answer_is_unknown(self, server, adapter, changes):
        server.script = [answer(payloads.order(**({"client_order_id": "c2"} | changes)))]

        with pytest.raises(OutcomeUnknown):
            self.replace(adapter)

    @pytest.mark.parametrize("status", [404, 422])
    def test_refusal_is_proof(self, server, adapter, status):
        server.script = [answer(refusal(42210000, "unable to replace order, order is not open"), status)]

        with pytest.raises(Rejected):
            self.replace(adapter)

    def replace_quantity(self, adapter, quantity):
        token = DecisionToken(
            decision_id=UUID(int=1), order_hash="h", expires_at=datetime.now(UTC) + timedelta(seconds=5)
        )
        changes = ReplaceRequest(quantity=quantity)
        return adapter.replace_order(
            payloads.ORDER_ID, changes, client_order_id="c2", token=token, order_hash="h"
        )

    def test_a_new_total_is_sent_as_what_is_left_to_fill(self, server, adapter):
        new = payloads.order(id="new", client_order_id="c2")
        server.script = [answer(payloads.order(filled_qty="4", status="partially_filled")), answer(new)]

        self.replace_quantity(adapter, Decimal(12))

        assert json.loads(server.requests[1][3])["qty"] == "8"

    @pytest.mark.parametrize(
        ("script", "failure"),
        [
            (answer(payloads.order(filled_qty="10", status="filled")), Rejected),
            (answer(refusal(40410000), 404), Rejected),
            (html(502), NotSent),
            (answer({}, 429), NotSent),
        ],
    )
    def test_nothing_is_sent_when_the_rest_is_unknown_or_nothing(self, server, adapter, script, failure):
        server.script = [script]

        with pytest.raises(failure):
            self.replace_quantity(adapter, Decimal(10))

        assert [request[0] for request in server.requests] == ["GET"]


class TestCancel:
    def test_empty_answer_means_asked(self, server, adapter):
        server.script = [answer("", 204)]

        assert adapter.cancel_order("abc") is None
        assert server.requests[0][:2] == ("DELETE", "/v2/orders/abc")

    @pytest.mark.parametrize(
        ("script", "failure"),
        [
            (answer(refusal(42210000, 'order is already in "filled" state'), 422), Rejected),
            (answer(refusal(40410000, "order not found"), 404), NotFound),
            (html(404), OutcomeUnknown),
            (answer({}, 500), OutcomeUnknown),
            (hang_up, OutcomeUnknown),
            (answer({}, 429), RateLimited),
            (answer({}, 401), AuthorizationExpired),
        ],
    )
    def test_failures(self, server, adapter, script, failure):
        server.script = [script]

        with pytest.raises(failure) as caught:
            adapter.cancel_order("abc")

        assert type(caught.value) is failure

    @pytest.mark.parametrize("order_id", ["", ".", ".."])
    def test_an_id_that_is_none_addresses_nothing(self, server, adapter, order_id):
        with pytest.raises(NotFound):
            adapter.cancel_order(order_id)

        assert server.requests == []

    def test_an_id_cannot_leave_its_place_in_the_address(self, server, adapter):
        server.script = [answer("", 204)]
        adapter.cancel_order("../positions?cancel_orders=true")

        assert server.requests[0][1] == "/v2/orders/..%2Fpositions%3Fcancel_orders%3Dtrue"


class TestReads:
    @pytest.mark.parametrize(
        ("script", "failure"),
        [
            (hang_up, Unavailable),
            (reset, Unavailable),
            (stay_silent, Unavailable),
            (html(200), Unavailable),
            (html(502), Unavailable),
            (html(403), Unavailable),
            (html(404), Unavailable),
            (answer({"detail": "Not Found"}, 404), Unavailable),
            (answer({}), Unavailable),
            (answer(""), Unavailable),
            (answer(refusal(42210000), 422), Unavailable),
            (answer({}, 504), Unavailable),
            (answer({"message": "unauthorized."}, 401), AuthorizationExpired),
            (answer({"message": "forbidden."}, 403), AuthorizationExpired),
            (answer(refusal(40410000), 404), NotFound),
            (answer({}, 429), RateLimited),
        ],
    )
    def test_failures(self, server, adapter, script, failure):
        server.script = [script] + [answer(payloads.account())] * 4

        with pytest.raises(failure) as caught:
            adapter.get_account_info()

        assert type(caught.value) is failure
        assert len(server.requests) == 1

    @pytest.mark.parametrize("body", ["", "null", "{}", '{"message": "x"}', "[{}]", '[{"symbol": "A"}]'])
    def test_an_error_is_never_an_empty_list_of_positions(self, server, adapter, body):
        server.script = [answer(body)]

        with pytest.raises(Unavailable):
            adapter.get_positions()

    def test_an_order_found_under_our_id_must_carry_it(self, server, adapter):
        server.script = [answer(payloads.order(client_order_id="other")), answer(refusal(40410000), 404)]

        with pytest.raises(Unavailable):
            adapter.find_order("tp-01jc")
        with pytest.raises(NotFound):
            adapter.find_order("tp-01jc")

        assert server.requests[0][1] == "/v2/orders:by_client_order_id?client_order_id=tp-01jc"

    def test_a_missing_data_plan_does_not_break_the_link(self, server, adapter):
        message = "subscription does not permit querying recent SIP data"
        server.script = [answer({"message": message}, 403)]

        with pytest.raises(Unavailable):
            adapter.get_quote("AAPL")

    def test_a_malformed_symbol_does_not_spoil_the_others(self, server, adapter):
        snapshots = {"AAPL": payloads.snapshot()}
        server.script = [answer({"message": "invalid symbol: BAD-X"}, 400), answer(snapshots)]

        quotes = adapter.get_quotes(["AAPL", "BAD-X", "no symbol"])

        assert [quote.symbol for quote in quotes] == ["AAPL"]
        assert "symbols=AAPL&" in server.requests[1][1]

    def test_no_quote_is_not_found(self, server, adapter):
        server.script = [answer({})]

        with pytest.raises(NotFound):
            adapter.get_quote("AAPL")
        with pytest.raises(NotFound):
            adapter.get_quote("../../v2/account")
