"""Compares every subscription with Stripe's own record."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.services.comparison import compare_with_stripe
from tradeplatform.common.exceptions import PlatformError


class Command(BaseCommand):
    help = "Compare all subscriptions with Stripe and take over its side. The admin keeps the differences."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = compare_with_stripe()
        except PlatformError as error:
            raise CommandError(error.message) from error
        for one in found:
            self.stdout.write(
                f"{one.subject} {one.field}: {one.ours or 'empty'} here, {one.theirs} at Stripe"
            )
        self.stdout.write(f"{len(found)} differences.")
