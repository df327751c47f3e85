"""People, what they agreed to, their keys, and the records that every app writes to."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.utils import timezone


class UserManager(BaseUserManager["User"]):
    """Creates users by e-mail address, compared without regard to case."""

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)

    def create_user(self, email: str, password: str | None = None, **extra: Any) -> "User":
        if not email:
            raise ValueError("A user needs an e-mail address.")
        user = self.model(email=self.normalize_email(email).lower(), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, role=Role.ADMIN, **extra)


class Role(models.TextChoices):
    """What a person may do beyond their own data. Support reads; risk admins set limits and halts."""

    USER = "user", "User"
    SUPPORT = "support", "Support (read only)"
    RISK_ADMIN = "risk_admin", "Risk admin"
    ADMIN = "admin", "Admin"


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in with an e-mail address."""

    email = models.EmailField(unique=True)
    display_name = models.CharField(max_length=80, blank=True)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.USER)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    time_zone = models.CharField(max_length=64, default="America/New_York")
    date_joined = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.email

    def get_full_name(self) -> str:
        return self.display_name or self.email

    def get_short_name(self) -> str:
        return self.display_name or self.email.split("@")[0]


class Disclosure(models.Model):
    """One version of a text that users must accept. A new version asks everybody again."""

    kind = models.CharField(max_length=40, help_text="Stable name, such as risk or extended_hours.")
    version = models.PositiveIntegerField()
    title = models.CharField(max_length=120)
    body = models.TextField(help_text="Plain text; blank lines separate paragraphs.")
    required_for = models.CharField(
        max_length=16,
        choices=[
            ("trading", "Any trading"),
            ("live", "Live trading"),
            ("extended", "Extended hours"),
            ("none", "Reading"),
        ],
        default="trading",
    )
    published_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "version"], name="disclosure_kind_version")]
        ordering = ["kind", "-version"]

    def __str__(self) -> str:
        return f"{self.title} v{self.version}"


class DisclosureAcceptance(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="disclosure_acceptances")
    disclosure = models.ForeignKey(Disclosure, on_delete=models.PROTECT, related_name="acceptances")
    accepted_at = models.DateTimeField(default=timezone.now)
    ip_address = models.GenericIPAddressField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "disclosure"], name="acceptance_once")]

    def __str__(self) -> str:
        return f"{self.user} accepted {self.disclosure}"


class ApiKey(models.Model):
    """A bearer key for the API. Only its SHA-256 is stored; the prefix helps people tell keys apart."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=16)
    key_hash = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class AuditEntry(models.Model):
    """Who did what to which object. Append-only, written in the transaction that did it."""

    at = models.DateTimeField(default=timezone.now)
    actor = models.CharField(max_length=254)
    action = models.CharField(max_length=64)
    object_type = models.CharField(max_length=40)
    object_id = models.CharField(max_length=64)
    data = models.JSONField(default=dict)

    class Meta:
        indexes = [models.Index(fields=["object_type", "object_id"], name="audit_object")]
        ordering = ["-id"]
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.action} {self.object_type} {self.object_id}"


class EventCursor(models.Model):
    """Last event id given to a user. Its row lock makes ids follow commit order, so a resume never skips."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="event_cursor")
    last_sequence = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.user} at {self.last_sequence}"


class UserEvent(models.Model):
    """One live update for one user's pages and API clients."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="events")
    sequence = models.BigIntegerField()
    kind = models.CharField(max_length=40)
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "sequence"], name="event_user_sequence")]
        indexes = [models.Index(fields=["created_at"], name="event_created")]

    def __str__(self) -> str:
        return f"{self.kind} #{self.sequence}"


class ProcessHeartbeat(models.Model):
    """Sign of life of one process kind and instance, for health pages and the supervisor."""

    name = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=24)
    build_id = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()
    detail = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.name
