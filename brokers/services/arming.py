"""Arming a live account: its owner says, with fresh proof, that orders may use real money there.

Disarming needs nothing but the click. Neither touches orders that were placed before, and closing a position
or cancelling an order never needs an armed account.
"""

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from billing.access import require_entitlement
from billing.entitlements import Feature
from billing.selectors import has_feature
from brokers.enums import ConnectionStatus, Environment
from brokers.models import BrokerAccount
from brokers.selectors import get_account_for
from brokers.services.link_health import publish_link_event
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.disclosures import missing_disclosures
from tradeplatform.common.exceptions import ConflictError, PermissionRefused
from tradeplatform.models import User

LIVE_PURPOSES = ("trading", "live")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmingRequirements:
    """What still stands between an account and live orders, apart from the second factor."""

    has_plan: bool
    missing_texts: tuple[str, ...]
    link_works: bool

    @property
    def are_met(self) -> bool:
        return self.has_plan and not self.missing_texts and self.link_works


def arming_requirements(*, user: User, account: BrokerAccount) -> ArmingRequirements:
    """Return which conditions for live orders hold now."""
    return ArmingRequirements(
        has_plan=has_feature(user, Feature.LIVE_TRADING),
        missing_texts=tuple(text.title for text in missing_disclosures(user, purposes=LIVE_PURPOSES)),
        link_works=account.connection.status == ConnectionStatus.ACTIVE,
    )


def arm_account(*, user: User, account_id: UUID, has_fresh_factor: bool) -> BrokerAccount:
    """Allow live orders on an account. `has_fresh_factor`: a second factor was given in the last minutes.

    Raises NotFoundError, ConflictError (`account_not_live`, `link_needs_relink`) and PermissionRefused
    (`plan_required`, `disclosures_missing`, `factor_required`). Arming an armed account changes nothing.
    """
    account = get_account_for(user, account_id)
    if account.armed_at is not None:
        return account
    _check(user, account, has_fresh_factor=has_fresh_factor)
    with transaction.atomic():
        account = BrokerAccount.objects.select_for_update().get(pk=account.pk)
        account.armed_at = utc_now()
        _store(account, actor=user.email, action="account_armed")
    return account


def disarm_account(*, user: User, account_id: UUID) -> BrokerAccount:
    """Stop new live orders on an account at once. Raises NotFoundError."""
    account = get_account_for(user, account_id)
    with transaction.atomic():
        account = BrokerAccount.objects.select_for_update().get(pk=account.pk)
        if account.armed_at is not None:
            account.armed_at = None
            _store(account, actor=user.email, action="account_disarmed")
    return account


def disarm_all_accounts(*, user: User, actor: str) -> int:
    """Stop new live orders on all of a person's accounts at once; returns how many were armed."""
    with transaction.atomic():
        armed = BrokerAccount.objects.select_for_update().filter(user=user, armed_at__isnull=False)
        accounts = list(armed.order_by("pk"))
        for account in accounts:
            account.armed_at = None
            _store(account, actor=actor, action="account_disarmed")
    return len(accounts)


def _check(user: User, account: BrokerAccount, *, has_fresh_factor: bool) -> None:
    if account.environment != Environment.LIVE:
        raise ConflictError(
            "Only live accounts are armed; this one trades practice money.", code="account_not_live"
        )
    wanted = arming_requirements(user=user, account=account)
    if not wanted.link_works:
        raise ConflictError(
            "The link to the broker does not work at the moment. Link it again, then arm the account.",
            code="link_needs_relink",
        )
    require_entitlement(user=user, feature=Feature.LIVE_TRADING, meaning="The account was not armed.")
    if wanted.missing_texts:
        raise PermissionRefused(
            f"Read and accept first: {', '.join(wanted.missing_texts)}. The account was not armed.",
            code="disclosures_missing",
        )
    if not has_fresh_factor:
        raise PermissionRefused(
            "Give your second factor again, then arm the account within five minutes.", code="factor_required"
        )


def _store(account: BrokerAccount, *, actor: str, action: str) -> None:
    account.save(update_fields=["armed_at"])
    record_audit(
        actor=actor,
        action=action,
        object_type="broker_account",
        object_id=account.pk,
        data={"broker": account.broker, "environment": account.environment},
    )
    publish_link_event(account.connection)
