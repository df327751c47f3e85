"""The audit trail: who did what to which object, written in the transaction that did it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tradeplatform.common.prepared import append_row
from tradeplatform.models import AuditEntry


def record_audit(
    *,
    actor: str,
    action: str,
    object_type: str,
    object_id: str | int | UUID,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Append one entry in the current transaction.

    `actor` is an e-mail address, or "system:<process>". `data` must be JSON-ready and free of secrets:
    decimals, times and ids as strings.
    """
    entry = AuditEntry(
        actor=actor,
        action=action,
        object_type=object_type,
        object_id=str(object_id),
        data=dict(data or {}),
    )
    append_row(entry)
