"""The open request to approve one order: made with the order, ended exactly once.

Every function runs inside the caller's transaction with the order's account locked.
"""

from datetime import datetime, timedelta

from orders.enums import ApprovalStatus
from orders.models import Approval, Order
from orders.statements import GIVEN_APPROVAL
from risk.exposure import PRICED, quoted_price
from risk.facts import ApprovalFacts
from risk.types import RiskContext


def request_approval(order: Order, context: RiskContext) -> Approval:
    """Ask the user to approve `order` as it was judged in `context`, at the price seen there.

    The order's own expiry becomes the request's: unapproved it ends with it.
    """
    if order.decision_id is None:
        raise RuntimeError("An approval is asked for by a decision of the gate.")
    expires_at = context.now + _time_to_approve(context)
    order.expires_at = expires_at
    order.save(update_fields=["expires_at"])
    return Approval.objects.create(
        order=order,
        order_hash=order.order_hash,
        decision_id=order.decision_id,
        requested_at=context.now,
        expires_at=expires_at,
        reference_price=quoted_price(context),
    )


def _time_to_approve(context: RiskContext) -> timedelta:
    has_price = context.order.request.order_type in PRICED
    return context.limits.seconds("approval_ttl_limit" if has_price else "approval_ttl_market")


def open_approval(order: Order) -> Approval | None:
    return Approval.objects.filter(order=order, status=ApprovalStatus.PENDING).first()


def claim_approval(
    approval: Approval, *, status: ApprovalStatus, actor: str, now: datetime, reason: str = ""
) -> bool:
    """End the open request; False when it has ended already. A request ends once, whoever tries."""
    changed = Approval.objects.filter(pk=approval.pk, status=ApprovalStatus.PENDING).update(
        status=status, decided_by=actor[:254], decided_at=now, reason=reason[:200]
    )
    return changed == 1


def void_approval(order: Order, *, actor: str, now: datetime, reason: str) -> None:
    """Take back the open request of an order that ends another way."""
    approval = open_approval(order)
    if approval is not None:
        claim_approval(approval, status=ApprovalStatus.VOID, actor=actor, now=now, reason=reason)


def approval_facts(approval: Approval, *, given_by: str) -> ApprovalFacts:
    return ApprovalFacts(
        id=str(approval.pk),
        order_hash=approval.order_hash,
        given_by=given_by,
        requested_at=approval.requested_at,
        expires_at=approval.expires_at,
        reference_price=approval.reference_price,
    )


def given_approval(order: Order) -> ApprovalFacts | None:
    """Return the approval that `order` was given; None when it needed none or has none."""
    approval = GIVEN_APPROVAL.first(order=order.pk)
    return approval_facts(approval, given_by=approval.decided_by) if approval is not None else None
