"""Links to brokers, the accounts behind them, the raw inbox, and what we know of instruments."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from brokers.enums import ConnectionStatus, Environment, LinkKind, StreamState
from tradeplatform.common.crypto import EncryptedTextField
from tradeplatform.common.fields import MoneyField, PriceField, QuantityField


class BrokerConnection(models.Model):
    """One person's link to one broker. Its credentials may open a paper account, a live one, or both."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="connections")
    broker = models.CharField(max_length=24)
    kind = models.CharField(max_length=16, choices=LinkKind.choices)
    status = models.CharField(
        max_length=16, choices=ConnectionStatus.choices, default=ConnectionStatus.ACTIVE
    )
    status_reason = models.CharField(max_length=200, blank=True)
    credentials = EncryptedTextField(blank=True, default="")
    linked_at = models.DateTimeField(default=timezone.now)
    last_ok_at = models.DateTimeField(null=True, blank=True)
    unlinked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-linked_at"]
        indexes = [models.Index(fields=["user", "broker"], name="connection_user_broker")]

    def __str__(self) -> str:
        return f"{self.broker} link of {self.user}"


class BrokerAccount(models.Model):
    """A brokerage account. Balances are the broker's own, as of `synced_at`; the row is the order lock."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="broker_accounts"
    )
    connection = models.ForeignKey(BrokerConnection, on_delete=models.PROTECT, related_name="accounts")
    broker = models.CharField(max_length=24)
    environment = models.CharField(max_length=8, choices=Environment.choices)
    broker_account_id = models.CharField(max_length=64)
    account_number = models.CharField(max_length=32, blank=True)
    label = models.CharField(max_length=60)
    currency = models.CharField(max_length=3, default="USD")
    is_active = models.BooleanField(default=True)
    broker_status = models.CharField(max_length=40, blank=True)
    restriction = models.CharField(max_length=200, blank=True)
    cash = MoneyField(default=0)
    equity = MoneyField(default=0)
    last_equity = MoneyField(null=True, blank=True)
    buying_power = MoneyField(default=0)
    multiplier = MoneyField(null=True, blank=True, help_text="Buying power per unit of equity; 1 is cash.")
    shorting_enabled = models.BooleanField(default=False)
    synced_at = models.DateTimeField(null=True, blank=True)
    armed_at = models.DateTimeField(
        null=True, blank=True, help_text="When its user armed it for live orders."
    )
    send_fence = models.BigIntegerField(default=0, help_text="Raised by each claim to send for this account.")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "broker", "environment", "broker_account_id"],
                condition=Q(is_active=True),
                name="account_linked_once",
            )
        ]

    def __str__(self) -> str:
        # The practice broker is called as its environment is.
        names = dict.fromkeys((self.broker, str(self.environment)))
        return f"{self.label} ({' '.join(names)})"


class StreamProcess(models.Model):
    """A running stream process. While it is alive, the streams that it holds are nobody else's.

    Its name is new at each start and whenever it was taken for dead, so an old one proves nothing.
    """

    name = models.CharField(max_length=120, primary_key=True)
    started_at = models.DateTimeField(default=timezone.now)
    alive_until = models.DateTimeField()

    class Meta:
        verbose_name_plural = "stream processes"
        ordering = ["started_at", "name"]

    def __str__(self) -> str:
        return self.name


class AccountStream(models.Model):
    """Who listens to an account, and how well. Of everything until `covered_until` we have been told."""

    account = models.OneToOneField(
        BrokerAccount, on_delete=models.CASCADE, primary_key=True, related_name="stream"
    )
    holder = models.ForeignKey(
        StreamProcess, null=True, blank=True, on_delete=models.SET_NULL, related_name="streams"
    )
    state = models.CharField(max_length=12, choices=StreamState.choices, default=StreamState.WAITING)
    since = models.DateTimeField(default=timezone.now, help_text="When it came into this state.")
    covered_until = models.DateTimeField(null=True, blank=True)
    last_event_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [models.Index(fields=["state"], name="stream_by_state")]

    def __str__(self) -> str:
        return f"{self.get_state_display()} since {self.since:%F %T} UTC"


class LinkAttempt(models.Model):
    """A started sign-in at a broker: its state is bound to one web session, single use, ten minutes."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    broker = models.CharField(max_length=24)
    environment = models.CharField(max_length=8, choices=Environment.choices, blank=True)
    state_hash = models.CharField(max_length=64, unique=True)
    session_hash = models.CharField(max_length=64)
    redirect_uri = models.URLField()
    created_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.broker} sign-in of {self.user}"


class CredentialAccess(models.Model):
    """Decryptions of a connection's credentials within one hour, by purpose and process. Users see them."""

    connection = models.ForeignKey(BrokerConnection, on_delete=models.CASCADE, related_name="accesses")
    purpose = models.CharField(max_length=60)
    process = models.CharField(max_length=40)
    hour = models.DateTimeField(help_text="Start of the hour that the decryptions fall into.")
    count = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField(default=timezone.now)
    at = models.DateTimeField(default=timezone.now, help_text="The latest of them.")

    class Meta:
        ordering = ["-at"]
        verbose_name_plural = "credential accesses"
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "purpose", "process", "hour"], name="access_once_per_hour"
            )
        ]

    def __str__(self) -> str:
        return f"{self.purpose} at {self.at:%F %T} UTC"


class BrokerEvent(models.Model):
    """A message of a broker, stored raw before anything is made of it. Unique, so a repeat is one row."""

    account = models.ForeignKey(BrokerAccount, on_delete=models.CASCADE, related_name="events")
    dedupe_key = models.CharField(max_length=160)
    kind = models.CharField(max_length=40)
    source = models.CharField(max_length=16)
    payload = models.JSONField()
    received_at = models.DateTimeField(default=timezone.now)
    applied_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "dedupe_key"], name="event_once_per_account")
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(applied_at=None), name="event_not_applied"),
            models.Index(fields=["received_at"], condition=~Q(problem=""), name="event_flagged"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.dedupe_key}"


class FlaggedEvent(BrokerEvent):
    """The messages of brokers that made no sense or could not be applied, for people to look at."""

    class Meta:
        proxy = True


class Instrument(models.Model):
    """A security as one broker lists it."""

    broker = models.CharField(max_length=24)
    symbol = models.CharField(max_length=32)
    name = models.CharField(max_length=200, blank=True)
    exchange = models.CharField(max_length=20, blank=True)
    tradable = models.BooleanField(default=False)
    fractionable = models.BooleanField(default=False)
    shortable = models.BooleanField(default=False)
    marginable = models.BooleanField(default=False)
    fractional_extended_hours = models.BooleanField(default=False)
    overnight_tradable = models.BooleanField(default=False)
    checked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["broker", "symbol"], name="instrument_once_per_broker")
        ]
        ordering = ["symbol"]

    def __str__(self) -> str:
        return self.symbol


class LatestQuote(models.Model):
    """The newest quote we have of a symbol from one broker's feed."""

    broker = models.CharField(max_length=24)
    symbol = models.CharField(max_length=32)
    bid = PriceField(null=True)
    ask = PriceField(null=True)
    bid_size = QuantityField(null=True)
    ask_size = QuantityField(null=True)
    last = PriceField(null=True)
    previous_close = PriceField(null=True)
    as_of = models.DateTimeField()
    received_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["broker", "symbol"], name="quote_once_per_broker")]

    def __str__(self) -> str:
        return f"{self.symbol} {self.bid}/{self.ask}"


class QuoteInterest(models.Model):
    """Somebody looks at this symbol: the stream service keeps its quote fresh until `wanted_until`."""

    broker = models.CharField(max_length=24)
    account = models.ForeignKey(BrokerAccount, on_delete=models.CASCADE)
    symbol = models.CharField(max_length=32)
    wanted_until = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "symbol"], name="interest_once_per_account")
        ]

    def __str__(self) -> str:
        return self.symbol


# The practice account's broker keeps its book in tables of this app; migrations find them through here.
from brokers.adapters.paper.models import (  # noqa: E402
    PracticeBook,
    PracticeEvent,
    PracticeExecution,
    PracticeOrder,
    PracticePosition,
)

__all__ = [
    "AccountStream",
    "BrokerAccount",
    "BrokerConnection",
    "BrokerEvent",
    "CredentialAccess",
    "FlaggedEvent",
    "Instrument",
    "LatestQuote",
    "LinkAttempt",
    "PracticeBook",
    "PracticeEvent",
    "PracticeExecution",
    "PracticeOrder",
    "PracticePosition",
    "QuoteInterest",
    "StreamProcess",
]
