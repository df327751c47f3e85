"""What follows from changes that allauth makes to a person's second factors."""

from typing import Any

from allauth.mfa.signals import authenticator_removed
from allauth.mfa.utils import is_mfa_enabled
from django.contrib import messages
from django.dispatch import receiver
from django.http import HttpRequest

from brokers.services.arming import disarm_all_accounts
from tradeplatform.models import User


@receiver(authenticator_removed)
def disarm_without_factor(request: HttpRequest, user: User, **kwargs: Any) -> None:
    """Real money needs a second factor: when the last one goes, every armed account is disarmed."""
    if is_mfa_enabled(user):
        return
    count = disarm_all_accounts(user=user, actor=user.email)
    if count:
        what = "Your live account was" if count == 1 else f"Your {count} live accounts were"
        messages.warning(
            request,
            f"{what} disarmed, because no second factor is left. Open orders stay, and you can still cancel "
            "and close.",
        )
