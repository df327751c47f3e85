"""What is known of an order's executions, and whether the broker knows of more. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from brokers.types import ExecutionReport

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFact:
    """One unique execution. A corrected one is superseded by another; a busted one never counted.

    `broker_order_id` is the id that the order had at the broker when it filled: replaces change it.
    """

    exec_id: str
    last_qty: Decimal
    last_px: Decimal
    busted: bool = False
    corrected: bool = False
    broker_order_id: str = ""


def fact_from(report: ExecutionReport) -> ExecutionFact | None:
    """Return the execution that a trade report names, or None when its numbers are not a trade's."""
    if not report.exec_id or report.last_qty is None or report.last_px is None:
        return None
    if not (report.last_qty.is_finite() and report.last_px.is_finite()):
        return None
    if report.last_qty <= 0 or report.last_px < 0:
        return None
    return ExecutionFact(
        exec_id=report.exec_id,
        last_qty=report.last_qty,
        last_px=report.last_px,
        broker_order_id=report.broker_order_id,
    )


def misses_fills(
    executions: Iterable[ExecutionFact], quantity: Decimal | None, report: ExecutionReport
) -> bool:
    """Tell whether the broker counts more shares of an order of `quantity` as filled than are known here.

    Its total may or may not hold busted fills: either is complete.
    """
    told = report.order.cum_qty if report.order is not None else report.cum_qty
    if told is None:
        return False
    counted = [e for e in executions if not e.corrected and _is_in_total(e, quantity, report)]
    standing = sum((e.last_qty for e in counted if not e.busted), ZERO)
    return told > standing and told != sum((e.last_qty for e in counted), ZERO)


def _is_in_total(execution: ExecutionFact, quantity: Decimal | None, report: ExecutionReport) -> bool:
    """Tell whether the broker's total holds this fill: after a replace, some count only the rest anew."""
    theirs = report.order.quantity if report.order is not None else None
    is_rest = theirs is not None and quantity is not None and theirs < quantity
    return not is_rest or execution.broker_order_id == report.broker_order_id
