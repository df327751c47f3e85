"""Bridges the stored order to the pure state machine."""

from collections.abc import Iterable

from orders.enums import OrderStatus
from orders.execution_facts import ExecutionFact
from orders.models import Execution, Order
from orders.state_machine import OrderState
from orders.statements import EXECUTIONS


def state_of(order: Order, executions: Iterable[Execution] | None = None) -> OrderState:
    """Return what the state machine needs to know of `order`; one query unless `executions` are given."""
    return OrderState(
        status=OrderStatus(order.status),
        quantity=order.quantity,
        executions=tuple(
            ExecutionFact(
                exec_id=row.exec_id,
                last_qty=row.last_qty,
                last_px=row.last_px,
                busted=row.busted_at is not None,
                corrected=row.corrected_at is not None,
                broker_order_id=row.broker_order_id,
            )
            for row in (EXECUTIONS.all(order=order.pk) if executions is None else executions)
        ),
    )
