"""Writes the table of checks and limits from the code, so that the page cannot fall behind it."""

from collections.abc import Sequence

from risk.engine import ENGINE_VERSION
from risk.limit_catalogue import CATALOGUE, LimitSpec, LimitUnit
from risk.rules import ALL_RULES, Rule

INTRODUCTION = """# Risk checks

This page is written by `manage.py write_risk_docs` from the code. Do not edit it.

Every order passes one gate, at the preview, when it is placed, when it is approved, when it is changed and
again right before it is sent. Every check runs each time and the worst result decides:

- **hard**: the order is refused and nothing is sent;
- **soft**: the order goes on once you confirm that code;
- **approval**: the order waits, and goes on once you approve exactly it (its hash) on its page or by the API;
- **not checked**: a feed that the check needs is not installed, which is shown and does not refuse;
- **not applicable**: the check does not concern this order.

An order that can only make a position smaller (judged on the confirmed holding less the open orders that
already close it) is an *exit*. A trading stop, a used-up count or an old price never holds up an exit.

Each decision is stored with its whole input, the version of every limit and every result, and can be
computed again at any time. The present engine is version {version}.
"""

LIMITS_INTRODUCTION = """Limits are set at six levels: platform, broker, plan, user, account and symbol. The
tightest wins, and a lower level can only tighten. Tightening takes effect at once; loosening takes 24 hours,
or the approval of a second risk admin. Each change is a new version with its author and reason.

E is the account's equity at the start of the trade date.
"""


def render_risk_docs() -> str:
    """Return the whole page as Markdown."""
    parts = [
        INTRODUCTION.format(version=ENGINE_VERSION),
        "## Checks\n",
        _table(
            ("Code", "Check", "Guards against", "Result", "Missing data", "Exits", "Limits", "Message"),
            [_rule_row(rule) for rule in ALL_RULES],
        ),
        "\n## Limits\n",
        LIMITS_INTRODUCTION,
        _table(
            ("Name", "Limit", "Unit", "Default", "Tighter", "What it does"),
            [_limit_row(s) for s in CATALOGUE],
        ),
    ]
    return "\n".join(parts)


def _rule_row(rule: Rule) -> tuple[str, ...]:
    return (
        f"{rule.code} `{rule.name}`",
        rule.title,
        rule.guards,
        " or ".join(severity.value for severity in rule.severities),
        rule.missing.value,
        "exempt" if rule.exempts_exits else "checked",
        ", ".join(f"`{name}`" for name in rule.limits) or "none",
        rule.message,
    )


def _limit_row(spec: LimitSpec) -> tuple[str, ...]:
    tighter = "off" if spec.unit is LimitUnit.SWITCH else spec.tighter.value
    return f"`{spec.name}`", spec.title, spec.unit.value, spec.default, tighter, spec.help


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) + "\n"
