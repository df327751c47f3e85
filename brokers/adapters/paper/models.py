"""The practice broker's own book. It plays the role of a broker, so it knows nothing of our orders."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from brokers.enums import BrokerOrderStatus, OrderClass, OrderType, Session, Side, TimeInForce
from tradeplatform.common.fields import MoneyField, PriceField, QuantityField

OPEN_STATUSES = (BrokerOrderStatus.OPEN, BrokerOrderStatus.PARTIALLY_FILLED)
LIVE_STATUSES = (*OPEN_STATUSES, BrokerOrderStatus.HELD)


class ExitRole(models.TextChoices):
    ENTRY = "", "Entry"
    TAKE_PROFIT = "take_profit", "Take profit"
    STOP_LOSS = "stop_loss", "Stop loss"


class PracticeBook(models.Model):
    """A practice account as its broker keeps it: a cash account. The row is the lock of the whole book.

    `session` and `session_date` are the last market phase that its resting orders have lived through.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="practice_books"
    )
    currency = models.CharField(max_length=3, default="USD")
    starting_cash = MoneyField()
    cash = MoneyField()
    last_equity = MoneyField(help_text="Equity when the trade date last rolled.")
    last_equity_date = models.DateField(null=True)
    session = models.CharField(max_length=12, choices=Session.choices, default=Session.CLOSED)
    session_date = models.DateField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"practice account of {self.user}"

    @property
    def number(self) -> str:
        """Return the account number that people see."""
        return f"PRACTICE-{self.pk.hex[:8].upper()}"


class PracticePosition(models.Model):
    """Shares held; a row goes when the last share does."""

    book = models.ForeignKey(PracticeBook, on_delete=models.CASCADE, related_name="positions")
    symbol = models.CharField(max_length=32)
    quantity = QuantityField()
    avg_price = PriceField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["book", "symbol"], name="practice_position_once")]

    def __str__(self) -> str:
        return f"{self.quantity} {self.symbol}"


class PracticeOrder(models.Model):
    """An order at the practice broker. A client order id is used once per book, for ever.

    `root` ties the exits of a bracket, OCO or OTO to the order they came with. `reserve_price` is what one
    share of a buy holds back of the buying power. `filled_quote_at` is the time of the quote that the last
    fill came from: the same quote is not filled against twice.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    sequence = models.PositiveBigIntegerField(default=0, help_text="Order of arrival within the book.")
    book = models.ForeignKey(PracticeBook, on_delete=models.CASCADE, related_name="orders")
    root = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="legs")
    role = models.CharField(max_length=12, choices=ExitRole.choices, blank=True, default="")
    client_order_id = models.CharField(max_length=128)
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=4, choices=Side.choices)
    order_type = models.CharField(max_length=16, choices=OrderType.choices)
    time_in_force = models.CharField(max_length=4, choices=TimeInForce.choices)
    order_class = models.CharField(max_length=8, choices=OrderClass.choices, default=OrderClass.SIMPLE)
    status = models.CharField(max_length=20, choices=BrokerOrderStatus.choices)
    quantity = QuantityField(null=True)
    notional = MoneyField(null=True)
    limit_price = PriceField(null=True)
    stop_price = PriceField(null=True)
    trail_amount = PriceField(null=True)
    trail_percent = PriceField(null=True)
    high_water_mark = PriceField(null=True)
    collar = PriceField(null=True)
    triggered = models.BooleanField(default=False)
    extended_hours = models.BooleanField(default=False)
    reserve_price = PriceField(null=True)
    cum_qty = QuantityField(default=0)
    avg_px = PriceField(null=True)
    filled_quote_at = models.DateTimeField(null=True)
    replaces = models.CharField(max_length=36, blank=True)
    replaced_by = models.CharField(max_length=36, blank=True)
    end_reason = models.CharField(max_length=200, blank=True)
    submitted_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["sequence"]
        constraints = [
            models.UniqueConstraint(fields=["book", "client_order_id"], name="practice_client_id_once")
        ]
        indexes = [
            models.Index(
                fields=["book"], condition=models.Q(status__in=LIVE_STATUSES), name="practice_order_live"
            )
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity or self.notional} {self.symbol} ({self.status})"


class PracticeExecution(models.Model):
    """One fill. Practice trading costs no commission."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    order = models.ForeignKey(PracticeOrder, on_delete=models.CASCADE, related_name="executions")
    book = models.ForeignKey(PracticeBook, on_delete=models.CASCADE, related_name="executions")
    last_qty = QuantityField()
    last_px = PriceField()
    cum_qty = QuantityField()
    executed_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["book", "executed_at"], name="practice_execution_time")]

    def __str__(self) -> str:
        return f"{self.last_qty} @ {self.last_px}"


class PracticeEvent(models.Model):
    """What the practice broker's event stream says, in the order in which it happened within a book."""

    book = models.ForeignKey(PracticeBook, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=20)
    payload = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["created_at"], name="practice_event_time")]

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"
