"""Broker failures, sorted by what the caller must do next.

The order path decides money by these classes: only `Rejected` proves that no order lives at the broker,
only `NotSent` proves that no byte left, and everything that is neither is `OutcomeUnknown`.
"""

from collections.abc import Mapping
from typing import Any, Self

# The code of a failure in which no answer came in time.
TIMED_OUT = "timed_out"


class BrokerError(Exception):
    """Base of all broker failures.

    `code` is the broker's own code, the HTTP status or TIMED_OUT, `request_id` the broker's trace id for its
    support. `reply` is the answer as it came when it made no sense, cut to a few kilobytes, to be kept for a
    person. Neither it nor the message ever holds credentials.
    """

    reply: Mapping[str, Any] | None = None

    def __init__(self, message: str, *, code: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.request_id = request_id

    def with_reply(self, reply: Mapping[str, Any] | None) -> Self:
        """Attach the answer that could not be used."""
        self.reply = reply
        return self


class Rejected(BrokerError):
    """The broker proved that it refused: nothing lives there from this request."""


class DuplicateClientOrderId(Rejected):
    """The broker already holds an order under this client order id: fetch it and adopt it."""


class NotFound(BrokerError):
    """The broker answered that it has no such order, position, account or asset."""


class NotSent(BrokerError):
    """No byte of the request left this machine (DNS, connect or TLS failure): safe to send again."""


class OutcomeUnknown(BrokerError):
    """The request may have been executed: look it up, never assume."""


class RateLimited(BrokerError):
    """The broker asked us to slow down. On an order POST this proves nothing unless the adapter says so."""

    def __init__(
        self, message: str, *, code: str = "", request_id: str = "", retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, code=code, request_id=request_id)
        self.retry_after_seconds = retry_after_seconds


class AuthorizationExpired(BrokerError):
    """The link to the broker no longer works: stop, and ask the user to link again."""


class Unavailable(BrokerError):
    """A read failed (time-out, 5xx, unreadable answer): try again later, conclude nothing."""


class Unsupported(BrokerError):
    """The adapter's capabilities do not include this call; a programming error or a stale form."""
