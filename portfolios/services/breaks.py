"""Breaks: recorded differences between our book and the broker's, their two looks and their resolution.

A difference is SEEN at first sight and OPEN when a look at least ten seconds later finds it again. One that
an order in flight explains does not advance. One that vanished is resolved with a record. Nothing is ever
healed silently, and never by trading.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import zip_longest

from django.db import transaction

from brokers.types import format_decimal
from portfolios.comparison import BOOK_KINDS, TEXT_KINDS, Difference, DifferenceKind
from portfolios.drift import Reading
from portfolios.enums import BreakStatus, EntryKind
from portfolios.lots import ZERO
from portfolios.models import Break, LedgerEntry, Portfolio, Position
from portfolios.replay import round_stored
from portfolios.services.ledger import apply_entry, insert_entry, publish_book_change
from portfolios.services.rebuild import lock_book
from portfolios.statements import SAVE_LOOK, SEEN_FIELDS, locked_breaks
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.events import publish_event
from tradeplatform.common.exceptions import ConflictError, InvalidRequest, NotFoundError
from tradeplatform.models import User

SECOND_LOOK_AFTER = dt.timedelta(seconds=10)
NO_BREAK = "There is no such difference."


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakChanges:
    """What one comparison did: differences first seen, breaks opened and resolved, differences explained."""

    seen: int = 0
    opened: tuple[Break, ...] = ()
    resolved: tuple[Break, ...] = ()
    explained: int = 0


def record_differences(
    portfolio: Portfolio,
    differences: Sequence[Difference],
    *,
    their_prices: Mapping[str, Decimal],
    now: dt.datetime,
    readings: Sequence[Reading] = (),
    kinds: frozenset[DifferenceKind] = BOOK_KINDS,
) -> BreakChanges:
    """Bring the unresolved breaks of a linked book in line with one comparison; the book's row is locked.

    `their_prices` are the broker's average entry prices, kept for adopting a quantity later. `readings` say
    what most likely happened, one per difference. Only breaks of `kinds`, what was compared, are touched.
    """
    known_rows = locked_breaks(kinds).all(portfolio=portfolio.pk)
    unresolved = {(row.kind, row.symbol, row.subject): row for row in known_rows}
    seen = explained = 0
    opened: list[Break] = []
    for difference, reading in zip_longest(differences, readings):
        known = unresolved.pop((difference.kind.value, difference.symbol, difference.subject), None)
        explained += difference.is_explained
        if known is None:
            seen += not difference.is_explained
            if not difference.is_explained:
                _record_first_look(portfolio, difference, reading, their_prices.get(difference.symbol), now)
        elif _record_next_look(known, difference, reading, their_prices.get(difference.symbol), now):
            opened.append(known)
    resolved = [_resolve_vanished(row, now) for row in unresolved.values()]
    return BreakChanges(seen=seen, opened=tuple(opened), resolved=tuple(resolved), explained=explained)


def publish_breaks(portfolio: Portfolio, rows: Sequence[Break]) -> None:
    """Tell the user's pages about opened and resolved breaks; last in a transaction."""
    for row in rows:
        payload = {
            "id": row.pk,
            "portfolio": str(portfolio.pk),
            "account": str(portfolio.account_id) if portfolio.account_id else None,
            "kind": row.kind,
            "symbol": row.symbol,
            "status": str(row.status),
        }
        publish_event(user_id=portfolio.user_id, kind="break", payload=payload)


def resolve_break(
    *, break_id: int, resolution: str, actor: str, owner: User | None = None, adopt: bool = False
) -> Break:
    """Close a break with a reason, and with `adopt` also book a correction to the broker's value.

    Without `adopt` the book stays as it is: should the difference remain, the next looks open it again.
    `owner` limits the choice to that user's breaks; None is for operators. Raises NotFoundError,
    InvalidRequest (no reason, or nothing of the broker's to adopt) and ConflictError (resolved already, or
    the book has moved since the difference was last seen).
    """
    reason = _require_text(resolution, "resolution")
    with transaction.atomic():
        found, portfolio = _lock_break(break_id, owner)
        if found.resolved_at is not None:
            raise ConflictError("This difference is resolved already.", code="break_resolved")
        position = _adopt(portfolio, found, reason) if adopt else None
        _close(found, resolution=f"{reason} (adopted the broker's value)" if adopt else reason)
        _audit(found, actor=actor, action="break_resolved", data={"adopted": adopt, "resolution": reason})
        if adopt:
            publish_book_change(portfolio, position)
        publish_breaks(portfolio, [found])
    return found


def resolve_breaks(
    *, break_ids: Sequence[int], resolution: str, actor: str, owner: User | None = None
) -> list[Break]:
    """Close several breaks of one book with the same reason, all or none; the book stays as it is.

    Those resolved meanwhile are left out. Raises NotFoundError when one is not the owner's or they are not
    of one book, and InvalidRequest without a reason.
    """
    reason = _require_text(resolution, "resolution")
    with transaction.atomic():
        found, portfolio = _lock_breaks(break_ids, owner)
        still_open = [row for row in found if row.resolved_at is None]
        for row in still_open:
            _close(row, resolution=reason)
            _audit(row, actor=actor, action="break_resolved", data={"adopted": False, "resolution": reason})
        publish_breaks(portfolio, still_open)
    return still_open


def explain_break(*, break_id: int, explanation: str, actor: str, owner: User | None = None) -> Break:
    """Attach a person's explanation to a break and make them its owner; it stays as open as it was."""
    text = _require_text(explanation, "explanation")
    with transaction.atomic():
        found, portfolio = _lock_break(break_id, owner)
        if found.resolved_at is not None:
            raise ConflictError("This difference is resolved already.", code="break_resolved")
        found.explanation = text
        found.owner = actor
        found.save(update_fields=["explanation", "owner"])
        _audit(found, actor=actor, action="break_explained", data={"explanation": text})
        publish_breaks(portfolio, [found])
    return found


def _record_first_look(
    portfolio: Portfolio,
    difference: Difference,
    reading: Reading | None,
    their_price: Decimal | None,
    now: dt.datetime,
) -> None:
    Break.objects.create(
        portfolio=portfolio,
        kind=difference.kind.value,
        symbol=difference.symbol,
        subject=difference.subject,
        drift=reading.drift.value if reading else "",
        cause=reading.cause[:300] if reading else "",
        ours=_text(difference.ours),
        theirs=_text(difference.theirs),
        their_price=their_price,
        first_seen_at=now,
        last_seen_at=now,
        owner=portfolio.user.email,
    )


def _record_next_look(
    row: Break,
    difference: Difference,
    reading: Reading | None,
    their_price: Decimal | None,
    now: dt.datetime,
) -> bool:
    """Update a break with what was seen now; True when this look opened it."""
    if reading is not None:
        row.drift, row.cause = reading.drift.value, reading.cause[:300]
    row.ours, row.theirs = _text(difference.ours), _text(difference.theirs)
    row.their_price = their_price
    row.times_seen += 1
    row.last_seen_at = now
    if difference.is_explained:
        row.explanation = difference.explanation[:300]
    opens = (
        row.status == BreakStatus.SEEN
        and not difference.is_explained
        and now - row.first_seen_at >= SECOND_LOOK_AFTER
    )
    if opens:
        row.status = BreakStatus.OPEN
    SAVE_LOOK.write(id=row.pk, **{name: getattr(row, name) for name in SEEN_FIELDS})
    return opens


def _resolve_vanished(row: Break, now: dt.datetime) -> Break:
    was_open = row.status == BreakStatus.OPEN
    row.status = BreakStatus.RESOLVED
    row.resolution = f"Agreed again at {now:%Y-%m-%d %H:%M:%S} UTC."
    row.resolved_at = now
    row.save(update_fields=["status", "resolution", "resolved_at"])
    if was_open:
        _audit(row, actor="system:book", action="break_resolved", data={"resolution": row.resolution})
    return row


def _close(row: Break, *, resolution: str) -> None:
    row.status = BreakStatus.RESOLVED
    row.resolution = resolution[:300]
    row.resolved_at = utc_now()
    row.save(update_fields=["status", "resolution", "resolved_at"])


def _lock_break(break_id: int, owner: User | None) -> tuple[Break, Portfolio]:
    found, portfolio = _lock_breaks([break_id], owner)
    return found[0], portfolio


def _lock_breaks(break_ids: Sequence[int], owner: User | None) -> tuple[list[Break], Portfolio]:
    """Lock in the book's order: account, portfolio, then the breaks."""
    wanted = set(break_ids)
    visible = Break.objects.filter(pk__in=wanted).select_related("portfolio")
    if owner is not None:
        visible = visible.filter(portfolio__user=owner)
    found = list(visible)
    if not wanted or len(found) != len(wanted) or len({row.portfolio_id for row in found}) > 1:
        raise NotFoundError(NO_BREAK)
    portfolio = lock_book(found[0].portfolio)
    return list(Break.objects.select_for_update().filter(pk__in=wanted).order_by("pk")), portfolio


def _adopt(portfolio: Portfolio, found: Break, reason: str) -> Position | None:
    if found.kind in TEXT_KINDS:
        raise InvalidRequest(
            "An order or an account is no number of your book: there is nothing to adopt. Explain the "
            "difference or close it with a reason.",
            code="nothing_to_adopt",
        )
    if found.batch_id is not None or portfolio.account_id is None:
        raise InvalidRequest(
            "An imported file is no broker: its value cannot be adopted. Resolve the difference with a "
            "reason, or undo the import.",
            code="nothing_to_adopt",
        )
    theirs = Decimal(found.theirs or "0")
    values = _current_values(portfolio, found)
    ours = Decimal(found.ours or "0")
    if ours not in values:
        raise ConflictError(
            "Your book has changed since this difference was last seen. Nothing was booked; sync the account "
            "and look again.",
            code="book_moved",
        )
    is_cash = found.kind == DifferenceKind.CASH
    is_average = found.kind == DifferenceKind.AVERAGE_PRICE
    if not is_cash and not is_average and found.their_price is None and theirs:
        raise InvalidRequest(
            "The broker gave no average price for these shares; their cost is unknown. Nothing was booked.",
            code="nothing_to_adopt",
        )
    entry = insert_entry(
        portfolio,
        kind=EntryKind.CORRECTION,
        source_key=f"correction:{found.pk}",
        symbol=found.symbol,
        quantity=ZERO if is_cash or is_average else theirs - ours,
        price=None if is_cash else _correction_price(found, theirs, is_average=is_average),
        amount=theirs - ours if is_cash else ZERO,
        occurred_at=_correction_moment(portfolio, found.symbol),
        note=reason,
    )
    if entry is None:
        raise ConflictError("This difference was corrected already.", code="break_resolved")
    return apply_entry(portfolio, entry)


def _correction_price(found: Break, theirs: Decimal, *, is_average: bool) -> Decimal:
    return theirs if is_average else found.their_price or ZERO


def _correction_moment(portfolio: Portfolio, symbol: str) -> dt.datetime:
    """Now, or just after the symbol's newest entry where the broker's clock runs ahead of ours."""
    newest = LedgerEntry.objects.filter(portfolio=portfolio, symbol=symbol).order_by("-occurred_at").first()
    if newest is None:
        return utc_now()
    return max(utc_now(), newest.occurred_at + dt.timedelta(microseconds=1))


def _current_values(portfolio: Portfolio, found: Break) -> tuple[Decimal, ...]:
    """What the book says now about the fact of a break; an average is kept in two ways."""
    if found.kind == DifferenceKind.CASH:
        return (round_stored(portfolio.cash),)
    position = Position.objects.filter(portfolio=portfolio, symbol=found.symbol).first()
    if position is None:
        return (ZERO,)
    if found.kind == DifferenceKind.AVERAGE_PRICE:
        return (position.avg_price, position.entry_price)
    return (position.quantity,)


def _require_text(text: str, name: str) -> str:
    plain = text.strip()
    if not plain:
        message = f"Say why: the {name} stays with the difference as its record."
        raise InvalidRequest(message, fields={name: ["This is needed."]})
    return plain[:240]


def _text(value: Decimal | str | None) -> str:
    return value[:80] if isinstance(value, str) else format_decimal(value) or ""


def _audit(found: Break, *, actor: str, action: str, data: Mapping[str, object]) -> None:
    facts = {"kind": found.kind, "symbol": found.symbol, "ours": found.ours, "theirs": found.theirs}
    record_audit(actor=actor, action=action, object_type="break", object_id=found.pk, data={**facts, **data})
