"""Creating people, changing their profile, and closing accounts."""

import secrets
import zoneinfo
from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from billing.services.checkout import end_subscriptions
from brokers.models import BrokerConnection
from brokers.services.connections import unlink_connection
from orders.enums import UNFINISHED
from orders.models import Order, OrderDefaults
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import ConflictError, InvalidRequest
from tradeplatform.models import ApiKey, Role, User
from tradeplatform.services.roles import apply_role


def create_user(
    *,
    email: str,
    password: str,
    role: Role = Role.USER,
    actor: str = "system:command",
    check_password: bool = True,
) -> User:
    """Create a person whose e-mail address counts as verified; raises InvalidRequest or ConflictError."""
    email = email.strip().lower()
    user = User(email=email)
    try:
        validate_email(email)
        if check_password:
            validate_password(password, user)
    except ValidationError as error:
        raise InvalidRequest(" ".join(error.messages)) from None
    with transaction.atomic():
        if User.objects.filter(email__iexact=email).exists():
            raise ConflictError(f"There is already an account for {email}.", code="email_taken")
        user.set_password(password)
        user.save()
        EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
        apply_role(user, role, actor=actor)
        record_audit(
            actor=actor,
            action="user_created",
            object_type="user",
            object_id=user.pk,
            data={"role": role.value},
        )
    return user


def update_profile(*, user: User, display_name: str, time_zone: str) -> User:
    """Change how the person is named and in which time zone times are shown."""
    if time_zone not in zoneinfo.available_timezones():
        message = "Choose a time zone from the list."
        raise InvalidRequest(message, fields={"time_zone": [message]})
    user.display_name = display_name.strip()[:80]
    user.time_zone = time_zone
    user.save(update_fields=["display_name", "time_zone"])
    return user


def update_order_defaults(
    *, user: User, account_id: UUID | None, order_type: str, time_in_force: str, extended_hours: bool
) -> OrderDefaults:
    """Change what a new ticket starts with. The account must be the person's (the form sees to it)."""
    defaults, _ = OrderDefaults.objects.update_or_create(
        user=user,
        defaults={
            "account_id": account_id,
            "order_type": order_type,
            "time_in_force": time_in_force,
            "extended_hours": extended_hours,
        },
    )
    return defaults


def close_account(*, user: User, actor: str | None = None) -> None:
    """Close a person's account for good: links and keys end, the e-mail is erased, records stay.

    Broker tokens are deleted first. Orders, executions and audit entries must be kept, so the row stays
    without anything that names the person. Refused while an order is unfinished: cancel it or let it end,
    because afterwards nobody could. A paid subscription is ended at Stripe before anything else; while
    Stripe does not answer, nothing is closed (StripeUnavailable): nobody pays on for a closed account.
    """
    if Order.objects.filter(user=user, status__in=UNFINISHED).exists():
        raise ConflictError(
            "You have orders that are not finished. Cancel them or wait until they have ended, then close "
            "the account. Nothing was closed.",
            code="open_orders",
        )
    end_subscriptions(user=user)
    for connection_id in BrokerConnection.objects.filter(user=user, unlinked_at=None).values_list(
        "pk", flat=True
    ):
        unlink_connection(user=user, connection_id=connection_id)
    now = utc_now()
    former_email = user.email
    with transaction.atomic():
        locked = User.objects.select_for_update().get(pk=user.pk)
        if Order.objects.filter(user=locked, status__in=UNFINISHED).exists():
            raise ConflictError(
                "An order was placed while the account was being closed. Your brokers are unlinked; nothing "
                "else was closed. Try again when the order has ended.",
                code="open_orders",
            )
        ApiKey.objects.filter(user=locked, revoked_at=None).update(revoked_at=now)
        Authenticator.objects.filter(user=locked).delete()
        EmailAddress.objects.filter(user=locked).delete()
        locked.email = f"closed-{locked.pk}-{secrets.token_hex(4)}@closed.invalid"
        locked.display_name = ""
        locked.is_active = locked.is_staff = locked.is_superuser = False
        locked.role = Role.USER
        locked.closed_at = now
        locked.set_unusable_password()
        locked.save()
        locked.groups.clear()
        record_audit(
            actor=locked.email if actor in (None, former_email) else str(actor),
            action="account_closed",
            object_type="user",
            object_id=locked.pk,
        )
    for session in UserSession.objects.filter(user=user):
        session.end()
