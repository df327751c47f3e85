"""Sets one risk limit as a new version."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from brokers.models import BrokerAccount
from risk.services.limits import set_limit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.models import Role, User


class Command(BaseCommand):
    help = "Set a limit for the platform, a user or an account. Tighter values hold at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("scope", help="platform, user:EMAIL or account:ID")
        parser.add_argument("name", help="Such as max_position_size, max_daily_trades, orders_per_minute.")
        parser.add_argument("value")
        parser.add_argument("--reason", required=True)
        parser.add_argument("--author", help="E-mail of the risk admin; the first admin if left out.")

    def handle(self, *args: Any, **options: Any) -> None:
        scope, key = self._read_scope(options["scope"])
        try:
            limit = set_limit(
                scope=scope,
                scope_key=key,
                name=options["name"],
                value=options["value"],
                author=self._author(options["author"]),
                reason=options["reason"],
                immediate=settings.DEMO_MODE,
            )
        except PlatformError as error:
            raise CommandError(error.message) from None
        when = "now" if limit.effective_at <= utc_now() else f"from {limit.effective_at:%Y-%m-%d %H:%M} UTC"
        self.stdout.write(f"{limit.name} = {limit.value} (version {limit.version}), effective {when}.")

    @staticmethod
    def _read_scope(text: str) -> tuple[str, str]:
        kind, _, name = text.partition(":")
        if kind == "platform" and not name:
            return "platform", ""
        if kind == "user":
            user = User.objects.filter(email__iexact=name).first()
            if user is None:
                raise CommandError(f"There is no account for {name}.")
            return "user", str(user.pk)
        if kind == "account":
            if not BrokerAccount.objects.filter(pk=name).exists():
                raise CommandError(f"There is no brokerage account {name}.")
            return "account", name
        raise CommandError("Give platform, user:EMAIL or account:ID.")

    @staticmethod
    def _author(email: str | None) -> User:
        people = User.objects.filter(role__in=[Role.ADMIN, Role.RISK_ADMIN], is_active=True).order_by("pk")
        author = people.filter(email__iexact=email).first() if email else people.first()
        if author is None:
            raise CommandError("A limit needs an author: create an admin, or name one with --author.")
        return author
