"""E-mails about plans: owed once per happening, written with the change, sent after the commit."""

from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db.models import F
from django.template.loader import render_to_string
from django.urls import reverse

from billing.life_cycle import NoticeKind
from billing.models import BillingNotice, Subscription
from tradeplatform.common.clock import utc_now
from tradeplatform.common.tasks import enqueue_on_commit

logger = structlog.get_logger(__name__)

MAX_ATTEMPTS = 8
# After this nobody needs the message any more, and what it says may have changed.
TOO_OLD = timedelta(days=3)
_BATCH = 100
_BY_INVOICE = frozenset(
    {NoticeKind.PAYMENT_FAILED, NoticeKind.GRACE_ENDING, NoticeKind.REFUNDED, NoticeKind.DISPUTED}
)


def add_notice(*, subscription: Subscription, user_id: int, kind: NoticeKind, until: datetime | None) -> None:
    """Owe a person an e-mail, once for this happening. Part of the caller's transaction."""
    from billing.tasks import send_notices

    _, is_new = BillingNotice.objects.get_or_create(
        user_id=user_id,
        kind=kind.value,
        key=_key_of(subscription, kind),
        defaults={
            "plan_name": subscription.plan.name if subscription.plan else "",
            "until": until,
            "created_at": utc_now(),
        },
    )
    if is_new:
        enqueue_on_commit(send_notices)


def _key_of(subscription: Subscription, kind: NoticeKind) -> str:
    """Return what a notice of this kind is about: a failed invoice, a planned end, or the subscription."""
    if kind in _BY_INVOICE:
        return f"{subscription.stripe_id}:{subscription.latest_invoice_id}"
    if kind is NoticeKind.CANCELED and subscription.ends_at:
        return f"{subscription.stripe_id}:{subscription.ends_at:%Y-%m-%dT%H:%M}"
    if kind is NoticeKind.LAPSED:
        return f"{subscription.stripe_id}:{subscription.latest_invoice_id}"
    return subscription.stripe_id


def send_waiting_notices() -> int:
    """Send what is owed; return how many went out. A mail server that is away is tried again later."""
    now = utc_now()
    waiting = BillingNotice.objects.filter(
        sent_at=None, attempts__lt=MAX_ATTEMPTS, created_at__gt=now - TOO_OLD, user__closed_at=None
    ).select_related("user")
    return sum(_send(notice) for notice in waiting.order_by("created_at")[:_BATCH])


def _send(notice: BillingNotice) -> bool:
    """Send one notice if no other process has taken it. A process that dies here sends it no second time."""
    taken = BillingNotice.objects.filter(pk=notice.pk, sent_at=None, attempts=notice.attempts).update(
        sent_at=utc_now(), attempts=F("attempts") + 1
    )
    if not taken:
        return False
    context = {
        "notice": notice,
        "site_name": settings.SITE_NAME,
        "billing_url": f"{settings.SITE_URL}{reverse('billing:overview')}",
    }
    try:
        send_mail(
            subject=render_to_string(f"emails/billing/{notice.kind}_subject.txt", context).strip(),
            message=render_to_string(f"emails/billing/{notice.kind}.txt", context),
            from_email=None,
            recipient_list=[notice.user.email],
        )
    except OSError as error:
        BillingNotice.objects.filter(pk=notice.pk).update(sent_at=None)
        logger.warning("billing_notice_not_sent", notice=notice.pk, error=type(error).__name__)
        return False
    return True
