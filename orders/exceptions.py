"""Refusals of the order path, each with its stable code."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from tradeplatform.common.exceptions import ConflictError, InvalidRequest, PlatformError


class InvalidOrder(InvalidRequest, code="invalid_order"):
    """A field of the order cannot be read. Nothing was stored and nothing was sent."""


class IdempotencyKeyRequired(InvalidRequest, code="idempotency_key_required", status=400):
    """A write came without its key."""

    def __init__(self) -> None:
        super().__init__(
            "Send an Idempotency-Key header, so that a repeated request cannot become a second order."
        )


class IdempotencyKeyReused(PlatformError, code="idempotency_key_reused"):
    """The key belongs to another order."""

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used for a different order. Nothing was sent; use a new key."
        )


class IdempotencyInProgress(ConflictError, code="idempotency_in_progress"):
    """The same request is being worked on."""

    def __init__(self) -> None:
        super().__init__(
            "An earlier request with this Idempotency-Key is still running. Ask again in a moment.",
            details={"retry_after_seconds": 2},
        )


class ConfirmationRequired(PlatformError, code="confirmation_required"):
    """The gate has questions. No order is stored; repeat with the codes confirmed, under a new key."""

    def __init__(self, findings: Sequence[dict[str, Any]]) -> None:
        super().__init__(
            "This order needs your confirmation. Nothing was sent.", details={"findings": list(findings)}
        )


class OrderDenied(PlatformError, code="order_denied"):
    """The gate refused. The order is stored as DENIED with its findings; nothing was sent."""

    def __init__(self, findings: Sequence[dict[str, Any]], *, order_id: UUID | None) -> None:
        first = next(
            (f["message"] for f in findings if f.get("severity") == "hard"), "The order was refused."
        )
        super().__init__(
            f"{first} Nothing was sent.",
            details={"findings": list(findings), "order_id": str(order_id) if order_id else None},
        )


class OrderClosed(ConflictError, code="order_closed"):
    """The order has ended."""

    def __init__(self, status: str) -> None:
        super().__init__(
            f"This order is already {status.replace('_', ' ')}; there is nothing left to change."
        )


class OrderBusy(ConflictError, code="order_busy"):
    """Another change of the order is on its way."""


class ApprovalHashMismatch(PlatformError, code="approval_hash_mismatch"):
    """The answer names another hash than the order's: it is about something else."""

    def __init__(self) -> None:
        super().__init__(
            "The hash is not this order's, so nothing was approved or rejected and nothing was sent. Look at "
            "the order again and answer with its order_hash."
        )


class ApprovalNotRequested(ConflictError, code="approval_not_requested"):
    """Nobody asked for an approval."""

    def __init__(self) -> None:
        super().__init__("This order does not wait for approval. Nothing was changed.")


class ApprovalAlreadyDecided(ConflictError, code="approval_already_decided"):
    """Somebody, or another tab, was first; the first answer stands."""

    def __init__(self, how: str) -> None:
        super().__init__(f"This approval is {how} already. Your answer changed nothing.")


class ApprovalExpired(ConflictError, code="approval_expired"):
    """The answer came too late."""

    def __init__(self) -> None:
        super().__init__(
            "The time to approve this order is over, so it was withdrawn. Nothing was sent. Place it again "
            "if you still want it."
        )


class ApprovalPriceMoved(ConflictError, code="approval_price_moved"):
    """The price has moved too far since the question; a fresh request at the present price is open."""

    def __init__(self, approval: dict[str, Any]) -> None:
        price = approval["reference_price"] or "unknown"
        super().__init__(
            "The price moved after you were asked. Nothing was sent. The order waits for your approval "
            f"again, now at a price of {price}.",
            details={"approval": approval},
        )
