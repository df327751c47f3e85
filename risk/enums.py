"""Levels of limits and halts. No ORM here, so rules may read them."""

from django.db import models


class LimitScope(models.TextChoices):
    """Levels that stack; the tightest wins and lower levels only tighten."""

    PLATFORM = "platform", "Platform"
    BROKER = "broker", "Broker"
    PLAN = "plan", "Plan"
    USER = "user", "User"
    ACCOUNT = "account", "Account"
    SYMBOL = "symbol", "Symbol"


class HaltScope(models.TextChoices):
    PLATFORM = "platform", "Platform"
    BROKER = "broker", "Broker"
    USER = "user", "User"
    ACCOUNT = "account", "Account"


class HaltKind(models.TextChoices):
    HALTED = "halted", "Nothing new is sent"
    REDUCE_ONLY = "reduce_only", "Only reducing orders"
