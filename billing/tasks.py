"""Payments in the background. Every task may run at any time, any number of times."""

from celery import shared_task

from billing import stripe_client
from billing.services.comparison import compare_with_stripe as compare
from billing.services.customers import settle_all
from billing.services.events import process_event as process
from billing.services.events import process_waiting_events
from billing.services.notices import send_waiting_notices


@shared_task(name="billing.tasks.process_event")
def process_event(event_pk: int) -> None:
    process(event_pk=event_pk)


@shared_task(name="billing.tasks.process_waiting")
def process_waiting() -> None:
    if stripe_client.is_configured():
        process_waiting_events()


@shared_task(name="billing.tasks.watch_plans")
def watch_plans() -> None:
    settle_all()
    send_waiting_notices()


@shared_task(name="billing.tasks.send_notices")
def send_notices() -> None:
    send_waiting_notices()


@shared_task(name="billing.tasks.compare_with_stripe")
def compare_with_stripe() -> None:
    if stripe_client.is_configured():
        compare()
