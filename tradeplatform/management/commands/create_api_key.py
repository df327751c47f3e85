"""Makes an API key and prints it, once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tradeplatform.common.exceptions import PlatformError
from tradeplatform.models import User
from tradeplatform.services.api_keys import create_api_key


class Command(BaseCommand):
    help = "Make an API key for a person. The only line printed is the key."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--scopes", default="read", help="Comma-separated: read,trade:paper,trade:live")
        parser.add_argument("--name", default="command line")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(email__iexact=options["email"]).first()
        if user is None:
            raise CommandError(f"There is no account for {options['email']}.")
        scopes = [scope.strip() for scope in options["scopes"].split(",") if scope.strip()]
        try:
            _, made = create_api_key(user=user, name=options["name"], scopes=scopes, actor="system:command")
        except PlatformError as error:
            raise CommandError(error.message) from None
        self.stdout.write(made.secret)
