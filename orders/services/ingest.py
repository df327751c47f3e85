"""Facts from brokers, applied once: raw event first, then the order, its executions and the book.

A report is matched to an order by any id the order ever had at the broker. An order that is not ours is
adopted as EXTERNAL, so that limits and positions count it. Reports that cannot be applied stay in the
inbox with the reason; they never stop the ones after them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import structlog
from django.db import DatabaseError, transaction

from brokers.enums import ExecType, Side
from brokers.models import BrokerAccount, BrokerEvent
from brokers.registry import BrokerManager
from brokers.types import ExecutionReport, StreamEvent
from orders.enums import OrderOrigin
from orders.journal import FACT_FIELDS, move_order, publish_order, record_fact
from orders.locks import lock_account
from orders.models import Execution, Order, OrderAlias
from orders.plausibility import BookedFill, FillContext, doubt_about_fill
from orders.services.adopt import adopt_external_order, attach_legs, remember_ids
from orders.services.look_alikes import may_be_ours
from orders.services.replaced import finish_replace, is_replacement, is_superseded
from orders.state_machine import Applied, IllegalTransition, Trigger, apply_execution_report
from orders.statements import (
    ACCOUNT,
    ALIAS_BY_BROKER_ID,
    ALIAS_BY_CLIENT_ID,
    BY_BROKER_ID,
    BY_CLIENT_ID,
    EXECUTIONS,
    FLAG_EVENT,
    NEW_WAITING_EVENT,
    SAVE_FACTS,
    TAKE_EVENT,
    WAITING_EVENTS,
    WAITING_EVENTS_AT_ONCE,
)
from orders.states import state_of
from orders.timer_statements import ACCOUNTS_WITH_NEW_EVENTS, ACCOUNTS_WITH_TRIED_EVENTS
from orders.timing import note_fill
from portfolios.services.booking import FillFact, book_fill, reverse_fill
from tradeplatform.common.clock import utc_now
from tradeplatform.common.prepared import append_row, one_round_trip

logger = structlog.get_logger(__name__)

# What still waits after this long is left to the slower loops.
ASK_WITHIN = timedelta(minutes=2)
ACTOR = "system:broker"


class NotApplicable(Exception):
    """The report is kept as it is; the message says why and goes on the event."""


class Implausible(NotApplicable):
    """A fill that counts only when the broker's own record of the order agrees with it."""

    def __init__(self, reason: str, order: Order, report: ExecutionReport) -> None:
        super().__init__(reason)
        self.order = order
        self.report = report


def apply_pending_events(account_id: UUID) -> int:
    """Apply the account's stored events that are not applied yet, oldest first; return how many were.

    They are read some at a time; those that must wait do not keep the ones after them waiting.
    """
    events = WAITING_EVENTS.all(account=account_id, after=0)
    account = ACCOUNT.first(id=account_id) if events else None
    applied = 0
    while account is not None and events:
        applied += sum(_apply_event(account, event) for event in events)
        if len(events) < WAITING_EVENTS_AT_ONCE:
            break
        events = WAITING_EVENTS.all(account=account_id, after=events[-1].pk)
    return applied


def apply_or_ask(account_id: UUID) -> bool:
    """Apply what is in the inbox; False when a message waits that the broker's lists can explain."""
    apply_pending_events(account_id)
    return NEW_WAITING_EVENT.first(account=account_id, since=utc_now() - ASK_WITHIN) is None


def accounts_with_pending_events(*, tried: bool) -> list[UUID]:
    """Return the accounts whose inbox holds events that nobody has tried to apply, or that had to wait."""
    found = (ACCOUNTS_WITH_TRIED_EVENTS if tried else ACCOUNTS_WITH_NEW_EVENTS).all()
    return list(dict.fromkeys(found))


def _apply_event(account: BrokerAccount, event: BrokerEvent) -> bool:
    unclear = ""
    try:
        raw = StreamEvent(
            dedupe_key=event.dedupe_key, kind=event.kind, payload=event.payload, received_at=event.received_at
        )
        reports = BrokerManager().adapter_class(account.broker).interpret_event(raw)
        unclear = _what_is_unclear(reports)
        with transaction.atomic():
            lock_account(account.pk)
            if not TAKE_EVENT.run(id=event.pk, applied_at=utc_now(), problem=unclear[:300]):
                return False
            for report in reports:
                apply_report_locked(account, report, received_at=event.received_at, by_word=True)
    except NotApplicable as reason:
        if isinstance(reason, Implausible):
            note_doubt(reason)
        _flag_event(event, unclear or str(reason), done=bool(unclear))
        return False
    except IllegalTransition as error:
        logger.error("broker_event_contradicts_order", account=str(account.pk), event_id=event.pk)
        _flag_event(event, f"contradiction: {error}", done=True)
        return False
    except DatabaseError as error:
        # Says nothing about the fact: it waits in the inbox and is tried again.
        logger.warning("broker_event_postponed", event_id=event.pk, error=type(error).__name__)
        _flag_event(event, f"not stored: {type(error).__name__}")
        return False
    except Exception as error:
        logger.exception("broker_event_not_applied", account=str(account.pk), event_id=event.pk)
        _flag_event(event, f"unreadable: {type(error).__name__}", done=True)
        return False
    return True


def _what_is_unclear(reports: Sequence[ExecutionReport]) -> str:
    """Return what a person should know of an event that moves nothing: the next reconciliation reads it."""
    unknown = [report for report in reports if report.exec_type is ExecType.UNKNOWN]
    return (unknown[0].text or "an event of a kind that is not known here") if unknown else ""


def _flag_event(event: BrokerEvent, problem: str, *, done: bool = False) -> None:
    """Keep the event with its problem. `done` events are not tried again: reconciliation reads the truth."""
    now = utc_now()
    is_over = done or (now - event.received_at).days >= 1
    if not is_over and event.problem == problem[:300]:
        return
    FLAG_EVENT.write(id=event.pk, problem=problem[:300], applied_at=now if is_over else None)


def apply_report(account_id: UUID, report: ExecutionReport, *, confirmed: bool = False) -> Order | None:
    """Apply one report in a transaction of its own; used by acknowledgements, polls and back-fills."""
    with transaction.atomic():
        account = lock_account(account_id)
        return apply_report_locked(account, report, received_at=utc_now(), confirmed=confirmed)


def apply_report_locked(
    account: BrokerAccount,
    report: ExecutionReport,
    *,
    received_at: datetime,
    known: Order | None = None,
    confirmed: bool = False,
    by_word: bool = False,
) -> Order | None:
    """Apply one report under the account's lock and return the order it belongs to.

    `known` is that order, locked, when the caller has it already and has remembered the report's id;
    `confirmed` says that the broker's record of the order agrees with this fill, however odd it is.
    `by_word` says that only a message tells of it: an order that is not known here is then not taken in until
    the broker's own list has it.
    Raises Implausible for a fill that needs this, NotApplicable when it must wait for another fact, and
    IllegalTransition when it contradicts one.
    """
    order = known or find_order_for(account, report)
    if order is None:
        if report.order is None:
            raise NotApplicable("unknown order, and the event does not describe it")
        if by_word:
            raise NotApplicable("an order that is not known here; the broker's list of orders decides")
        if may_be_ours(account, report.order):
            raise NotApplicable("may be an order of ours whose outcome is not known yet")
        order = adopt_external_order(account, report.order, at=received_at)
    if report.order is not None:
        attach_legs(order, report.order, at=received_at)
    if is_replacement(order, report):
        finish_replace(order, report, at=received_at)
        if report.exec_type in (ExecType.REPLACED, ExecType.REJECTED):
            return order
    elif is_superseded(order, report):
        remember_ids(order, broker_order_id=report.broker_order_id, client_order_id="")
        return order
    if order.broker_order_id != report.broker_order_id:
        remember_ids(order, broker_order_id=report.broker_order_id, client_order_id="")
    _apply_to_order(account, order, report, received_at, confirmed=confirmed)
    return order


def find_order_for(account: BrokerAccount, report: ExecutionReport) -> Order | None:
    """Return the account's order that ever had one of the report's ids."""
    order = _find_by_broker_id(account, report.broker_order_id)
    if order is None and report.client_order_id:
        ids = {"account": account.pk, "client_order_id": report.client_order_id}
        order = BY_CLIENT_ID.first(**ids) or _order_of(ALIAS_BY_CLIENT_ID.first(**ids))
    if order is None and report.order is not None and report.order.replaces:
        ids = {"account": account.pk, "broker_order_id": report.order.replaces}
        order = _order_of(ALIAS_BY_BROKER_ID.first(**ids))
    return order


def _find_by_broker_id(account: BrokerAccount, broker_order_id: str) -> Order | None:
    if not broker_order_id:
        return None
    ids = {"account": account.pk, "broker_order_id": broker_order_id}
    return BY_BROKER_ID.first(**ids) or _order_of(ALIAS_BY_BROKER_ID.first(**ids))


def _order_of(alias: OrderAlias | None) -> Order | None:
    return None if alias is None else alias.order


def _apply_to_order(
    account: BrokerAccount, order: Order, report: ExecutionReport, received_at: datetime, *, confirmed: bool
) -> None:
    executions = EXECUTIONS.all(order=order.pk)
    if report.exec_type in (ExecType.TRADE, ExecType.TRADE_CORRECT):
        booked = _booked_fills(executions)
        if report.exec_type is ExecType.TRADE and _is_known_under_other_id(report, booked):
            return
        if not confirmed and all(row.exec_id != report.exec_id for row in executions):
            _require_plausible(order, report, booked)
    state = state_of(order, executions)
    applied = apply_execution_report(state, report)
    if applied.deferred:
        raise NotApplicable(", ".join(applied.incidents))
    execution = _book_execution(account, order, report, applied, received_at)
    with one_round_trip():
        if execution is not None:
            append_row(execution)
        _note_incidents(order, report, applied, received_at)
        if applied.fills_missing:
            _note_missing_fills(order, report, received_at)
        _store_facts(order, report, applied, received_at)


def _store_facts(order: Order, report: ExecutionReport, applied: Applied, received_at: datetime) -> None:
    """Write what the report makes of the order, if it changes anything."""
    at = report.transact_time or received_at
    changed = applied.state.status != order.status or applied.added or applied.busted_exec_id
    order.cum_qty = applied.state.cum_qty
    order.avg_px = applied.state.avg_px
    if applied.trigger is None and changed:
        # It stays filled although one of its fills was taken back: only its totals change.
        record_fact(order, str(Trigger.BUSTED), actor=ACTOR, at=received_at, data=_journal_data(report, at))
    elif applied.trigger is not None and (changed or applied.trigger is Trigger.CANCEL_REFUSED):
        if applied.state.status == "rejected" and report.text:
            order.reject_reason = report.text[:300]
        move_order(
            order,
            applied.trigger,
            actor=ACTOR,
            at=received_at,
            data=_journal_data(report, at),
            status=applied.state.status,
        )
    else:
        return
    SAVE_FACTS.write(id=order.pk, **{name: getattr(order, name) for name in FACT_FIELDS})
    publish_order(order)


def _booked_fills(executions: Sequence[Execution]) -> list[BookedFill]:
    return [
        BookedFill(
            exec_id=row.exec_id,
            broker_order_id=row.broker_order_id,
            broker_cum_qty=row.broker_cum_qty,
            last_qty=row.last_qty,
            last_px=row.last_px,
        )
        for row in executions
        if row.busted_at is None and row.corrected_at is None
    ]


def _require_plausible(order: Order, report: ExecutionReport, booked: Sequence[BookedFill]) -> None:
    """Raise Implausible for a fill that the broker's record of the order must confirm first."""
    context = FillContext(
        quantity=order.quantity,
        entered_at=None if order.origin == OrderOrigin.EXTERNAL else order.created_at,
        booked=booked,
        now=utc_now(),
    )
    if doubt := doubt_about_fill(report, context):
        raise Implausible(doubt, order, report)


def note_doubt(doubt: Implausible) -> None:
    """Write on the order, once, that a fill was told that does not count yet."""
    order, report = doubt.order, doubt.report
    with transaction.atomic():
        lock_account(order.account_id)
        if order.journal.filter(kind="fill_in_doubt", data__exec_id=report.exec_id).exists():
            return
        data = _journal_data(report, report.transact_time or utc_now())
        record_fact(order, "fill_in_doubt", actor=ACTOR, at=utc_now(), data={**data, "text": str(doubt)})
        publish_order(order)
    logger.error("fill_in_doubt", order=str(order.pk), exec_id=report.exec_id, reason=str(doubt))


def _is_known_under_other_id(report: ExecutionReport, booked: Sequence[BookedFill]) -> bool:
    """Tell whether this fill is booked already under another execution id.

    Brokers may name one fill differently on the stream and in the activity list. Within one broker order
    the cumulative quantity after a fill occurs once, so it identifies the fill.
    """
    if report.cum_qty is None or not report.broker_order_id:
        return False
    fill = (report.broker_order_id, report.cum_qty, report.last_qty, report.last_px)
    return any(
        (twin.broker_order_id, twin.broker_cum_qty, twin.last_qty, twin.last_px) == fill
        for twin in booked
        if twin.exec_id != report.exec_id
    )


def _book_execution(
    account: BrokerAccount, order: Order, report: ExecutionReport, applied: Applied, received_at: datetime
) -> Execution | None:
    """Book a new fill and take a busted or corrected one back; return the new execution, not stored yet."""
    now = received_at
    if applied.busted_exec_id:
        Execution.objects.filter(account=account, exec_id=applied.busted_exec_id).update(busted_at=now)
        reverse_fill(account=account, exec_id=applied.busted_exec_id, at=now, reason="Busted by the broker")
    if applied.corrected_exec_id:
        Execution.objects.filter(account=account, exec_id=applied.corrected_exec_id).update(corrected_at=now)
        reverse_fill(
            account=account, exec_id=applied.corrected_exec_id, at=now, reason="Corrected by the broker"
        )
    if applied.added is None:
        return None
    occurred_at = report.transact_time or received_at
    commission = report.commission or Decimal(0)
    book_fill(
        account=account,
        fill=FillFact(
            exec_id=applied.added.exec_id,
            symbol=order.symbol,
            side=Side(order.side),
            quantity=applied.added.last_qty,
            price=applied.added.last_px,
            commission=commission,
            occurred_at=occurred_at,
            own_order=order.origin != OrderOrigin.EXTERNAL,
        ),
    )
    return Execution(
        order=order,
        account=account,
        exec_id=applied.added.exec_id,
        broker_order_id=report.broker_order_id,
        broker_cum_qty=report.cum_qty,
        last_qty=applied.added.last_qty,
        last_px=applied.added.last_px,
        commission=commission,
        transact_time=occurred_at,
        received_at=received_at,
        booked_at=note_fill(transact_time=occurred_at, received_at=received_at),
    )


def _note_incidents(order: Order, report: ExecutionReport, applied: Applied, at: datetime) -> None:
    for incident in applied.incidents:
        logger.error("order_incident", order=str(order.pk), incident=incident, exec_id=report.exec_id)
        record_fact(
            order, incident, actor=ACTOR, at=at, data={"exec_id": report.exec_id, "text": report.text}
        )


def _note_missing_fills(order: Order, report: ExecutionReport, at: datetime) -> None:
    """Write on the order, once for each total, that it is kept open although the broker has closed it.

    The next look at the broker's lists reads the fills, and then closes it.
    """
    told = report.order.cum_qty if report.order is not None else report.cum_qty
    data = {"broker_order_id": report.broker_order_id, "theirs": str(told), "ours": str(order.cum_qty)}
    if order.journal.filter(kind="fills_missing", data__theirs=data["theirs"]).exists():
        return
    logger.warning("fills_missing", order=str(order.pk), **data)
    record_fact(order, "fills_missing", actor=ACTOR, at=at, data=data)


def _journal_data(report: ExecutionReport, at: datetime) -> dict[str, str]:
    data = {"broker_order_id": report.broker_order_id, "transact_time": at.isoformat()}
    if report.exec_type in (ExecType.TRADE, ExecType.TRADE_CORRECT):
        data |= {"exec_id": report.exec_id, "last_qty": str(report.last_qty), "last_px": str(report.last_px)}
    if report.text:
        data["text"] = report.text[:300]
    return data
