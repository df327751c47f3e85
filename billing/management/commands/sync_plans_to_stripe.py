"""Brings the plans to Stripe as products and prices."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.services.catalogue import sync_plans_to_stripe
from tradeplatform.common.exceptions import PlatformError


class Command(BaseCommand):
    help = "Make products, prices and the customer portal at Stripe equal to the plans. Safe to run again."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = sync_plans_to_stripe()
        except PlatformError as error:
            raise CommandError(error.message) from error
        for line in done or ["Nothing to do: Stripe has the plans as they are."]:
            self.stdout.write(line)
