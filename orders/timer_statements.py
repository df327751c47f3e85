"""The statements of the dispatcher's timers, asked again several times a second, compiled once.

What each means stands where it is used. `tradeplatform.common.prepared` says why they are written so.
"""

from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from brokers.models import BrokerAccount, BrokerEvent
from orders.enums import CLOSED, OPEN, UNFINISHED, ApprovalStatus, OrderStatus, OutboxKind, OutboxStatus
from orders.models import Approval, Order, OutboxMessage
from risk.models import TradingHalt
from tradeplatform.common.prepared import PreparedQuery, slot

APPROVALS_AT_ONCE = 200

_OUTBOX_TIME = {"not_before__lte": slot(OutboxMessage, "not_before", name="now")}


def _accounts_to_serve() -> QuerySet[OutboxMessage, Any]:
    """While an order is on its way, only cancels may leave. Some more than once: told apart by the database,
    it would read every row there ever was in the order of the accounts, instead of the few that are ready.
    """
    on_its_way = OutboxMessage.objects.filter(
        status=OutboxStatus.CLAIMED, account_id=OuterRef("account_id")
    ).exclude(kind=OutboxKind.CANCEL)
    ready = OutboxMessage.objects.filter(status=OutboxStatus.READY, **_OUTBOX_TIME)
    may_leave = ready.filter(Q(kind=OutboxKind.CANCEL) | ~Exists(on_its_way))
    return may_leave.order_by().values_list("account_id", flat=True)


ACCOUNTS_TO_SERVE = PreparedQuery(_accounts_to_serve)
DUE_UNKNOWNS = PreparedQuery(
    lambda: (
        OutboxMessage.objects.filter(status=OutboxStatus.UNKNOWN, **_OUTBOX_TIME)
        .order_by("not_before")
        .values_list("pk", flat=True)[:100]
    )
)
CLAIMED_ROWS = PreparedQuery(lambda: OutboxMessage.objects.filter(status=OutboxStatus.CLAIMED).order_by("id"))
# The first condition says nothing new, but is that of the index of unfinished orders.
CHANGING_ORDERS = PreparedQuery(
    lambda: (
        Order.objects.filter(status__in=sorted(UNFINISHED))
        .filter(status__in=[OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_REPLACE])
        .order_by()
        .values_list("pk", flat=True)
    )
)
_PENDING_EVENTS = BrokerEvent.objects.filter(applied_at=None).order_by().values_list("account_id", flat=True)
# Each account as often as it has events.
ACCOUNTS_WITH_NEW_EVENTS = PreparedQuery(lambda: _PENDING_EVENTS.filter(problem=""))
ACCOUNTS_WITH_TRIED_EVENTS = PreparedQuery(lambda: _PENDING_EVENTS.exclude(problem=""))
HALTS_THAT_CANCEL = PreparedQuery(
    lambda: TradingHalt.objects.filter(cancel_open=True, cancels_requested_at=None, lifted_at=None)
)
# New ones once they have settled, and those in force again after a while.
HALTS_TO_MEASURE = PreparedQuery(
    lambda: TradingHalt.objects.filter(
        Q(measured_at=None, started_at__lte=slot(TradingHalt, "started_at", name="settled"))
        | Q(lifted_at=None, measured_at__lte=slot(TradingHalt, "measured_at", name="measured"))
    )
)
APPROVALS_PAST_THEIR_TIME = PreparedQuery(
    lambda: (
        Approval.objects.select_related("order")
        .filter(status=ApprovalStatus.PENDING, expires_at__lte=slot(Approval, "expires_at", name="now"))
        .order_by("expires_at")[:APPROVALS_AT_ONCE]
    )
)
_ACTIVE_ACCOUNTS = BrokerAccount.objects.filter(is_active=True, connection__status="active").order_by()
# With whether an order of theirs is unfinished.
ACCOUNTS_TO_RECONCILE = PreparedQuery(
    lambda: _ACTIVE_ACCOUNTS.annotate(
        has_orders=Exists(Order.objects.filter(account=OuterRef("pk"), status__in=sorted(UNFINISHED)))
    ).values_list("pk", "has_orders")
)


def _accounts_to_compare() -> QuerySet[BrokerAccount, Any]:
    """An order has closed since the balances were read, or the book was never opened."""
    closed = Order.objects.filter(
        account=OuterRef("pk"), closed_at__gte=F("account__synced_at"), cum_qty__gt=0
    )
    never = Q(synced_at=None) | Q(portfolio=None) | Q(portfolio__opened_at=None)
    return _ACTIVE_ACCOUNTS.filter(never | Exists(closed)).values_list("pk", flat=True)


ACCOUNTS_TO_COMPARE = PreparedQuery(_accounts_to_compare)
_OF_ACCOUNT = {"account_id": slot(Order, "account")}
# What the broker has, or may have by now.
UNDER_WAY = PreparedQuery(
    lambda: Order.objects.filter(
        **_OF_ACCOUNT,
        status__in=sorted(UNFINISHED - {OrderStatus.PENDING_APPROVAL, OrderStatus.QUEUED}),
    ).order_by()
)
OPEN_AT_BROKER = PreparedQuery(
    lambda: (
        Order.objects.filter(**_OF_ACCOUNT, status__in=sorted(OPEN)).exclude(broker_order_id="").order_by()
    )
)
RECENTLY_CLOSED = PreparedQuery(
    lambda: (
        Order.objects.filter(
            **_OF_ACCOUNT,
            status__in=sorted(CLOSED),
            closed_at__gte=slot(Order, "closed_at", name="since"),
        )
        .exclude(broker_order_id="")
        .order_by()
        .values_list("pk", "broker_order_id", "quantity", "cum_qty")
    )
)
ACTIVE_ACCOUNT = PreparedQuery(
    lambda: (
        BrokerAccount.objects.select_related("connection")
        .filter(pk=slot(BrokerAccount, "id"), is_active=True, connection__status="active")
        .order_by()
    )
)
