"""Writes docs/reconciliation-drifts.md, or checks that it says what the code does."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from portfolios.documentation import render_drift_docs


class Command(BaseCommand):
    help = "Write the page of kinds of drift from the code."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="Fail if the page is out of date.")
        parser.add_argument("--path", default=str(settings.BASE_DIR / "docs" / "reconciliation-drifts.md"))

    def handle(self, *args: Any, **options: Any) -> None:
        path, page = Path(options["path"]), render_drift_docs()
        if not options["check"]:
            path.write_text(page, encoding="utf-8")
            self.stdout.write(f"Wrote {path}.")
            return
        if not path.is_file() or path.read_text(encoding="utf-8") != page:
            raise CommandError(f"{path} is out of date; run manage.py write_drift_docs.")
        self.stdout.write(f"{path} is up to date.")
