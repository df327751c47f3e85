"""What happens before the first request: quick when there is nothing to do."""

from collections.abc import Iterator

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from billing.services import ensure_plans
from tradeplatform.common.builds import announce_build
from tradeplatform.services.demo import ensure_demo_people
from tradeplatform.services.disclosures import ensure_disclosures
from tradeplatform.services.roles import ensure_roles


def prepare_installation() -> Iterator[str]:
    """Migrate and seed; yields a line for each thing that was done. Safe to run again at any time."""
    executor = MigrationExecutor(connection)
    waiting = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if waiting:
        call_command("migrate", interactive=False, verbosity=0)
        yield f"Applied {waiting} migrations."
    announce_build()
    ensure_roles()
    if plans := ensure_plans():
        yield f"Created {plans} plans."
    if texts := ensure_disclosures():
        yield f"Published {texts} disclosures."
    if settings.DEMO_MODE and (people := ensure_demo_people()):
        yield f"Created demo logins: {', '.join(people)}."
