"""The statements that every order runs between its request and the broker's answer, compiled once.

What each means stands where it is used. `tradeplatform.common.prepared` says why they are written so.
"""

from typing import TypeVar

from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, When

from brokers.enums import Side
from brokers.models import BrokerAccount, BrokerEvent
from orders.enums import UNFINISHED, ApprovalStatus, OrderOrigin, OrderStatus, OutboxKind, OutboxStatus
from orders.journal import FACT_FIELDS, MOVED_FIELDS
from orders.models import Approval, Execution, IdempotencyRecord, Order, OrderAlias, OutboxMessage
from portfolios.models import Position
from risk.models import RiskDecisionRecord
from tradeplatform.common.prepared import PreparedQuery, PreparedUpdate, Slot, slot
from tradeplatform.models import Disclosure, DisclosureAcceptance

WAITING_EVENTS_AT_ONCE = 200

# Placing

STORED_ANSWER = PreparedQuery(
    lambda: (
        IdempotencyRecord.objects.select_related("order")
        .filter(user_id=slot(IdempotencyRecord, "user"), key=slot(IdempotencyRecord, "key"))
        .order_by()
    )
)
STORE_ANSWER = PreparedUpdate(
    lambda: IdempotencyRecord.objects.filter(pk=slot(IdempotencyRecord, "id")),
    response_status=slot(IdempotencyRecord, "response_status"),
    response_body=slot(IdempotencyRecord, "response_body"),
    order_id=slot(IdempotencyRecord, "order"),
)


def _open_or_recent() -> QuerySet[Order]:
    is_open = Q(account_id=slot(Order, "account"), status__in=sorted(UNFINISHED))
    is_recent = Q(user_id=slot(Order, "user"), created_at__gt=slot(Order, "created_at", name="since"))
    return Order.objects.filter(is_open | is_recent).order_by("-created_at").only(*_SEEN_BY_THE_GATE)


# Of orders only what the gate looks at: reading the other half took longer than deciding.
_SEEN_BY_THE_GATE = (
    "user",
    "account",
    "client_order_id",
    "symbol",
    "side",
    "order_type",
    "quantity",
    "notional",
    "limit_price",
    "stop_price",
    "order_class",
    "origin",
    "parent",
    "leg_role",
    "status",
    "cum_qty",
    "avg_px",
    "reserved_cash",
    "reserved_qty",
    "created_at",
    "submitted_at",
    "accepted_at",
)
OPEN_OR_RECENT = PreparedQuery(_open_or_recent)
# Of two hundred positions only what the gate looks at: making whole models of them took most of its time.
POSITIONS = PreparedQuery(
    lambda: (
        Position.objects.filter(portfolio__account_id=slot(Order, "account"))
        .order_by("symbol")
        .values_list("symbol", "quantity", "avg_price", "market_price")
    )
)
# Every text with whether the person has accepted that version; the newest of each kind first.
DISCLOSURES = PreparedQuery(
    lambda: (
        Disclosure.objects.order_by("kind", "-version")
        .only("kind", "title", "version", "required_for")
        .annotate(
            is_accepted=Exists(
                DisclosureAcceptance.objects.filter(
                    user_id=slot(DisclosureAcceptance, "user"), disclosure_id=OuterRef("pk")
                )
            )
        )
    )
)
BOUGHT_SINCE = PreparedQuery(
    lambda: (
        Execution.objects.filter(
            account_id=slot(Execution, "account"),
            received_at__gt=slot(Execution, "received_at", name="since"),
            busted_at=None,
            corrected_at=None,
            order__side=Side.BUY,
        )
        .order_by()
        .values_list("last_qty", "last_px")
    )
)
# `own` is an order that is not counted against itself; a nil id where there is none.
OPENED_SINCE = PreparedQuery(
    lambda: (
        Order.objects.filter(
            account_id=slot(Order, "account"),
            is_exit=False,
            created_at__gte=slot(Order, "created_at", name="since"),
        )
        .exclude(origin__in=[OrderOrigin.LEG, OrderOrigin.EXTERNAL])
        .exclude(status__in=[OrderStatus.DENIED, OrderStatus.NOT_SENT])
        .exclude(pk=slot(Order, "id", name="own"))
        .order_by()
        .values("account_id")
        .annotate(found=Count("pk"))
        .values_list("found", flat=True)
    )
)

# Sending


def _ready() -> QuerySet[OutboxMessage]:
    return OutboxMessage.objects.filter(
        account_id=slot(OutboxMessage, "account"),
        status=OutboxStatus.READY,
        not_before__lte=slot(OutboxMessage, "not_before", name="now"),
    )


READY_ROWS = PreparedQuery(
    lambda: (
        _ready()
        .order_by(Case(When(kind=OutboxKind.CANCEL, then=0), default=1), "id")
        .values_list("pk", flat=True)[:50]
    )
)
READY_CANCELS = PreparedQuery(
    lambda: _ready().filter(kind=OutboxKind.CANCEL).order_by("id").values_list("pk", flat=True)[:50]
)
ROW_TO_CLAIM = PreparedQuery(
    lambda: (
        OutboxMessage.objects.select_related("order", "account")
        .filter(pk=slot(OutboxMessage, "id"), status=OutboxStatus.READY)
        .order_by()
    )
)
LOCKED_ROW = PreparedQuery(
    lambda: (
        OutboxMessage.objects.select_for_update(no_key=True, of=("self", "order"))
        .select_related("order")
        .filter(pk=slot(OutboxMessage, "id"))
        .order_by()
    )
)


def _around() -> QuerySet[OutboxMessage, str]:
    on_its_way = Q(status=OutboxStatus.CLAIMED) & ~Q(kind=OutboxKind.CANCEL)
    just_lost = Q(
        status=OutboxStatus.UNKNOWN,
        kind=OutboxKind.SUBMIT,
        unknown_since__gt=slot(OutboxMessage, "unknown_since", name="since"),
    )
    others = OutboxMessage.objects.filter(account_id=slot(OutboxMessage, "account")).exclude(
        pk=slot(OutboxMessage, "id")
    )
    wanted = on_its_way | just_lost | _waiting_cancel(slot(OutboxMessage, "order"))
    return others.filter(wanted).order_by().values_list("kind", flat=True)


def _waiting_cancel(order_id: Slot) -> Q:
    """Return the condition of a cancel of this order that is not settled."""
    waiting = [OutboxStatus.READY, OutboxStatus.CLAIMED, OutboxStatus.UNKNOWN]
    return Q(order_id=order_id, kind=OutboxKind.CANCEL, status__in=waiting)


KINDS_AROUND = PreparedQuery(_around)
WAITING_CANCEL = PreparedQuery(
    lambda: (
        OutboxMessage.objects.filter(_waiting_cancel(slot(OutboxMessage, "order")))
        .order_by()
        .values_list("pk", flat=True)[:1]
    )
)
PUT_OFF_ROW = PreparedUpdate(
    lambda: OutboxMessage.objects.filter(pk=slot(OutboxMessage, "id")),
    not_before=slot(OutboxMessage, "not_before"),
)
# Of a decision only what the token needs: its whole input is large.
DECISION_TO_SEND = PreparedQuery(
    lambda: (
        RiskDecisionRecord.objects.filter(
            pk=slot(RiskDecisionRecord, "id"), order_hash=slot(RiskDecisionRecord, "order_hash")
        )
        .only("verdict", "purpose", "order_hash", "created_at")
        .order_by()
    )
)
GIVEN_APPROVAL = PreparedQuery(
    lambda: Approval.objects.filter(
        order_id=slot(Approval, "order"), status=ApprovalStatus.APPROVED
    ).order_by()[:1]
)
RAISE_FENCE = PreparedUpdate(
    lambda: BrokerAccount.objects.filter(pk=slot(BrokerAccount, "id")), send_fence=F("send_fence") + 1
)
TAKE_ROW = PreparedUpdate(
    lambda: OutboxMessage.objects.filter(pk=slot(OutboxMessage, "id"), status=OutboxStatus.READY),
    status=OutboxStatus.CLAIMED,
    attempts=F("attempts") + 1,
    **{
        name: slot(OutboxMessage, name)
        for name in ("lease_owner", "lease_until", "fence", "sent_at", "decision_id")
    },
)
MOVE_ORDER = PreparedUpdate(
    lambda: Order.objects.filter(pk=slot(Order, "id")), **{name: slot(Order, name) for name in MOVED_FIELDS}
)
HELD_ROW = PreparedQuery(
    lambda: (
        OutboxMessage.objects.filter(
            pk=slot(OutboxMessage, "id"),
            status=OutboxStatus.CLAIMED,
            fence=slot(OutboxMessage, "fence"),
            lease_until__gte=slot(OutboxMessage, "lease_until", name="until"),
        )
        .order_by()
        .values_list("pk", flat=True)
    )
)
# The broker's own answer about the newest copy is a fact, though the lease ran out meanwhile.
FINISH_ROW = PreparedUpdate(
    lambda: OutboxMessage.objects.filter(
        pk=slot(OutboxMessage, "id"),
        status__in=[OutboxStatus.CLAIMED, OutboxStatus.UNKNOWN],
        fence=slot(OutboxMessage, "fence"),
    ),
    status=OutboxStatus.DONE,
    **{name: slot(OutboxMessage, name) for name in ("problem", "done_at", "sent_at", "timings")},
)

# Booking

Known = TypeVar("Known", Order, OrderAlias)


def _by_broker_id(model: type[Known]) -> QuerySet[Known]:
    return model.objects.filter(
        account_id=slot(model, "account"), broker_order_id=slot(model, "broker_order_id")
    ).order_by()


SAVE_BROKER_ID = PreparedUpdate(
    lambda: Order.objects.filter(pk=slot(Order, "id")), broker_order_id=slot(Order, "broker_order_id")
)
BY_BROKER_ID = PreparedQuery(lambda: _by_broker_id(Order))
SAVE_FACTS = PreparedUpdate(
    lambda: Order.objects.filter(pk=slot(Order, "id")), **{name: slot(Order, name) for name in FACT_FIELDS}
)
EXECUTIONS = PreparedQuery(
    lambda: Execution.objects.filter(order_id=slot(Execution, "order")).order_by("transact_time", "id")
)
BY_CLIENT_ID = PreparedQuery(
    lambda: Order.objects.filter(
        account_id=slot(Order, "account"), client_order_id=slot(Order, "client_order_id")
    ).order_by()
)
ALIAS_BY_BROKER_ID = PreparedQuery(lambda: _by_broker_id(OrderAlias).select_related("order"))
ALIAS_BY_CLIENT_ID = PreparedQuery(
    lambda: (
        OrderAlias.objects.select_related("order")
        .filter(account_id=slot(OrderAlias, "account"), client_order_id=slot(OrderAlias, "client_order_id"))
        .order_by()
    )
)
# Marking first and applying then is one statement: what fails takes the mark back with it.
TAKE_EVENT = PreparedUpdate(
    lambda: BrokerEvent.objects.filter(pk=slot(BrokerEvent, "id"), applied_at=None),
    applied_at=slot(BrokerEvent, "applied_at"),
    problem=slot(BrokerEvent, "problem"),
)
FLAG_EVENT = PreparedUpdate(
    lambda: BrokerEvent.objects.filter(pk=slot(BrokerEvent, "id")),
    applied_at=slot(BrokerEvent, "applied_at"),
    problem=slot(BrokerEvent, "problem"),
)
# `after` is the id that the last page ended with.
WAITING_EVENTS = PreparedQuery(
    lambda: BrokerEvent.objects.filter(
        account_id=slot(BrokerEvent, "account"),
        applied_at=None,
        pk__gt=slot(BrokerEvent, "id", name="after"),
    ).order_by("id")[:WAITING_EVENTS_AT_ONCE]
)
NEW_WAITING_EVENT = PreparedQuery(
    lambda: (
        BrokerEvent.objects.filter(
            account_id=slot(BrokerEvent, "account"),
            applied_at=None,
            received_at__gte=slot(BrokerEvent, "received_at", name="since"),
        )
        .order_by()
        .values_list("pk", flat=True)[:1]
    )
)
ACCOUNT = PreparedQuery(lambda: BrokerAccount.objects.filter(pk=slot(BrokerAccount, "id")).order_by())
FILLS_OF_BROKER_ORDER = PreparedQuery(
    lambda: (
        Execution.objects.filter(
            account_id=slot(Execution, "account"),
            broker_order_id=slot(Execution, "broker_order_id"),
            corrected_at=None,
        )
        .order_by()
        .values_list("last_qty", flat=True)
    )
)

KNOWN_ORDER = PreparedQuery(lambda: _by_broker_id(Order).values_list("pk", flat=True)[:1])
KNOWN_ALIAS = PreparedQuery(lambda: _by_broker_id(OrderAlias).values_list("pk", flat=True)[:1])

# Doubt

UNKNOWN_ROW = PreparedQuery(
    lambda: (
        OutboxMessage.objects.select_related("order", "account", "account__connection")
        .filter(pk=slot(OutboxMessage, "id"), status=OutboxStatus.UNKNOWN)
        .order_by()
    )
)
LOOK_AGAIN_AT = PreparedUpdate(
    lambda: OutboxMessage.objects.filter(pk=slot(OutboxMessage, "id"), status=OutboxStatus.UNKNOWN),
    **{name: slot(OutboxMessage, name) for name in ("lookups", "not_before", "problem")},
)
DOUBTFUL_ROWS = PreparedQuery(
    lambda: (
        OutboxMessage.objects.select_related("order")
        .filter(
            account_id=slot(OutboxMessage, "account"),
            kind=OutboxKind.SUBMIT,
            status__in=[OutboxStatus.CLAIMED, OutboxStatus.UNKNOWN],
            order__status__in=[OrderStatus.SUBMITTING, OrderStatus.UNCONFIRMED],
            order__broker_order_id="",
        )
        .order_by("id")
    )
)
LONGEST_LANDING = PreparedQuery(
    lambda: (
        OutboxMessage.objects.filter(
            landed_after_ms__isnull=False,
            done_at__gte=slot(OutboxMessage, "done_at", name="since"),
            account__broker=slot(BrokerAccount, "broker"),
            account__environment=slot(BrokerAccount, "environment"),
        )
        .order_by("-landed_after_ms")
        .values_list("landed_after_ms", flat=True)[:1]
    )
)
OLDEST_WAITING = PreparedQuery(
    lambda: (
        BrokerEvent.objects.filter(account_id=slot(BrokerEvent, "account"), applied_at=None)
        .order_by("received_at")
        .values_list("received_at", flat=True)[:1]
    )
)
