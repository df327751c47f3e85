"""Cancels open orders straight at the brokers, writing nothing to the database."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from brokers.credentials import declare_process
from orders.services.emergency import cancels_path, emergency_cancel


class Command(BaseCommand):
    help = (
        "Cancel the open orders of an account, or of all, straight at the brokers. For the hour in which the "
        "database cannot be written: it is only read, and what was done is kept in a file for later."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("account", nargs="?", help="The account's id.")
        parser.add_argument("--all", action="store_true", help="Every account.")
        parser.add_argument(
            "--with-exits", action="store_true", help="Cancel stop-losses and take-profits too."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["account"]) == options["all"]:
            raise CommandError("Give an account's id, or --all.")
        declare_process("emergency_cancel")
        try:
            account_id = UUID(options["account"]) if options["account"] else None
        except ValueError:
            raise CommandError("That is not the id of an account.") from None
        try:
            asked, failed = self._cancel(account_id, with_exits=options["with_exits"])
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot even be read ({type(error).__name__}). Nothing was cancelled: "
                "cancel on the broker's own site or app."
            ) from None
        except OSError as error:
            raise CommandError(f"{cancels_path()} cannot be written: {error.strerror}.") from None
        self.stdout.write(f"{asked} cancel(s) taken by the brokers, {failed} not. Kept in {cancels_path()}.")
        if failed:
            raise CommandError("Some orders may still be open: look at them on the broker's own site or app.")

    def _cancel(self, account_id: UUID | None, *, with_exits: bool) -> tuple[int, int]:
        asked = failed = 0
        for done in emergency_cancel(
            account_id=account_id, actor="system:emergency_cancel", with_exits=with_exits
        ):
            taken = done.outcome == "asked"
            asked, failed = asked + taken, failed + (not taken)
            self.stdout.write(f"{done.order_id}  {done.text}: {'cancel taken' if taken else done.outcome}")
        return asked, failed
