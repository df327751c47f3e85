"""Links a brokerage account with a key pair and prints its id."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokers.enums import Environment
from brokers.services.connections import link_with_keys
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.models import User


class Command(BaseCommand):
    help = "Link an account by key id and secret. The only line printed is the account's id."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("broker", help="Such as alpaca.")
        parser.add_argument("environment", choices=Environment.values)
        parser.add_argument("--key-id", required=True)
        parser.add_argument("--secret", required=True)
        parser.add_argument("--label", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email__iexact=options["email"]).first()
        if user is None:
            raise CommandError(f"There is no account for {options['email']}.")
        try:
            account = link_with_keys(
                user=user,
                broker=options["broker"],
                environment=Environment(options["environment"]),
                key_id=options["key_id"],
                secret=options["secret"],
                label=options["label"],
            )
        except PlatformError as error:
            raise CommandError(error.message) from None
        self.stdout.write(str(account.pk))
