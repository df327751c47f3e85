"""Pure reading of the `trade_updates` stream: its stored form, and what each event says about an order.

Numbers, order and repetition are not guaranteed by the stream, so an event that cannot be read in full is
never dropped: it becomes a report of kind UNKNOWN, which makes the platform read the order by REST.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from brokers.adapters.alpaca.constants import EVENTS
from brokers.adapters.alpaca.mapping import make_exec_id, read_order
from brokers.adapters.alpaca.parsing import (
    UnreadableAnswer,
    read_amount,
    read_text,
    read_time,
    require_positive,
)
from brokers.enums import ExecType
from brokers.types import BrokerOrder, ExecutionReport, StreamEvent, format_decimal

# Longest key and kind that are kept as they are; real ones are far shorter.
KEY_LENGTH = 120
KIND_LENGTH = 40
FRAME_LENGTH = 4000
TRADES = frozenset({ExecType.TRADE, ExecType.TRADE_CORRECT})


def make_stream_event(data: Mapping[str, Any], *, received_at: datetime) -> StreamEvent:
    """Wrap the `data` object of one trade update."""
    return StreamEvent(
        dedupe_key=make_dedupe_key(data),
        kind=(read_text(data, "event") or "unknown")[:KIND_LENGTH],
        payload=data,
        received_at=received_at,
    )


def make_unreadable_event(text: str, *, received_at: datetime) -> StreamEvent:
    """Wrap a frame that is no trade update, so that it is kept."""
    return StreamEvent(
        dedupe_key=f"frame:{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()}",
        kind="unreadable",
        payload={"frame": text[:FRAME_LENGTH], "length": len(text)},
        received_at=received_at,
    )


def make_dedupe_key(data: Mapping[str, Any]) -> str:
    """Build a key that is the same each time the event is delivered.

    The execution id names an execution report; the event's name is kept beside it because a bust may carry
    the id of the fill that it annuls. Without one, order, event and time do; without these, the content.
    """
    key = _named_key(data)
    if key and len(key) <= KEY_LENGTH:
        return key
    content = json.dumps(data, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def _named_key(data: Mapping[str, Any]) -> str:
    event, execution_id = read_text(data, "event"), read_text(data, "execution_id")
    if execution_id:
        return f"{event}:{execution_id}"
    order = _order_row(data)
    order_id = read_text(order, "id")
    moment = read_text(data, "timestamp") or read_text(order, "updated_at")
    return f"{order_id}:{event}:{moment}" if order_id and moment else ""


def _order_row(data: Mapping[str, Any]) -> Mapping[str, Any]:
    order = data.get("order")
    return order if isinstance(order, Mapping) else {}


def read_trade_update(data: Mapping[str, Any]) -> ExecutionReport:
    """Translate one trade update. Never raises: what cannot be read is reported as UNKNOWN."""
    exec_type = EVENTS.get(read_text(data, "event"), ExecType.UNKNOWN)
    try:
        order = read_order(data.get("order"))
        if exec_type in TRADES:
            return _read_trade(data, order, exec_type)
        if exec_type is ExecType.TRADE_CANCEL:
            return _read_bust(data, order)
    except UnreadableAnswer as error:
        return _unreadable(data, str(error))
    return _report(data, order, exec_type)


def _read_trade(data: Mapping[str, Any], order: BrokerOrder, exec_type: ExecType) -> ExecutionReport:
    """Translate a fill: `qty` and `price` are of this execution, the order holds the running totals."""
    last_qty, last_px = require_positive(data, "qty"), require_positive(data, "price")
    exec_id, ref_exec_id = read_text(data, "execution_id"), _referenced(data)
    if exec_type is ExecType.TRADE_CORRECT:
        ref_exec_id = ref_exec_id or exec_id
        if exec_id == ref_exec_id:
            exec_id = f"{exec_id}:{format_decimal(last_qty)}@{format_decimal(last_px)}" if exec_id else ""
        if not ref_exec_id:
            raise UnreadableAnswer("the corrected execution is not named")
    return _report(
        data,
        order,
        exec_type,
        exec_id=exec_id or make_exec_id(order.broker_order_id, order.cum_qty),
        last_qty=last_qty,
        last_px=last_px,
        commission=read_amount(data, "commission"),
        ref_exec_id=ref_exec_id,
    )


def _read_bust(data: Mapping[str, Any], order: BrokerOrder) -> ExecutionReport:
    """Translate an annulled fill: the event names the fill as its reference, else by its own id."""
    execution_id = read_text(data, "execution_id")
    busted = _referenced(data) or execution_id
    if not busted:
        raise UnreadableAnswer("the annulled execution is not named")
    return _report(
        data,
        order,
        ExecType.TRADE_CANCEL,
        exec_id=execution_id if execution_id != busted else "",
        last_qty=read_amount(data, "qty"),
        last_px=read_amount(data, "price"),
        ref_exec_id=busted,
    )


def _referenced(data: Mapping[str, Any]) -> str:
    return read_text(data, "previous_execution_id") or read_text(data, "ref_execution_id")


def _report(
    data: Mapping[str, Any],
    order: BrokerOrder,
    exec_type: ExecType,
    *,
    exec_id: str = "",
    last_qty: Decimal | None = None,
    last_px: Decimal | None = None,
    commission: Decimal | None = None,
    ref_exec_id: str = "",
) -> ExecutionReport:
    return ExecutionReport(
        exec_type=exec_type,
        broker_order_id=order.broker_order_id,
        client_order_id=order.client_order_id,
        transact_time=read_time(data, "timestamp") or read_time(data, "at") or order.updated_at,
        order=order,
        exec_id=exec_id,
        last_qty=last_qty,
        last_px=last_px,
        cum_qty=order.cum_qty,
        avg_px=order.avg_px,
        commission=commission,
        ref_exec_id=ref_exec_id,
        replaced_by=order.replaced_by,
        text=order.reject_reason or read_text(data, "reason") or read_text(data, "message"),
        raw=data,
    )


def _unreadable(data: Mapping[str, Any], problem: str) -> ExecutionReport:
    """Report an event whose numbers or order cannot be trusted; only its ids are passed on."""
    row = _order_row(data)
    return ExecutionReport(
        exec_type=ExecType.UNKNOWN,
        broker_order_id=read_text(row, "id"),
        client_order_id=read_text(row, "client_order_id"),
        transact_time=read_time(data, "timestamp"),
        text=f"unreadable event: {problem}",
        raw=data,
    )
