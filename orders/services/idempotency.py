"""One answer per key. The key's row is written in the order's own transaction, so they exist together.

Source of the rule: the key is scoped to the user; the same body gets the stored answer again, refusals
included; another body is refused. Malformed requests and our own failures are not stored.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from brokers.types import OrderRequest
from orders.exceptions import IdempotencyKeyRequired, IdempotencyKeyReused
from orders.models import IdempotencyRecord, Order
from orders.statements import STORE_ANSWER, STORED_ANSWER
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import InvalidRequest, PlatformError
from tradeplatform.common.ids import new_id
from tradeplatform.common.prepared import insert_row
from tradeplatform.models import User

MAX_KEY_LENGTH = 128


class StoredRefusal(PlatformError):
    """A refusal that was given before under the same key, given again word for word."""


def check_key(key: str) -> str:
    """Return the key without surrounding blanks. Raises when it is missing or too long."""
    key = key.strip()
    if not key:
        raise IdempotencyKeyRequired
    if len(key) > MAX_KEY_LENGTH or not key.isprintable():
        raise InvalidRequest(
            f"An Idempotency-Key has at most {MAX_KEY_LENGTH} printable characters.",
            code="idempotency_key_invalid",
            http_status=400,
        )
    return key


def hash_body(*, account_id: Any, request: OrderRequest, confirm: frozenset[str], note: str) -> str:
    body = {
        "account": str(account_id),
        "order": request.wire_fields(),
        "confirm": sorted(confirm),
        "note": note,
    }
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def find_answer(*, user: User, key: str, body_hash: str) -> IdempotencyRecord | None:
    """Return the stored answer for the key, if there is one. Raises IdempotencyKeyReused."""
    record = STORED_ANSWER.first(user=user.pk, key=key)
    if record is not None and record.body_hash != body_hash:
        raise IdempotencyKeyReused
    return record


def claim_key(*, user: User, key: str, body_hash: str) -> tuple[IdempotencyRecord, bool]:
    """Insert the key's row, or return the one that won; the second value says whether it is ours.

    Waits for a concurrent transaction that holds the same key to end. Raises IdempotencyKeyReused.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("A key is claimed in the order's own transaction.")
    mine = IdempotencyRecord(id=new_id(), user=user, key=key, body_hash=body_hash, created_at=utc_now())
    if insert_row(mine, if_new=True):
        return mine, True
    stored = find_answer(user=user, key=key, body_hash=body_hash)
    if stored is None:
        raise RuntimeError("The key's row vanished inside its own transaction.")
    return stored, False


def store_answer(
    record: IdempotencyRecord, *, status: int, body: Mapping[str, Any], order: Order | None
) -> None:
    record.response_status = status
    record.response_body = dict(body)
    record.order = order
    STORE_ANSWER.write(
        id=record.pk,
        response_status=record.response_status,
        response_body=record.response_body,
        order=record.order_id,
    )


def refusal_body(error: PlatformError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "details": error.details}


def raise_stored(record: IdempotencyRecord) -> None:
    """Raise the stored refusal; return quietly when the answer was an order."""
    if record.response_status is None or record.response_status < 400:
        return
    body = record.response_body or {}
    raise StoredRefusal(
        body.get("message", ""),
        code=body.get("code"),
        http_status=record.response_status,
        details=body.get("details"),
    )
