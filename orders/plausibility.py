"""Fills that one message alone does not make believable: too large, too old, or against their own totals.

Pure. A doubt is no refusal: real brokers do fill too much now and then. It means that the broker's record
of the order has to agree before the fill counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from brokers.types import ExecutionReport

# Clocks differ, and some brokers round times to the day.
TIME_TOLERANCE = timedelta(days=1)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedFill:
    """A fill that counts: neither taken back nor replaced by a corrected one."""

    exec_id: str
    broker_order_id: str
    broker_cum_qty: Decimal | None
    last_qty: Decimal
    last_px: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class FillContext:
    """What the fill is held against. `entered_at` is None for an order whose beginning is not known."""

    quantity: Decimal | None
    entered_at: datetime | None
    booked: Sequence[BookedFill]
    now: datetime


def doubt_about_fill(report: ExecutionReport, context: FillContext) -> str:
    """Return why this fill cannot be taken on its own word; "" when nothing speaks against it."""
    if report.last_qty is None:
        return ""
    return (
        _doubt_about_time(report, context)
        or _doubt_about_size(report, report.last_qty, context)
        or _doubt_about_total(report, report.last_qty, context)
    )


def _doubt_about_time(report: ExecutionReport, context: FillContext) -> str:
    at = report.transact_time
    if at is None:
        return ""
    if at > context.now + TIME_TOLERANCE:
        return "the fill is dated in the future"
    if context.entered_at is not None and at < context.entered_at - TIME_TOLERANCE:
        return "the fill is dated before its order"
    return ""


def _doubt_about_size(report: ExecutionReport, last_qty: Decimal, context: FillContext) -> str:
    replaced = report.ref_exec_id
    counted = sum((fill.last_qty for fill in context.booked if fill.exec_id != replaced), ZERO)
    if context.quantity is not None and counted + last_qty > context.quantity:
        return "the fill is larger than what the order has left"
    return ""


def _doubt_about_total(report: ExecutionReport, last_qty: Decimal, context: FillContext) -> str:
    """The broker's running total must hold at least the fills that it told."""
    total = report.cum_qty
    if total is None:
        return ""
    if last_qty > total:
        return "the fill is larger than the broker's running total"
    same = [fill for fill in context.booked if fill.broker_order_id == report.broker_order_id]
    if report.ref_exec_id or any(fill.broker_cum_qty is None for fill in same):
        return ""
    highest = max([total, *(fill.broker_cum_qty or ZERO for fill in same)])
    if sum((fill.last_qty for fill in same), last_qty) > highest:
        return "the broker's running total has fallen below the fills it reported"
    return ""
