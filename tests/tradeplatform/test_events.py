"""Live updates: commit order, resuming without gaps, ends of streams."""

import asyncio
import json
import threading

import pytest
from django.db import connection, transaction

from tests.streams import StreamClient
from tradeplatform.common.api_keys import make_key
from tradeplatform.common.events import add_listener, publish_event
from tradeplatform.models import ApiKey, User, UserEvent
from tradeplatform.services.housekeeping import delete_old_rows

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def user() -> User:
    return User.objects.create_user("owner@example.com", "x")


@pytest.fixture
def key(user: User) -> str:
    made = make_key()
    ApiKey.objects.create(user=user, name="k", prefix=made.prefix, key_hash=made.key_hash, scopes=["read"])
    return made.secret


def publish(user: User, *kinds: str) -> None:
    for kind in kinds:
        publish_event(user_id=user.pk, kind=kind, payload={"kind": kind})


async def read_messages(
    secret: str,
    wanted: int,
    *,
    address: str = "/api/v1/events/",
    opened: asyncio.Event | None = None,
    **headers: str,
) -> list[dict]:
    """Open the stream as an API client and return its first messages; `opened` is set after the first."""
    response = await StreamClient().get(address, headers={"Authorization": f"Bearer {secret}", **headers})
    assert response.status_code == 200, response.content
    messages: list[dict] = []

    async def collect() -> None:
        async for chunk in response:
            messages.extend(parse(chunk.decode()))
            if opened is not None and messages:
                opened.set()
            if len(messages) >= wanted:
                return

    await asyncio.wait_for(collect(), timeout=60)
    await response.streaming_content.aclose()
    return messages


def parse(text: str) -> list[dict]:
    """Return the messages of a piece of the stream; comments are left out."""
    blocks = (
        dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        for block in text.split("\n\n")
    )
    return [fields for fields in blocks if "event" in fields]


def publish_then_fail(user: User) -> None:
    with transaction.atomic():
        publish(user, "order")
        raise RuntimeError


def test_numbers_follow_each_other_and_roll_back_with_their_transaction(user):
    publish(user, "order", "execution")
    with pytest.raises(RuntimeError):
        publish_then_fail(user)

    publish(user, "balance")
    assert list(UserEvent.objects.values_list("sequence", flat=True)) == [1, 2, 3]


def test_listeners_wake_only_after_the_commit(user):
    woken = []
    remove = add_listener(user.pk, lambda: woken.append(1))
    with transaction.atomic():
        publish(user, "order")
        assert woken == []
    assert woken == [1]

    remove()
    publish(user, "order")
    assert woken == [1]


def test_parallel_writers_leave_no_gap_and_no_repeat(user):
    def work() -> None:
        try:
            for _ in range(10):
                publish(user, "order")
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(UserEvent.objects.values_list("sequence", flat=True)) == list(range(1, 41))


def test_a_client_resumes_exactly_where_it_left(user, key):
    publish(user, "order", "execution", "position", "balance")

    messages = asyncio.run(read_messages(key, 2, **{"Last-Event-ID": "2"}))

    assert [(one["id"], one["event"]) for one in messages] == [("3", "position"), ("4", "balance")]
    assert json.loads(messages[0]["data"]) == {"kind": "position"}


def test_the_query_parameter_resumes_too(user, key):
    publish(user, "order", "execution")

    messages = asyncio.run(read_messages(key, 1, address="/api/v1/events/?last_event_id=1"))

    assert (messages[0]["id"], messages[0]["event"]) == ("2", "execution")


def test_a_client_from_before_the_retention_is_told_to_start_over(user, key, settings):
    publish(user, "order", "order", "order")
    UserEvent.objects.filter(sequence__lte=2).delete()

    messages = asyncio.run(read_messages(key, 1, **{"Last-Event-ID": "1"}))

    assert (messages[0]["event"], messages[0]["id"]) == ("reset", "3")


def test_a_new_event_reaches_an_open_stream(user, key):
    async def scenario() -> list[dict]:
        opened = asyncio.Event()
        reader = asyncio.ensure_future(read_messages(key, 2, opened=opened))
        await asyncio.wait_for(opened.wait(), timeout=60)
        await asyncio.to_thread(publish_and_close)
        return await asyncio.wait_for(reader, timeout=60)

    def publish_and_close() -> None:
        publish(user, "order")
        connection.close()

    messages = asyncio.run(scenario())

    assert messages[0]["event"] == "hello"
    assert messages[1]["event"] == "order"


def test_other_peoples_events_do_not_appear(user, key):
    stranger = User.objects.create_user("stranger@example.com", "x")
    publish(stranger, "order")
    publish(user, "balance")

    messages = asyncio.run(read_messages(key, 1, **{"Last-Event-ID": "0"}))

    assert [one["event"] for one in messages] == ["balance"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "not_authenticated"),
        ({"Authorization": "Bearer tp_00000000_" + "x" * 43}, 401, "not_authenticated"),
    ],
)
def test_strangers_get_no_stream(headers, status, code):
    async def scenario():
        return await StreamClient().get("/api/v1/events/", headers=headers)

    response = asyncio.run(scenario())

    assert response.status_code == status
    assert json.loads(response.content)["code"] == code


TOO_MANY = ",".join(f"S{number}" for number in range(101))


@pytest.mark.parametrize("query", ["?last_event_id=x", "?symbols=%3Cscript%3E", f"?symbols={TOO_MANY}"])
def test_bad_parameters_are_named(key, query):
    async def scenario():
        headers = {"Authorization": f"Bearer {key}"}
        return await StreamClient().get(f"/api/v1/events/{query}", headers=headers)

    response = asyncio.run(scenario())

    assert response.status_code == 400


def test_a_plain_web_process_says_where_streams_are(client, key):
    response = client.get("/api/v1/events/", headers={"Authorization": f"Bearer {key}"})

    assert response.status_code == 503
    assert response.json()["code"] == "events_elsewhere"


def test_old_events_are_deleted_and_new_ones_kept(user, settings):
    publish(user, "order", "order")
    old = UserEvent.objects.get(sequence=1)
    UserEvent.objects.filter(pk=old.pk).update(
        created_at=old.created_at.replace(year=old.created_at.year - 1)
    )

    assert delete_old_rows(now=old.created_at) == 1
    assert list(UserEvent.objects.values_list("sequence", flat=True)) == [2]
