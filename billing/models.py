"""Plans as data, who has which, and what Stripe says about those who pay."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone


class Plan(models.Model):
    """A flat-fee plan. Entitlements are data, so an admin edits them without a deploy.

    `entitlements` maps a feature name (see billing.entitlements.Feature) to true, false or a number. Of two
    plans the one with the higher `position` gives more.
    """

    key = models.SlugField(max_length=24, unique=True)
    name = models.CharField(max_length=40)
    tagline = models.CharField(max_length=140, blank=True)
    monthly_price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    yearly_price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    currency = models.CharField(max_length=3, default="USD")
    trial_days = models.PositiveSmallIntegerField(default=0)
    entitlements = models.JSONField(default=dict)
    feature_lines = models.JSONField(default=list, help_text="Sentences shown on the pricing page.")
    is_default = models.BooleanField(default=False)
    is_public = models.BooleanField(default=True)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=models.Q(is_default=True), name="one_default_plan"
            )
        ]

    def __str__(self) -> str:
        return self.name


class PlanGrant(models.Model):
    """A plan given to a user by an admin, with a reason and an optional end. It wins while it runs."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="plan_grants")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="grants")
    reason = models.CharField(max_length=200)
    granted_by = models.CharField(max_length=254)
    starts_at = models.DateTimeField(default=timezone.now)
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-starts_at"]

    def __str__(self) -> str:
        return f"{self.user}: {self.plan}"


class Customer(models.Model):
    """A person as Stripe knows them. Card data never comes here: it stays at Stripe.

    `fetch_started` numbers the looks at Stripe, `fetch_stored` is the newest one stored: an older look that
    arrives later changes nothing. `reference` makes the creation at Stripe repeatable.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="billing_customer"
    )
    reference = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    stripe_id = models.CharField(max_length=64, unique=True, null=True)
    fetch_started = models.PositiveIntegerField(default=0)
    fetch_stored = models.PositiveIntegerField(default=0)
    synced_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return str(self.user)


class Subscription(models.Model):
    """One subscription as Stripe last told it. `stage` is what it amounts to (billing.life_cycle.Stage)."""

    class Interval(models.TextChoices):
        MONTH = "month", "Monthly"
        YEAR = "year", "Yearly"

    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, related_name="subscriptions")
    stripe_id = models.CharField(max_length=64, unique=True)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, null=True, related_name="subscriptions")
    price_id = models.CharField(max_length=64, blank=True)
    interval = models.CharField(max_length=8, blank=True)
    amount = models.DecimalField(max_digits=10, decimal_places=2, default=0)
    currency = models.CharField(max_length=3, blank=True)
    status = models.CharField(max_length=24, help_text="Stripe's own word.")
    stage = models.CharField(max_length=12, blank=True)
    current_period_end = models.DateTimeField(null=True)
    trial_end = models.DateTimeField(null=True)
    ends_at = models.DateTimeField(null=True, help_text="When it ends by a cancellation that is on record.")
    ended_at = models.DateTimeField(null=True)
    past_due_since = models.DateTimeField(null=True)
    ended_by_failed_payment = models.BooleanField(default=False)
    is_refunded = models.BooleanField(default=False)
    is_disputed = models.BooleanField(default=False)
    latest_invoice_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    synced_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.customer}: {self.plan or 'unknown plan'}"


class StripeEvent(models.Model):
    """A signed event, stored once by Stripe's id before anything is done about it.

    It is a hint and holds no more than names the object: what counts is read from Stripe again.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        DONE = "done", "Done"
        IGNORED = "ignored", "Not about us"
        FAILED = "failed", "Failed, will be tried again"
        GIVEN_UP = "given_up", "Given up"

    event_id = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=80)
    object_id = models.CharField(max_length=64, blank=True)
    customer_stripe_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(help_text="Stripe's time.")
    received_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-received_at"]
        indexes = [models.Index(fields=["state", "next_try_at"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.event_id}"


class StripeDifference(models.Model):
    """A difference between our record and Stripe's, found by the comparison; Stripe's side was taken over."""

    subject = models.CharField(max_length=64, help_text="Stripe's id of the subscription.")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    field = models.CharField(max_length=40)
    ours = models.CharField(max_length=120, blank=True)
    theirs = models.CharField(max_length=120, blank=True)
    found_at = models.DateTimeField(default=timezone.now)
    corrected_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-found_at"]

    def __str__(self) -> str:
        return f"{self.subject}: {self.field}"


class BillingNotice(models.Model):
    """An e-mail about a plan that is owed once: `kind` and `key` name what happened."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="billing_notices"
    )
    kind = models.CharField(max_length=24)
    key = models.CharField(max_length=120)
    plan_name = models.CharField(max_length=40)
    until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["user", "kind", "key"], name="one_notice_each")]

    def __str__(self) -> str:
        return f"{self.kind} for {self.user}"
