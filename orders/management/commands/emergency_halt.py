"""Halts trading on this machine through a file, database or not."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from orders.services.emergency import lift_latch
from risk.enums import HaltScope
from risk.latch import latch_path, read_latch
from risk.services.halts import latch_halt


class Command(BaseCommand):
    help = (
        "Stop every new order that this machine would send, without needing the database. Run it on each "
        "machine that sends orders. The dispatcher turns it into an ordinary halt when it can write again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--lift", action="store_true", help="Remove the emergency halts of this machine.")
        parser.add_argument("--scope", default="platform", help="platform, broker:KEY, user:ID or account:ID")
        parser.add_argument("--reason", default="Emergency halt.")
        parser.add_argument("--cancel-open", action="store_true", help="Also cancel what is open, later on.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["lift"]:
                self._lift()
            else:
                self._halt(options)
        except OSError as error:
            raise CommandError(
                f"{latch_path()} cannot be written ({error.strerror}). Stop the dispatcher processes instead."
            ) from None

    def _halt(self, options: dict[str, Any]) -> None:
        scope, _, key = options["scope"].partition(":")
        if scope not in HaltScope.values or (scope == HaltScope.PLATFORM) == bool(key):
            raise CommandError("Give platform, broker:KEY, user:ID or account:ID.")
        latch_halt(
            scope=scope,
            scope_key=key,
            reason=options["reason"],
            actor="system:emergency_halt",
            cancel_open=options["cancel_open"],
        )
        self.stdout.write(f"Halted. {len(read_latch())} emergency halt(s) in {latch_path()}.")
        self.stdout.write("Nothing new leaves this machine; exits and cancels pass while the database works.")

    def _lift(self) -> None:
        count = lift_latch()
        self.stdout.write(f"Removed {count} emergency halt(s) of this machine.")
        self.stdout.write("A halt that is in the database is lifted on the Risk page or in the admin.")
