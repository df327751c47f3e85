"""The same request twice at the same moment: double click, two tabs, one key in many programs."""

import threading
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from orders.exceptions import ConfirmationRequired, IdempotencyInProgress
from orders.models import IdempotencyRecord, Order, OutboxMessage
from orders.services import place as service
from risk.engine import evaluate
from tests.concurrency.conftest import make_user
from tests.concurrency.crowd import DEADLINE_SECONDS, Crowd, split, take_account_lock_out
from tests.orders.conftest import make_account
from tests.orders.helpers import place
from tests.orders.scripted_broker import ScriptedBook
from tests.orders.test_views_ticket import review_of
from tradeplatform.models import User

ROUNDS = 20
PROGRAMS = 8


def look_keys_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two requests look for their key, and only then note it, so that neither finds it."""
    both_looked = threading.Barrier(2)

    def look_then_insert(*, user: User, key: str, body_hash: str) -> tuple[IdempotencyRecord, bool]:
        assert not IdempotencyRecord.objects.filter(user=user, key=key).exists()
        both_looked.wait(DEADLINE_SECONDS)
        unique_to_nobody = f"{key}-{uuid4().hex}"
        return IdempotencyRecord.objects.create(user=user, key=unique_to_nobody, body_hash=body_hash), True

    monkeypatch.setattr(service, "claim_key", look_then_insert)


def decide_without_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two requests decide at the same moment, neither of which sees the other's order."""
    both_decided = threading.Barrier(2)

    def decide_together(context: Any) -> Any:
        decision = evaluate(context)
        both_decided.wait(DEADLINE_SECONDS)
        return decision

    monkeypatch.setattr(service, "evaluate", decide_together)
    take_account_lock_out(monkeypatch, service)


def test_with_a_key_that_is_only_looked_up_one_key_becomes_two_orders(
    book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_user()
    account = make_account(user)
    look_keys_up_first(monkeypatch)
    with Crowd(2) as crowd:
        split(crowd.together([lambda: place(user, account, key="k", confirm=("G02",))] * 2))
    assert Order.objects.count() == 2


def test_one_key_in_many_programs_is_one_order_and_one_answer(book: ScriptedBook) -> None:
    user = make_user()
    account = make_account(user)
    with Crowd(PROGRAMS) as crowd:
        for number in range(ROUNDS):
            key = f"key-{number}"
            jobs = [lambda key=key: place(user, account, key=key, quantity="1", confirm=("G02",))] * PROGRAMS
            placed, _ = split(crowd.together(jobs), IdempotencyInProgress)
            assert len({answer.order.pk for answer in placed}) == 1
            assert sum(not answer.replayed for answer in placed) == 1
            assert all(answer.document == placed[0].document for answer in placed)
    assert Order.objects.count() == ROUNDS
    assert OutboxMessage.objects.count() == ROUNDS


def test_without_the_accounts_lock_two_tabs_are_two_orders(
    book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_user()
    account = make_account(user)
    decide_without_the_lock(monkeypatch)
    with Crowd(2) as crowd:
        split(crowd.together([lambda: place(user, account)] * 2))
    assert Order.objects.count() == 2


def test_two_tabs_with_the_same_order_are_one_order_and_one_question(book: ScriptedBook) -> None:
    user = make_user()
    account = make_account(user)
    with Crowd(2) as crowd:
        for number in range(ROUNDS):
            quantity = str(number + 1)
            outcomes = crowd.together([lambda quantity=quantity: place(user, account, quantity=quantity)] * 2)
            placed, asked = split(outcomes, ConfirmationRequired)
            assert (len(placed), len(asked)) == (1, 1)
            assert [finding["code"] for finding in asked[0].details["findings"]] == ["G02"]  # type: ignore[attr-defined]
    assert Order.objects.count() == ROUNDS


def test_without_key_and_lock_a_double_click_is_two_orders(
    book: ScriptedBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_user()
    tabs = [Client(), Client()]
    for tab in tabs:
        tab.force_login(user)
    draft = review_of(tabs[0], make_account(user), size="1")
    look_keys_up_first(monkeypatch)
    decide_without_the_lock(monkeypatch)
    with Crowd(2) as crowd:
        split(crowd.together([partial(tab.post, reverse("orders:place"), {"order": draft}) for tab in tabs]))
    assert Order.objects.count() == 2


def test_a_double_click_on_the_review_page_leads_to_one_order(book: ScriptedBook) -> None:
    user = make_user()
    account = make_account(user)
    tabs = [Client(), Client()]
    for tab in tabs:
        tab.force_login(user)
    with Crowd(2) as crowd:
        for number in range(ROUNDS // 2):
            draft = review_of(tabs[0], account, size=str(number + 1))
            jobs = [partial(tab.post, reverse("orders:place"), {"order": draft}) for tab in tabs]
            answers, _ = split(crowd.together(jobs))
            order = Order.objects.latest("created_at")
            assert [answer.status_code for answer in answers] == [302, 302]
            assert {answer.url for answer in answers} == {reverse("orders:detail", args=[order.pk])}
    assert Order.objects.count() == ROUNDS // 2
