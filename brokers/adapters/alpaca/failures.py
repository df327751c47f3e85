"""Sorting of everything that is not a plain success, by what the caller must do next.

One question decides: is it proven that nothing lives at Alpaca from this request? Alpaca's own JSON refusal
with a business code of the 4xx family proves it, and so does a failure before the first byte. All the rest
is unknown for a write; a read that failed may simply be repeated.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

from requests import Response

from brokers.adapters.alpaca.constants import BUSINESS_CODE_DUPLICATE_ID
from brokers.exceptions import (
    AuthorizationExpired,
    BrokerError,
    DuplicateClientOrderId,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    Unavailable,
)

_MESSAGE_LENGTH = 300
# As much of an unusable answer as a person needs to see what it was.
_KEPT_LENGTH = 4000
CREDENTIAL_HEADERS = ("APCA-API-SECRET-KEY", "APCA-API-KEY-ID", "Authorization")


class Call(Enum):
    """Kind of call, which decides how an unclear answer is read."""

    READ = "read"
    MARKET_DATA = "market data"
    ORDER = "order"
    CANCEL = "cancel"

    @property
    def is_write(self) -> bool:
        return self in (Call.ORDER, Call.CANCEL)


def request_id_of(response: Response | None) -> str:
    """Return Alpaca's trace id of an answer, which its support asks for."""
    if response is None:
        return ""
    return hide_secrets(response.headers.get("X-Request-ID", ""), _secrets_sent(response))[:100]


def hide_secrets(text: str, secrets: Iterable[str]) -> str:
    """Take secrets out of a text that comes from outside: an answer may quote what was sent."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[hidden]")
    return text


def kept_reply(response: Response | None) -> dict[str, Any]:
    """Return an answer that could not be used as it came, cut short and without our credentials."""
    if response is None:
        return {"body": ""}
    content = response._content if isinstance(response._content, bytes) else b""
    text = content[:_KEPT_LENGTH].decode("utf-8", "replace").replace("\x00", "\ufffd")
    return {
        "status": response.status_code,
        "content_type": response.headers.get("Content-Type", "")[:100],
        "body": hide_secrets(text, _secrets_sent(response)),
        "length": len(content),
    }


def kept_rows(rows: Sequence[Any]) -> dict[str, Any]:
    """Return rows that were collected from several answers and could not be used."""
    text = json.dumps(rows, default=str)
    return {
        "status": 200,
        "content_type": "application/json",
        "body": text[:_KEPT_LENGTH],
        "length": len(text),
    }


def _secrets_sent(response: Response) -> list[str]:
    """Return the credentials in the headers of the request that this is the answer to."""
    headers = {} if response.request is None else response.request.headers
    found = [str(headers.get(name, "")) for name in CREDENTIAL_HEADERS]
    return [part for value in found for part in (value, value.rpartition(" ")[2])]


def unclear(call: Call, message: str, *, code: str = "", request_id: str = "") -> BrokerError:
    """Build the failure for an outcome that nobody knows."""
    kind = OutcomeUnknown if call.is_write else Unavailable
    return kind(message, code=code, request_id=request_id)


def sort_refusal(response: Response, call: Call) -> BrokerError:
    """Build the failure that an answer with status 4xx or 5xx stands for."""
    status = response.status_code
    body = _read_json(response)
    code = _business_code(body)
    facts = {"code": code or str(status), "request_id": request_id_of(response)}
    message = _message(body, response) or f"Alpaca answered with status {status}."
    if status == 429:
        return RateLimited(message, retry_after_seconds=_retry_after(response), **facts)
    if status == 401:
        return AuthorizationExpired(message, **facts)
    if status >= 500 or status == 408:
        failure = unclear(call, message, **facts)
    elif call.is_write:
        failure = _sort_write_refusal(status, body, code, message, call, facts)
    else:
        failure = _sort_read_refusal(status, body, message, call, facts)
    makes_no_sense = body is None or (call.is_write and isinstance(failure, OutcomeUnknown))
    return failure.with_reply(kept_reply(response)) if makes_no_sense else failure


def _sort_write_refusal(
    status: int,
    body: Mapping[str, Any] | None,
    code: str,
    message: str,
    call: Call,
    facts: dict[str, str],
) -> BrokerError:
    """A refusal counts as proof only with Alpaca's own business code; a proxy has none."""
    if body is None:
        return unclear(call, message, **facts)
    if status == 403 and not code:
        return AuthorizationExpired(message, **facts)
    if not code.startswith("4"):
        return unclear(call, message, **facts)
    if status == 404 and call is Call.CANCEL:
        return NotFound(message, **facts)
    if call is Call.ORDER and _is_duplicate_id(code, message):
        return DuplicateClientOrderId(message, **facts)
    return Rejected(message, **facts)


def _sort_read_refusal(
    status: int, body: Mapping[str, Any] | None, message: str, call: Call, facts: dict[str, str]
) -> BrokerError:
    """A read is refused for good only by Alpaca itself, never by a page of some proxy on the way."""
    if body is None:
        return Unavailable(message, **facts)
    if status == 403 and call is Call.READ:
        return AuthorizationExpired(message, **facts)
    if status == 404 and ("code" in body or "message" in body):
        return NotFound(message, **facts)
    return Unavailable(message, **facts)


def _is_duplicate_id(code: str, message: str) -> bool:
    """Code 40010001 has several reasons; only the message names this one."""
    text = message.lower()
    return code == BUSINESS_CODE_DUPLICATE_ID and "client_order_id" in text and "unique" in text


def _read_json(response: Response) -> Mapping[str, Any] | None:
    """Return the body when it is a JSON object. HTML and empty bodies come from something in between."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _business_code(body: Mapping[str, Any] | None) -> str:
    code = (body or {}).get("code")
    if isinstance(code, bool) or not isinstance(code, int | str):
        return ""
    text = str(code)
    return text if text.isascii() and text.isdigit() and len(text) == 8 else ""


def _message(body: Mapping[str, Any] | None, response: Response) -> str:
    message = (body or {}).get("message")
    if not isinstance(message, str):
        return ""
    return hide_secrets(message, _secrets_sent(response))[:_MESSAGE_LENGTH]


def _retry_after(response: Response) -> float | None:
    """Return the seconds to wait: `Retry-After`, else `X-RateLimit-Reset` (epoch seconds)."""
    after = response.headers.get("Retry-After", "")
    reset = response.headers.get("X-RateLimit-Reset", "")
    try:
        if after:
            seconds = (
                float(after) if after.isdigit() else parsedate_to_datetime(after).timestamp() - time.time()
            )
            return max(0.0, seconds)
        return max(0.0, float(int(reset)) - time.time()) if reset else None
    except (ValueError, TypeError, OverflowError):
        return None
