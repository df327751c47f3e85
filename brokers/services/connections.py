"""Linking and unlinking brokers. All calls to a broker happen outside transactions."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction

from billing.access import require_entitlement
from billing.entitlements import Feature
from brokers.adapters.base import BrokerInterface
from brokers.adapters.paper.models import PracticeBook
from brokers.enums import ConnectionStatus, Environment, LinkKind
from brokers.exceptions import AuthorizationExpired, BrokerError, Rejected, Unsupported
from brokers.models import BrokerAccount, BrokerConnection, LinkAttempt
from brokers.registry import manager
from brokers.selectors import get_account_for, get_connection_for, linked_brokers
from brokers.services import link_errors as errors
from brokers.services.link_health import mark_needs_relink, publish_link_event
from brokers.services.link_store import store_link
from brokers.types import Credentials, LinkedAccount
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import InvalidRequest
from tradeplatform.models import User

__all__ = [
    "finish_oauth_link",
    "link_with_keys",
    "mark_needs_relink",
    "open_practice_account",
    "relink_with_keys",
    "rename_account",
    "start_oauth_link",
    "unlink_connection",
]

ATTEMPT_LIFETIME = timedelta(minutes=10)
PRACTICE_CASH_MINIMUM = Decimal(100)
PRACTICE_CASH_MAXIMUM = Decimal(10_000_000)
PRACTICE_ACCOUNTS_MAXIMUM = 10


def start_oauth_link(
    *, user: User, broker: str, environment: Environment | None, session_key: str, redirect_uri: str
) -> str:
    """Begin a sign-in at the broker and return the address of its consent page.

    The random state in it is bound to this person, web session and redirect address, works once and for
    ten minutes; only its hash is stored. Raises LinkKindUnsupported, PlanRequired or UnknownBroker.
    """
    adapter = _adapter_for(broker, LinkKind.OAUTH2)
    _check_limit(user, broker)
    if not session_key:
        raise errors.LinkStateForeign("Your browser session has ended. Sign in again, then link the broker.")
    state = secrets.token_urlsafe(32)
    LinkAttempt.objects.create(
        user=user,
        broker=broker,
        environment=environment or "",
        state_hash=_digest(state),
        session_hash=_digest(session_key),
        redirect_uri=redirect_uri,
    )
    return adapter.oauth_flow().build_authorize_url(
        state=state, redirect_uri=redirect_uri, environment=environment
    )


def finish_oauth_link(
    *,
    user: User,
    broker: str,
    session_key: str,
    state: str,
    code: str,
    redirect_uri: str,
    error: str = "",
) -> list[BrokerAccount]:
    """Complete a sign-in: check the state, trade the code, find the accounts and store the link.

    Raises a LinkError whose code names what was wrong, or PlanRequired; nothing is stored then.
    """
    attempt = _use_attempt(
        user=user, broker=broker, session_key=session_key, state=state, redirect_uri=redirect_uri
    )
    if error:
        raise errors.LinkDenied(
            "You did not allow access at the broker, so nothing was linked. You can start again at any time.",
            details={"broker_error": error[:80]},
        )
    if not code:
        raise errors.LinkCodeRefused("The broker sent no authorization code. Start the link again.")
    adapter = _adapter_for(broker, LinkKind.OAUTH2)
    try:
        credentials = adapter.oauth_flow().exchange_code(code=code, redirect_uri=attempt.redirect_uri)
    except Rejected as refusal:
        raise errors.LinkCodeRefused(
            "The broker refused the authorization code: it was used before, has expired, or was issued to "
            "another site. Nothing was linked. Start the link again."
        ) from refusal
    except BrokerError as failure:
        raise _unavailable(failure) from failure
    chosen = [Environment(attempt.environment)] if attempt.environment else list(Environment)
    found = _discover(adapter, credentials, chosen)
    _check_limit(user, broker)
    return store_link(user=user, broker=broker, credentials=credentials, found=found)


def link_with_keys(
    *, user: User, broker: str, environment: Environment, key_id: str, secret: str, label: str = ""
) -> BrokerAccount:
    """Link one account with the person's own keys. Raises a LinkError or PlanRequired: nothing is stored."""
    adapter = _adapter_for(broker, LinkKind.API_KEY)
    _check_limit(user, broker)
    credentials = _read_keys(key_id, secret)
    found = _discover(adapter, credentials, [Environment(environment)])
    return store_link(user=user, broker=broker, credentials=credentials, found=found, label=label)[0]


def relink_with_keys(*, user: User, connection_id: UUID, key_id: str, secret: str) -> list[BrokerAccount]:
    """Give an existing link new keys. Raises LinkOtherAccount when they open none of its accounts."""
    connection = get_connection_for(user, connection_id)
    adapter = _adapter_for(connection.broker, LinkKind.API_KEY)
    accounts = list(connection.accounts.all())
    credentials = _read_keys(key_id, secret)
    environments = sorted({Environment(account.environment) for account in accounts})
    found = _discover(adapter, credentials, environments)
    known = {(account.environment, account.broker_account_id) for account in accounts}
    if not any((item.environment, item.info.broker_account_id) in known for item in found):
        raise errors.LinkOtherAccount(
            "These keys open another account than the one you are repairing. Nothing was changed. "
            "Use keys of the same account, or link the other account as a new one."
        )
    return store_link(user=user, broker=connection.broker, credentials=credentials, found=found)


def open_practice_account(
    *, user: User, label: str = "Practice account", cash: Decimal = Decimal(100_000)
) -> BrokerAccount:
    """Open a practice account with this much play money. Raises InvalidRequest for unusable input."""
    _check_practice_request(user, cash)
    with transaction.atomic():
        book = PracticeBook.objects.create(user=user, starting_cash=cash, cash=cash, last_equity=cash)
    credentials = Credentials(LinkKind.BUILT_IN, {"book_id": str(book.pk)})
    found = manager.adapter_class("paper").discover_accounts(credentials, environments=[Environment.PAPER])
    return store_link(user=user, broker="paper", credentials=credentials, found=found, label=label)[0]


def unlink_connection(*, user: User, connection_id: UUID, actor: str = "") -> BrokerConnection:
    """Erase a link's credentials and retire its accounts; orders, fills and the book stay readable.

    Never refuses: an exit must not be trapped. Orders that are still open live on at the broker, so pages
    warn about them before they call this. Unlinking twice changes nothing.
    """
    owned = get_connection_for(user, connection_id)
    with transaction.atomic():
        # Accounts before their link, as everywhere: whoever stores balances takes them in this order.
        list(BrokerAccount.objects.select_for_update().filter(connection=owned).order_by("pk"))
        connection = BrokerConnection.objects.select_for_update().get(pk=owned.pk)
        if connection.status == ConnectionStatus.UNLINKED:
            return connection
        connection.status = ConnectionStatus.UNLINKED
        connection.status_reason = ""
        connection.unlinked_at = utc_now()
        connection.credentials = ""  # type: ignore[assignment]
        connection.save(update_fields=["status", "status_reason", "unlinked_at", "credentials"])
        connection.accounts.update(is_active=False, armed_at=None)
        record_audit(
            actor=actor or user.email,
            action="broker_unlinked",
            object_type="broker_connection",
            object_id=connection.pk,
            data={"broker": connection.broker},
        )
        publish_link_event(connection)
    return connection


def rename_account(*, user: User, account_id: UUID, label: str) -> BrokerAccount:
    """Change what an account is called. Raises InvalidRequest for an empty or too long name."""
    account = get_account_for(user, account_id)
    cleaned = label.strip()
    if not 1 <= len(cleaned) <= 60:
        raise InvalidRequest("The name needs 1 to 60 characters.", fields={"label": ["1 to 60 characters."]})
    account.label = cleaned
    account.save(update_fields=["label"])
    return account


def _use_attempt(*, user: User, broker: str, session_key: str, state: str, redirect_uri: str) -> LinkAttempt:
    """Consume the attempt of this state. A state is spent by its first use, whatever that leads to."""
    attempt = LinkAttempt.objects.filter(state_hash=_digest(state)).first() if state else None
    if attempt is None:
        raise errors.LinkStateUnknown(
            "This sign-in was not started here, so it was refused and nothing was linked. "
            "Start the link again from the brokers page."
        )
    now = utc_now()
    belongs = (
        attempt.user_id == user.pk
        and attempt.broker == broker
        and secrets.compare_digest(attempt.session_hash, _digest(session_key))
    )
    if not belongs:
        raise errors.LinkStateForeign(
            "This sign-in was started in another browser session, so it was refused and nothing was linked. "
            "Start the link again in this one."
        )
    if not LinkAttempt.objects.filter(pk=attempt.pk, used_at=None).update(used_at=now):
        raise errors.LinkStateUsed(
            "This sign-in was already used. If your account is not listed, start the link again."
        )
    if attempt.created_at + ATTEMPT_LIFETIME < now:
        raise errors.LinkStateExpired(
            "The sign-in took longer than ten minutes and has expired. Nothing was linked. Start again."
        )
    if attempt.redirect_uri != redirect_uri:
        raise errors.LinkRedirectMismatch(
            "The broker returned to another address than the sign-in was started with. Nothing was linked."
        )
    return attempt


def _discover(
    adapter: type[BrokerInterface], credentials: Credentials, environments: Sequence[Environment]
) -> Sequence[LinkedAccount]:
    try:
        found = adapter.discover_accounts(credentials, environments=environments)
    except (AuthorizationExpired, Rejected) as refusal:
        raise _refused(environments) from refusal
    except BrokerError as failure:
        raise _unavailable(failure) from failure
    if not found:
        raise _refused(environments)
    return found


def _refused(environments: Sequence[Environment]) -> errors.LinkCredentialsRefused:
    tried = " and ".join(environment.label.lower() for environment in environments)
    return errors.LinkCredentialsRefused(
        f"The broker refused these credentials for the {tried} environment, so nothing was linked. "
        "Check that they belong to this environment and have not been revoked."
    )


def _unavailable(failure: BrokerError) -> errors.LinkBrokerUnavailable:
    return errors.LinkBrokerUnavailable(
        "The broker did not answer clearly, so nothing was linked. Try again in a minute.",
        details={"broker_code": failure.code, "request_id": failure.request_id},
    )


def _adapter_for(broker: str, kind: LinkKind) -> type[BrokerInterface]:
    adapter = manager.adapter_class(broker)
    capabilities = adapter.capabilities(Environment.PAPER)
    if kind not in capabilities.link_kinds:
        raise errors.LinkKindUnsupported(f"{adapter.display_name} cannot be linked by {kind.label.lower()}.")
    if kind == LinkKind.OAUTH2:
        try:
            adapter.oauth_flow()
        except Unsupported as missing:
            raise errors.LinkNotConfigured(
                f"Signing in at {adapter.display_name} is not set up on this site. "
                "You can link with an API key pair, or ask the operator."
            ) from missing
    return adapter


def _check_limit(user: User, broker: str) -> None:
    """Refuse a further broker beyond the plan. Brokers linked already, and practice, do not count."""
    linked = linked_brokers(user)
    if broker not in linked:
        require_entitlement(
            user=user,
            feature=Feature.LINKED_BROKERS,
            meaning=f"You have {len(linked)} linked. Nothing was linked. Unlink one, or change your plan.",
            used=len(linked),
        )


def _read_keys(key_id: str, secret: str) -> Credentials:
    key_id, secret = key_id.strip(), secret.strip()
    missing = {
        name: ["This is needed."] for name, value in (("key_id", key_id), ("secret", secret)) if not value
    }
    if missing:
        raise InvalidRequest("Give both the key id and the secret.", fields=missing)
    return Credentials(LinkKind.API_KEY, {"key_id": key_id, "secret_key": secret})


def _check_practice_request(user: User, cash: Decimal) -> None:
    if not cash.is_finite() or not PRACTICE_CASH_MINIMUM <= cash <= PRACTICE_CASH_MAXIMUM:
        text = f"Choose between {PRACTICE_CASH_MINIMUM:,} and {PRACTICE_CASH_MAXIMUM:,} USD."
        raise InvalidRequest("That amount of play money is not possible.", fields={"cash": [text]})
    open_ones = BrokerAccount.objects.filter(
        user=user, is_active=True, connection__kind=LinkKind.BUILT_IN
    ).count()
    if open_ones >= PRACTICE_ACCOUNTS_MAXIMUM:
        raise InvalidRequest(
            f"You have {open_ones} practice accounts already. Close one before you open another.",
            code="practice_limit_reached",
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
