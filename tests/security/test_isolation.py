"""Nobody reaches another person's rows: every route, every method, every kind of caller.

The cases come from the URLconf. A new route fails until the table in `routes.py` says what it is about.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import transaction
from django.test import Client
from django.urls import reverse

from orders.models import OutboxMessage
from tests.orders.helpers import draft
from tests.security.routes import METHODS, OURS, ROUTES, Kind, address, find_routes, names_of
from tests.security.world import (
    World,
    changes,
    make_person,
    photograph,
    sign_in,
    with_key,
)
from tests.streams import StreamClient
from tradeplatform.common.events import publish_event
from tradeplatform.models import Role

OBJECT_ROUTES = names_of(Kind.OBJECT)
PRIVATE_ROUTES = names_of(Kind.OBJECT, Kind.OWN)
STREAMS = ("events", "api_events")
# 405 says that the route has no such method, whoever asks.
ABSENT = {404, 405}
STAFF = (Role.SUPPORT, Role.RISK_ADMIN, Role.ADMIN)


def send(client: Client, method: str, target: str, data: dict[str, Any] | None = None, **extra: Any) -> Any:
    """Ask as a form or, below /api/, as JSON."""
    if method == "get":
        return client.get(target, data or {}, **extra)
    if target.startswith("/api/"):
        return getattr(client, method)(target, json.dumps(data or {}), "application/json", **extra)
    return client.post(target, data or {}, **extra) if method == "post" else getattr(client, method)(target)


def body_of(response: Any) -> str:
    content = response.getvalue() if response.streaming else response.content
    return content.decode("utf-8", "replace")


def test_every_route_is_in_the_table() -> None:
    named = {found.name for found in find_routes() if not found.is_foreign}

    assert named - ROUTES.keys() == set(), "add these routes to tests/security/routes.py"
    assert ROUTES.keys() - named == set(), "these routes do not exist any more"


def test_every_route_of_ours_has_a_name_of_its_own() -> None:
    names = [found.name for found in find_routes() if not found.is_foreign]

    assert all(names)
    assert len(names) == len(set(names))


def test_every_argument_of_a_route_is_a_row_or_said_to_be_fixed() -> None:
    for name, found in OURS.items():
        route = ROUTES[name]
        given = {argument for argument, _ in (*route.objects, *route.fixed)}
        assert given == {part.split(":")[-1].split(">")[0] for part in found.pattern.split("<")[1:]}, name
        if any(kind in found.pattern for kind in ("<uuid:", "<int:")):
            assert route.kind is Kind.OBJECT, f"{name} takes an id, so it is about an object"


def test_the_owner_finds_the_objects_that_others_must_not(owner: World) -> None:
    """Without this the 404 of a stranger could come from a wrong address."""
    browser, program = sign_in(owner.user, raise_request_exception=False), with_key(owner.secret)
    problems = []
    for name in OBJECT_ROUTES:
        client = program if OURS[name].is_api else browser
        target = address(name, owner)
        # Reading first, changes in an order that leaves something to find; each in its own savepoint.
        statuses = {method: undone(client, method, target) for method in ("get", "post", "patch")}
        if not set(statuses.values()) - ABSENT or any(status >= 500 for status in statuses.values()):
            problems.append(f"{name}: {statuses}")

    assert problems == []


def undone(client: Client, method: str, target: str) -> int:
    """Return the status of a request whose effects on the database are taken back."""
    with transaction.atomic():
        status = send(client, method, target).status_code
        transaction.set_rollback(True)
    return status


@pytest.mark.parametrize("caller", ["stranger", *STAFF])
def test_strangers_and_staff_find_nothing_and_change_nothing(
    caller: str, owner: World, stranger: World
) -> None:
    person = stranger.user if caller == "stranger" else make_person(caller, Role(caller))
    client = sign_in(person, raise_request_exception=False)
    problems = []
    before = photograph()
    for name in OBJECT_ROUTES:
        answers = {method: send(client, method, address(name, owner)) for method in METHODS}
        statuses = {method: answer.status_code for method, answer in answers.items()}
        if not set(statuses.values()) <= ABSENT or 404 not in statuses.values():
            problems.append(f"{name}: {statuses}")
        assert_silent(answers.values(), owner)

    assert problems == []
    assert changes(before, photograph()) == []


def test_a_strangers_key_with_every_scope_finds_nothing(owner: World, stranger: World) -> None:
    client = with_key(stranger.secret)
    problems = []
    before = photograph()
    for name in OBJECT_ROUTES:
        answers = {method: send(client, method, address(name, owner)) for method in METHODS}
        statuses = {method: answer.status_code for method, answer in answers.items()}
        # Pages do not know keys: there the caller is nobody.
        wanted = ABSENT if OURS[name].is_api else {302}
        if not set(statuses.values()) <= wanted or (OURS[name].is_api and 404 not in statuses.values()):
            problems.append(f"{name}: {statuses}")
        assert_silent(answers.values(), owner)

    assert problems == []
    assert changes(before, photograph()) == []


def test_without_signing_in_there_is_only_the_way_to_the_sign_in(owner: World) -> None:
    client = Client(raise_request_exception=False)
    sign_in_page = f"{reverse(settings.LOGIN_URL)}?next="
    problems = []
    before = photograph()
    for name in PRIVATE_ROUTES:
        answers = {method: send(client, method, address(name, owner)) for method in METHODS}
        for method, answer in answers.items():
            if name in STREAMS:
                # A stream says 405 to other methods before it looks at the caller.
                fine = answer.status_code == (401 if method == "get" else 405)
            elif OURS[name].is_api:
                fine = answer.status_code == 401
            else:
                fine = answer.status_code == 302 and answer.url.startswith(sign_in_page)
            if not fine:
                problems.append(f"{method} {name}: {answer.status_code}")
        assert_silent(answers.values(), owner)

    assert problems == []
    assert changes(before, photograph()) == []


MIXED = [
    (name, argument)
    for name in OBJECT_ROUTES
    if len(ROUTES[name].objects) > 1
    for argument, attribute in ROUTES[name].objects
    if attribute != "symbol"
]


@pytest.mark.parametrize(("name", "foreign"), MIXED)
def test_ones_own_id_does_not_open_a_foreign_one_beside_it(
    name: str, foreign: str, owner: World, stranger: World
) -> None:
    arguments = ROUTES[name].arguments(stranger)
    arguments[foreign] = ROUTES[name].arguments(owner)[foreign]
    client = sign_in(stranger.user)
    before = photograph()

    answers = [send(client, method, reverse(name, kwargs=arguments)) for method in METHODS]

    assert {answer.status_code for answer in answers} <= ABSENT
    assert changes(before, photograph()) == []


def test_there_are_routes_with_two_ids_to_mix() -> None:
    assert ("portfolios:difference", "break_id") in MIXED


def references(world: World) -> Iterator[dict[str, str]]:
    """Yield parameters that name a person's rows in the ways that a route could read."""
    yield {
        "account": str(world.account_id),
        "portfolio": str(world.portfolio_id),
        "order": str(world.order_id),
        "connection": str(world.connection_id),
        "batch": str(world.batch_id),
        "key": str(world.key_id),
        "user": str(world.user.pk),
    }
    names = ("account", "account_id", "portfolio_id", "order_id", "connection_id", "user_id", "id")
    for value in (world.account_id, world.live_account_id, world.order_id, world.user.pk):
        yield dict.fromkeys(names, str(value))


OWN_ROUTES = [name for name in names_of(Kind.OWN) if name not in STREAMS]


def test_parameters_that_name_foreign_rows_show_and_change_nothing(owner: World, stranger: World) -> None:
    browser = sign_in(stranger.user, raise_request_exception=False)
    program = with_key(stranger.secret)
    values = {**draft(symbol=stranger.symbol), "size": "10", "size_mode": "shares"}
    problems = []
    before = photograph()
    for name in OWN_ROUTES:
        client, target = program if OURS[name].is_api else browser, address(name, stranger)
        answers = []
        for parameters in references(owner):
            headers = {"Idempotency-Key": uuid4().hex}
            answers.append(send(client, "get", target, parameters))
            answers.append(send(client, "post", target, {**values, **parameters}, headers=headers))
        if broken := {answer.status_code for answer in answers if answer.status_code >= 500}:
            problems.append(f"{name}: {broken}")
        assert_silent(answers, owner)

    assert problems == []
    assert changes(rows_of(owner, before), rows_of(owner, photograph())) == []


@pytest.mark.parametrize("name", ["api_order_list", "api_order_preview"])
@pytest.mark.parametrize("attribute", ["account_id", "live_account_id"])
def test_an_order_for_a_foreign_account_is_not_found(
    name: str, attribute: str, owner: World, stranger: World
) -> None:
    before = photograph()

    answer = send(
        with_key(stranger.secret),
        "post",
        reverse(name),
        draft(account=str(getattr(owner, attribute))),
        headers={"Idempotency-Key": "k"},
    )

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert changes(before, photograph()) == []


@pytest.mark.parametrize("name", ["orders:preview", "orders:prepare", "switch_account"])
def test_pages_do_not_find_a_foreign_account_in_a_form(name: str, owner: World, stranger: World) -> None:
    client = sign_in(stranger.user)
    form = {**draft(size="10"), "account": str(owner.account_id)}

    assert client.post(reverse(name), form).status_code == 404
    assert client.session.get("account_id") != str(owner.account_id)


def test_a_foreign_account_in_the_session_is_not_shown(owner: World, stranger: World) -> None:
    client = sign_in(stranger.user)
    session = client.session
    session["account_id"] = str(owner.account_id)
    session.save()

    answers = [client.get(reverse(name)) for name in ("dashboard", "orders:ticket", "portfolios:overview")]

    assert {answer.status_code for answer in answers} <= {200, 302}
    assert_silent(answers, owner)


def test_a_foreign_account_is_no_default_for_tickets(owner: World, stranger: World) -> None:
    answer = sign_in(stranger.user).post(
        reverse("settings:order_defaults"),
        {"account": str(owner.account_id), "order_type": "market", "time_in_force": "day"},
    )

    assert answer.status_code == 200
    assert "account" in answer.context["form"].errors
    assert not hasattr(stranger.user, "order_defaults")


def test_a_review_signed_for_its_owner_is_nothing_to_a_stranger(owner: World, stranger: World) -> None:
    form = {
        **draft(symbol=owner.symbol, side="buy"),
        "account": str(owner.account_id),
        "size": "1",
        "size_mode": "shares",
        "exits": "none",
        "time_in_force": "day",
    }
    prepared = sign_in(owner.user).post(reverse("orders:prepare"), form)
    assert prepared.status_code == 302, prepared.context["form"].errors
    signed = prepared.url.partition("order=")[2]
    client = sign_in(stranger.user)
    before = photograph()

    shown = client.get(prepared.url)
    placed = client.post(reverse("orders:place"), {"order": signed})

    assert (shown.status_code, placed.status_code) == (302, 302)
    assert (shown.url, placed.url) == (reverse("orders:ticket"), reverse("orders:ticket"))
    assert changes(before, photograph()) == []
    assert sign_in(owner.user).get(prepared.url).status_code == 200


def test_lists_and_files_hold_only_ones_own_rows(owner: World, stranger: World) -> None:
    browser, program = sign_in(stranger.user), with_key(stranger.secret)
    answers = {
        name: (program if OURS[name].is_api else browser).get(address(name, stranger)) for name in OWN_ROUTES
    }
    answers["settings:export"] = browser.post(reverse("settings:export"))

    assert_silent(answers.values(), owner)
    assert str(stranger.order_id) in body_of(answers["api_order_list"])
    assert str(stranger.order_id) in body_of(answers["orders:export"])


def test_nothing_of_the_owner_was_sent_because_a_stranger_asked(owner: World, stranger: World) -> None:
    waiting = set(OutboxMessage.objects.values_list("pk", flat=True))
    client = sign_in(stranger.user)
    for name in OBJECT_ROUTES:
        client.post(address(name, owner), {"confirm": "E11", "next": "/"})

    assert set(OutboxMessage.objects.values_list("pk", flat=True)) == waiting


def assert_silent(answers: Any, owner: World) -> None:
    """No answer contains anything by which the owner's rows are known."""
    for answer in answers:
        text = body_of(answer)
        for mark in owner.marks:
            assert mark not in text, f"{mark!r} is shown by {answer.request['PATH_INFO']}"


def rows_of(owner: World, rows: dict[str, dict[Any, Any]]) -> dict[str, dict[Any, Any]]:
    """Return the part of a photograph that belongs to the owner."""
    names = {str(owner.user.pk), *owner.ids}
    keys = ("user_id", "account_id", "connection_id", "order_id", "portfolio_id", "batch_id")
    return {
        label: {
            pk: row
            for pk, row in table.items()
            if {row.get(key) for key in keys} & names
            or (label == "tradeplatform.User" and pk == owner.user.pk)
        }
        for label, table in rows.items()
    }


STREAM_CALLERS = pytest.mark.parametrize("caller", ["page", "key"])


def open_stream(caller: str, person: World, query: str) -> tuple[StreamClient, str, dict[str, str]]:
    """Return how a page or a program of this person asks for the stream: client, address and headers."""
    client = StreamClient()
    if caller == "key":
        return client, f"/api/v1/events/?{query}", {"Authorization": f"Bearer {person.secret}"}
    client.cookies.update(sign_in(person.user).cookies)
    return client, f"/events/?{query}", {}


async def read_until(caller: tuple[StreamClient, str, dict[str, str]], word: str) -> str:
    client, target, headers = caller
    response = await client.get(target, headers=headers)
    assert response.status_code == 200, response.content
    text = ""

    async def collect() -> None:
        nonlocal text
        async for chunk in response:
            text += chunk.decode()
            if word in text:
                return

    await asyncio.wait_for(collect(), timeout=15)
    await response.streaming_content.aclose()
    return text


@pytest.mark.django_db(transaction=True)
@STREAM_CALLERS
def test_a_stream_carries_only_the_events_of_its_caller(caller: str, owner: World, stranger: World) -> None:
    for kind in ("order", "execution", "position", "balance", "break", "halt", "link", "notification"):
        publish_event(user_id=owner.user.pk, kind=kind, payload={"text": "foreign-event"})
    publish_event(user_id=stranger.user.pk, kind="order", payload={"text": "own-event"})
    opened = open_stream(caller, stranger, f"last_event_id=0&symbols={owner.symbol}")

    text = asyncio.run(read_until(opened, "own-event"))

    assert "own-event" in text
    assert "foreign-event" not in text
    assert "owner-mark" not in text


@pytest.mark.django_db(transaction=True)
@STREAM_CALLERS
def test_a_stream_for_a_foreign_account_is_not_found(caller: str, owner: World, stranger: World) -> None:
    client, target, headers = open_stream(caller, stranger, f"account={owner.account_id}")

    async def ask() -> Any:
        return await client.get(target, headers=headers)

    answer = asyncio.run(ask())

    assert answer.status_code == 404
    assert json.loads(answer.content)["code"] == "not_found"
