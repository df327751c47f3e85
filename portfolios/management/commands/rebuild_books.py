"""Compute books anew from their ledgers, or prove that they are what the ledgers say."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portfolios.models import Portfolio
from portfolios.services.rebuild import check_book, rebuild_book


class Command(BaseCommand):
    help = "Rebuild lots, positions, cash and realised P&L from the ledger. With --check only compare."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Change nothing; fail on a difference.")
        parser.add_argument("--portfolio", help="Id of one book; all books otherwise.")

    def handle(self, *args: Any, **options: Any) -> None:
        books = _find_books(options["portfolio"])
        different = 0
        for book in books:
            if not options["check"]:
                rebuild_book(book)
                continue
            problems = check_book(book)
            different += bool(problems)
            for problem in problems:
                self.stdout.write(f"{book.pk} {book.name}: {problem}")
        if different:
            raise CommandError(f"{different} of {len(books)} books differ from their ledger.")
        verb = "agree with their ledger" if options["check"] else "rebuilt"
        self.stdout.write(f"{len(books)} books {verb}.")


def _find_books(portfolio_id: str | None) -> list[Portfolio]:
    if portfolio_id is None:
        return list(Portfolio.objects.all())
    try:
        return [Portfolio.objects.get(pk=portfolio_id)]
    except (Portfolio.DoesNotExist, ValidationError):
        raise CommandError(f"There is no book with the id {portfolio_id}.") from None
