"""Turns a broker's snapshot of an order into the report that it amounts to."""

from brokers.enums import BrokerOrderStatus, ExecType
from brokers.types import BrokerOrder, ExecutionReport

_KINDS = {
    BrokerOrderStatus.PENDING_NEW: ExecType.NEW,
    BrokerOrderStatus.HELD: ExecType.NEW,
    BrokerOrderStatus.OPEN: ExecType.NEW,
    BrokerOrderStatus.PARTIALLY_FILLED: ExecType.NEW,
    # A filled order is closed by its executions, which are read one by one.
    BrokerOrderStatus.FILLED: ExecType.STATUS,
    BrokerOrderStatus.CANCELED: ExecType.CANCELED,
    BrokerOrderStatus.EXPIRED: ExecType.EXPIRED,
    BrokerOrderStatus.REJECTED: ExecType.REJECTED,
    BrokerOrderStatus.REPLACED: ExecType.REPLACED,
    BrokerOrderStatus.PENDING_CANCEL: ExecType.NEW,
    BrokerOrderStatus.PENDING_REPLACE: ExecType.NEW,
}


def report_of(snapshot: BrokerOrder) -> ExecutionReport:
    """Return what `snapshot` says about the order's state; never a trade."""
    return ExecutionReport(
        exec_type=_KINDS.get(snapshot.status, ExecType.UNKNOWN),
        broker_order_id=snapshot.broker_order_id,
        client_order_id=snapshot.client_order_id,
        transact_time=snapshot.updated_at,
        order=snapshot,
        cum_qty=snapshot.cum_qty,
        avg_px=snapshot.avg_px,
        replaced_by=snapshot.replaced_by,
        text=snapshot.reject_reason,
    )
