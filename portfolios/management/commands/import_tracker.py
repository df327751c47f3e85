"""Preview, apply and undo imports of tracker files from the command line."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portfolios.models import ImportBatch
from portfolios.services.imports import apply_import, preview_import, undo_import
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.models import User

SHOWN_BREAKS = 10


class Command(BaseCommand):
    help = "Read CSV files of the tracker family into an imported portfolio. Without --apply only a preview."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="Whose portfolio it becomes.")
        parser.add_argument("files", nargs="*", type=Path, help="Trade log and daily updates, in any order.")
        parser.add_argument("--opening-cash", default="0", help="Cash before the first trade.")
        parser.add_argument("--name", default="Imported history", help="Name of the imported portfolio.")
        parser.add_argument("--apply", action="store_true", help="Book it.")
        parser.add_argument("--undo", metavar="BATCH", help="Undo an applied import by its id.")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email__iexact=options["email"]).first()
        if user is None:
            raise CommandError(f"There is no user {options['email']}.")
        try:
            if options["undo"]:
                self.stdout.write(undo_import(user=user, batch_id=options["undo"]).message)
                return
            self._import(user, options)
        except PlatformError as error:
            raise CommandError(f"{error.message} ({error.code})") from error

    def _import(self, user: User, options: dict[str, Any]) -> None:
        batch = preview_import(
            user=user,
            files=[_read_file(path) for path in options["files"]],
            portfolio_name=options["name"],
            opening_cash=_read_cash(options["opening_cash"]),
        )
        self.stdout.write("\n".join(describe_batch(batch)))
        if options["apply"]:
            self.stdout.write(apply_import(user=user, batch_id=batch.pk).message)
        else:
            self.stdout.write("Nothing was booked. Repeat with --apply to book it.")


def describe_batch(batch: ImportBatch) -> list[str]:
    """The report of a preview, one line per fact."""
    preview, summary = batch.preview, batch.preview["summary"]
    lines = [f"Import {batch.pk} into “{batch.portfolio_name}”"]
    lines += [f"  {row['name']}: {row['kind']}, {row['rows']} rows" for row in preview["files"]]
    lines += [
        f"Trade rows read: {summary['trades_read']}, to book: {summary['trades_to_book']}, "
        f"new: {summary['rows_new']}, known: {summary['rows_known']}",
        f"Repeated rows left out: {summary['repeats_dropped']}",
        *(f"  {row['file']}: {row['message']}" for row in preview["dropped_repeats"]),
        f"Days checked: {summary['days_checked']}. Cash differs on {summary['cash_break_days']}, "
        f"positions differ on {summary['position_break_days']}.",
        *_describe_breaks(preview["breaks"]),
        f"Final cash: {Decimal(summary['final_cash']):.2f}, logged: {_money(summary['logged_cash'])}. "
        f"Realised P&L: {Decimal(summary['realised_pnl']):.2f}",
    ]
    lines += [f"  Still held: {row['quantity']} {row['symbol']}" for row in preview["positions"]]
    lines += [f"{row['severity'].upper()} {_place(row)}: {row['message']}" for row in preview["problems"]]
    return lines


def _describe_breaks(breaks: list[dict[str, Any]]) -> list[str]:
    shown = [
        f"  {row['on']} {row['symbol'] or 'cash'}: ours {row['ours']}, file {row['theirs']}"
        + (f" ({row['explanation']})" if row["explanation"] else "")
        for row in breaks[:SHOWN_BREAKS]
    ]
    more = len(breaks) - SHOWN_BREAKS
    return [*shown, f"  and {more} more"] if more > 0 else shown


def _money(text: str | None) -> str:
    return "not given" if text is None else f"{Decimal(text):.2f}"


def _place(problem: dict[str, Any]) -> str:
    line = "" if problem["line"] is None else f" line {problem['line']}"
    return f"{problem['file'] or 'all files'}{line}"


def _read_file(path: Path) -> tuple[str, bytes]:
    try:
        return path.name, path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from None


def _read_cash(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise CommandError(f"The opening cash “{text}” is not a number.") from None
