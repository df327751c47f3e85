"""What each plan allows, through every way in; and what a lapse between two steps changes.

The cases are made from one table of standings and one of ways. What is expected stands here, by hand.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.urls import reverse
from django.utils import timezone

from billing.access import PlanRequired
from billing.models import Customer, Plan, PlanGrant, Subscription
from billing.services import grant_plan
from brokers.models import BrokerAccount, BrokerConnection
from brokers.services.arming import arm_account
from brokers.services.connections import link_with_keys
from brokers.types import ReplaceRequest
from orders.models import Order
from orders.services.approve import approve_order
from orders.services.cancel import cancel_order
from orders.services.reconcile import backfill_account
from orders.services.replace import replace_order
from tests.brokers import scripted
from tests.orders.approvals import set_platform_limit
from tests.orders.conftest import make_account
from tests.orders.helpers import D, draft, fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedBook
from tests.orders.test_views_ticket import place_reviewed, review_of
from tests.security.world import sign_in, with_key
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.models import User
from tradeplatform.services.api_keys import create_api_key

pytestmark = pytest.mark.django_db

NOW_ON = {"current_period_end": timedelta(days=10)}
# name -> (plan, Stripe's status, further columns; timedeltas count from now), or a granted plan
STANDINGS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "free": ("", "", {}),
    "granted plus": ("plus", "granted", {}),
    "granted pro": ("pro", "granted", {}),
    "plus": ("plus", "active", NOW_ON),
    "pro": ("pro", "active", NOW_ON),
    "plus on trial": ("plus", "trialing", {"trial_end": timedelta(days=3)}),
    "plus in grace": ("plus", "past_due", {"past_due_since": timedelta(hours=-71)}),
    "plus canceled at the period's end": ("plus", "active", {**NOW_ON, "ends_at": timedelta(days=10)}),
    "plus lapsed": ("plus", "past_due", {"past_due_since": timedelta(hours=-73)}),
    "pro ended": ("pro", "canceled", {"ended_at": timedelta(days=-1)}),
    "pro refunded": ("pro", "active", {**NOW_ON, "is_refunded": True}),
    "pro disputed": ("pro", "active", {**NOW_ON, "is_disputed": True}),
    "pro not paid": ("pro", "incomplete", {}),
}
PLUS = {"granted plus", "plus", "plus on trial", "plus in grace", "plus canceled at the period's end"}
PRO = {"granted pro", "pro"}


def stand(user: User, name: str) -> None:
    """Give a person this standing, and no other."""
    plan_key, status, columns = STANDINGS[name]
    Subscription.objects.all().delete()
    PlanGrant.objects.all().delete()
    if not plan_key:
        return
    if status == "granted":
        grant_plan(user=user, plan_key=plan_key, reason="test", granted_by="test")
        return
    now = timezone.now()
    customer, _ = Customer.objects.get_or_create(user=user, defaults={"stripe_id": "cus_1"})
    moments = {key: now + value if isinstance(value, timedelta) else value for key, value in columns.items()}
    Subscription.objects.create(
        customer=customer,
        stripe_id="sub_1",
        plan=Plan.objects.get(key=plan_key),
        status=status,
        created_at=now,
        synced_at=now,
        **moments,
    )


class Refused(Exception):
    """A page or the API answered that the plan does not give this."""


# --- The ways in: each does its thing for the plan's owner or raises -----------------------------------


def by_page(user: User, live: BrokerAccount) -> None:
    answer = place_reviewed(sign_in(user), review_of(sign_in(user), live, size="2"))
    if answer.status_code == 403:
        assert "does not include" in answer.content.decode()
        assert 'href="/billing/"' in answer.content.decode()
        raise Refused
    assert answer.status_code == 302


def by_api(user: User, live: BrokerAccount) -> None:
    answer = with_key(key_of(user)).post(
        "/api/v1/orders/",
        draft(account=str(live.pk), quantity="2"),
        "application/json",
        headers={"Idempotency-Key": uuid4().hex},
    )
    if answer.status_code == 403:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "plan_required"
        assert answer.json()["link"].endswith("/billing/")
        assert "pro" in answer.json()["plans_with_it"]
        raise Refused
    assert answer.status_code == 202, answer.content


def by_service(user: User, live: BrokerAccount) -> None:
    place(user, live, quantity="2", origin="page")


def by_approval_page(user: User, live: BrokerAccount) -> None:
    order = waiting(user, live)
    answer = sign_in(user).post(f"/orders/{order.pk}/approve/", {"order_hash": order.order_hash})
    if fresh(order).status == "pending_approval":
        assert answer.status_code == 403
        assert "does not include" in answer.content.decode()
        assert 'href="/billing/"' in answer.content.decode()
        raise Refused
    assert fresh(order).status == "queued"


def by_approval_service(user: User, live: BrokerAccount) -> None:
    order = waiting(user, live)
    approve_order(user=user, order_id=order.pk, order_hash=order.order_hash)


def by_send(user: User, live: BrokerAccount) -> None:
    order = queued(user, live)
    assert send(order) is (fresh(order).status != "not_sent")
    if fresh(order).status == "not_sent":
        assert "does not include" in fresh(order).reject_reason
        raise Refused
    assert fresh(order).status == "accepted"


def by_replace(user: User, live: BrokerAccount) -> None:
    order = resting(user, live)
    # The first orders of an account cannot be changed at all, whatever the plan.
    set_platform_limit("pilot_orders", "0")
    replace_order(user=user, order_id=order.pk, changes=ReplaceRequest(limit_price=D("9.50")))


def by_arming_page(user: User, live: BrokerAccount) -> None:
    BrokerAccount.objects.filter(pk=live.pk).update(armed_at=None)
    answer = sign_in(user).post(f"/brokers/accounts/{live.pk}/arm/", {"understood": "on"})
    live.refresh_from_db()
    if live.armed_at is None:
        assert "does not include live trading" in answer.content.decode()
        raise Refused


def by_arming_service(user: User, live: BrokerAccount) -> None:
    BrokerAccount.objects.filter(pk=live.pk).update(armed_at=None)
    arm_account(user=user, account_id=live.pk, has_fresh_factor=True)


def by_key_page(user: User, live: BrokerAccount) -> None:
    answer = sign_in(user).post("/settings/api-keys/", {"name": "robot", "scopes": ["trade:live"]})
    if "does not include live trading through the API" in answer.content.decode():
        raise Refused
    assert "Your new key" in answer.content.decode()


def by_key_service(user: User, live: BrokerAccount) -> None:
    create_api_key(user=user, name="robot", scopes=["trade:live"])


def by_second_link_page(user: User, live: BrokerAccount) -> None:
    values = {"environment": "paper", "key_id": "k", "secret": "secret-1", "label": ""}
    answer = sign_in(user).post(reverse("brokers:link_keys", args=["second"]), values)
    if answer.status_code == 403:
        assert "does not include another broker" in answer.content.decode()
        raise Refused
    assert BrokerConnection.objects.filter(broker="second").exists(), answer.content.decode()


def by_second_link_service(user: User, live: BrokerAccount) -> None:
    link_with_keys(user=user, broker="second", environment="paper", key_id="k", secret="secret-1")  # type: ignore[arg-type]


# way -> (what it does, the standings in which it works)
WAYS: dict[str, tuple[Callable[[User, BrokerAccount], None], set[str]]] = {
    "page": (by_page, PLUS | PRO),
    "API": (by_api, PRO),
    "service": (by_service, PLUS | PRO),
    "approval on the page": (by_approval_page, PLUS | PRO),
    "approval in the service": (by_approval_service, PLUS | PRO),
    "send": (by_send, PLUS | PRO),
    "replace": (by_replace, PLUS | PRO),
    "arming on the page": (by_arming_page, PLUS | PRO),
    "arming in the service": (by_arming_service, PLUS | PRO),
    "live key on the page": (by_key_page, PRO),
    "live key in the service": (by_key_service, PRO),
    "second broker on the page": (by_second_link_page, PRO),
    "second broker in the service": (by_second_link_service, PRO),
}


@pytest.fixture
def live(user: User, settings: Any) -> BrokerAccount:
    """An armed live account whose owner has a second factor; another broker could be linked."""
    settings.BROKER_ADAPTERS = {**settings.BROKER_ADAPTERS, "second": scripted.PATH}
    scripted.reset_script()
    TOTP.activate(user, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    account = make_account(user, environment="live", number="L1")
    account.armed_at = timezone.now()
    account.save(update_fields=["armed_at"])
    return account


def key_of(user: User) -> str:
    """Return a live key that was made while the plan allowed it."""
    grant = grant_plan(user=user, plan_key="pro", reason="test", granted_by="test")
    try:
        return create_api_key(user=user, name="test", scopes=["read", "trade:live"])[1].secret
    finally:
        grant.delete()


def under_pro(user: User, do: Callable[[], Order]) -> Order:
    """Do something under a plan that allows everything, which is taken away afterwards."""
    grant = grant_plan(user=user, plan_key="pro", reason="test", granted_by="test")
    try:
        return do()
    finally:
        grant.delete()


def waiting(user: User, live: BrokerAccount) -> Order:
    return under_pro(user, lambda: place(user, live, quantity="2", origin="page").order)


def queued(user: User, live: BrokerAccount) -> Order:
    order = waiting(user, live)
    return under_pro(user, lambda: approve_order(user=user, order_id=order.pk, order_hash=order.order_hash))


def resting(user: User, live: BrokerAccount) -> Order:
    def rest() -> Order:
        order = place(user, live, quantity="2", origin="page", confirm=("G02",)).order
        approve_order(user=user, order_id=order.pk, order_hash=order.order_hash)
        send(order)
        return fresh(order)

    return under_pro(user, rest)


@pytest.mark.parametrize("standing", STANDINGS)
@pytest.mark.parametrize("way", WAYS)
def test_a_plan_gives_the_same_through_every_way_in(
    way: str, standing: str, user: User, live: BrokerAccount
) -> None:
    go, works_with = WAYS[way]
    grants = {"plus", "pro"} & set(standing.split())
    assert grants or standing == "free"
    stand(user, standing)
    before = (Order.objects.count(), BrokerConnection.objects.count())

    refusal = attempt(go, user, live)

    assert (refusal is None) is (standing in works_with), refusal
    if refusal is None:
        return
    if isinstance(refusal, PlanRequired):
        assert refusal.code == "plan_required"
        assert refusal.details["link"].endswith("/billing/")
    if way in STORING_NOTHING:
        assert (Order.objects.count(), BrokerConnection.objects.count()) == before


STORING_NOTHING = {
    "page",
    "API",
    "service",
    "second broker on the page",
    "second broker in the service",
}


def attempt(go: Callable[[User, BrokerAccount], None], user: User, live: BrokerAccount) -> Exception | None:
    """Return the refusal for want of a plan, if it was one; every other refusal is a failure."""
    try:
        go(user, live)
    except (Refused, PlanRequired) as refusal:
        return refusal
    except PlatformError as error:
        pytest.fail(f"refused for another reason: {error.message}")
    return None


LOSSES = ("plus lapsed", "pro ended", "pro refunded", "pro disputed", "free")


@pytest.mark.parametrize("loss", LOSSES)
def test_a_lapse_after_approval_is_caught_at_send_and_says_why(
    loss: str, user: User, live: BrokerAccount, book: ScriptedBook
) -> None:
    stand(user, "pro")
    order = place(user, live, quantity="2", origin="page").order
    approve_order(user=user, order_id=order.pk, order_hash=order.order_hash)
    stand(user, loss)

    assert not send(order)

    order = fresh(order)
    assert order.status == "not_sent"
    assert "Nothing was sent" in order.reject_reason
    assert outbox(order).status == "dropped"
    assert book.posts == []


@pytest.mark.parametrize("loss", LOSSES)
def test_a_lapse_takes_no_exit_and_no_cancel_away(
    loss: str, user: User, live: BrokerAccount, book: ScriptedBook
) -> None:
    stand(user, "pro")
    bought = resting(user, live)
    book.fill(book.orders[bought.broker_order_id], D(2), D("9.99"))
    backfill_account(live.pk)
    other = resting(user, live)
    stand(user, loss)
    BrokerAccount.objects.filter(pk=live.pk).update(armed_at=None)

    sold = place(user, live, side="sell", quantity="2", limit_price="9.99", origin="api").order
    assert sold.status == "queued"
    assert send(sold)
    assert fresh(sold).status == "accepted"

    cancel_order(user=user, order_id=other.pk)
    assert send(other, kind="cancel")
    assert fresh(other).status == "pending_cancel"


def test_after_a_change_to_fewer_brokers_the_ones_linked_first_stay_open(
    user: User, live: BrokerAccount, settings: Any
) -> None:
    settings.BROKER_ADAPTERS = {**settings.BROKER_ADAPTERS, "second": settings.BROKER_ADAPTERS["scripted"]}
    second = make_account(user, environment="live", number="L2")
    BrokerConnection.objects.filter(pk=second.connection_id).update(broker="second")
    BrokerAccount.objects.filter(pk=second.pk).update(broker="second", armed_at=timezone.now())
    second.refresh_from_db()
    stand(user, "plus")

    assert place(user, live, quantity="2", origin="page").order.status == "pending_approval"
    with pytest.raises(PlanRequired) as refused:
        place(user, second, quantity="2", origin="page")

    assert refused.value.details["feature"] == "linked_brokers"
    stand(user, "pro")
    assert place(user, second, quantity="2", origin="page").order.status == "pending_approval"


def test_an_api_order_that_was_queued_under_pro_is_not_sent_under_plus(
    user: User, live: BrokerAccount
) -> None:
    stand(user, "pro")
    order = place(user, live, quantity="2", origin="api").order
    approve_order(user=user, order_id=order.pk, order_hash=order.order_hash)
    stand(user, "plus")

    assert not send(order)
    assert "live trading through the API" in fresh(order).reject_reason


def test_the_plan_of_one_person_is_not_anothers(user: User, stranger: User) -> None:
    stand(user, "pro")
    theirs = make_account(stranger, environment="live", number="L9")
    BrokerAccount.objects.filter(pk=theirs.pk).update(armed_at=timezone.now())

    with pytest.raises(PlanRequired):
        place(stranger, theirs, quantity="2", origin="page")
