"""The draft of an order between ticket and placing: signed, bound to its person, carrying its own key.

The idempotency key is made when the review page is made and travels in its address. Reloading the page,
going back to it or pressing the button twice therefore repeats one key, and one key is one order.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.core import signing

from brokers.types import OrderRequest
from orders.drafts import parse_order
from tradeplatform.models import User

MAX_AGE = timedelta(minutes=15)
_SALT = "orders.review"


class DraftExpired(Exception):
    """The draft is too old, altered or somebody else's. `key` and `typed` are known only of an old one."""

    def __init__(self, *, key: str = "", typed: dict[str, str] | None = None) -> None:
        super().__init__("The draft cannot be used any more.")
        self.key = key
        self.typed = typed or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewDraft:
    """What a person is about to place. `typed` is the ticket as they filled it in, for going back to it."""

    key: str
    account_id: UUID
    request: OrderRequest
    note: str
    typed: dict[str, str]


def sign_draft(
    *, user: User, account_id: UUID, request: OrderRequest, note: str, typed: dict[str, str]
) -> str:
    """Return a draft under a new idempotency key as text for an address."""
    body: dict[str, Any] = {
        "user": user.pk,
        "key": str(uuid4()),
        "account": str(account_id),
        "order": {name: value for name, value in request.wire_fields().items() if value is not None},
        "note": note,
        "typed": typed,
    }
    return signing.dumps(body, salt=_SALT, compress=True)


def read_draft(user: User, text: str) -> ReviewDraft:
    """Return the draft that `sign_draft` made for this person. Raises DraftExpired."""
    body = _read(text)
    if body["user"] != user.pk:
        raise DraftExpired
    try:
        signing.loads(text, salt=_SALT, max_age=MAX_AGE)
    except signing.SignatureExpired as error:
        raise DraftExpired(key=body["key"], typed=body["typed"]) from error
    return ReviewDraft(
        key=body["key"],
        account_id=UUID(body["account"]),
        request=parse_order(body["order"]),
        note=body["note"],
        typed=body["typed"],
    )


def _read(text: str) -> dict[str, Any]:
    try:
        body: dict[str, Any] = signing.loads(text, salt=_SALT)
    except signing.BadSignature as error:
        raise DraftExpired from error
    return body
