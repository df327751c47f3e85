"""A wrong encryption key or a revoked link: a clear word everywhere, nothing lost, nothing sent."""

from typing import Any

import pytest
from django.urls import reverse

from brokers.enums import ConnectionStatus
from brokers.exceptions import AuthorizationExpired
from brokers.models import BrokerAccount, BrokerConnection
from orders.models import Order, OutboxMessage
from orders.services.submit import claim_and_send
from tests.orders.helpers import draft, fresh, place
from tests.orders.scripted_broker import ScriptedAdapter, ScriptedBook
from tests.security.routes import OURS, Kind, address, names_of
from tests.security.world import World, changes, photograph, sign_in, with_key

OTHER_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


@pytest.fixture
def wrong_key(owner: World, settings: Any) -> list[str]:
    """The owner's world after somebody started the site with another key; returns the right ring."""
    right = list(settings.FIELD_ENCRYPTION_KEYS)
    settings.FIELD_ENCRYPTION_KEYS = [OTHER_KEY]
    return right


def order_by_api(world: World, key: str = "k") -> Any:
    return with_key(world.secret).post(
        reverse("api_order_list"),
        draft(account=str(world.account_id), symbol="OTHER"),
        content_type="application/json",
        headers={"Idempotency-Key": key},
    )


def ticket(world: World) -> dict[str, str]:
    form = {"account": str(world.account_id), "size_mode": "shares", "size": "1", "exits": "none"}
    return {**draft(symbol="OTHER"), **form, "time_in_force": "day"}


def test_every_page_still_opens_with_a_wrong_key(owner: World, wrong_key: list[str]) -> None:
    browser, program = sign_in(owner.user, raise_request_exception=False), with_key(owner.secret)
    problems = []
    for name in names_of(*Kind):
        client = program if OURS[name].is_api else browser
        status = client.get(address(name, owner), {"symbol": owner.symbol}).status_code
        if status >= 500 and name not in ("events", "api_events"):
            problems.append(f"{name}: {status}")

    assert problems == []


def test_an_order_with_a_wrong_key_is_refused_before_anything_is_sent(
    owner: World, wrong_key: list[str], broker_book: ScriptedBook
) -> None:
    sent = list(broker_book.posts)
    orders = Order.objects.count()

    answer = order_by_api(owner)

    assert answer.status_code in (422, 503), answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert Order.objects.exclude(status="denied").count() == orders
    assert broker_book.posts == sent


def test_the_ticket_with_a_wrong_key_says_so_and_keeps_what_was_typed(
    owner: World, wrong_key: list[str], broker_book: ScriptedBook
) -> None:
    browser = sign_in(owner.user, raise_request_exception=False)
    sent = list(broker_book.posts)

    for name in ("orders:prepare", "orders:preview"):
        answer = browser.post(reverse(name), ticket(owner))
        assert answer.status_code in (200, 422, 503), name
        text = answer.content.decode()
        assert "OTHER" in text or name == "orders:preview"
        assert "Something broke" not in text

    assert broker_book.posts == sent


def test_a_waiting_order_is_neither_sent_nor_lost_while_the_key_is_wrong(
    owner: World, settings: Any, broker_book: ScriptedBook
) -> None:
    account = BrokerAccount.objects.get(pk=owner.account_id)
    order = place(owner.user, account, symbol="OTHER").order
    row = OutboxMessage.objects.get(order=order)
    right, settings.FIELD_ENCRYPTION_KEYS = settings.FIELD_ENCRYPTION_KEYS, [OTHER_KEY]
    sent = list(broker_book.posts)

    claim_and_send(row.pk, worker="test")

    assert broker_book.posts == sent
    assert fresh(order).status in ("queued", "not_sent"), fresh(order).status
    settings.FIELD_ENCRYPTION_KEYS = right
    if fresh(order).status == "queued":
        OutboxMessage.objects.filter(pk=row.pk).update(not_before=order.created_at)
        claim_and_send(row.pk, worker="test")
        assert fresh(order).status == "accepted"
        assert len(broker_book.posts) == len(sent) + 1


def test_a_cancel_waits_for_the_right_key(owner: World, settings: Any, broker_book: ScriptedBook) -> None:
    with_key(owner.secret).post(reverse("api_order_cancel", args=[owner.order_id]))
    row = OutboxMessage.objects.get(order_id=owner.order_id, kind="cancel")
    right, settings.FIELD_ENCRYPTION_KEYS = settings.FIELD_ENCRYPTION_KEYS, [OTHER_KEY]

    claim_and_send(row.pk, worker="test")

    row.refresh_from_db()
    assert (row.status, broker_book.cancels) == ("ready", [])
    settings.FIELD_ENCRYPTION_KEYS = right
    OutboxMessage.objects.filter(pk=row.pk).update(not_before=row.created_at)
    claim_and_send(row.pk, worker="test")
    assert len(broker_book.cancels) == 1


def test_syncing_with_a_wrong_key_says_what_to_do(owner: World, wrong_key: list[str]) -> None:
    browser = sign_in(owner.user, raise_request_exception=False)

    answer = browser.post(reverse("brokers:sync", args=[owner.account_id]), follow=True)

    assert answer.status_code in (200, 503)
    text = answer.content.decode()
    assert "up to date with the broker" not in text
    assert "FIELD_ENCRYPTION_KEYS" in text


def test_a_wrong_key_loses_nothing(owner: World, wrong_key: list[str], settings: Any) -> None:
    sealed = BrokerConnection.objects.filter(pk=owner.connection_id)
    token = sealed.get().credentials
    order_by_api(owner)
    sign_in(owner.user, raise_request_exception=False).post(reverse("brokers:sync", args=[owner.account_id]))

    assert sealed.get().credentials == token
    assert sealed.get().status == ConnectionStatus.ACTIVE
    settings.FIELD_ENCRYPTION_KEYS = wrong_key
    assert order_by_api(owner, key="after").status_code == 201


def test_signing_in_with_an_app_under_a_wrong_key_is_no_crash(owner: World, wrong_key: list[str]) -> None:
    """The second factor cannot be checked: nobody gets in, and the page says something."""
    browser = sign_in(owner.user, raise_request_exception=False)
    browser.logout()
    browser.post(reverse("account_login"), {"login": owner.user.email, "password": "correct-horse-battery"})

    answer = browser.post(reverse("mfa_authenticate"), {"code": "123456"})

    assert answer.status_code in (200, 503)
    assert browser.get(reverse("settings:profile")).status_code == 302


# --- A token that the broker no longer accepts --------------------------------------------------------------


@pytest.fixture
def revoked(owner: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The owner's world after the token was revoked at the broker."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AuthorizationExpired("access token revoked", code="401")

    for name in (
        "get_account_info",
        "get_positions",
        "get_asset",
        "get_quote",
        "get_clock",
        "place_order",
        "cancel_order",
        "list_orders",
        "list_executions",
        "find_order",
        "get_order_status",
    ):
        monkeypatch.setattr(ScriptedAdapter, name, refuse)
    return owner


def status_of(world: World) -> str:
    return BrokerConnection.objects.get(pk=world.connection_id).status


def test_a_revoked_token_is_noticed_and_said_on_page_and_api(revoked: World) -> None:
    browser = sign_in(revoked.user)

    browser.post(reverse("brokers:sync", args=[revoked.account_id]))

    assert status_of(revoked) == ConnectionStatus.NEEDS_RELINK
    shown = with_key(revoked.secret).get(reverse("api_account", args=[revoked.account_id])).json()
    assert shown["status"] == "needs_relink"
    for name in ("brokers:list", "dashboard"):
        text = browser.get(reverse(name)).content.decode().lower()
        assert "link it again" in text or "link again" in text or "needs a new link" in text, name


def test_a_token_revoked_between_decision_and_sending_rejects_the_order_clearly(
    owner: World, broker_book: ScriptedBook
) -> None:
    account = BrokerAccount.objects.get(pk=owner.account_id)
    order = place(owner.user, account, symbol="OTHER").order
    broker_book.raise_next(AuthorizationExpired("access token revoked", code="401"))

    claim_and_send(OutboxMessage.objects.get(order=order).pk, worker="test")

    assert (fresh(order).status, fresh(order).cum_qty) == ("rejected", 0)
    assert fresh(order).reject_reason
    assert status_of(owner) == ConnectionStatus.NEEDS_RELINK


def test_an_order_over_a_broken_link_is_refused_with_a_code_before_sending(
    owner: World, broker_book: ScriptedBook
) -> None:
    BrokerConnection.objects.filter(pk=owner.connection_id).update(status=ConnectionStatus.NEEDS_RELINK)
    sent = list(broker_book.posts)

    by_api = order_by_api(owner)
    by_page = sign_in(owner.user).post(reverse("orders:prepare"), ticket(owner))

    assert by_api.status_code == 422, by_api.content
    assert by_api.json()["code"] == "order_denied"
    assert "CREDENTIAL" in {finding["name"] for finding in by_api.json()["findings"]}
    assert by_page.status_code == 422
    assert "link" in by_page.content.decode().lower()
    assert broker_book.posts == sent
    assert not OutboxMessage.objects.filter(order__symbol="OTHER").exists()


def test_an_order_waiting_while_the_link_breaks_is_not_sent(owner: World, broker_book: ScriptedBook) -> None:
    account = BrokerAccount.objects.get(pk=owner.account_id)
    order = place(owner.user, account, symbol="OTHER").order
    BrokerConnection.objects.filter(pk=owner.connection_id).update(status=ConnectionStatus.NEEDS_RELINK)
    sent = list(broker_book.posts)

    claim_and_send(OutboxMessage.objects.get(order=order).pk, worker="test")

    assert broker_book.posts == sent
    assert fresh(order).status == "not_sent"


def test_pages_open_over_a_broken_link_and_change_nothing(revoked: World) -> None:
    browser, program = sign_in(revoked.user, raise_request_exception=False), with_key(revoked.secret)
    before = photograph()
    problems = []
    for name in names_of(Kind.OWN, Kind.OBJECT):
        client = program if OURS[name].is_api else browser
        status = client.get(address(name, revoked), {"symbol": revoked.symbol}).status_code
        if status >= 500 and name not in ("events", "api_events"):
            problems.append(f"{name}: {status}")

    assert problems == []
    touched = [
        change for change in changes(before, photograph()) if change.startswith(("orders.", "portfolios."))
    ]
    assert touched == []
