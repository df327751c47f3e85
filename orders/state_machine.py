"""The life of an order: one table of legal moves, one function that applies an execution report.

Pure. Totals are computed from unique executions, so reports may come in any order and any number of
times. A move that is not in the table raises; a late fact (a fill after CANCELED, a bust after FILLED)
has a row of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from types import MappingProxyType

from brokers.enums import BrokerOrderStatus, ExecType
from brokers.types import ExecutionReport
from orders.enums import CLOSED, UNFINISHED, OrderStatus
from orders.execution_facts import ExecutionFact, fact_from, misses_fills

ZERO = Decimal(0)
AVERAGE_STEP = Decimal("0.000000001")


class Trigger(StrEnum):
    """What happened. The first group is ours, the second is told by the broker."""

    APPROVED = "approved"
    WITHDRAWN = "withdrawn"
    INTENT_EXPIRED = "intent_expired"
    CLAIMED = "claimed"
    NOT_SENT = "send_failed_before_any_byte"
    OUTCOME_UNKNOWN = "outcome_unknown"
    SENT_AGAIN = "sent_again"
    FOUND_ABSENT = "found_absent"
    CANCEL_ASKED = "cancel_asked"
    REPLACE_ASKED = "replace_asked"
    ADOPTION_UNDONE = "adoption_undone"

    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    CANCEL_REFUSED = "cancel_refused"
    REPLACE_REFUSED = "replace_refused"
    REPLACED = "replaced"
    BUSTED = "busted"


class IllegalTransition(Exception):
    """The table has no such move: a bug of ours, or a fact that contradicts what was proven before."""

    def __init__(self, status: OrderStatus, trigger: Trigger) -> None:
        super().__init__(f"{status} cannot take {trigger}")
        self.status = status
        self.trigger = trigger


class _Resume(StrEnum):
    """Target of a move that leads back to the open state which the filled quantity says."""

    OPEN = "open"


S = OrderStatus
T = Trigger
OPEN = _Resume.OPEN

_CLOSING = {T.FILLED: S.FILLED, T.CANCELED: S.CANCELED, T.EXPIRED: S.EXPIRED, T.REJECTED: S.REJECTED}

_ROWS: dict[OrderStatus, dict[Trigger, OrderStatus | _Resume]] = {
    S.PENDING_APPROVAL: {
        T.APPROVED: S.QUEUED,
        T.WITHDRAWN: S.NOT_SENT,
        T.INTENT_EXPIRED: S.NOT_SENT,
    },
    S.QUEUED: {
        T.CLAIMED: S.SUBMITTING,
        T.WITHDRAWN: S.NOT_SENT,
        T.INTENT_EXPIRED: S.NOT_SENT,
    },
    S.SUBMITTING: {
        T.NOT_SENT: S.QUEUED,
        T.OUTCOME_UNKNOWN: S.UNCONFIRMED,
        T.ACCEPTED: S.ACCEPTED,
        T.PARTIALLY_FILLED: S.PARTIALLY_FILLED,
        **_CLOSING,
    },
    S.UNCONFIRMED: {
        T.SENT_AGAIN: S.SUBMITTING,
        T.FOUND_ABSENT: S.NOT_SENT,
        T.ACCEPTED: S.ACCEPTED,
        T.PARTIALLY_FILLED: S.PARTIALLY_FILLED,
        **_CLOSING,
    },
    S.ACCEPTED: {
        T.ACCEPTED: S.ACCEPTED,
        T.PARTIALLY_FILLED: S.PARTIALLY_FILLED,
        T.CANCEL_ASKED: S.PENDING_CANCEL,
        T.REPLACE_ASKED: S.PENDING_REPLACE,
        T.CANCEL_REFUSED: S.ACCEPTED,
        T.REPLACE_REFUSED: S.ACCEPTED,
        T.REPLACED: S.ACCEPTED,
        T.BUSTED: OPEN,
        T.ADOPTION_UNDONE: S.UNCONFIRMED,
        **_CLOSING,
    },
    S.PARTIALLY_FILLED: {
        T.ACCEPTED: S.PARTIALLY_FILLED,
        T.PARTIALLY_FILLED: S.PARTIALLY_FILLED,
        T.CANCEL_ASKED: S.PENDING_CANCEL,
        T.REPLACE_ASKED: S.PENDING_REPLACE,
        T.CANCEL_REFUSED: S.PARTIALLY_FILLED,
        T.REPLACE_REFUSED: S.PARTIALLY_FILLED,
        T.REPLACED: S.PARTIALLY_FILLED,
        T.BUSTED: OPEN,
        T.ADOPTION_UNDONE: S.UNCONFIRMED,
        **_CLOSING,
        T.REJECTED: S.CANCELED,
    },
    S.PENDING_CANCEL: {
        T.ACCEPTED: S.PENDING_CANCEL,
        T.PARTIALLY_FILLED: S.PENDING_CANCEL,
        T.REPLACED: S.PENDING_CANCEL,
        T.CANCEL_REFUSED: OPEN,
        T.REPLACE_REFUSED: S.PENDING_CANCEL,
        T.BUSTED: S.PENDING_CANCEL,
        **_CLOSING,
    },
    S.PENDING_REPLACE: {
        T.ACCEPTED: S.PENDING_REPLACE,
        T.PARTIALLY_FILLED: S.PENDING_REPLACE,
        T.CANCEL_ASKED: S.PENDING_CANCEL,
        T.REPLACED: OPEN,
        T.REPLACE_REFUSED: OPEN,
        T.BUSTED: S.PENDING_REPLACE,
        **_CLOSING,
    },
    S.DENIED: {},
    # Facts about an order that we believed was never sent are incidents, and still facts.
    S.NOT_SENT: {
        T.ACCEPTED: S.ACCEPTED,
        T.PARTIALLY_FILLED: S.PARTIALLY_FILLED,
        **_CLOSING,
    },
    S.REJECTED: {
        T.REJECTED: S.REJECTED,
        T.CANCELED: S.REJECTED,
        T.PARTIALLY_FILLED: S.CANCELED,
        T.FILLED: S.FILLED,
        T.BUSTED: S.REJECTED,
        T.ADOPTION_UNDONE: S.UNCONFIRMED,
    },
    S.FILLED: {
        T.ACCEPTED: S.FILLED,
        T.PARTIALLY_FILLED: S.FILLED,
        T.FILLED: S.FILLED,
        T.CANCELED: S.FILLED,
        T.EXPIRED: S.FILLED,
        T.REJECTED: S.FILLED,
        T.CANCEL_REFUSED: S.FILLED,
        T.REPLACE_REFUSED: S.FILLED,
        T.BUSTED: S.CANCELED,
        T.ADOPTION_UNDONE: S.UNCONFIRMED,
    },
    S.CANCELED: {
        T.ACCEPTED: S.CANCELED,
        T.PARTIALLY_FILLED: S.CANCELED,
        T.FILLED: S.FILLED,
        T.CANCELED: S.CANCELED,
        T.EXPIRED: S.CANCELED,
        T.REJECTED: S.CANCELED,
        T.CANCEL_REFUSED: S.CANCELED,
        T.REPLACE_REFUSED: S.CANCELED,
        T.BUSTED: S.CANCELED,
        T.ADOPTION_UNDONE: S.UNCONFIRMED,
    },
    S.EXPIRED: {
        T.ACCEPTED: S.EXPIRED,
        T.PARTIALLY_FILLED: S.EXPIRED,
        T.FILLED: S.FILLED,
        T.CANCELED: S.EXPIRED,
        T.EXPIRED: S.EXPIRED,
        T.REJECTED: S.EXPIRED,
        T.CANCEL_REFUSED: S.EXPIRED,
        T.REPLACE_REFUSED: S.EXPIRED,
        T.BUSTED: S.EXPIRED,
        T.ADOPTION_UNDONE: S.UNCONFIRMED,
    },
}

TRANSITIONS: Mapping[tuple[OrderStatus, Trigger], OrderStatus | _Resume] = MappingProxyType(
    {(status, trigger): target for status, row in _ROWS.items() for trigger, target in row.items()}
)


def advance(status: OrderStatus, trigger: Trigger, *, cum_qty: Decimal = ZERO) -> OrderStatus:
    """Return the status after `trigger`. Raises IllegalTransition when the table has no such move."""
    target = TRANSITIONS.get((OrderStatus(status), trigger))
    if target is None:
        raise IllegalTransition(OrderStatus(status), trigger)
    if isinstance(target, _Resume):
        return OrderStatus.PARTIALLY_FILLED if cum_qty > 0 else OrderStatus.ACCEPTED
    return target


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderState:
    """What the state machine knows of an order. `quantity` is None for a notional order."""

    status: OrderStatus
    quantity: Decimal | None
    executions: tuple[ExecutionFact, ...] = ()

    @property
    def cum_qty(self) -> Decimal:
        return sum((e.last_qty for e in self.executions if not (e.busted or e.corrected)), ZERO)

    @property
    def avg_px(self) -> Decimal | None:
        """Volume-weighted price of what counts, rounded half-even to nine decimals."""
        live = [e for e in self.executions if not (e.busted or e.corrected)]
        quantity = sum((e.last_qty for e in live), ZERO)
        if not quantity:
            return None
        amount = sum((e.last_qty * e.last_px for e in live), ZERO)
        return (amount / quantity).quantize(AVERAGE_STEP, ROUND_HALF_EVEN).normalize() + ZERO

    @property
    def executed_at_broker(self) -> Decimal:
        """Quantity that the broker worked off, busted executions included: what is left cannot fill."""
        return sum((e.last_qty for e in self.executions if not e.corrected), ZERO)

    def find(self, exec_id: str) -> ExecutionFact | None:
        return next((e for e in self.executions if e.exec_id == exec_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """Result of one report. `deferred` asks the caller to offer it again once the missing fact is there.

    `fills_missing`: the broker has closed the order, and told of more fills than are here. It stays open
    until they are, so that what they have used up is not given out a second time.
    """

    state: OrderState
    trigger: Trigger | None = None
    added: ExecutionFact | None = None
    busted_exec_id: str = ""
    corrected_exec_id: str = ""
    incidents: tuple[str, ...] = ()
    deferred: bool = False
    fills_missing: bool = False


_SIMPLE_TRIGGERS = {
    ExecType.PENDING_NEW: Trigger.ACCEPTED,
    ExecType.NEW: Trigger.ACCEPTED,
    ExecType.CANCELED: Trigger.CANCELED,
    ExecType.EXPIRED: Trigger.EXPIRED,
    ExecType.REJECTED: Trigger.REJECTED,
    ExecType.REPLACED: Trigger.REPLACED,
    ExecType.CANCEL_REJECTED: Trigger.CANCEL_REFUSED,
    ExecType.REPLACE_REJECTED: Trigger.REPLACE_REFUSED,
}
# What is closed already has nothing left to hold back; it only waits to be told of the fills.
_MAY_WAIT_FOR_FILLS = UNFINISHED | {OrderStatus.NOT_SENT}


def apply_execution_report(state: OrderState, report: ExecutionReport) -> Applied:
    """Apply one report: add or bust executions, then move by the table.

    Raises IllegalTransition for a move that the table forbids; the state is then unchanged.
    Reports that say nothing new (repeats, pending notes, unknown kinds) return the same state.
    """
    match report.exec_type:
        case ExecType.TRADE:
            return _apply_trade(state, report)
        case ExecType.TRADE_CANCEL:
            return _apply_bust(state, report)
        case ExecType.TRADE_CORRECT:
            return _apply_correction(state, report)
        case ExecType.STATUS:
            return _apply_filled_snapshot(state, report)
    trigger = _SIMPLE_TRIGGERS.get(report.exec_type)
    if trigger is None:
        return Applied(state=state)
    may_wait = trigger in _CLOSING and state.status in _MAY_WAIT_FOR_FILLS
    if may_wait and misses_fills(state.executions, state.quantity, report):
        return replace(_move(state, Trigger.ACCEPTED), fills_missing=True)
    return _move(state, trigger)


def _apply_trade(state: OrderState, report: ExecutionReport) -> Applied:
    fact = fact_from(report)
    if fact is None:
        return Applied(state=state, incidents=("unreadable_fill",))
    known = state.find(fact.exec_id)
    if known is not None:
        same = (known.last_qty, known.last_px) == (fact.last_qty, fact.last_px)
        return Applied(state=state, incidents=() if same else ("altered_fill",))
    grown = replace(state, executions=(*state.executions, fact))
    return replace(_move(grown, _fill_trigger(grown, report)), added=fact)


def _apply_bust(state: OrderState, report: ExecutionReport) -> Applied:
    known = state.find(report.ref_exec_id or report.exec_id)
    if known is None:
        return Applied(state=state, incidents=("bust_of_unknown_execution",), deferred=True)
    if known.busted or known.corrected:
        return Applied(state=state)
    shrunk = _swap(state, known, replace(known, busted=True))
    return replace(_move(shrunk, Trigger.BUSTED), busted_exec_id=known.exec_id)


def _apply_correction(state: OrderState, report: ExecutionReport) -> Applied:
    fact = fact_from(report)
    known = state.find(report.ref_exec_id)
    if fact is None:
        return Applied(state=state, incidents=("unreadable_correction",))
    if known is None:
        return Applied(state=state, incidents=("correction_of_unknown_execution",), deferred=True)
    if known.busted or known.corrected or state.find(fact.exec_id):
        return Applied(state=state)
    changed = _swap(state, known, replace(known, corrected=True))
    changed = replace(changed, executions=(*changed.executions, fact))
    moved = _move(changed, _fill_trigger(changed, report))
    return replace(moved, added=fact, corrected_exec_id=known.exec_id)


def _apply_filled_snapshot(state: OrderState, report: ExecutionReport) -> Applied:
    """Take a broker's word that an order is filled: only for a notional order whose fills are all here.

    An order by quantity is filled when its executions say so; until they have arrived it is accepted.
    """
    claimed = report.order.cum_qty if report.order is not None else None
    complete = state.quantity is None and claimed is not None and 0 < claimed <= state.cum_qty
    return _move(state, Trigger.FILLED if complete else Trigger.ACCEPTED)


def _swap(state: OrderState, old: ExecutionFact, new: ExecutionFact) -> OrderState:
    return replace(state, executions=tuple(new if e is old else e for e in state.executions))


def _fill_trigger(state: OrderState, report: ExecutionReport) -> Trigger:
    """Name the fill by our own arithmetic; only for a notional order does the broker say when it is done."""
    if state.quantity is None:
        done = report.order is not None and report.order.status is BrokerOrderStatus.FILLED
        return Trigger.FILLED if done else Trigger.PARTIALLY_FILLED
    if state.executed_at_broker < state.quantity:
        return Trigger.PARTIALLY_FILLED
    return Trigger.FILLED if state.cum_qty >= state.quantity else Trigger.CANCELED


def _move(state: OrderState, trigger: Trigger) -> Applied:
    if trigger is Trigger.BUSTED and state.status is OrderStatus.FILLED:
        still_whole = state.quantity is not None and state.cum_qty >= state.quantity
        if still_whole:
            return Applied(state=state)
    if trigger is Trigger.REPLACED and state.status in CLOSED:
        return Applied(state=state)
    status = advance(state.status, trigger, cum_qty=state.cum_qty)
    if status is OrderStatus.REJECTED and state.cum_qty > 0:
        status = OrderStatus.CANCELED
    incidents = _incidents(state, status)
    return Applied(state=replace(state, status=status), trigger=trigger, incidents=incidents)


def _incidents(state: OrderState, status: OrderStatus) -> tuple[str, ...]:
    found = []
    if state.quantity is not None and state.cum_qty > state.quantity:
        found.append("overfill")
    if state.status is OrderStatus.NOT_SENT and status is not OrderStatus.NOT_SENT:
        found.append("live_though_not_sent")
    return tuple(found)
