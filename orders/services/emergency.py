"""Halting and cancelling while the database cannot be written.

The halt goes to a local file that every sender of this machine reads before each send (`risk.latch`).
Cancels go straight to the broker; what was asked and what came of it is appended to another file, synced to
the disk before and after each call. The dispatcher takes both files into the database when it can write
again. Nothing here places or changes an order.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

from brokers.adapters.base import BrokerInterface
from brokers.credentials import log_access
from brokers.exceptions import BrokerError, NotFound
from brokers.models import BrokerAccount, BrokerConnection
from brokers.registry import manager
from orders.enums import LOCAL, UNFINISHED, OrderOrigin
from orders.journal import record_fact
from orders.models import Order, OrderEvent
from risk.latch import (
    LatchedHalt,
    append_line,
    clear_latch,
    hold_latch,
    latch_path,
    read_latch,
    sync_directory,
)
from risk.services.halts import halt_trading
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.common.ids import new_id

logger = structlog.get_logger(__name__)

FILE_NAME = "cancels.jsonl"
FACT = "emergency_cancel"
PURPOSE = "emergency cancel"
# A file that nobody has added a line to for so long belongs to a command that has ended.
QUIET = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmergencyCancel:
    """What came of one cancel: "asked" (the broker took it), or the reason why not."""

    order_id: UUID
    account_id: UUID
    text: str
    outcome: str


def lift_latch() -> int:
    """Remove the file's halts and return how many there were. Halts in the database stay."""
    with hold_latch():
        return clear_latch()


def import_latch() -> int:
    """Turn the file's halts into ordinary ones, then remove the file; return how many.

    The rows are committed before the file goes, so trading is halted at every moment in between.
    """
    if not latch_path().exists():
        return 0
    with hold_latch():
        halts = read_latch()
        for halt in halts:
            _store_halt(halt)
        clear_latch()
    logger.warning("latch_imported", halts=len(halts))
    return len(halts)


def _store_halt(halt: LatchedHalt) -> None:
    actor = halt.started_by if halt.started_by.startswith("system:") else f"system:latch {halt.started_by}"
    try:
        halt_trading(
            scope=halt.scope,
            scope_key=halt.scope_key,
            reason=halt.reason,
            actor=actor,
            cancel_open=halt.cancel_open,
            now=halt.moment,
        )
    except PlatformError as error:
        # It names nobody we know. Halting everything is the safe way to read it.
        logger.error("latched_halt_unreadable", scope=halt.scope, scope_key=halt.scope_key, error=error.code)
        reason = f"{halt.scope} {halt.scope_key}: {halt.reason}"
        halt_trading(scope="platform", reason=reason[:200], actor=actor, cancel_open=halt.cancel_open)


def cancels_path() -> Path:
    return Path(settings.VAR_DIR) / FILE_NAME


def emergency_cancel(
    *, account_id: UUID | None, actor: str, with_exits: bool = False
) -> Iterator[EmergencyCancel]:
    """Cancel the open orders of one account, or of all, straight at the brokers; yield each outcome.

    Reads the database and writes nothing to it. Orders that were never sent need no cancel: nothing is sent
    while the database cannot be written. Exits stay unless `with_exits`: they protect what is held. Raises
    DatabaseError when the orders cannot even be read.
    """
    orders = Order.objects.filter(status__in=sorted(UNFINISHED - LOCAL)).select_related(
        "account", "account__connection"
    )
    if account_id is not None:
        orders = orders.filter(account_id=account_id)
    if not with_exits:
        orders = orders.filter(is_exit=False).exclude(origin=OrderOrigin.LEG)
    for order in orders.order_by("account_id", "created_at"):
        outcome = _cancel_one(order, actor)
        yield EmergencyCancel(
            order_id=order.pk, account_id=order.account_id, text=str(order), outcome=outcome
        )


def _cancel_one(order: Order, actor: str) -> str:
    line = {
        "id": new_id().hex,
        "order": str(order.pk),
        "account": str(order.account_id),
        "connection": str(order.account.connection_id),
        "actor": actor,
        "at": utc_now().isoformat(),
    }
    append_line(cancels_path(), line | {"state": "asking"})
    try:
        broker = _open(order.account, line)
        broker.cancel_order(order.broker_order_id or _find_id(order, broker))
    except NotFound:
        outcome = "The broker does not know this order."
    except (BrokerError, PlatformError) as error:
        outcome = f"{type(error).__name__}: {error.message}"[:300]
    except Exception as error:
        logger.exception("emergency_cancel_failed", order=str(order.pk))
        outcome = f"Failed: {type(error).__name__}"
    else:
        outcome = "asked"
    append_line(cancels_path(), line | {"state": "done", "outcome": outcome, "at": utc_now().isoformat()})
    return outcome


def _open(account: BrokerAccount, line: dict[str, str]) -> BrokerInterface:
    def note(connection_id: UUID) -> None:
        append_line(cancels_path(), line | {"state": "credentials_read", "connection": str(connection_id)})

    return manager.get_canceller(account, purpose=PURPOSE, note_access=note)


def _find_id(order: Order, broker: BrokerInterface) -> str:
    """Return the broker's id of an order whose acknowledgement never came. Raises NotFound."""
    return broker.find_order(order.client_order_id).broker_order_id


def import_cancels() -> int:
    """Take the file of emergency cancels into the orders' journals, once; return how many were new.

    What became of the orders is read from the broker as usual. The file is kept under another name.
    """
    path = cancels_path()
    if not path.exists() or utc_now().timestamp() - path.stat().st_mtime < QUIET.total_seconds():
        return 0
    lines = [line for text in path.read_text(encoding="utf-8").splitlines() if (line := _read(text))]
    count = 0
    with transaction.atomic():
        for line in lines:
            count += _import_line(line)
    path.rename(path.with_name(f"cancels-{utc_now():%Y%m%dT%H%M%S%f}.jsonl"))
    sync_directory(path.parent)
    logger.warning("emergency_cancels_imported", lines=len(lines), cancels=count)
    return count


def _read(text: str) -> dict[str, Any] | None:
    """Return one line, None for one that was cut off when the machine stopped."""
    try:
        line = json.loads(text)
        UUID(line["order"])
        datetime.fromisoformat(line["at"])
        return line if {"id", "state", "actor", "connection"} <= line.keys() else None
    except (KeyError, TypeError, ValueError):
        logger.error("emergency_cancel_line_unreadable", length=len(text))
        return None


def _import_line(line: dict[str, Any]) -> bool:
    order = Order.objects.filter(pk=line["order"]).first()
    if order is None:
        logger.error("emergency_cancel_of_unknown_order", order=line["order"])
        return False
    if line["state"] == "credentials_read":
        if BrokerConnection.objects.filter(pk=line["connection"]).exists():
            log_access(UUID(line["connection"]), purpose=PURPOSE)
        return False
    known = OrderEvent.objects.filter(order=order, kind=FACT, data__id=line["id"], data__state=line["state"])
    if known.exists():
        return False
    data: dict[str, Any] = {
        name: str(line[name])[:300] for name in ("id", "state", "outcome") if name in line
    }
    record_fact(order, FACT, actor=line["actor"], at=datetime.fromisoformat(line["at"]), data=data)
    if line["state"] != "done":
        return False
    record_audit(
        actor=line["actor"],
        action="order.emergency_cancel",
        object_type="order",
        object_id=order.pk,
        data=data,
    )
    return True


def import_emergency_files() -> None:
    """Take both files into the database; the dispatcher calls this at its start and again and again."""
    import_latch()
    import_cancels()
