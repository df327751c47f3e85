"""What every rule is: a code, a question, and an answer for the case that its data are missing."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

from risk.exposure import reduces_position
from risk.types import CheckResult, Finding, Outcome, RiskContext, Severity

SEVERITY_RANK = {Severity.SOFT: 0, Severity.APPROVAL: 1, Severity.HARD: 2}


class MissingData(StrEnum):
    """What a rule does when what it needs is absent or too old."""

    REFUSE = "refuses every order"
    REFUSE_OPENING = "refuses what adds risk, lets reductions through"
    NOTHING_NEEDED = "needs nothing that can be missing"


class Rule(ABC):
    """One check. Looks at nothing but the context; holds no state; returns one `CheckResult`.

    `message` is the pattern of what the user reads, for the documentation. `exempts_exits`: an order that
    only reduces a position is not held up by this rule. `limits` names the limits that it reads.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    title: ClassVar[str]
    guards: ClassVar[str]
    message: ClassVar[str]
    severities: ClassVar[tuple[Severity, ...]] = (Severity.HARD,)
    missing: ClassVar[MissingData] = MissingData.NOTHING_NEEDED
    exempts_exits: ClassVar[bool] = False
    limits: ClassVar[tuple[str, ...]] = ()

    def run(self, context: RiskContext) -> CheckResult:
        """Return the result for `context`, the exemption of exits included."""
        if self.exempts_exits and reduces_position(context):
            return self.not_applicable("An order that only reduces a position is exempt.")
        return self.check(context)

    @abstractmethod
    def check(self, context: RiskContext) -> CheckResult:
        """Judge the order. May raise: the engine then refuses in the name of this rule."""

    def passed(self, detail: str = "", *, value: str = "", limit: str = "") -> CheckResult:
        return self._result(Outcome.PASSED, detail, value, limit)

    def not_applicable(self, detail: str) -> CheckResult:
        return self._result(Outcome.NOT_APPLICABLE, detail)

    def not_checked(self, detail: str) -> CheckResult:
        return self._result(Outcome.NOT_CHECKED, detail)

    def finding(
        self,
        message: str,
        *,
        severity: Severity = Severity.HARD,
        value: str = "",
        limit: str = "",
        field: str = "",
    ) -> Finding:
        return Finding(
            code=self.code,
            name=self.name,
            severity=severity,
            message=message,
            value=value,
            limit=limit,
            field=field,
        )

    def report(self, findings: Sequence[Finding]) -> CheckResult:
        """Return the result that several findings add up to; none means passed."""
        if not findings:
            return self.passed()
        worst = max(findings, key=lambda finding: SEVERITY_RANK[finding.severity])
        return CheckResult(
            code=self.code,
            name=self.name,
            title=self.title,
            outcome=Outcome(worst.severity.value),
            value=worst.value,
            limit=worst.limit,
            findings=tuple(findings),
        )

    def refuse(self, message: str, *, value: str = "", limit: str = "", field: str = "") -> CheckResult:
        return self.report([self.finding(message, value=value, limit=limit, field=field)])

    def ask(self, message: str, *, value: str = "", limit: str = "", field: str = "") -> CheckResult:
        """Return a soft finding: the order goes on once the user has confirmed this code."""
        soft = self.finding(message, severity=Severity.SOFT, value=value, limit=limit, field=field)
        return self.report([soft])

    def hold(self, message: str, *, value: str = "", limit: str = "", field: str = "") -> CheckResult:
        """Return an approval finding: the order waits until the user has approved exactly it."""
        waiting = self.finding(message, severity=Severity.APPROVAL, value=value, limit=limit, field=field)
        return self.report([waiting])

    def lacks(self, context: RiskContext, message: str, *, value: str = "", limit: str = "") -> CheckResult:
        """Answer for missing or stale data as `missing` declares."""
        if self.missing is MissingData.REFUSE_OPENING and reduces_position(context):
            return self.not_checked(f"{message} The order reduces the position, so it may go on.")
        return self.refuse(message, value=value, limit=limit)

    def _result(self, outcome: Outcome, detail: str, value: str = "", limit: str = "") -> CheckResult:
        return CheckResult(
            code=self.code,
            name=self.name,
            title=self.title,
            outcome=outcome,
            detail=detail,
            value=value,
            limit=limit,
        )
