"""Computes a recorded decision again, to prove that it followed from its recorded input."""

from dataclasses import dataclass
from typing import Protocol

from risk.codec import encode
from risk.engine import ENGINE_VERSION, evaluate
from risk.types import RiskContext, RiskDecision


class RecordedDecision(Protocol):
    """What is read of a stored decision."""

    verdict: str
    findings: object
    checks: object
    limits: object
    context: dict[str, object]
    engine_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """`differences` names what does not agree; empty when the record follows from its input."""

    matches: bool
    differences: tuple[str, ...]
    decision: RiskDecision


def replay_decision(record: RecordedDecision) -> Replay:
    """Evaluate the recorded context with today's engine and compare every part of the result.

    A record of another engine version is compared all the same; the difference in version is named only
    when something else differs too.
    """
    context = RiskContext.from_json(record.context)
    decision = evaluate(context)
    parts = {
        "context": (record.context, context.to_json()),
        "limits": (record.limits, [encode(limit) for limit in context.limits.entries]),
        "verdict": (record.verdict, decision.verdict.value),
        "findings": (record.findings, [encode(finding) for finding in decision.findings]),
        "checks": (record.checks, [encode(check) for check in decision.checks]),
    }
    differences = [name for name, (stored, computed) in parts.items() if stored != computed]
    if differences and record.engine_version != ENGINE_VERSION:
        differences.append("engine_version")
    return Replay(matches=not differences, differences=tuple(differences), decision=decision)
