"""What goes into the gate and what comes out of it."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from risk.codec import decode, encode
from risk.facts import (
    AccountFacts,
    ApprovalFacts,
    CapabilityFacts,
    CountFacts,
    CredentialFacts,
    ExistingOrderFacts,
    HaltFacts,
    InstrumentFacts,
    InstrumentProblem,
    OpenOrderFacts,
    OrderFacts,
    PositionFacts,
    Purpose,
    QuoteFacts,
    RecentIntentFacts,
    ReplacementFacts,
    SessionFacts,
    UnconfirmedOrderFacts,
    UserFacts,
)


class Severity(StrEnum):
    """How strongly a finding speaks: SOFT asks, APPROVAL needs a second step, HARD refuses."""

    SOFT = "soft"
    APPROVAL = "approval"
    HARD = "hard"


class Outcome(StrEnum):
    """Result of one rule. NOT_CHECKED: a feed that it needs is not installed, or its input is missing."""

    PASSED = "passed"
    SOFT = "soft"
    HARD = "hard"
    APPROVAL = "approval"
    NOT_CHECKED = "not_checked"
    NOT_APPLICABLE = "not_applicable"


class Verdict(StrEnum):
    ALLOW = "allow"
    REQUIRE_CONFIRMATION = "require_confirmation"
    REQUIRE_APPROVAL = "require_approval"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitValue:
    """One limit in force: the value as text, and which version at which level set it.

    Version 0 is the default that ships with the platform.
    """

    name: str
    value: str
    scope: str = "platform"
    scope_key: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class LimitSet:
    """Every limit that holds for one user, account and symbol, each the tightest of all levels."""

    entries: tuple[LimitValue, ...]

    def get(self, name: str) -> LimitValue:
        """Return one limit; raises KeyError for a name that is not in the set."""
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise KeyError(name)

    def number(self, name: str) -> Decimal:
        return Decimal(self.get(name).value)

    def count(self, name: str) -> int:
        return int(self.number(name))

    def seconds(self, name: str) -> timedelta:
        return timedelta(seconds=self.count(name))

    def is_on(self, name: str) -> bool:
        return self.get(name).value == "on"


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskContext:
    """The whole input of one decision. Building it is the caller's work; see `risk.facts` for each part.

    `quote_configured` says whether this install has a price feed for the account at all: without one,
    rules that need a price report NOT_CHECKED; with one, a missing or old quote refuses what adds risk.
    `existing_order` is the stored order with the same client order id: None for a new order, the order
    itself when it is about to be sent. `replacement` is set when an open order is changed: for the purpose
    REPLACE, and for SEND when the change itself goes out. `approval` is the user's approval, if the order
    was held back for one.
    """

    now: datetime
    trade_date: date
    purpose: Purpose
    user: UserFacts
    account: AccountFacts
    credential: CredentialFacts
    capabilities: CapabilityFacts
    order: OrderFacts
    limits: LimitSet
    counts: CountFacts
    instrument: InstrumentFacts | None
    quote: QuoteFacts | None
    quote_configured: bool
    session: SessionFacts | None
    position: PositionFacts | None
    instrument_problem: InstrumentProblem = InstrumentProblem.NONE
    open_orders: tuple[OpenOrderFacts, ...] = ()
    unconfirmed_orders: tuple[UnconfirmedOrderFacts, ...] = ()
    recent_intents: tuple[RecentIntentFacts, ...] = ()
    halts: tuple[HaltFacts, ...] = ()
    existing_order: ExistingOrderFacts | None = None
    replacement: ReplacementFacts | None = None
    approval: ApprovalFacts | None = None

    @property
    def is_approved(self) -> bool:
        """Say whether the user has approved exactly this order: the hash covers every field on the wire."""
        own_hash = self.order.order_hash
        return self.approval is not None and own_hash != "" and self.approval.order_hash == own_hash

    def to_json(self) -> dict[str, Any]:
        """Return the context as JSON-ready values from which `from_json` rebuilds an equal one."""
        data: dict[str, Any] = encode(self)
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "RiskContext":
        context: RiskContext = decode(cls, data)
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that speaks against the order.

    `message` says what, the two numbers compared and what the user can do. `value` and `limit` are the
    two numbers as text. `field` names the order field to point at, if there is one.
    """

    code: str
    name: str
    severity: Severity
    message: str
    value: str = ""
    limit: str = ""
    field: str = ""
    confirmed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What one rule made of the order, its findings included. `detail` explains an outcome without any."""

    code: str
    name: str
    title: str
    outcome: Outcome
    detail: str = ""
    value: str = ""
    limit: str = ""
    findings: tuple[Finding, ...] = ()


class Unit(StrEnum):
    MONEY = "money"
    SHARE = "share"
    QUANTITY = "quantity"
    COUNT = "count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """One figure before the order, after it has filled in full, and its limit. SHARE 0.2 means 20 %."""

    key: str
    label: str
    unit: Unit
    before: Decimal | None
    after: Decimal | None
    limit: Decimal | None = None
    soft_limit: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskDecision:
    """Result of one run of the gate: the verdict, every finding, every check and the figures it moves."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    checks: tuple[CheckResult, ...]
    impact: tuple[Impact, ...]
    engine_version: str

    @property
    def unconfirmed(self) -> tuple[Finding, ...]:
        """Soft findings that the caller has not accepted."""
        return tuple(
            finding
            for finding in self.findings
            if finding.severity is Severity.SOFT and not finding.confirmed
        )

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = encode(self)
        return data
