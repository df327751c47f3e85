"""Cards about the event stream and the quote stream."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from brokers.enums import ExecType
from brokers.exceptions import AuthorizationExpired, Unavailable
from brokers.types import StreamEvent
from tests.brokers.adapters.cards.bench import DEADLINE, SYMBOL, Cards, D, card, market


class StreamCards(Cards):
    def listen(self, act: Callable[[], None], enough: Callable[["_Heard"], bool]) -> "_Heard":
        """Run the stream, act once it is connected, and stop when enough was heard."""
        heard = _Heard()

        async def main() -> None:
            async with asyncio.timeout(DEADLINE):
                stream = asyncio.create_task(self.keep_listening(heard))
                await heard.wait(lambda: heard.connects == 1, stream)
                await asyncio.to_thread(act)
                await heard.wait(lambda: enough(heard), stream)
                stream.cancel()
                await asyncio.gather(stream, return_exceptions=True)

        asyncio.run(main())
        return heard

    async def keep_listening(self, heard: "_Heard") -> None:
        """Connect again after each loss, as the stream service does."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.adapter.stream_events(heard.take_event, on_connected=heard.take_connect)

    @card("STR-1", "stream")
    def test_the_life_of_an_order_is_told(self):
        heard = self.listen(
            lambda: self.place(market(quantity="10"), "card-stream") and self.bench.settle(),
            lambda heard: ExecType.TRADE in self.kinds(heard.events),
        )

        reports = self.interpret(heard.events)
        assert {report.client_order_id for report in reports} == {"card-stream"}
        fills = [report for report in reports if report.exec_type is ExecType.TRADE]
        listed = {row.exec_id: row for row in self.adapter.list_executions()}
        for fill in fills:
            row = listed[fill.exec_id]
            assert (row.last_qty, row.last_px) == (fill.last_qty, fill.last_px)
        assert ExecType.NEW in {report.exec_type for report in reports}

    @card("STR-2", "stream")
    def test_events_survive_storage_and_have_keys_of_their_own(self):
        heard = self.listen(
            lambda: self.place(market(quantity="10")) and self.bench.settle(),
            lambda heard: ExecType.TRADE in self.kinds(heard.events),
        )

        stored = [replace(event, payload=json.loads(json.dumps(event.payload))) for event in heard.events]
        assert self.interpret(stored) == self.interpret(heard.events)
        keys = [event.dedupe_key for event in heard.events]
        assert len(set(keys)) == len(keys)
        assert all(event.received_at.utcoffset() == timedelta(0) for event in heard.events)

    @card("STR-3", "stream", "network")
    def test_each_connection_is_announced_so_that_gaps_can_be_filled(self):
        heard = self.listen(self.bench.drop_streams, lambda heard: heard.connects == 2)

        assert heard.connects == 2

    @card("STR-4", "stream", "network")
    def test_refused_credentials_end_the_stream(self):
        stranger = self.bench.with_wrong_credentials()
        heard = _Heard()

        async def main() -> None:
            async with asyncio.timeout(DEADLINE):
                await stranger.stream_events(heard.take_event, on_connected=heard.take_connect)

        with pytest.raises(AuthorizationExpired):
            asyncio.run(main())

    @card("STR-5", "stream", "network")
    def test_a_repeated_event_has_the_same_key(self):
        self.bench.add_fault("duplicate", "stream.trade_updates", count=2)
        heard = self.listen(
            lambda: self.place(market(quantity="10")) and None,
            lambda heard: ExecType.TRADE in self.kinds(heard.events),
        )

        keys = [event.dedupe_key for event in heard.events]
        assert len(set(keys)) < len(keys)

    @card("STR-6", "quote stream")
    def test_quotes_are_streamed(self):
        quotes: list[Any] = []

        async def sink(quote: Any) -> None:
            quotes.append(quote)

        async def main() -> None:
            async with asyncio.timeout(DEADLINE):
                stream = asyncio.create_task(self.adapter.stream_quotes([SYMBOL], sink))
                price = D(100)
                while not any(quote.bid == price for quote in quotes):
                    assert not stream.done(), stream.exception()
                    await asyncio.to_thread(self.bench.set_quote, SYMBOL, price, price + D("0.10"))
                    await asyncio.sleep(0.05)
                stream.cancel()
                await asyncio.gather(stream, return_exceptions=True)

        asyncio.run(main())
        assert quotes[-1].symbol == SYMBOL

    def interpret(self, events: Iterable[StreamEvent]) -> list[Any]:
        return [report for event in events for report in self.adapter.interpret_event(event)]

    def kinds(self, events: Iterable[StreamEvent]) -> set[ExecType]:
        return {report.exec_type for report in self.interpret(events)}


class _Heard:
    """What a stream delivered."""

    def __init__(self) -> None:
        self.events: list[StreamEvent] = []
        self.connects = 0

    async def take_event(self, event: StreamEvent) -> None:
        self.events.append(event)

    async def take_connect(self) -> None:
        self.connects += 1

    async def wait(self, condition: Callable[[], bool], stream: "asyncio.Task[None]") -> None:
        while not condition():
            assert not stream.done(), stream.exception()
            await asyncio.sleep(0.01)
