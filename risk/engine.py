"""The gate: a pure function from a context to a decision.

Every rule runs, so that the user sees everything that is wrong at once; the worst finding decides. No
ORM, no network, no clock, so any recorded decision can be computed again. Change `ENGINE_VERSION` with
any change that could alter a decision.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Context, DivisionByZero, InvalidOperation, Overflow, localcontext

from risk.exposure import reduces_position
from risk.facts import Purpose
from risk.impact import measure_impact
from risk.rules import ALL_RULES
from risk.rules.base import Rule
from risk.types import (
    CheckResult,
    Finding,
    Impact,
    Outcome,
    RiskContext,
    RiskDecision,
    Severity,
    Verdict,
)

__all__ = ["ENGINE_VERSION", "evaluate", "reduces_position"]

ENGINE_VERSION = "2"
ARITHMETIC = Context(
    prec=34,
    rounding=ROUND_HALF_EVEN,
    traps=[InvalidOperation, DivisionByZero, Overflow],
    Emax=6144,
    Emin=-6143,
)
"""Own arithmetic, so that a result never depends on what the surrounding thread has set."""

OnError = Callable[[str, Exception], None]


def evaluate(
    context: RiskContext, rules: Sequence[Rule] = ALL_RULES, *, on_error: OnError | None = None
) -> RiskDecision:
    """Run every rule and return the decision.

    A rule that raises refuses the order in its own name; the exception goes to `on_error` (rule code,
    exception) and is never shown. Verdicts from worst to best: DENY, REQUIRE_CONFIRMATION,
    REQUIRE_APPROVAL, ALLOW. When an order is about to be sent nobody is there to confirm, so soft
    findings are recorded but only hard ones stop it.
    """
    with localcontext(ARITHMETIC):
        checks = tuple(_mark_confirmed(_run(rule, context, on_error), context) for rule in rules)
        impact = _measure(context, on_error)
    findings = tuple(finding for check in checks for finding in check.findings)
    return RiskDecision(
        verdict=_verdict(findings, context.purpose),
        findings=findings,
        checks=checks,
        impact=impact,
        engine_version=ENGINE_VERSION,
    )


def _run(rule: Rule, context: RiskContext, on_error: OnError | None) -> CheckResult:
    try:
        return rule.run(context)
    except Exception as error:
        # Fail closed: a check that cannot be made is a check that was not passed.
        if on_error is not None:
            on_error(rule.code, error)
        finding = rule.finding(
            f"The check “{rule.title}” could not be completed, so the order was refused and nothing was "
            "sent. Try again; if it happens again, tell the operator the code."
        )
        return CheckResult(
            code=rule.code,
            name=rule.name,
            title=rule.title,
            outcome=Outcome.HARD,
            detail="The check failed.",
            findings=(finding,),
        )


def _measure(context: RiskContext, on_error: OnError | None) -> tuple[Impact, ...]:
    try:
        return measure_impact(context)
    except Exception as error:
        # The rows only inform; what cannot be measured has been refused by a rule already.
        if on_error is not None:
            on_error("impact", error)
        return ()


def _mark_confirmed(check: CheckResult, context: RiskContext) -> CheckResult:
    """Note which findings have their answer: a soft one whose code the caller accepts, and one that asks
    for approval once the user has approved this very order."""
    answered = {Severity.SOFT: check.code in context.order.confirmed, Severity.APPROVAL: context.is_approved}
    if not any(answered.get(finding.severity, False) for finding in check.findings):
        return check
    findings = tuple(
        replace(finding, confirmed=answered.get(finding.severity, False)) for finding in check.findings
    )
    return replace(check, findings=findings)


def _verdict(findings: Sequence[Finding], purpose: Purpose) -> Verdict:
    unanswered = {finding.severity for finding in findings if not finding.confirmed}
    if Severity.HARD in unanswered:
        return Verdict.DENY
    if Severity.SOFT in unanswered and purpose is not Purpose.SEND:
        return Verdict.REQUIRE_CONFIRMATION
    return Verdict.REQUIRE_APPROVAL if Severity.APPROVAL in unanswered else Verdict.ALLOW
