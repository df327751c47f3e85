"""Event and quote streams over real sockets: login, back-fill hook, gaps, refusals, clean ends."""

import asyncio
import contextlib
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Response

from brokers.adapters.alpaca import constants
from brokers.enums import ExecType
from brokers.exceptions import AuthorizationExpired, Unavailable
from tests.brokers.adapters.alpaca import payloads
from tests.brokers.adapters.alpaca.conftest import KEYS, TOKEN, make_adapter
from tests.brokers.adapters.alpaca.scripted_socket import (
    accept_data_login,
    authorize,
    listening,
    run,
    send,
    send_data,
    socket_server,
    until,
    wait_for_close,
)

AT = datetime(2026, 11, 2, 15, 15, 2, tzinfo=UTC)


class Listener:
    """Records what a stream does, in order."""

    def __init__(self, settings, *, credentials=KEYS, hook_failures=(), sink_failures=()):
        self.settings, self.adapter = settings, make_adapter(credentials)
        self.log, self.events = [], []
        self.hook_failures, self.sink_failures = list(hook_failures), list(sink_failures)

    async def sink(self, event):
        if self.sink_failures:
            raise self.sink_failures.pop(0)
        self.events.append(event)
        self.log.append(event.kind)

    async def hook(self):
        self.log.append("connected")
        if self.hook_failures:
            raise self.hook_failures.pop(0)

    async def listen(self, url):
        self.settings.ALPACA_PAPER_STREAM_URL = url
        await self.adapter.stream_events(self.sink, on_connected=self.hook)

    async def keep_listening(self, url):
        """Connect again after each loss, as the stream service does."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.listen(url)

    def start(self, url):
        return asyncio.create_task(self.keep_listening(url))


async def cancel(task):
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def delivering(*events, binary=False, logins=None):
    async def script(connection):
        await authorize(connection, logins)
        await listening(connection)
        for event in events:
            await send(connection, "trade_updates", event, binary=binary)
        await wait_for_close(connection)

    return script


async def drop(connection):
    await authorize(connection)
    await listening(connection)
    await connection.close()


class TestTradeUpdates:
    @pytest.mark.parametrize(
        ("credentials", "login"),
        [
            (KEYS, {"key_id": "PKTEST", "secret_key": "very-secret"}),
            (TOKEN, {"oauth_token": "oauth-secret"}),
        ],
    )
    def test_login_frame(self, settings, credentials, login):
        async def main():
            logins = []
            listener = Listener(settings, credentials=credentials)
            async with socket_server(delivering(logins=logins)) as (url, _):
                task = listener.start(url)
                await until(lambda: listener.log)
                await cancel(task)
            assert logins == [{"action": "authenticate", "data": login}]

        run(main())

    @pytest.mark.parametrize("binary", [False, True])
    def test_back_fill_comes_before_the_first_event(self, settings, binary):
        async def main():
            listener = Listener(settings)
            events = [payloads.trade_update("new"), payloads.fill_update()]
            async with socket_server(delivering(*events, binary=binary)) as (url, _):
                task = listener.start(url)
                await until(lambda: len(listener.events) == 2)
                await cancel(task)
            assert listener.log == ["connected", "new", "partial_fill"]
            assert listener.events[1].payload == events[1]
            assert listener.events[1].dedupe_key == f"partial_fill:{payloads.EXECUTION_ID}"

        run(main())

    def test_an_event_that_overtakes_the_answer_to_listen_is_kept(self, settings):
        async def script(connection):
            await authorize(connection)
            await send(connection, "trade_updates", payloads.trade_update("new"))
            await listening(connection)
            await wait_for_close(connection)

        async def main():
            listener = Listener(settings)
            async with socket_server(script) as (url, _):
                task = listener.start(url)
                await until(lambda: listener.events)
                await cancel(task)
            assert listener.log == ["connected", "new"]

        run(main())

    def test_a_server_that_never_answers_listen_is_tolerated(self, settings, monkeypatch):
        monkeypatch.setattr(constants, "LISTEN_ANSWER_TIMEOUT", 0.1)

        async def script(connection):
            await authorize(connection)
            await wait_for_close(connection)

        async def main():
            listener = Listener(settings)
            async with socket_server(script) as (url, _):
                task = listener.start(url)
                await until(lambda: listener.log)
                await cancel(task)

        run(main())

    def test_refused_credentials_end_the_stream_after_one_attempt(self, settings):
        async def script(connection):
            await connection.recv()
            await send(connection, "authorization", {"status": "unauthorized", "action": "authenticate"})
            await wait_for_close(connection)

        async def main():
            listener = Listener(settings)
            async with socket_server(script) as (url, seen):
                with pytest.raises(AuthorizationExpired):
                    await listener.listen(url)
                assert len(seen) == 1
            assert listener.log == []

        run(main())

    def test_a_refused_handshake_ends_the_stream(self, settings):
        def refuse(connection, request):
            return Response(401, "Unauthorized", Headers())

        async def main():
            async with socket_server(delivering(), process_request=refuse) as (url, _):
                with pytest.raises(AuthorizationExpired):
                    await Listener(settings).listen(url)

        run(main())

    def test_a_lost_connection_is_told_and_not_made_again_by_itself(self, settings):
        async def main():
            listener = Listener(settings)
            async with socket_server(drop) as (url, seen):
                with pytest.raises(Unavailable):
                    await listener.listen(url)
                assert len(seen) == 1

        run(main())

    def test_each_reconnect_runs_the_hook_again(self, settings):
        async def main():
            listener = Listener(settings)
            async with socket_server(drop, delivering(payloads.trade_update("new"))) as (url, _):
                task = listener.start(url)
                await until(lambda: listener.events)
                await cancel(task)
            assert listener.log == ["connected", "connected", "new"]

        run(main())

    def test_a_failed_back_fill_is_repeated_by_reconnecting(self, settings):
        async def main():
            listener = Listener(settings, hook_failures=[Unavailable("later")])
            async with socket_server(delivering(payloads.trade_update("new"))) as (url, _):
                task = listener.start(url)
                await until(lambda: listener.events)
                await cancel(task)
            assert listener.log == ["connected", "connected", "new"]

        run(main())

    def test_a_refusal_during_back_fill_ends_the_stream(self, settings):
        async def main():
            listener = Listener(settings, hook_failures=[AuthorizationExpired("gone")])
            async with socket_server(delivering()) as (url, _):
                with pytest.raises(AuthorizationExpired, match="gone"):
                    await listener.listen(url)

        run(main())

    def test_an_event_that_could_not_be_stored_leads_to_a_new_back_fill(self, settings):
        async def main():
            listener = Listener(settings, sink_failures=[OSError("database gone")])
            async with socket_server(delivering(payloads.trade_update("new"))) as (url, seen):
                task = listener.start(url)
                await until(lambda: listener.events)
                await cancel(task)
                assert len(seen) == 2
            assert listener.log == ["connected", "connected", "new"]

        run(main())

    @pytest.mark.parametrize(
        "frame", ["not json", "[]", '{"stream": "trade_updates", "data": null}', b"\xff"]
    )
    def test_an_unreadable_frame_leads_to_a_new_back_fill(self, settings, frame):
        async def script(connection):
            await authorize(connection)
            await listening(connection)
            await connection.send(frame)
            await wait_for_close(connection)

        async def main():
            listener = Listener(settings)
            async with socket_server(script, delivering(payloads.trade_update("new"))) as (url, _):
                task = listener.start(url)
                await until(lambda: len(listener.events) == 2)
                await cancel(task)
            assert listener.log == ["connected", "unreadable", "connected", "new"]
            [report] = listener.adapter.interpret_event(listener.events[0])
            assert (report.exec_type, report.order) == (ExecType.UNKNOWN, None)
            assert "unreadable" in report.text

        run(main())

    def test_an_unreadable_frame_is_kept_without_our_credentials(self, settings):
        async def script(connection):
            await authorize(connection)
            await listening(connection)
            await connection.send("<html>bad login very-secret</html>")
            await wait_for_close(connection)

        async def main():
            listener = Listener(settings)
            async with socket_server(script) as (url, _):
                with pytest.raises(Unavailable):
                    await listener.listen(url)
            assert listener.events[0].payload["frame"] == "<html>bad login [hidden]</html>"

        run(main())

    def test_unknown_streams_are_passed_over(self, settings):
        async def script(connection):
            await authorize(connection)
            await listening(connection)
            await send(connection, "something_new", {"x": 1})
            await send(connection, "trade_updates", payloads.trade_update("invented_in_2027"))
            await wait_for_close(connection)

        async def main():
            listener = Listener(settings)
            async with socket_server(script) as (url, seen):
                task = listener.start(url)
                await until(lambda: listener.events)
                await cancel(task)
                assert len(seen) == 1
            assert listener.log == ["connected", "invented_in_2027"]

        run(main())

    def test_cancelling_closes_the_socket_and_leaves_the_loop_usable(self, settings):
        closed = []

        async def script(connection):
            await authorize(connection)
            await listening(connection)
            await wait_for_close(connection)
            closed.append(connection.close_code)

        async def main():
            listener = Listener(settings)
            async with socket_server(script) as (url, _):
                task = listener.start(url)
                await until(lambda: listener.log)
                await cancel(task)
                await until(lambda: closed)
            assert closed == [1000]
            assert len(asyncio.all_tasks()) <= 2

        run(main())

    def test_many_accounts_share_one_loop(self, settings):
        async def main():
            listeners = [Listener(settings) for _ in range(100)]
            async with socket_server(delivering(payloads.fill_update())) as (url, _):
                tasks = [listener.start(url) for listener in listeners]
                await until(lambda: all(listener.events for listener in listeners))
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            assert all(listener.log == ["connected", "partial_fill"] for listener in listeners)

        run(main())


QUOTE = {"T": "q", "S": "AAPL", "bp": 187.3, "bs": 200, "ap": 187.34, "as": 300, "t": AT}
TRADE = {"T": "t", "S": "AAPL", "p": 187.32, "s": 10, "t": AT}


class TestQuotes:
    async def listen(self, settings, url, quotes, *, credentials=KEYS, symbols=("AAPL",)):
        settings.ALPACA_DATA_STREAM_URL = url

        async def sink(quote):
            quotes.append(quote)

        await make_adapter(credentials).stream_quotes(symbols, sink)

    async def keep_listening(self, *args):
        while True:
            with contextlib.suppress(Unavailable):
                await self.listen(*args)

    @pytest.mark.parametrize(
        ("credentials", "key", "secret"),
        [(KEYS, "PKTEST", "very-secret"), (TOKEN, "oauth", "oauth-secret")],
    )
    def test_quotes_and_trades_become_quotes(self, settings, credentials, key, secret):
        logins, wanted, quotes = [], [], []

        async def script(connection):
            wanted.append(await accept_data_login(connection, logins))
            await send_data(connection, QUOTE, TRADE)
            await wait_for_close(connection)

        async def main():
            async with socket_server(script) as (url, _):
                task = asyncio.create_task(self.listen(settings, url, quotes, credentials=credentials))
                await until(lambda: len(quotes) == 2)
                await cancel(task)

        run(main())
        assert logins == [{"action": "auth", "key": key, "secret": secret}]
        assert (wanted[0]["quotes"], wanted[0]["trades"]) == (["AAPL"], ["AAPL"])
        assert (quotes[0].bid, quotes[0].ask, quotes[0].last) == (Decimal("187.3"), Decimal("187.34"), None)
        assert (quotes[1].last, quotes[1].as_of) == (Decimal("187.32"), AT)

    def test_refused_login(self, settings):
        async def script(connection):
            await send_data(connection, {"T": "success", "msg": "connected"})
            await connection.recv()
            await send_data(connection, {"T": "error", "code": 402, "msg": "auth failed"})
            await wait_for_close(connection)

        async def main():
            async with socket_server(script) as (url, seen):
                with pytest.raises(AuthorizationExpired):
                    await self.listen(settings, url, [])
                assert len(seen) == 1

        run(main())

    @pytest.mark.parametrize("code", [408, 409])
    def test_a_plan_without_this_stream(self, settings, code):
        async def script(connection):
            await accept_data_login(connection, [])
            await send_data(connection, {"T": "error", "code": code, "msg": "insufficient subscription"})
            await wait_for_close(connection)

        async def main():
            async with socket_server(script) as (url, _):
                with pytest.raises(Unavailable):
                    await self.listen(settings, url, [])

        run(main())

    def test_without_symbols_nothing_is_opened(self, settings):
        async def main():
            async with socket_server(wait_for_close) as (url, seen):
                await self.listen(settings, url, [], symbols=())
                assert seen == []

        run(main())

    def test_a_lost_connection_is_made_again_with_the_same_symbols(self, settings):
        quotes, wanted = [], []

        async def lose(connection):
            wanted.append(await accept_data_login(connection, []))
            await connection.close()

        async def script(connection):
            wanted.append(await accept_data_login(connection, []))
            await send_data(connection, QUOTE)
            await wait_for_close(connection)

        async def main():
            async with socket_server(lose, script) as (url, _):
                with pytest.raises(Unavailable):
                    await self.listen(settings, url, quotes)
                task = asyncio.create_task(self.keep_listening(settings, url, quotes))
                await until(lambda: quotes)
                await cancel(task)

        run(main())
        assert wanted[0] == wanted[1]
