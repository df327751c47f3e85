"""Moves every stored secret to the newest encryption key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tradeplatform.common.envelope import key_ring
from tradeplatform.services.credentials import rotate_credentials


class Command(BaseCommand):
    help = (
        "Wrap all stored secrets with the first key of FIELD_ENCRYPTION_KEYS. Put the new key first and keep "
        "the old ones until this command reports that nothing is left under them. The site may run meanwhile."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        ring = key_ring()
        report = rotate_credentials(actor="system:rotate_credentials")
        self.stdout.write(f"Moved to key {ring.active_id}: {report.rewrapped}")
        for key_id in ring.key_ids:
            self.stdout.write(f"Values under key {key_id}: {report.remaining.get(key_id, 0)}")
        strays = {key: count for key, count in report.remaining.items() if key not in ring.key_ids}
        if report.unreadable or strays:
            listed = (
                ", ".join(f"{count} under {key}" for key, count in sorted(strays.items())) or "changed values"
            )
            raise CommandError(
                f"{report.unreadable} values could not be read ({listed}). Add the missing key to the "
                "ring, or have their owners link again."
            )
        self.stdout.write("Every key but the first can be taken out of FIELD_ENCRYPTION_KEYS.")
