"""Words of the book, shared by models and pure code."""

from django.db import models


class PortfolioKind(models.TextChoices):
    LINKED = "linked", "Brokerage account"
    IMPORTED = "imported", "Imported history"


class EntryKind(models.TextChoices):
    OPENING_CASH = "opening_cash", "Opening cash"
    OPENING_LOT = "opening_lot", "Opening position"
    FILL = "fill", "Fill"
    BUST = "bust", "Busted fill"
    FEE = "fee", "Fee"
    DIVIDEND = "dividend", "Dividend"
    INTEREST = "interest", "Interest"
    TRANSFER = "transfer", "Transfer"
    SPLIT = "split", "Split"
    CORRECTION = "correction", "Correction"


class BreakStatus(models.TextChoices):
    SEEN = "seen", "Seen once"
    OPEN = "open", "Open"
    RESOLVED = "resolved", "Resolved"


class ImportStatus(models.TextChoices):
    PREVIEWED = "previewed", "Previewed"
    APPLIED = "applied", "Imported"
    UNDONE = "undone", "Undone"


class BreakChoice(models.TextChoices):
    """What a person can do about a difference. None of them trades."""

    EXPLAIN = "explain", "Write an explanation"
    CLOSE = "close", "Close it with a reason"
    CLOSE_CAUSE = "close_cause", "Close all days of this cause with a reason"
    ADOPT = "adopt", "Adopt the broker's value"
