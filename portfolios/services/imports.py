"""Imports of trade histories: previewed, applied once, undone as a whole.

An imported book belongs to no account. Rows are known by their source key, so the same files add nothing
twice and an extended file adds only its new rows.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from portfolios.enums import EntryKind, ImportStatus, PortfolioKind
from portfolios.imports import build_preview, read_import
from portfolios.imports.decode import MAX_BYTES
from portfolios.imports.quirks import trade_moment
from portfolios.imports.types import CashAdjustment, ImportReading, Severity, TradeRow
from portfolios.lots import ZERO
from portfolios.models import Break, ImportBatch, LedgerEntry, Portfolio
from portfolios.replay import round_stored
from portfolios.services.import_history import adds_history, applied_batches, restate_history
from portfolios.services.import_records import read_flow, read_trade, write_preview, write_problems
from portfolios.services.rebuild import rebuild_book
from tradeplatform.common.audit import record_audit
from tradeplatform.common.exceptions import ConflictError, InvalidRequest, NotFoundError
from tradeplatform.models import User

MAX_FILES = 10
MAX_NAME_LENGTH = 80
LARGEST_CASH = Decimal(10) ** 12


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """`added` rows were booked; `already_imported` says that the book held all of them before."""

    batch: ImportBatch
    added: int
    already_imported: bool
    message: str


@dataclass(frozen=True, slots=True)
class UndoResult:
    """`removed` ledger rows were taken out; `book_removed` when nothing was left of the book."""

    batch: ImportBatch
    removed: int
    book_removed: bool
    message: str


def preview_import(
    *,
    user: User,
    files: Sequence[tuple[str, bytes]],
    portfolio_name: str,
    opening_cash: Decimal,
    adjustments: Sequence[CashAdjustment] = (),
    as_of: dt.date | None = None,
) -> ImportBatch:
    """Read the files and store what importing them would do; nothing is booked.

    `files` are (name, content). With the name of an imported book of the user, the rows join it. `as_of`
    dates a portfolio file without dates. Raises InvalidRequest for input that cannot be used; row problems
    are part of the preview instead, with file and line.
    """
    name = _check_input(files, portfolio_name, opening_cash)
    reading = read_import(files)
    if not (reading.trades or reading.holdings or reading.totals or reading.positions):
        _refuse_unreadable(reading)
    portfolio = _find_book(user, name)
    batches = applied_batches(portfolio) if portfolio else []
    _check_opening_cash(portfolio, opening_cash)
    merged = _merge_trades(reading, batches)
    flows = _merge_flows(adjustments, batches)
    preview = build_preview(merged, opening_cash, adjustments=flows, as_of=as_of)
    known = frozenset(_known_keys(portfolio))
    record = write_preview(reading, preview, known_keys=known, as_of=as_of)
    record["based_on"] = _fingerprint(batches)
    return ImportBatch.objects.create(
        user=user,
        portfolio=portfolio,
        portfolio_name=name,
        files_hash=reading.file_hash,
        file_names=[file[0][:120] for file in files],
        opening_cash=round_stored(opening_cash),
        preview=record,
    )


def apply_import(*, user: User, batch_id: UUID | str, actor: str | None = None) -> ApplyResult:
    """Book a previewed import in one transaction; applying it again changes nothing.

    Raises NotFoundError, and ConflictError when it was undone or the book has changed since the preview.
    """
    with transaction.atomic():
        batch = _lock_batch(user, batch_id)
        if batch.status == ImportStatus.APPLIED:
            return ApplyResult(batch, 0, True, "This import is in the book already. Nothing was added.")
        if batch.status == ImportStatus.UNDONE:
            raise ConflictError(
                "This import was undone. Choose the files again to import them.", code="import_undone"
            )
        portfolio = _lock_or_make_book(user, batch)
        earlier = applied_batches(portfolio)
        if batch.preview["based_on"] != _fingerprint(earlier):
            raise ConflictError(
                f"“{portfolio.name}” has changed since this preview. Nothing was booked; preview again.",
                code="preview_outdated",
            )
        known = _known_keys(portfolio)
        entries = [entry for entry in _entries_of(portfolio, batch) if entry.source_key not in known]
        if not entries and earlier and not adds_history(batch, earlier):
            message = f"Everything in these files is in “{portfolio.name}” already. Nothing was added."
            return ApplyResult(batch, 0, True, message)
        _open_cash(portfolio, batch)
        LedgerEntry.objects.bulk_create(entries)
        _restate_order(portfolio, batch)
        batch.portfolio = portfolio
        batch.status = ImportStatus.APPLIED
        batch.applied_at = timezone.now()
        batch.save(update_fields=["portfolio", "status", "applied_at"])
        rebuild_book(portfolio)
        restate_history(portfolio)
        _audit(batch, actor or user.email, "import_applied", {"rows": len(entries)})
    added = "1 row" if len(entries) == 1 else f"{len(entries)} rows"
    return ApplyResult(batch, len(entries), False, f"{added} added to “{portfolio.name}”.")


def undo_import(*, user: User, batch_id: UUID | str, actor: str | None = None) -> UndoResult:
    """Take an applied import out again: its rows, breaks and equity; the book is computed anew.

    The newest import of a book goes first (later ones build on earlier ones): ConflictError otherwise.
    Undoing the only import removes the book.
    """
    with transaction.atomic():
        batch = _lock_batch(user, batch_id)
        if batch.status == ImportStatus.UNDONE:
            return UndoResult(batch, 0, False, "This import was undone before.")
        if batch.status != ImportStatus.APPLIED or batch.portfolio_id is None:
            raise ConflictError("This import was never applied, so there is nothing to undo.")
        portfolio = Portfolio.objects.select_for_update().get(pk=batch.portfolio_id)
        batches = applied_batches(portfolio)
        if batches[-1].pk != batch.pk:
            raise ConflictError(
                "A later import builds on this one. Undo the later import first.", code="later_import_exists"
            )
        removed = LedgerEntry.objects.filter(batch=batch).count()
        book_removed = len(batches) == 1
        batch.status = ImportStatus.UNDONE
        batch.undone_at = timezone.now()
        batch.portfolio = None if book_removed else portfolio
        batch.save(update_fields=["status", "undone_at", "portfolio"])
        if book_removed:
            _remove_book(portfolio)
        else:
            LedgerEntry.objects.filter(batch=batch).delete()
            Break.objects.filter(batch=batch).delete()
            rebuild_book(portfolio)
            restate_history(portfolio)
        _audit(batch, actor or user.email, "import_undone", {"rows": removed})
    message = f"{removed} rows taken out of “{batch.portfolio_name}”."
    return UndoResult(batch, removed, book_removed, message)


def discard_preview(*, user: User, batch_id: UUID | str, actor: str | None = None) -> None:
    """Throw a preview away that was never applied. Raises NotFoundError, and ConflictError when it was."""
    with transaction.atomic():
        batch = _lock_batch(user, batch_id)
        if batch.status != ImportStatus.PREVIEWED:
            raise ConflictError(
                "This import was applied, so it stays on record. Undo it to take its rows out.",
                code="import_applied",
            )
        _audit(batch, actor or user.email, "import_discarded", {})
        batch.delete()


def _check_input(files: Sequence[tuple[str, bytes]], portfolio_name: str, opening_cash: Decimal) -> str:
    name = " ".join(portfolio_name.split())
    if not name or len(name) > MAX_NAME_LENGTH:
        message = f"Give the imported portfolio a name of at most {MAX_NAME_LENGTH} characters."
        raise InvalidRequest(message, code="name_invalid", fields={"portfolio_name": [message]})
    if not files or len(files) > MAX_FILES:
        message = f"Choose between 1 and {MAX_FILES} CSV files."
        raise InvalidRequest(message, code="files_missing", fields={"files": [message]})
    too_large = [file[0] for file in files if len(file[1]) > MAX_BYTES]
    if too_large:
        limit = MAX_BYTES // (1024 * 1024)
        message = (
            f"{', '.join(too_large)} is larger than {limit} MB. Nothing was read; split it by date and "
            "import the parts."
        )
        raise InvalidRequest(message, code="file_too_large", http_status=413, fields={"files": [message]})
    if not opening_cash.is_finite() or not ZERO <= opening_cash < LARGEST_CASH:
        message = "The opening cash must be an amount of zero or more."
        raise InvalidRequest(message, code="opening_cash_invalid", fields={"opening_cash": [message]})
    return name


def _refuse_unreadable(reading: ImportReading) -> None:
    errors = [problem for problem in reading.problems if problem.severity == Severity.ERROR]
    first = errors[0] if errors else None
    message = f"{first.file}: {first.message}" if first else "The files hold no rows to import."
    raise InvalidRequest(
        message,
        code=first.code.value if first else "nothing_to_import",
        details={"problems": write_problems(reading.problems)},
        fields={"files": [problem.message for problem in errors] or [message]},
    )


def _find_book(user: User, name: str) -> Portfolio | None:
    return Portfolio.objects.filter(user=user, kind=PortfolioKind.IMPORTED, name=name).first()


def _check_opening_cash(portfolio: Portfolio | None, opening_cash: Decimal) -> None:
    if portfolio is None:
        return
    opening = LedgerEntry.objects.filter(portfolio=portfolio, kind=EntryKind.OPENING_CASH).first()
    if opening is not None and opening.amount != opening_cash:
        message = (
            f"“{portfolio.name}” was opened with {opening.amount:,.2f} {portfolio.currency}. Import with the "
            "same opening cash, or under another name."
        )
        raise InvalidRequest(message, code="opening_cash_differs", fields={"opening_cash": [message]})


def _merge_trades(reading: ImportReading, batches: Sequence[ImportBatch]) -> ImportReading:
    """Add the trades booked before, so that the files are checked against the whole history."""
    own = {trade.source_key for trade in reading.trades}
    earlier: dict[str, TradeRow] = {}
    for batch in batches:
        for record in batch.preview["trades"]:
            if record["source_key"] not in own:
                earlier[record["source_key"]] = read_trade(record)
    ordered = sorted([*earlier.values(), *reading.trades], key=lambda trade: trade.on)
    numbered = tuple(replace(trade, sequence=place) for place, trade in enumerate(ordered))
    return replace(reading, trades=numbered)


def _merge_flows(
    adjustments: Sequence[CashAdjustment], batches: Sequence[ImportBatch]
) -> list[CashAdjustment]:
    earlier = [read_flow(record) for batch in batches for record in batch.preview["flows"]]
    return list(dict.fromkeys([*earlier, *adjustments]))


def _known_keys(portfolio: Portfolio | None) -> set[str]:
    if portfolio is None:
        return set()
    return set(LedgerEntry.objects.filter(portfolio=portfolio).values_list("source_key", flat=True))


def _fingerprint(batches: Sequence[ImportBatch]) -> list[str]:
    return [str(batch.pk) for batch in batches]


def _lock_batch(user: User, batch_id: UUID | str) -> ImportBatch:
    try:
        return ImportBatch.objects.select_for_update().get(pk=batch_id, user=user)
    except (ImportBatch.DoesNotExist, ValidationError):
        raise NotFoundError("There is no such import.") from None


def _lock_or_make_book(user: User, batch: ImportBatch) -> Portfolio:
    try:
        with transaction.atomic():
            Portfolio.objects.get_or_create(user=user, kind=PortfolioKind.IMPORTED, name=batch.portfolio_name)
    except IntegrityError:
        pass  # Another request made it at the same moment.
    return Portfolio.objects.select_for_update().get(
        user=user, kind=PortfolioKind.IMPORTED, name=batch.portfolio_name
    )


def _open_cash(portfolio: Portfolio, batch: ImportBatch) -> None:
    """The opening cash belongs to the book, not to a batch: it goes when the book goes."""
    if LedgerEntry.objects.filter(portfolio=portfolio, kind=EntryKind.OPENING_CASH).exists():
        return
    preview = batch.preview
    days = [row["on"] for part in ("trades", "holdings", "flows", "equity") for row in preview[part]]
    opened_at = trade_moment(dt.date.fromisoformat(min(days)), 0) if days else timezone.now()
    LedgerEntry.objects.create(
        portfolio=portfolio,
        kind=EntryKind.OPENING_CASH,
        source_key="opening:cash",
        amount=batch.opening_cash,
        occurred_at=opened_at,
    )
    portfolio.opened_at = opened_at
    portfolio.save(update_fields=["opened_at"])


def _entries_of(portfolio: Portfolio, batch: ImportBatch) -> list[LedgerEntry]:
    return [
        *(_holding_entry(portfolio, batch, row) for row in batch.preview["holdings"]),
        *(_flow_entry(portfolio, batch, row) for row in batch.preview["flows"]),
        *(_trade_entry(portfolio, batch, row) for row in batch.preview["trades"]),
    ]


def _trade_entry(portfolio: Portfolio, batch: ImportBatch, record: Mapping[str, Any]) -> LedgerEntry:
    trade = read_trade(record)
    price = round_stored(trade.price or ZERO)
    quantity = round_stored(trade.signed_quantity)
    return LedgerEntry(
        portfolio=portfolio,
        batch=batch,
        kind=EntryKind.FILL,
        source_key=trade.source_key,
        symbol=trade.symbol,
        quantity=quantity,
        price=price,
        amount=round_stored(-quantity * price),
        occurred_at=trade_moment(trade.on, trade.sequence),
        note=trade.reason[:200],
    )


def _holding_entry(portfolio: Portfolio, batch: ImportBatch, record: Mapping[str, Any]) -> LedgerEntry:
    return LedgerEntry(
        portfolio=portfolio,
        batch=batch,
        kind=EntryKind.OPENING_LOT,
        source_key=record["source_key"],
        symbol=record["symbol"],
        quantity=round_stored(Decimal(record["quantity"])),
        price=round_stored(Decimal(record["price"])),
        occurred_at=trade_moment(dt.date.fromisoformat(record["on"]), 0),
    )


def _flow_entry(portfolio: Portfolio, batch: ImportBatch, record: Mapping[str, Any]) -> LedgerEntry:
    return LedgerEntry(
        portfolio=portfolio,
        batch=batch,
        kind=EntryKind.TRANSFER,
        source_key=record["source_key"],
        amount=round_stored(Decimal(record["amount"])),
        occurred_at=trade_moment(dt.date.fromisoformat(record["on"]), 0),
        note=str(record["note"])[:200],
    )


def _restate_order(portfolio: Portfolio, batch: ImportBatch) -> None:
    """Rows of these files keep the order of the files, also those that were booked before."""
    moments = {
        row["source_key"]: trade_moment(dt.date.fromisoformat(row["on"]), row["sequence"])
        for row in batch.preview["trades"]
    }
    moved = []
    for entry in LedgerEntry.objects.filter(portfolio=portfolio, kind=EntryKind.FILL).exclude(batch=batch):
        moment = moments.get(entry.source_key, entry.occurred_at)
        if moment != entry.occurred_at:
            entry.occurred_at = moment
            moved.append(entry)
    LedgerEntry.objects.bulk_update(moved, ["occurred_at"], batch_size=500)


def _remove_book(portfolio: Portfolio) -> None:
    """Earlier, undone batches stay as a record without a book."""
    ImportBatch.objects.filter(portfolio=portfolio).update(portfolio=None)
    LedgerEntry.objects.filter(portfolio=portfolio).delete()
    Break.objects.filter(portfolio=portfolio).delete()
    portfolio.delete()


def _audit(batch: ImportBatch, actor: str, action: str, data: Mapping[str, Any]) -> None:
    facts = {"portfolio_name": batch.portfolio_name, "files": batch.file_names, **data}
    record_audit(actor=actor, action=action, object_type="import_batch", object_id=batch.pk, data=facts)
