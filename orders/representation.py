"""An order as the API shows it; also what an idempotency key replays."""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from brokers.types import format_decimal
from orders.models import Approval, Execution, Order
from risk.types import Finding

if TYPE_CHECKING:
    from orders.selectors import TimelineEntry
    from orders.services.preview import Preview


def order_document(order: Order, approval: Approval | None = None) -> dict[str, Any]:
    """Return the order as JSON-ready values: decimals as text, times as ISO 8601 in UTC.

    `approval` is its newest request for approval, as `orders.selectors.approval_of` finds it.
    """
    take_profit = order.take_profit_limit_price
    stop_loss = order.stop_loss_stop_price
    return {
        "id": str(order.pk),
        "client_order_id": order.client_order_id,
        "broker_order_id": order.broker_order_id or None,
        "account": str(order.account_id),
        "symbol": order.symbol,
        "side": order.side,
        "order_type": order.order_type,
        "quantity": decimal_text(order.quantity),
        "notional": decimal_text(order.notional),
        "limit_price": decimal_text(order.limit_price),
        "stop_price": decimal_text(order.stop_price),
        "trail_amount": decimal_text(order.trail_amount),
        "trail_percent": decimal_text(order.trail_percent),
        "time_in_force": order.time_in_force,
        "extended_hours": order.extended_hours,
        "order_class": order.order_class,
        "take_profit": None if take_profit is None else {"limit_price": decimal_text(take_profit)},
        "stop_loss": (
            None
            if stop_loss is None
            else {
                "stop_price": decimal_text(stop_loss),
                "limit_price": decimal_text(order.stop_loss_limit_price),
            }
        ),
        "parent": str(order.parent_id) if order.parent_id else None,
        "leg_role": order.leg_role or None,
        "origin": order.origin,
        "status": order.status,
        "cum_qty": decimal_text(order.cum_qty),
        "leaves_qty": decimal_text(order.leaves_qty),
        "avg_px": decimal_text(order.avg_px),
        "reject_code": order.reject_code or None,
        "reject_reason": order.reject_reason or None,
        "decision": str(order.decision_id) if order.decision_id else None,
        "order_hash": order.order_hash or None,
        "approval": approval_document(approval) if approval is not None else None,
        "note": order.note,
        "created_at": time_text(order.created_at),
        "expires_at": time_text(order.expires_at),
        "submitted_at": time_text(order.submitted_at),
        "accepted_at": time_text(order.accepted_at),
        "closed_at": time_text(order.closed_at),
    }


def approval_document(approval: Approval) -> dict[str, Any]:
    return {
        "id": str(approval.pk),
        "status": approval.status,
        "requested_at": time_text(approval.requested_at),
        "expires_at": time_text(approval.expires_at),
        "reference_price": decimal_text(approval.reference_price),
        "decided_at": time_text(approval.decided_at),
    }


def execution_document(execution: Execution) -> dict[str, Any]:
    return {
        "exec_id": execution.exec_id,
        "last_qty": decimal_text(execution.last_qty),
        "last_px": decimal_text(execution.last_px),
        "commission": decimal_text(execution.commission),
        "transact_time": time_text(execution.transact_time),
        "busted_at": time_text(execution.busted_at),
        "corrected_at": time_text(execution.corrected_at),
    }


def decimal_text(value: Decimal | None) -> str | None:
    return None if value is None else format_decimal(Decimal(value))


def time_text(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat().replace("+00:00", "Z")


def finding_document(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "name": finding.name,
        "severity": str(finding.severity),
        "message": finding.message,
        "value": finding.value,
        "limit": finding.limit,
        "field": finding.field,
        "confirmed": finding.confirmed,
    }


def preview_document(preview: "Preview") -> dict[str, Any]:
    decision = preview.decision
    written = decision.to_json()
    return {
        "verdict": str(decision.verdict),
        "findings": [finding_document(finding) for finding in decision.findings],
        "impact": written["impact"],
        "checks": written["checks"],
        "estimated_price": decimal_text(preview.estimated_price),
        "estimated_amount": decimal_text(preview.estimated_amount),
    }


def timeline_document(entry: "TimelineEntry") -> dict[str, Any]:
    return {
        "at": time_text(entry.at),
        "kind": entry.kind,
        "title": entry.title,
        "from_status": entry.from_status,
        "to_status": entry.to_status,
        "actor": entry.actor,
        "elapsed_ms": entry.elapsed_ms,
        "data": entry.data,
    }
