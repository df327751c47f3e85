"""Creates a person with a verified e-mail address."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from billing.services import ensure_plans, grant_plan
from tradeplatform.common.audit import record_audit
from tradeplatform.common.disclosures import accept_disclosures, current_disclosures
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.models import Role, User
from tradeplatform.services.disclosures import ensure_disclosures
from tradeplatform.services.people import create_user
from tradeplatform.services.roles import ensure_roles


def _accept_current(user: User) -> None:
    """Accept the texts in force for a person that the operator sets up, and say so in the audit trail."""
    ensure_disclosures()
    texts = current_disclosures()
    accept_disclosures(user=user, disclosure_ids=[text.pk for text in texts], ip_address=None)
    record_audit(
        actor="system:command",
        action="disclosures_accepted_by_operator",
        object_type="user",
        object_id=user.pk,
        data={"texts": [str(text) for text in texts]},
    )


class Command(BaseCommand):
    help = "Create a person who can sign in at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--password", required=True)
        parser.add_argument("--plan", help="Grant this plan, such as plus or pro.")
        parser.add_argument("--admin", action="store_true", help="May do everything in the admin.")
        parser.add_argument(
            "--role", choices=Role.values, help="Another role, such as support or risk_admin."
        )

        parser.add_argument(
            "--ask-disclosures",
            action="store_true",
            help="Let the person accept the disclosures themselves before the first order. Without this the "
            "operator who runs the command accepts the current ones for them, and that is recorded.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        role = Role.ADMIN if options["admin"] else Role(options["role"] or Role.USER)
        ensure_roles()
        ensure_plans()
        try:
            with transaction.atomic():
                user = create_user(email=options["email"], password=options["password"], role=role)
                if options["plan"]:
                    grant_plan(
                        user=user,
                        plan_key=options["plan"],
                        reason="Given on the command line",
                        granted_by="system:command",
                    )
                if not options["ask_disclosures"]:
                    _accept_current(user)
        except PlatformError as error:
            raise CommandError(error.message) from None
        self.stdout.write(f"Created {user.email} ({user.get_role_display()}).")
