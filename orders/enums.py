"""Order words: statuses, the sets they fall into, and where an order came from."""

from django.db import models


class OrderStatus(models.TextChoices):
    # local
    PENDING_APPROVAL = "pending_approval", "Waiting for approval"
    QUEUED = "queued", "Queued"
    # in flight
    SUBMITTING = "submitting", "Submitting"
    UNCONFIRMED = "unconfirmed", "Unconfirmed"
    PENDING_CANCEL = "pending_cancel", "Cancel pending"
    PENDING_REPLACE = "pending_replace", "Replace pending"
    # open
    ACCEPTED = "accepted", "Accepted"
    PARTIALLY_FILLED = "partially_filled", "Partially filled"
    # closed
    DENIED = "denied", "Denied"
    NOT_SENT = "not_sent", "Not sent"
    REJECTED = "rejected", "Rejected"
    FILLED = "filled", "Filled"
    CANCELED = "canceled", "Canceled"
    EXPIRED = "expired", "Expired"


LOCAL = frozenset({OrderStatus.PENDING_APPROVAL, OrderStatus.QUEUED})
IN_FLIGHT = frozenset(
    {
        OrderStatus.SUBMITTING,
        OrderStatus.UNCONFIRMED,
        OrderStatus.PENDING_CANCEL,
        OrderStatus.PENDING_REPLACE,
    }
)
OPEN = frozenset({OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED})
CLOSED = frozenset(
    {
        OrderStatus.DENIED,
        OrderStatus.NOT_SENT,
        OrderStatus.REJECTED,
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.EXPIRED,
    }
)
UNFINISHED = LOCAL | IN_FLIGHT | OPEN


class ApprovalStatus(models.TextChoices):
    PENDING = "pending", "Waiting"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    EXPIRED = "expired", "Expired"
    VOID = "void", "Withdrawn"


class OrderOrigin(models.TextChoices):
    PAGE = "page", "Website"
    API = "api", "API"
    LEG = "leg", "Exit of another order"
    EXTERNAL = "external", "Placed outside this platform"


class LegRole(models.TextChoices):
    NONE = "", "None"
    TAKE_PROFIT = "take_profit", "Take profit"
    STOP_LOSS = "stop_loss", "Stop loss"


class OutboxKind(models.TextChoices):
    SUBMIT = "submit", "Submit"
    CANCEL = "cancel", "Cancel"
    REPLACE = "replace", "Replace"


class OutboxStatus(models.TextChoices):
    READY = "ready", "Ready"
    CLAIMED = "claimed", "Claimed"
    UNKNOWN = "unknown", "Outcome unknown"
    DONE = "done", "Done"
    DROPPED = "dropped", "Dropped"
