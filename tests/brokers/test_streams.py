"""The stream service against a scripted broker: nothing is lost, and no account stops another."""

import asyncio
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from django.db import DatabaseError

from brokers.backoff import Backoff
from brokers.enums import ConnectionStatus, Environment
from brokers.exceptions import AuthorizationExpired, Unavailable
from brokers.models import AccountStream, BrokerConnection, BrokerEvent, LatestQuote, StreamProcess
from brokers.services import stream_leases
from brokers.services.connections import link_with_keys
from brokers.services.market_data import note_interest
from brokers.streams import StreamService, StreamTimings
from brokers.types import StreamEvent
from tests.brokers.scripted import ScriptedAdapter, forever, make_quote

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = StreamTimings(
    discover=0.1,
    note=0.05,
    covered=0.1,
    poll=0.1,
    practice=0.1,
    first_retry=0.05,
    longest_retry=0.1,
    stop=5,
)
DEADLINE = 15.0
CAPABILITIES = ScriptedAdapter.capabilities
NOTE_COVERED = stream_leases.note_covered


def event(key: str) -> StreamEvent:
    return StreamEvent(dedupe_key=key, kind="fill", payload={"key": key}, received_at=datetime.now(UTC))


class Running:
    """A service on a thread of its own, with everything that it called."""

    def __init__(self, **options) -> None:
        self.applied: list = []
        self.filled: list = []
        options = {
            "apply_events": self.applied.append,
            "backfill": self.filled.append,
            "timings": QUICK,
            "quotes": False,
            "practice": False,
            "workers": 1,
            **options,
        }
        self.service = StreamService(**options)
        self.thread = threading.Thread(target=lambda: asyncio.run(self.service.run()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *failure) -> None:
        self.service.stop()
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()


def stream_of(account) -> AccountStream:
    return AccountStream.objects.filter(account=account).first() or AccountStream(account=account)


def wait_until(condition) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def test_events_are_stored_once_and_applied_after_a_backfill(account, script):
    async def stream(adapter, sink, on_connected):
        await on_connected()
        for key in ("a", "b", "a"):
            await sink(event(key))
        await forever()

    script.stream = stream
    with Running() as running:
        wait_until(lambda: BrokerEvent.objects.count() == 2 and running.applied)
        wait_until(lambda: stream_of(account).state == "live" and stream_of(account).last_event_at)
    assert running.filled == [account.pk]
    assert set(running.applied) == {account.pk}
    assert list(BrokerEvent.objects.order_by("id").values_list("dedupe_key", "source")) == [
        ("a", "stream"),
        ("b", "stream"),
    ]


def test_a_lost_stream_is_polled_and_taken_up_again_with_a_backfill(account, script):
    polled, states = [], []

    async def stream(adapter, sink, on_connected):
        if len(polled) < 2:
            raise Unavailable("connection reset")
        await on_connected()
        await sink(event("late"))
        await forever()

    def poll(account_id):
        states.append((stream_of(account).state, stream_of(account).problem))
        polled.append(account_id)

    script.stream = stream
    with Running(poll=poll) as running:
        wait_until(lambda: BrokerEvent.objects.filter(dedupe_key="late").exists())
        wait_until(lambda: stream_of(account).state == "live")
        assert stream_of(account).problem == ""
    assert ("interrupted", "connection reset") in states
    assert running.filled == [account.pk]


def test_a_refused_link_stops_its_stream_and_asks_for_a_new_link(account, script):
    attempts = []

    async def stream(adapter, sink, on_connected):
        attempts.append(1)
        raise AuthorizationExpired("token revoked")

    script.stream = stream
    with Running() as running:
        wait_until(
            lambda: (
                BrokerConnection.objects.get(pk=account.connection_id).status == ConnectionStatus.NEEDS_RELINK
            )
        )
        wait_until(lambda: not running.service.streaming)
    assert len(attempts) == 1
    assert BrokerConnection.objects.get().status_reason == "token revoked"


def test_one_broken_account_does_not_stop_another(account, user, script):
    other = link_with_keys(
        user=user, broker="scripted", environment=Environment.PAPER, key_id="k", secret="secret-2"
    )

    async def stream(adapter, sink, on_connected):
        if adapter.handle.account_id == account.pk:
            raise RuntimeError("a bug")
        await on_connected()
        await sink(event("fine"))
        await forever()

    def apply(account_id):
        raise ValueError("a bug in applying")

    script.stream = stream
    with Running(apply_events=apply):
        wait_until(lambda: BrokerEvent.objects.filter(account=other, dedupe_key="fine").exists())


def test_a_new_account_is_found_and_an_unlinked_one_is_let_go(account, user, script):
    from brokers.services.connections import unlink_connection

    async def stream(adapter, sink, on_connected):
        await on_connected()
        await forever()

    script.stream = stream
    with Running() as running:
        wait_until(lambda: running.service.streaming == {account.pk})
        other = link_with_keys(
            user=user, broker="scripted", environment=Environment.PAPER, key_id="k", secret="secret-2"
        )
        wait_until(lambda: running.service.streaming == {account.pk, other.pk})
        unlink_connection(user=user, connection_id=account.connection_id)
        wait_until(lambda: running.service.streaming == {other.pk})


def test_events_that_arrived_before_the_stop_are_stored(account, script):
    ready = threading.Event()

    async def stream(adapter, sink, on_connected):
        await on_connected()
        for number in range(50):
            await sink(event(str(number)))
        ready.set()
        await forever()

    script.stream = stream
    with Running():
        assert ready.wait(DEADLINE)
    assert BrokerEvent.objects.count() == 50


def test_quotes_of_interest_are_streamed_and_stored(account, script):
    async def quote_stream(symbols, sink):
        for symbol in symbols:
            await sink(make_quote(symbol, bid="10.00", ask="10.02", last=None))
        await forever()

    async def stream(adapter, sink, on_connected):
        await on_connected()
        await forever()

    script.stream, script.quote_stream = stream, quote_stream
    script.quotes = {"ACME": make_quote("ACME", as_of=datetime.now(UTC) - timedelta(minutes=1))}
    note_interest(account, ["acme"], seconds=60)
    with Running(quotes=True):
        wait_until(lambda: LatestQuote.objects.filter(symbol="ACME", bid=Decimal("10.00")).exists())
    quote = LatestQuote.objects.get(symbol="ACME")
    assert (quote.bid, quote.ask, quote.last) == (Decimal("10"), Decimal("10.02"), Decimal("100"))


def test_quotes_are_polled_while_the_quote_stream_is_down(account, script):
    async def quote_stream(symbols, sink):
        script.quotes = {"ACME": make_quote("ACME", bid="20.00", ask="20.02")}
        raise Unavailable("no stream today")

    async def stream(adapter, sink, on_connected):
        await forever()

    script.stream, script.quote_stream = stream, quote_stream
    note_interest(account, ["ACME"], seconds=60)
    with Running(quotes=True):
        wait_until(lambda: LatestQuote.objects.filter(symbol="ACME", bid=Decimal("20")).exists())


def test_a_backfill_that_failed_is_tried_again_while_the_stream_stands(account, script):
    tries = []

    async def stream(adapter, sink, on_connected):
        await on_connected()
        await forever()

    def backfill(account_id):
        tries.append(stream_of(account).covered_until)
        return len(tries) > 2

    script.stream = stream
    with Running(backfill=backfill):
        wait_until(lambda: stream_of(account).covered_until is not None)
    assert len(tries) == 3
    assert set(tries) == {None}, "nothing counts as told before a back-fill has worked"


def test_what_is_covered_does_not_move_while_messages_wait_to_be_stored(account, script, monkeypatch):
    sent, refused = threading.Event(), threading.Event()

    def record(**values):
        refused.set()
        raise DatabaseError("away")

    async def stream(adapter, sink, on_connected):
        await on_connected()
        await asyncio.to_thread(sent.wait, DEADLINE)
        await sink(event("stuck"))
        await forever()

    covered = []

    def note_covered(name, **values):
        covered.append(values)
        return NOTE_COVERED(name, **values)

    script.stream = stream
    monkeypatch.setattr("brokers.account_stream.record_events", record)
    monkeypatch.setattr(stream_leases, "note_covered", note_covered)
    with Running():
        wait_until(lambda: stream_of(account).covered_until is not None)
        sent.set()
        assert refused.wait(DEADLINE)
        noted = stream_of(account).covered_until
        rounds = len(covered)
        wait_until(lambda: len(covered) > rounds + 2)
        assert stream_of(account).covered_until == noted


def test_a_broker_without_a_stream_is_polled_and_says_so(account, script, monkeypatch):
    monkeypatch.setattr(
        ScriptedAdapter,
        "capabilities",
        classmethod(lambda cls, environment: replace(CAPABILITIES(environment), stream=False)),
    )
    polled = []
    with Running(poll=polled.append):
        wait_until(lambda: len(polled) >= 2 and stream_of(account).state == "polled")
        wait_until(lambda: stream_of(account).covered_until is not None)


def test_the_end_frees_the_accounts_and_takes_the_process_out(account, script):
    async def stream(adapter, sink, on_connected):
        await on_connected()
        await forever()

    script.stream = stream
    with Running() as running:
        wait_until(lambda: stream_of(account).state == "live")
        assert stream_of(account).holder_id == running.service.name
    assert (stream_of(account).holder, stream_of(account).state) == (None, "waiting")
    assert not StreamProcess.objects.exists()


def test_two_processes_share_and_one_takes_over_from_a_dead_one(account, user, script, monkeypatch):
    monkeypatch.setattr(stream_leases, "LEASE", timedelta(seconds=1))
    other = link_with_keys(
        user=user, broker="scripted", environment=Environment.PAPER, key_id="k", secret="secret-2"
    )
    both = {account.pk, other.pk}

    async def stream(adapter, sink, on_connected):
        await on_connected()
        await forever()

    script.stream = stream
    with Running() as first:
        wait_until(lambda: first.service.streaming == both)
        stream_leases.join("dead")
        wait_until(lambda: len(first.service.streaming) == 1)
        AccountStream.objects.filter(holder=None).update(holder="dead", state="live")
        wait_until(lambda: first.service.streaming == both)
        assert set(StreamProcess.objects.values_list("name", flat=True)) == {first.service.name}


def test_a_process_that_was_taken_for_dead_ends_its_streams_and_comes_back_under_a_new_name(account, script):
    ended = threading.Event()

    async def stream(adapter, sink, on_connected):
        await on_connected()
        try:
            await forever()
        finally:
            ended.set()

    script.stream = stream
    with Running() as running:
        wait_until(lambda: stream_of(account).state == "live")
        old = running.service.name
        stream_leases.leave(old)
        assert ended.wait(DEADLINE)
        wait_until(lambda: stream_of(account).state == "live")
        assert stream_of(account).holder_id == running.service.name != old


def test_only_the_longest_running_process_drives_practice_orders(account, script, monkeypatch):
    driven = []

    async def stream(adapter, sink, on_connected):
        await forever()

    script.stream = stream
    monkeypatch.setattr("brokers.streams.drive_practice_orders", driven.append)
    stream_leases.join("older")
    StreamProcess.objects.filter(name="older").update(alive_until=datetime.now(UTC) + timedelta(hours=1))
    with Running(practice=True) as running:
        wait_until(lambda: running.service.streaming == {account.pk} or stream_of(account).holder_id)
        assert driven == []
        stream_leases.leave("older")
        wait_until(lambda: driven)


def test_a_storm_of_reconnects_does_not_synchronise():
    random = Random(7)
    pauses = [Backoff(first=1.0, longest=30.0, random=random) for _ in range(1000)]
    first = [one.next_pause(crowd=1000) for one in pauses]
    second = [at + one.next_pause(crowd=600) for at, one in zip(first, pauses, strict=True)]
    for moments in (first, second):
        busiest = max(Counter(int(at * 10) for at in moments).values())
        assert busiest <= 60, "attempts in one tenth of a second"
    assert max(first) <= 30


def test_pauses_grow_to_their_longest_and_start_again_after_a_good_connection():
    backoff = Backoff(first=1.0, longest=30.0, random=Random(7))
    pauses = [backoff.next_pause() for _ in range(200)]
    assert max(pauses[:1]) <= 1.0
    assert 25 < max(pauses) <= 30
    backoff.reset()
    assert backoff.next_pause() <= 1.0
