"""Making and revoking API keys."""

from collections.abc import Sequence

from django.db import transaction

from billing.access import require_entitlement
from billing.entitlements import Feature
from tradeplatform.common.api_keys import NewKey, Scope, make_key
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import InvalidRequest, NotFoundError
from tradeplatform.models import ApiKey, User

MAX_KEYS = 20


def create_api_key(
    *, user: User, name: str, scopes: Sequence[str], actor: str | None = None
) -> tuple[ApiKey, NewKey]:
    """Create a key and return its row and the key itself, which can never be read again.

    Raises InvalidRequest for an empty name, unknown scopes or too many keys, PlanRequired when the
    plan does not include live trading through the API. The caller asks for a fresh second factor.
    """
    wanted = [scope.value for scope in Scope if scope.value in scopes]
    if not name.strip():
        raise InvalidRequest("Give the key a name.", fields={"name": ["Give the key a name."]})
    if not wanted or set(scopes) - set(wanted):
        message = f"Choose from: {', '.join(Scope)}."
        raise InvalidRequest(message, fields={"scopes": [message]})
    if Scope.TRADE_LIVE in wanted:
        require_entitlement(user=user, feature=Feature.API_LIVE_TRADING, meaning="The key was not made.")
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        if ApiKey.objects.filter(user=user, revoked_at=None).count() >= MAX_KEYS:
            raise InvalidRequest(
                f"You have {MAX_KEYS} keys. Revoke one that you do not use.", code="too_many_keys"
            )
        made = make_key()
        key = ApiKey.objects.create(
            user=user, name=name.strip()[:80], prefix=made.prefix, key_hash=made.key_hash, scopes=wanted
        )
        record_audit(
            actor=actor or user.email,
            action="api_key_created",
            object_type="api_key",
            object_id=key.pk,
            data={"prefix": key.prefix, "scopes": wanted},
        )
    return key, made


def revoke_api_key(*, user: User, key_id: int, actor: str | None = None) -> ApiKey:
    """End a key at once; calls with it are refused from now on. Revoking twice changes nothing."""
    with transaction.atomic():
        key = ApiKey.objects.select_for_update().filter(user=user, pk=key_id).first()
        if key is None:
            raise NotFoundError("There is no such API key.")
        if key.revoked_at is None:
            key.revoked_at = utc_now()
            key.save(update_fields=["revoked_at"])
            record_audit(
                actor=actor or user.email,
                action="api_key_revoked",
                object_type="api_key",
                object_id=key.pk,
                data={"prefix": key.prefix},
            )
    return key
