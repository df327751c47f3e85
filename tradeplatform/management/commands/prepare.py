"""Brings the database up to date and fills in what every installation needs."""

from typing import Any

from django.core.management.base import BaseCommand

from tradeplatform.services.prepare import prepare_installation


class Command(BaseCommand):
    help = "Migrate if needed, then create missing roles, plans, disclosures and (in demo mode) demo people."

    def handle(self, *args: Any, **options: Any) -> None:
        for line in prepare_installation():
            self.stdout.write(line)
