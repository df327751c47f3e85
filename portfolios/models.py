"""The book: what an account holds and why, kept as a ledger from which everything else is computed."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from brokers.models import BrokerAccount
from portfolios.enums import BreakStatus, EntryKind, ImportStatus, PortfolioKind
from tradeplatform.common.fields import MoneyField, PriceField, QuantityField


class Portfolio(models.Model):
    """A book: of one linked account, or of an imported history that belongs to no account."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="portfolios")
    account = models.OneToOneField(
        BrokerAccount, null=True, blank=True, on_delete=models.PROTECT, related_name="portfolio"
    )
    kind = models.CharField(max_length=12, choices=PortfolioKind.choices)
    name = models.CharField(max_length=80)
    currency = models.CharField(max_length=3, default="USD")
    cash = MoneyField(default=0)
    realised_pnl = MoneyField(default=0)
    opened_at = models.DateTimeField(null=True, blank=True, help_text="When the opening balances were taken.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "name"], condition=Q(kind="imported"), name="imported_name_once_per_user"
            )
        ]

    def __str__(self) -> str:
        return self.name


class LedgerEntry(models.Model):
    """One change of cash or shares with its reason. `source_key` makes booking the same fact twice one row.

    `quantity` is signed shares, `amount` the signed change of cash in the portfolio's currency.
    """

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="entries")
    kind = models.CharField(max_length=16, choices=EntryKind.choices)
    source_key = models.CharField(max_length=160)
    symbol = models.CharField(max_length=32, blank=True)
    quantity = QuantityField(default=0)
    price = PriceField(null=True, blank=True)
    amount = MoneyField(default=0)
    commission = MoneyField(default=0)
    occurred_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)
    batch = models.ForeignKey(
        "ImportBatch", null=True, blank=True, on_delete=models.CASCADE, related_name="entries"
    )
    note = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["portfolio", "source_key"], name="entry_booked_once")]
        indexes = [
            models.Index(fields=["portfolio", "occurred_at"], name="entry_portfolio_time"),
            models.Index(fields=["portfolio", "symbol", "occurred_at"], name="entry_portfolio_symbol"),
        ]
        verbose_name_plural = "ledger entries"

    def __str__(self) -> str:
        return f"{self.kind} {self.symbol} {self.quantity}"


class Lot(models.Model):
    """Shares bought (or shorted, negative) together. `remaining` falls as they are closed.

    `extra_cost` is what the remaining shares cost beyond `remaining * price`: commission, and what a split
    leaves over.
    """

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="lots")
    entry = models.ForeignKey(LedgerEntry, on_delete=models.CASCADE, related_name="lots")
    symbol = models.CharField(max_length=32)
    opened_at = models.DateTimeField()
    quantity = QuantityField()
    remaining = QuantityField()
    price = PriceField()
    extra_cost = MoneyField(default=0)

    class Meta:
        ordering = ["opened_at", "id"]
        indexes = [models.Index(fields=["portfolio", "symbol"], name="lot_portfolio_symbol")]

    def __str__(self) -> str:
        return f"{self.remaining} {self.symbol} @ {self.price}"


class LotClosure(models.Model):
    """Part of a lot that a later fill closed, with its realised profit or loss."""

    lot = models.ForeignKey(Lot, on_delete=models.CASCADE, related_name="closures")
    entry = models.ForeignKey(LedgerEntry, on_delete=models.CASCADE, related_name="closures")
    quantity = QuantityField()
    proceeds = MoneyField()
    cost = MoneyField()
    realised_pnl = MoneyField()
    closed_at = models.DateTimeField()

    class Meta:
        ordering = ["closed_at", "id"]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.lot_id}: {self.realised_pnl}"


class Position(models.Model):
    """Signed quantity of one symbol, computed from the open lots.

    `avg_price` is the mean price of the open lots. `entry_price` is the weighted entry price, which moves
    when the position grows and stays when it shrinks: many brokers show that one.
    """

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="positions")
    symbol = models.CharField(max_length=32)
    quantity = QuantityField(default=0)
    avg_price = PriceField(default=0)
    entry_price = PriceField(default=0)
    realised_pnl = MoneyField(default=0)
    market_price = PriceField(null=True, blank=True)
    previous_close = PriceField(null=True, blank=True)
    priced_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["portfolio", "symbol"], name="position_once")]
        ordering = ["symbol"]

    def __str__(self) -> str:
        return f"{self.quantity} {self.symbol}"


class EquitySnapshot(models.Model):
    """Equity at one moment. `net_flow` is money moved in or out since the snapshot before."""

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="snapshots")
    at = models.DateTimeField()
    trade_date = models.DateField()
    equity = MoneyField()
    cash = MoneyField()
    net_flow = MoneyField(default=0)
    source = models.CharField(max_length=16, default="sync")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["portfolio", "at"], name="snapshot_once")]
        indexes = [models.Index(fields=["portfolio", "trade_date"], name="snapshot_portfolio_date")]
        ordering = ["at"]

    def __str__(self) -> str:
        return f"{self.equity} at {self.at:%F %T} UTC"


class BenchmarkPrice(models.Model):
    """Daily close of a benchmark such as SPY."""

    symbol = models.CharField(max_length=32)
    date = models.DateField()
    close = PriceField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["symbol", "date"], name="benchmark_once_a_day")]
        ordering = ["date"]

    def __str__(self) -> str:
        return f"{self.symbol} {self.date} {self.close}"


class Break(models.Model):
    """A difference between our book and the broker's (or an imported file's). Never healed silently."""

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="breaks")
    kind = models.CharField(max_length=32)
    symbol = models.CharField(max_length=32, blank=True)
    subject = models.CharField(max_length=64, blank=True, help_text="The order that differs, else empty.")
    drift = models.CharField(max_length=32, blank=True, help_text="What most likely happened.")
    cause = models.CharField(max_length=300, blank=True, help_text="Why that is likely, in a sentence.")
    as_of_date = models.DateField(null=True, blank=True, help_text="Day of an imported history, else empty.")
    ours = models.CharField(max_length=80)
    theirs = models.CharField(max_length=80)
    their_price = PriceField(
        null=True, blank=True, help_text="The broker's average entry price, for adopting its quantity."
    )
    status = models.CharField(max_length=12, choices=BreakStatus.choices, default=BreakStatus.SEEN)
    times_seen = models.PositiveIntegerField(default=1)
    first_seen_at = models.DateTimeField(default=timezone.now)
    last_seen_at = models.DateTimeField(default=timezone.now)
    owner = models.CharField(max_length=254, blank=True)
    explanation = models.CharField(max_length=300, blank=True)
    resolution = models.CharField(max_length=300, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    batch = models.ForeignKey(
        "ImportBatch", null=True, blank=True, on_delete=models.CASCADE, related_name="breaks"
    )

    class Meta:
        ordering = ["-first_seen_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "kind", "symbol", "subject"],
                condition=Q(resolved_at=None, batch=None),
                name="one_unresolved_break_per_fact",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.symbol}: {self.ours} / {self.theirs}"


class ImportBatch(models.Model):
    """One import: previewed first, applied once, undone as a whole."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="imports")
    portfolio = models.ForeignKey(
        Portfolio, null=True, blank=True, on_delete=models.CASCADE, related_name="imports"
    )
    portfolio_name = models.CharField(max_length=80)
    files_hash = models.CharField(max_length=64)
    file_names = models.JSONField(default=list)
    opening_cash = MoneyField(default=0)
    status = models.CharField(max_length=12, choices=ImportStatus.choices, default=ImportStatus.PREVIEWED)
    preview = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)
    applied_at = models.DateTimeField(null=True, blank=True)
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "import batches"

    def __str__(self) -> str:
        return f"{', '.join(self.file_names)} ({self.status})"
