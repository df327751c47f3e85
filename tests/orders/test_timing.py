"""Every stage of every order is measured, whichever way the order goes."""

from datetime import timedelta

import pytest

from brokers.exceptions import TIMED_OUT, OutcomeUnknown
from brokers.models import BrokerAccount
from brokers.services.inbox import record_event
from brokers.types import StreamEvent
from orders.latency import read_latencies
from orders.models import OrderEvent, OutboxMessage
from orders.services import submit
from orders.services.approve import approve_order
from orders.services.ingest import apply_pending_events
from orders.timing import FILL_STAGES, SENDING_STAGES, STAGES
from tests.orders.approvals import waiting_order
from tests.orders.helpers import fresh, outbox, place, send
from tests.orders.scripted_broker import ScriptedBook
from tradeplatform.common.clock import utc_now
from tradeplatform.models import User

pytestmark = pytest.mark.django_db


def test_an_order_that_is_sent_has_all_its_stages(user: User, account: BrokerAccount) -> None:
    order = place(user, account).order
    send(order)
    assert set(outbox(order).timings) == set(SENDING_STAGES)
    assert (*SENDING_STAGES, *FILL_STAGES) == STAGES


def test_an_approved_order_has_the_stages_of_its_approval(user: User, account: BrokerAccount) -> None:
    order = waiting_order(user, account)
    approve_order(user=user, order_id=order.pk, order_hash=order.order_hash)
    assert set(outbox(order).timings) == {"accept", "gate", "commit"}
    send(order)
    assert set(outbox(order).timings) == set(SENDING_STAGES)


def test_an_order_that_waited_for_the_rate_limit_has_its_whole_queue(
    user: User, account: BrokerAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = place(user, account).order
    monkeypatch.setattr(submit, "take_token", lambda *_, **__: 2.0)
    assert not send(order)
    assert "queue" not in outbox(order).timings
    monkeypatch.setattr(submit, "take_token", lambda *_, **__: 0.0)
    OutboxMessage.objects.filter(order=order).update(
        not_before=utc_now(), created_at=utc_now() - timedelta(seconds=3)
    )
    send(order)
    assert outbox(order).timings["queue"] >= 3000


def test_a_time_out_is_measured_and_named(user: User, account: BrokerAccount, book: ScriptedBook) -> None:
    book.raise_next(OutcomeUnknown("No answer.", code=TIMED_OUT))
    order = place(user, account).order
    send(order)
    assert fresh(order).status == "unconfirmed"
    assert OrderEvent.objects.get(order=order, kind="outcome_unknown").data["code"] == TIMED_OUT
    assert set(outbox(order).timings) == set(SENDING_STAGES)


def test_a_fill_from_the_stream_is_measured_from_the_broker_to_the_book(
    user: User, account: BrokerAccount
) -> None:
    order = place(user, account).order
    send(order)
    now = utc_now()
    payload = {
        "exec_type": "trade",
        "broker_order_id": fresh(order).broker_order_id,
        "exec_id": "e1",
        "last_qty": "10",
        "last_px": "9.99",
    }
    event = StreamEvent(dedupe_key="e1", kind="update", payload=payload, received_at=now)
    record_event(account_id=account.pk, event=event, source="stream")
    apply_pending_events(account.pk)
    found = read_latencies(since=now - timedelta(hours=1)).by_group["scripted", "paper"]
    assert set(found) == set(STAGES)
    assert (found["fill"].count, found["book"].count) == (1, 1)
