"""Background work of the order path. Every task is a hint: rows and the dispatcher guarantee the work."""

from celery import shared_task

from orders.services.submit import claim_and_send


@shared_task(ignore_result=True)
def ring_outbox(outbox_id: int) -> None:
    """Send one outbox row if it is still ready; any number of deliveries, at any time, is harmless."""
    claim_and_send(outbox_id, worker="celery")
