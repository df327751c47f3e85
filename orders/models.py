"""Orders, the outbox that sends them, their executions and their journal."""

import uuid
from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from brokers.enums import OrderClass, OrderType, Side, TimeInForce
from brokers.models import BrokerAccount
from orders.enums import (
    CLOSED,
    UNFINISHED,
    ApprovalStatus,
    LegRole,
    OrderOrigin,
    OrderStatus,
    OutboxKind,
    OutboxStatus,
)
from tradeplatform.common.fields import MoneyField, PriceField, QuantityField
from tradeplatform.common.ids import new_id


class Order(models.Model):
    """What we were asked to do, and how far it got. One order stays one row through all replaces.

    `cum_qty` and `avg_px` are computed from unique executions. `reserved_cash` and `reserved_qty` hold
    back what the order may still use.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="orders")
    account = models.ForeignKey(BrokerAccount, on_delete=models.PROTECT, related_name="orders")
    client_order_id = models.CharField(max_length=64)
    broker_order_id = models.CharField(max_length=64, blank=True)
    symbol = models.CharField(max_length=32)
    side = models.CharField(max_length=4, choices=Side.choices)
    order_type = models.CharField(max_length=16, choices=OrderType.choices)
    time_in_force = models.CharField(max_length=4, choices=TimeInForce.choices)
    quantity = QuantityField(null=True, blank=True)
    notional = MoneyField(null=True, blank=True)
    limit_price = PriceField(null=True, blank=True)
    stop_price = PriceField(null=True, blank=True)
    trail_amount = PriceField(null=True, blank=True)
    trail_percent = PriceField(null=True, blank=True)
    extended_hours = models.BooleanField(default=False)
    order_class = models.CharField(max_length=8, choices=OrderClass.choices, default=OrderClass.SIMPLE)
    take_profit_limit_price = PriceField(null=True, blank=True)
    stop_loss_stop_price = PriceField(null=True, blank=True)
    stop_loss_limit_price = PriceField(null=True, blank=True)
    note = models.CharField(max_length=200, blank=True)
    origin = models.CharField(max_length=10, choices=OrderOrigin.choices)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="legs")
    leg_role = models.CharField(max_length=12, choices=LegRole.choices, blank=True, default="")
    order_hash = models.CharField(max_length=64, blank=True)
    decision_id = models.UUIDField(null=True, blank=True)
    status = models.CharField(max_length=20, choices=OrderStatus.choices)
    cum_qty = QuantityField(default=0)
    avg_px = PriceField(null=True, blank=True)
    is_exit = models.BooleanField(default=False, help_text="Only reduced a position when it was placed.")
    reserved_cash = MoneyField(default=0)
    reserved_qty = QuantityField(default=0)
    reject_code = models.CharField(max_length=40, blank=True)
    reject_reason = models.CharField(max_length=300, blank=True)
    confirmed_codes = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="After this the intent is not sent.")
    submitted_at = models.DateTimeField(null=True, blank=True)
    accepted_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    needs_person_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["account", "client_order_id"], name="client_order_id_once"),
            models.UniqueConstraint(
                fields=["account", "broker_order_id"],
                condition=~Q(broker_order_id=""),
                name="broker_order_id_once",
            ),
            models.CheckConstraint(
                condition=Q(quantity__isnull=True) | Q(quantity__gt=0), name="order_quantity_positive"
            ),
            models.CheckConstraint(
                condition=Q(notional__isnull=True) | Q(notional__gt=0), name="order_notional_positive"
            ),
            models.CheckConstraint(condition=Q(cum_qty__gte=0), name="order_cum_qty_not_negative"),
        ]
        indexes = [
            models.Index(fields=["user", "-created_at"], name="order_user_created"),
            models.Index(fields=["account", "-created_at"], name="order_account_created"),
            models.Index(fields=["account", "closed_at"], name="order_account_closed"),
            # What staff look at: the newest orders of everybody.
            models.Index(fields=["created_at"], name="order_created"),
            models.Index(
                fields=["account", "symbol"],
                condition=Q(status__in=sorted(UNFINISHED)),
                name="order_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity or self.notional} {self.symbol} ({self.status})"

    @property
    def leaves_qty(self) -> Decimal | None:
        """Shares that may still fill: zero once closed, unknown (None) while a notional order is open."""
        if self.status in CLOSED:
            return Decimal(0)
        return None if self.quantity is None else max(self.quantity - self.cum_qty, Decimal(0))

    @property
    def is_closed(self) -> bool:
        return self.status in CLOSED


class OrderAlias(models.Model):
    """Every id under which an order is or was known at the broker; replaces add new ones."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="aliases")
    account = models.ForeignKey(BrokerAccount, on_delete=models.PROTECT)
    broker_order_id = models.CharField(max_length=64, blank=True)
    client_order_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "broker_order_id"],
                condition=~Q(broker_order_id=""),
                name="alias_broker_id_once",
            ),
            models.UniqueConstraint(
                fields=["account", "client_order_id"],
                condition=~Q(client_order_id=""),
                name="alias_client_id_once",
            ),
        ]
        verbose_name_plural = "order aliases"

    def __str__(self) -> str:
        return self.broker_order_id or self.client_order_id


class Approval(models.Model):
    """A request to the order's owner to approve exactly one hash, and how it ended. It ends once.

    `reference_price` is what the order would have met when it was asked for; None without a price feed.
    `decision_id` is the gate's decision that asked.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="approvals")
    order_hash = models.CharField(max_length=64)
    decision_id = models.UUIDField()
    requested_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    reference_price = PriceField(null=True, blank=True)
    status = models.CharField(max_length=8, choices=ApprovalStatus.choices, default=ApprovalStatus.PENDING)
    decided_by = models.CharField(max_length=254, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-requested_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["order_hash"], condition=Q(status="pending"), name="one_open_approval_per_hash"
            )
        ]
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(status="pending"), name="approval_pending")
        ]

    def __str__(self) -> str:
        return f"approval of {self.order_id} ({self.status})"


class OutboxMessage(models.Model):
    """One thing to tell a broker. Claimed by a conditional update with a lease and a fence."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="outbox")
    account = models.ForeignKey(BrokerAccount, on_delete=models.PROTECT)
    kind = models.CharField(max_length=8, choices=OutboxKind.choices)
    status = models.CharField(max_length=8, choices=OutboxStatus.choices, default=OutboxStatus.READY)
    client_order_id = models.CharField(max_length=64, blank=True, help_text="New id that a replace sends.")
    order_hash = models.CharField(max_length=64, blank=True)
    decision_id = models.UUIDField(null=True, blank=True)
    changes = models.JSONField(default=dict)
    lease_owner = models.CharField(max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    fence = models.BigIntegerField(default=0)
    attempts = models.PositiveIntegerField(default=0)
    lookups = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True)
    unknown_since = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    landed_after_ms = models.PositiveIntegerField(
        null=True, blank=True, help_text="After a doubt: how long after it was sent the broker entered it."
    )
    timings = models.JSONField(default=dict, help_text="Milliseconds by stage; orders/timing.py names them.")
    problem = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["order", "kind"],
                condition=Q(status__in=["ready", "claimed", "unknown"]),
                name="one_open_message_per_kind",
            )
        ]
        indexes = [
            models.Index(fields=["not_before"], condition=Q(status="ready"), name="outbox_ready"),
            models.Index(fields=["lease_until"], condition=Q(status="claimed"), name="outbox_claimed"),
            models.Index(fields=["not_before"], condition=Q(status="unknown"), name="outbox_unknown"),
            models.Index(fields=["created_at"], condition=Q(kind="submit"), name="outbox_submitted"),
            models.Index(
                fields=["unknown_since"], condition=Q(unknown_since__isnull=False), name="outbox_doubted"
            ),
            models.Index(
                fields=["done_at"], condition=Q(landed_after_ms__isnull=False), name="outbox_landed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.order_id} ({self.status})"


class Execution(models.Model):
    """One fill at the broker, unique per account and execution id. A bust marks it, never deletes it."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="executions")
    account = models.ForeignKey(BrokerAccount, on_delete=models.PROTECT, related_name="executions")
    exec_id = models.CharField(max_length=120)
    broker_order_id = models.CharField(max_length=64, blank=True)
    broker_cum_qty = QuantityField(null=True, blank=True)
    last_qty = QuantityField()
    last_px = PriceField()
    commission = MoneyField(default=0)
    transact_time = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now)
    booked_at = models.DateTimeField(null=True, blank=True, help_text="Written to the book just then.")
    busted_at = models.DateTimeField(null=True, blank=True)
    corrected_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "exec_id"], name="execution_once"),
            models.CheckConstraint(condition=Q(last_qty__gt=0), name="execution_quantity_positive"),
        ]
        ordering = ["transact_time", "id"]
        indexes = [
            models.Index(fields=["account", "received_at"], name="execution_account_received"),
            models.Index(fields=["transact_time"], name="execution_time"),
        ]

    def __str__(self) -> str:
        return f"{self.last_qty} @ {self.last_px}"


class OrderEvent(models.Model):
    """Journal of an order, append-only: every change of status and every fact, with who and when."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="journal")
    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=40)
    from_status = models.CharField(max_length=20, blank=True)
    to_status = models.CharField(max_length=20, blank=True)
    actor = models.CharField(max_length=254)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.to_status}"


class IdempotencyRecord(models.Model):
    """A caller's key with the hash of what it asked and the answer it got, denials included."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    key = models.CharField(max_length=128)
    body_hash = models.CharField(max_length=64)
    response_status = models.PositiveSmallIntegerField(null=True, blank=True)
    response_body = models.JSONField(null=True, blank=True)
    order = models.ForeignKey(Order, null=True, blank=True, on_delete=models.CASCADE)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return self.key


class OrderDefaults(models.Model):
    """What a user's ticket starts with."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="order_defaults"
    )
    account = models.ForeignKey(BrokerAccount, null=True, blank=True, on_delete=models.SET_NULL)
    order_type = models.CharField(max_length=16, choices=OrderType.choices, default=OrderType.MARKET)
    time_in_force = models.CharField(max_length=4, choices=TimeInForce.choices, default=TimeInForce.DAY)
    extended_hours = models.BooleanField(default=False)

    class Meta:
        verbose_name_plural = "order defaults"

    def __str__(self) -> str:
        return f"defaults of {self.user}"
