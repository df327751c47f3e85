"""A process of another build than the newest does not send; cancels pass, and the status page says so."""

from datetime import timedelta

import pytest
from django.utils import timezone

from orders.enums import OrderStatus
from tests.orders.helpers import fresh, place, send
from tradeplatform.common import builds
from tradeplatform.common.builds import announce_build, is_newest_build, newest_build, record_build
from tradeplatform.common.heartbeats import forget_old_heartbeats, read_components, record_heartbeat

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_remembered():
    builds._forget()
    yield
    builds._forget()


def be(settings, build: str) -> None:
    settings.BUILD_ID = build
    builds._forget()


def test_an_old_build_sends_no_order_until_it_is_replaced(user, account, book, settings):
    be(settings, "old")
    record_build()
    order = place(user, account).order
    be(settings, "new")
    announce_build()

    be(settings, "old")
    assert send(order) is False
    assert fresh(order).status == OrderStatus.QUEUED
    assert book.posts == []

    be(settings, "new")
    assert send(order) is True


def test_an_old_build_still_sends_cancels(user, account, book, settings):
    be(settings, "old")
    record_build()
    order = place(user, account).order
    send(order)
    be(settings, "new")
    announce_build()
    be(settings, "old")
    from orders.services.cancel import cancel_order

    cancel_order(user=user, order_id=order.pk)

    assert send(order, "cancel") is True


def test_a_restart_of_the_old_build_changes_nothing_and_a_rollback_does(settings):
    be(settings, "old")
    record_build()
    be(settings, "new")
    record_build()
    be(settings, "old")
    record_build()
    assert newest_build() == "new"
    assert not is_newest_build()

    announce_build()
    assert newest_build() == "old"
    assert is_newest_build()


def test_builds_are_remembered_for_good_and_are_no_process(settings):
    be(settings, "old")
    announce_build()

    forget_old_heartbeats(now=timezone.now() + timedelta(days=400))

    assert newest_build() == "old"


def test_the_status_page_says_that_the_dispatcher_is_held(settings):
    record_heartbeat(kind="dispatcher", started_at=timezone.now(), detail={"held": "An older build."})

    states = {one.name: (one.state, one.detail) for one in read_components(now=timezone.now())}

    assert states["Order dispatch"] == ("degraded", "An older build.")
