"""Moving every stored secret to the newest key of the ring, while the site runs."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.db import transaction
from django.db.models import Model

from tradeplatform.accounts import MFA_BINDING
from tradeplatform.common.audit import record_audit
from tradeplatform.common.crypto import EncryptedTextField, Sealed, rewrap_field
from tradeplatform.common.envelope import PREFIX, EncryptionError, key_id_of, key_ring

_BATCH = 100


@dataclass(frozen=True, slots=True)
class RotationReport:
    """How many values were moved, how many could not be read, and which keys still wrap how many values."""

    rewrapped: int
    unreadable: int
    remaining: dict[str, int]


def rotate_credentials(*, actor: str) -> RotationReport:
    """Wrap every stored secret with the active key. Safe to repeat and to interrupt.

    Rows are locked a hundred at a time; readers are never stopped, because every key of the ring opens.
    A key may be taken out of the ring when `remaining` no longer names it.
    """
    rewrapped = unreadable = 0
    for model, field in encrypted_fields():
        moved, failed = _rotate_field(model, field)
        rewrapped, unreadable = rewrapped + moved, unreadable + failed
    moved, failed = _rotate_authenticators()
    report = RotationReport(rewrapped + moved, unreadable + failed, count_by_key())
    record_audit(
        actor=actor,
        action="credentials_rotated",
        object_type="key",
        object_id=key_ring().active_id,
        data={"rewrapped": report.rewrapped, "unreadable": report.unreadable, "remaining": report.remaining},
    )
    return report


def count_by_key() -> dict[str, int]:
    """Return how many values each key id wraps; "unsealed" counts texts that are not sealed at all."""
    counts: Counter[str] = Counter()
    for model, field in encrypted_fields():
        for value in model._default_manager.values_list(field, flat=True).iterator():
            if value:
                counts[_key_name(value)] += 1
    for data in Authenticator.objects.values_list("data", flat=True):
        for token in _tokens(data).values():
            counts[key_id_of(token)] += 1
    return dict(counts)


def encrypted_fields() -> Iterator[tuple[type[Model], str]]:
    """Yield every encrypted field of every model."""
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, EncryptedTextField):
                yield model, field.name


def _rotate_field(model: type[Model], field: str) -> tuple[int, int]:
    moved = failed = 0
    keys: list[UUID] = list(model._default_manager.order_by("pk").values_list("pk", flat=True))
    for start in range(0, len(keys), _BATCH):
        with transaction.atomic():
            rows = model._default_manager.select_for_update().filter(pk__in=keys[start : start + _BATCH])
            for row in rows:
                try:
                    if rewrap_field(row, field):
                        row.save(update_fields=[field])
                        moved += 1
                except EncryptionError:
                    failed += 1
    return moved, failed


def _rotate_authenticators() -> tuple[int, int]:
    moved = failed = 0
    for pk in Authenticator.objects.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            row = Authenticator.objects.select_for_update().get(pk=pk)
            old = {name: token for name, token in _tokens(row.data).items() if _is_old(token)}
            try:
                row.data |= {
                    name: key_ring().rewrap(token, binding=MFA_BINDING) for name, token in old.items()
                }
            except EncryptionError:
                failed += len(old)
                continue
            if old:
                row.save(update_fields=["data"])
                moved += len(old)
    return moved, failed


def _tokens(data: dict[str, Any]) -> dict[str, str]:
    return {
        name: value
        for name, value in data.items()
        if isinstance(value, str) and value.startswith(f"{PREFIX}.")
    }


def _is_old(token: str) -> bool:
    return key_id_of(token) != key_ring().active_id


def _key_name(value: Sealed) -> str:
    try:
        return value.key_id
    except EncryptionError:
        return "unsealed"
