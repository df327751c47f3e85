"""What the risk page says: limits with where they come from and how far they are used, halts, decisions."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from brokers.models import BrokerAccount
from portfolios.holdings import HoldingsView
from portfolios.selectors import holdings_view, portfolio_of
from risk.enums import HaltScope, LimitScope
from risk.limit_catalogue import BY_NAME, CATALOGUE, LARGEST_MONEY, LimitSpec, LimitUnit
from risk.models import RiskDecisionRecord, TradingHalt
from risk.services.scopes import may_manage_risk
from risk.types import LimitSet, LimitValue
from risk.usage import order_counts
from risk.wording import need, percent, seconds_text
from tradeplatform.models import User

SOURCES = {
    LimitScope.BROKER: "the broker",
    LimitScope.PLAN: "your plan",
    LimitScope.USER: "you, for all your accounts",
    LimitScope.ACCOUNT: "this account",
    LimitScope.SYMBOL: "this symbol",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRow:
    """One limit as the page writes it; `source` says which level set the value that holds."""

    name: str
    title: str
    help: str
    value: str
    source: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
    """How far a limit is used: both as numbers for the bar and as a sentence."""

    label: str
    used: Decimal
    limit: Decimal
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltRow:
    """A halt with what it covers, what it measured, and whether this person may lift it."""

    halt: TradingHalt
    covers: str
    measured: str
    can_lift: bool
    is_latched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """One decision of the gate: what was asked of it, what it said and why."""

    id: UUID
    at: datetime
    account: str
    verdict: str
    tone: str
    purpose: str
    reasons: tuple[str, ...]
    checks: int


VERDICTS = {
    "allow": ("Allowed", "good"),
    "require_confirmation": ("Asked for confirmation", "warn"),
    "require_approval": ("Held for approval", "warn"),
    "deny": ("Refused", "bad"),
}
PURPOSES = {
    "preview": "Preview",
    "place": "Order placed",
    "approve": "Order approved",
    "send": "Looked at again before sending",
    "replace": "Change of an order",
}


def limit_rows(limits: LimitSet, *, currency: str) -> list[LimitRow]:
    """Return every limit in force, in the catalogue's order."""
    return [_limit_row(spec, limits.get(spec.name), currency) for spec in CATALOGUE]


def headroom_of(account: BrokerAccount, limits: LimitSet, *, now: datetime) -> list[Headroom]:
    """Return how far an account has used the limits that fill up. What is not known is left out."""
    rows: list[Headroom] = []
    counts = order_counts(account, now)
    if counts is not None:
        for name, used in (
            ("max_daily_trades", counts.opening_orders_today),
            ("orders_per_minute", counts.orders_last_minute),
        ):
            most = limits.count(name)
            rows.append(
                Headroom(
                    label=BY_NAME[name].title,
                    used=Decimal(used),
                    limit=Decimal(most),
                    text=f"{used} of {most}",
                )
            )
    book = portfolio_of(account)
    if book is not None:
        rows += _position_rows(holdings_view(book, now=now), limits.number("max_position_size"))
    return rows


def halt_rows(
    halts: list[TradingHalt], user: User, accounts: dict[str, BrokerAccount], *, broker_names: dict[str, str]
) -> list[HaltRow]:
    """Return halts in words, for one person."""
    return [
        HaltRow(
            halt=halt,
            covers=_covers(halt, accounts, broker_names),
            measured=_measured(halt),
            can_lift=halt._state.adding is False and _may_lift(halt, user),
            is_latched=halt._state.adding,
        )
        for halt in halts
    ]


def decision_rows(records: list[RiskDecisionRecord], labels: dict[UUID, str]) -> list[DecisionRow]:
    """Return decisions in words."""
    return [_decision_row(record, labels) for record in records]


def value_text(spec: LimitSpec, value: str, *, currency: str) -> str:
    """Write a limit's value for a person."""
    match spec.unit:
        case LimitUnit.SWITCH:
            return value.capitalize()
        case LimitUnit.SHARE:
            return percent(Decimal(value))
        case LimitUnit.MONEY:
            return "No limit" if Decimal(value) >= LARGEST_MONEY else need(Decimal(value), currency)
        case LimitUnit.SECONDS:
            return seconds_text(int(Decimal(value)))
        case _:
            return value


def _limit_row(spec: LimitSpec, limit: LimitValue, currency: str) -> LimitRow:
    if limit.version == 0:
        source = "the platform's default"
    else:
        source = SOURCES.get(LimitScope(limit.scope), "the platform")
    return LimitRow(
        name=spec.name,
        title=spec.title,
        help=spec.help,
        value=value_text(spec, limit.value, currency=currency),
        source=source,
        version=limit.version,
    )


def _position_rows(view: HoldingsView, limit: Decimal) -> list[Headroom]:
    """The three largest positions against the share of equity that one may reach."""
    known = [row for row in view.rows if row.share is not None]
    largest = sorted(known, key=lambda row: abs(row.share or Decimal(0)), reverse=True)[:3]
    return [
        Headroom(
            label=f"{row.symbol} as share of equity",
            used=abs(row.share or Decimal(0)),
            limit=limit,
            text=f"{percent(abs(row.share or Decimal(0)))} of {percent(limit)}",
        )
        for row in largest
    ]


def _covers(halt: TradingHalt, accounts: dict[str, BrokerAccount], broker_names: dict[str, str]) -> str:
    match halt.scope:
        case HaltScope.ACCOUNT:
            account = accounts.get(halt.scope_key)
            return account.label if account else "One account"
        case HaltScope.USER:
            return "All your accounts"
        case HaltScope.BROKER:
            return f"Everything at {broker_names.get(halt.scope_key, halt.scope_key)}"
        case _:
            return "The whole platform"


def _measured(halt: TradingHalt) -> str:
    if halt.measured_at is None:
        return "Being measured: whether anything was still on its way."
    in_flight = halt.in_flight or 0
    orders = (
        "No order was" if in_flight == 0 else "1 order was" if in_flight == 1 else f"{in_flight} orders were"
    )
    text = f"{orders} on the way to a broker when this was pressed."
    if halt.last_send_at is None:
        return f"{text} No order has left."
    if halt.late_sends:
        return f"{text} {halt.late_sends} left more than a second later: this is an incident and on record."
    text = f"{text} No order left after {halt.last_send_at:%Y-%m-%d %H:%M:%S}.{halt.last_send_at:%f} UTC."
    if not halt.press_to_last_byte:
        return f"{text} No byte left after the press."
    milliseconds = round(halt.press_to_last_byte.total_seconds() * 1000)
    return f"{text} The last byte had left {milliseconds:,} ms after the press at the latest."


def _may_lift(halt: TradingHalt, user: User) -> bool:
    if may_manage_risk(user):
        return True
    own = halt.scope in (HaltScope.USER, HaltScope.ACCOUNT)
    return own and halt.started_by.casefold() == user.email.casefold()


def _decision_row(record: RiskDecisionRecord, labels: dict[UUID, str]) -> DecisionRow:
    verdict, tone = VERDICTS.get(record.verdict, (record.verdict.replace("_", " ").capitalize(), ""))
    findings = [one for one in record.findings if isinstance(one, dict)]
    return DecisionRow(
        id=record.pk,
        at=record.created_at,
        account=labels.get(record.account_id, "An account that is not linked any more"),
        verdict=verdict,
        tone=tone,
        purpose=PURPOSES.get(record.purpose, record.purpose.capitalize()),
        reasons=tuple(str(one.get("message", "")) for one in findings if one.get("message")),
        checks=len(record.checks),
    )
