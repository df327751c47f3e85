"""What the order pages show, in the words and rows that their templates need. Reads only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from billing.entitlements import Feature
from billing.selectors import has_feature
from brokers.enums import ConnectionStatus, Environment
from brokers.models import BrokerAccount, BrokerEvent
from brokers.types import Capabilities
from orders.enums import LegRole, OrderStatus
from orders.models import IdempotencyRecord, Order
from orders.selectors import TimelineEntry, timeline_of
from portfolios.models import Position
from risk.models import RiskDecisionRecord
from risk.types import Impact, Outcome, Unit
from tradeplatform.models import User

MESSAGES_SHOWN = 50
REPLACEABLE = frozenset({OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A sentence about a state: what it is, what it means for the money, what to do."""

    tone: str
    title: str
    text: str
    link: str = ""
    link_text: str = ""


_STATUS_NOTICES: dict[str, Notice] = {
    OrderStatus.QUEUED: Notice(
        tone="info",
        title="Waiting to be sent",
        text="The order has passed every check and goes out within seconds. Nothing has left this site yet: "
        "canceling now withdraws it.",
    ),
    OrderStatus.SUBMITTING: Notice(
        tone="info",
        title="On its way to the broker",
        text="The order is being sent and the broker has not answered yet. Its cost is set aside.",
    ),
    OrderStatus.UNCONFIRMED: Notice(
        tone="warn",
        title="We do not know yet whether the broker has this order",
        text="The broker did not answer. The order may be working and may fill, so its cost or its shares "
        "stay set aside. We keep asking the broker for the order's own id until this is settled. Do not "
        "place the order again: that could buy or sell twice. If you no longer want it, cancel it here; the "
        "cancellation goes out as soon as the broker is known to have it.",
    ),
    OrderStatus.PENDING_CANCEL: Notice(
        tone="warn",
        title="Cancellation requested",
        text="Until the broker confirms, the order can still fill, and what fills counts.",
    ),
    OrderStatus.PENDING_REPLACE: Notice(
        tone="info",
        title="Change requested",
        text="Until the broker confirms, the order stands as it was and can fill at its old terms.",
    ),
    OrderStatus.DENIED: Notice(
        tone="bad",
        title="Refused here, never sent",
        text="The risk checks refused this order before anything was sent. No money moved and nothing is "
        "set aside. The check that refused it is listed below.",
    ),
    OrderStatus.NOT_SENT: Notice(
        tone="info",
        title="Never sent",
        text="The order was withdrawn before it left this site. No money moved and nothing is set aside.",
    ),
    OrderStatus.REJECTED: Notice(
        tone="bad",
        title="The broker refused the order",
        text="Nothing was bought or sold and nothing is set aside.",
    ),
}


def notice_for(order: Order) -> Notice | None:
    """Return what a person should know about the order's state; None when the badge says it all."""
    notice = _STATUS_NOTICES.get(order.status)
    if order.status == OrderStatus.UNCONFIRMED and order.needs_person_at is not None:
        return Notice(
            tone="bad",
            title="Please look at your broker's own page",
            text="The broker has not confirmed this order for a long time. Look there whether it exists. "
            "Its cost or its shares stay set aside here until that is known, and it is not sent again.",
        )
    if order.status in (OrderStatus.CANCELED, OrderStatus.EXPIRED) and order.cum_qty > 0:
        return Notice(
            tone="info",
            title="Partly filled before it ended",
            text="What had filled is yours and is in your positions. The rest will not fill any more.",
        )
    return notice


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactRow:
    """One figure before and after. `used_of` is what a headroom bar draws; None draws none."""

    key: str
    label: str
    unit: str
    before: Decimal | None
    after: Decimal | None
    limit: Decimal | None
    is_over: bool

    @property
    def has_bar(self) -> bool:
        return self.limit is not None and self.limit > 0 and self.after is not None


def impact_rows(impact: Iterable[Impact]) -> list[ImpactRow]:
    """Return the figures that an order moves, with whether the result is beyond its limit."""
    return [
        ImpactRow(
            key=row.key,
            label=row.label,
            unit=str(row.unit),
            before=row.before,
            after=row.after,
            limit=row.limit,
            is_over=_is_over(row),
        )
        for row in impact
    ]


def _is_over(row: Impact) -> bool:
    if row.after is None or row.limit is None:
        return False
    # A limit of zero money is a floor: there must be something left.
    if row.unit is Unit.MONEY and row.limit == 0:
        return row.after < 0
    return row.after > row.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """One check of the gate as the order page lists it."""

    code: str
    title: str
    outcome: str
    outcome_text: str
    tone: str
    icon: str
    messages: list[str]
    value: str
    limit: str


_OUTCOMES: dict[str, tuple[str, str, str]] = {
    Outcome.PASSED: ("Passed", "good", "check"),
    Outcome.SOFT: ("Asked you", "warn", "warning"),
    Outcome.APPROVAL: ("Needs approval", "warn", "clock"),
    Outcome.HARD: ("Refused", "bad", "stop"),
    Outcome.NOT_CHECKED: ("Not checked", "warn", "minus"),
    Outcome.NOT_APPLICABLE: ("Does not apply", "", "minus"),
}
_ORDER_OF_OUTCOMES = (
    Outcome.HARD,
    Outcome.SOFT,
    Outcome.APPROVAL,
    Outcome.NOT_CHECKED,
    Outcome.PASSED,
    Outcome.NOT_APPLICABLE,
)


def check_rows(record: RiskDecisionRecord | None) -> list[CheckRow]:
    """Return every check of a recorded decision, the ones that spoke against the order first."""
    if record is None:
        return []
    rows = [_check_row(check) for check in record.checks]
    return sorted(rows, key=lambda row: _ORDER_OF_OUTCOMES.index(Outcome(row.outcome)))


def _check_row(check: Mapping[str, Any]) -> CheckRow:
    text, tone, icon = _OUTCOMES[Outcome(check["outcome"])]
    findings = check.get("findings") or []
    return CheckRow(
        code=check["code"],
        title=check["title"],
        outcome=check["outcome"],
        outcome_text="Asked, you confirmed" if _all_confirmed(findings) else text,
        tone=tone,
        icon=icon,
        messages=[finding["message"] for finding in findings] or list(filter(None, [check.get("detail")])),
        value=next((f["value"] for f in findings if f.get("value")), check.get("value", "")),
        limit=next((f["limit"] for f in findings if f.get("limit")), check.get("limit", "")),
    )


def _all_confirmed(findings: list[Mapping[str, Any]]) -> bool:
    return bool(findings) and all(finding.get("confirmed") for finding in findings)


_TONES = {
    "accepted": "info",
    "partially_filled": "info",
    "filled": "good",
    "denied": "bad",
    "rejected": "bad",
    "cancel_refused": "warn",
    "replace_refused": "warn",
    "outcome_unknown": "warn",
    "approval_refused": "warn",
    "approval_asked_again": "warn",
    "approved": "good",
    "needs_person": "bad",
    "busted": "bad",
    "fills_missing": "warn",
    "fill_in_doubt": "bad",
}
_DATA_WORDS = {
    "text": "",
    "last_qty": "Shares",
    "last_px": "Price",
    "exec_id": "Execution",
    "broker_order_id": "Broker order id",
    "code": "Code",
    "price_before": "Price before",
    "price_now": "Price now",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    entry: TimelineEntry
    tone: str
    took: str
    details: list[tuple[str, str]]


def timeline_rows(order: Order) -> list[TimelineRow]:
    """Return the order's story with how long each step took after the one before."""
    return [
        TimelineRow(
            entry=entry,
            tone=_TONES.get(entry.kind, ""),
            took=_duration(entry.elapsed_ms) if position else "",
            details=_details(entry),
        )
        for position, entry in enumerate(timeline_of(order))
    ]


def _details(entry: TimelineEntry) -> list[tuple[str, str]]:
    data = entry.data
    # A fill names its execution; the order's own id stands at its acceptance.
    unsaid = {"broker_order_id"} if data.get("exec_id") else set()
    names = [name for name in _DATA_WORDS if name not in unsaid and data.get(name)]
    rows = [(_DATA_WORDS[name], str(data[name])) for name in names]
    changes = data.get("changes")
    if isinstance(changes, Mapping):
        rows += [(f"New {name.replace('_', ' ')}", str(value)) for name, value in changes.items()]
    confirmed = data.get("confirmed")
    if isinstance(confirmed, list) and confirmed:
        rows.append(("Confirmed questions", ", ".join(map(str, confirmed))))
    return rows


def _duration(milliseconds: int) -> str:
    if milliseconds < 1000:
        return f"+{milliseconds} ms"
    if milliseconds < 60_000:
        return f"+{milliseconds // 1000}.{milliseconds // 100 % 10} s"
    minutes = milliseconds // 60_000
    return f"+{minutes} min" if minutes < 120 else f"+{minutes // 60} h"


def leg_label(order: Order) -> str:
    """Name the part an exit plays; empty for an order of its own."""
    return LegRole(order.leg_role).label if order.leg_role else ""


def filled_percent(order: Order) -> int | None:
    """Return how much of the order has filled; None when its size in shares is not known yet."""
    if order.quantity:
        return int(min(order.cum_qty / order.quantity, Decimal(1)) * 100)
    return 100 if order.status == OrderStatus.FILLED else None


def can_change(order: Order, capabilities: Capabilities) -> bool:
    """Say whether the broker can change the order as it stands."""
    return capabilities.replace and bool(capabilities.replace_fields) and order.status in REPLACEABLE


def broker_messages_of(order: Order) -> QuerySet[BrokerEvent]:
    """Return the broker's stored messages that name the order by any id it has or had, newest last."""
    ids = {order.broker_order_id, order.client_order_id, str(order.pk)}
    for alias in order.aliases.all():
        ids |= {alias.broker_order_id, alias.client_order_id}
    named = Q()
    for value in sorted(ids - {""}):
        named |= Q(payload_text__contains=value)
    events = BrokerEvent.objects.filter(account_id=order.account_id, received_at__gte=order.created_at)
    return events.annotate(payload_text=Cast("payload", TextField())).filter(named).order_by("id")


def order_placed_under(user: User, key: str) -> Order | None:
    """Return the order that this key has become, if it was placed."""
    record = IdempotencyRecord.objects.select_related("order").filter(user=user, key=key).first()
    return record.order if record is not None else None


def position_in(account: BrokerAccount, symbol: str) -> Position | None:
    """Return what the account holds of a symbol; None when it holds nothing."""
    position = Position.objects.filter(portfolio__account=account, symbol=symbol).first()
    return position if position is not None and position.quantity else None


def held_symbols(account: BrokerAccount) -> list[str]:
    """Return the symbols that the account holds, for choosing one on the ticket."""
    held = Position.objects.filter(portfolio__account=account)
    return [position.symbol for position in held if position.quantity]


def obstacles_for(user: User, account: BrokerAccount, *, page: Mapping[str, str]) -> list[Notice]:
    """Return what stands in the way of opening orders on the account, each with the page that helps.

    `page` gives the addresses of the pages "brokers" and "plans"; an empty one shows no link.
    """
    notices = []
    if account.connection.status == ConnectionStatus.NEEDS_RELINK:
        notices.append(
            Notice(
                tone="bad",
                title="The link to this broker needs renewing",
                text=f"{account.connection.status_reason or 'The broker no longer accepts our access.'} "
                "Orders cannot be sent until you link again; orders already at the broker stay there.",
                link=page.get("brokers", ""),
                link_text="Link again",
            )
        )
    if account.restriction:
        notices.append(
            Notice(
                tone="bad",
                title="The broker restricts this account",
                text=f"{account.restriction} Ask the broker what is needed; we cannot lift this.",
            )
        )
    if account.environment == Environment.LIVE:
        notices += _live_obstacles(user, account, page)
    return notices


def _live_obstacles(user: User, account: BrokerAccount, page: Mapping[str, str]) -> list[Notice]:
    if not has_feature(user, Feature.LIVE_TRADING):
        return [
            Notice(
                tone="warn",
                title="Your plan does not include live trading",
                text="Orders that open a position in this account will be refused. You can close positions "
                "here and trade on paper.",
                link=page.get("plans", ""),
                link_text="See plans",
            )
        ]
    if account.armed_at is None:
        return [
            Notice(
                tone="warn",
                title="This live account is not armed",
                text="Orders that open a position will be refused until you arm it. Closing positions works.",
                link=page.get("brokers", ""),
                link_text="Arm it on the Brokers page",
            )
        ]
    return []
