"""Limits with their versions, halts, and the record of every decision."""

import uuid
from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q
from django.utils import timezone

from risk.enums import HaltKind, HaltScope, LimitScope


class RiskLimit(models.Model):
    """One version of one limit. The newest effective version of a (scope, scope_key, name) counts.

    `scope_key` is empty for the platform, else the broker key, plan key, user id, account id or symbol.
    `value` is the decimal as text ("0.20" is 20 %), or "on"/"off" for switches.
    """

    scope = models.CharField(max_length=12, choices=LimitScope.choices)
    scope_key = models.CharField(max_length=64, blank=True)
    name = models.CharField(max_length=40)
    value = models.CharField(max_length=40)
    version = models.PositiveIntegerField()
    author = models.CharField(max_length=254)
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now)
    effective_at = models.DateTimeField(default=timezone.now)
    approved_by = models.CharField(max_length=254, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["scope", "scope_key", "name", "version"], name="limit_version_once"
            )
        ]
        indexes = [models.Index(fields=["scope", "scope_key", "name", "-version"], name="limit_lookup")]
        ordering = ["scope", "scope_key", "name", "-version"]

    def __str__(self) -> str:
        return f"{self.name} = {self.value} ({self.scope} {self.scope_key} v{self.version})"


class TradingHalt(models.Model):
    """A latched stop. It ends only when somebody lifts it; cancels and exits pass through all of them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    scope = models.CharField(max_length=12, choices=HaltScope.choices)
    scope_key = models.CharField(max_length=64, blank=True)
    kind = models.CharField(max_length=12, choices=HaltKind.choices, default=HaltKind.HALTED)
    reason = models.CharField(max_length=200)
    started_by = models.CharField(max_length=254)
    started_at = models.DateTimeField(default=timezone.now)
    cancel_open = models.BooleanField(default=False)
    cancels_requested_at = models.DateTimeField(null=True, blank=True)
    lifted_by = models.CharField(max_length=254, blank=True)
    lifted_at = models.DateTimeField(null=True, blank=True)
    lift_reason = models.CharField(max_length=200, blank=True)
    measured_at = models.DateTimeField(null=True, blank=True)
    in_flight = models.PositiveIntegerField(
        null=True, blank=True, help_text="Orders on their way to a broker when the halt was made."
    )
    last_send_at = models.DateTimeField(
        null=True, blank=True, help_text="When the last order that the halt covers began to leave."
    )
    last_byte_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When the broker had answered the last of them, or its time-out was over: "
        "no byte left later.",
    )
    late_sends = models.PositiveIntegerField(
        default=0, help_text="Orders that left more than a second after the halt. Any is an incident."
    )

    class Meta:
        ordering = ["-started_at"]
        indexes = [
            models.Index(fields=["scope", "scope_key"], condition=Q(lifted_at=None), name="halt_active")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.scope} {self.scope_key}"

    @property
    def press_to_last_send(self) -> timedelta | None:
        """How long after the halt an order it covers still began to leave; zero if none did.

        None until it is measured.
        """
        return self._after_press(self.last_send_at)

    @property
    def press_to_last_byte(self) -> timedelta | None:
        """How long after the halt bytes of an order it covers can have left at most; zero if none can.

        The orders on their way at that moment count until their answers. None until it is measured.
        """
        return self._after_press(self.last_byte_at)

    def _after_press(self, moment: datetime | None) -> timedelta | None:
        if self.measured_at is None:
            return None
        return max(timedelta(0), (moment or self.started_at) - self.started_at)


class RiskDecisionRecord(models.Model):
    """One run of the gate with everything it saw, so that it can be replayed bit for bit."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user_id = models.BigIntegerField()
    account_id = models.UUIDField()
    client_order_id = models.CharField(max_length=64, blank=True)
    order_hash = models.CharField(max_length=64)
    purpose = models.CharField(max_length=12)
    verdict = models.CharField(max_length=20)
    findings = models.JSONField()
    checks = models.JSONField(help_text="Every rule that ran with its outcome, value and limit.")
    context = models.JSONField(help_text="The whole input.")
    limits = models.JSONField(help_text="Each limit used, with scope and version.")
    confirmed = models.JSONField(default=list)
    engine_version = models.CharField(max_length=16)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["account_id", "-created_at"], name="decision_account")]

    def __str__(self) -> str:
        return f"{self.verdict} for {self.client_order_id or 'preview'}"
