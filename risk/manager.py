"""The gate's face for the rest of the platform."""

from collections.abc import Sequence

import structlog

from risk.engine import evaluate
from risk.rules import ALL_RULES
from risk.rules.base import Rule
from risk.types import RiskContext, RiskDecision

logger = structlog.get_logger(__name__)


class RiskManager:
    """Judges orders by a set of rules. Holds no state; safe to share between threads."""

    def __init__(self, rules: Sequence[Rule] = ALL_RULES) -> None:
        self.rules = tuple(rules)

    def validate_order(self, context: RiskContext) -> RiskDecision:
        """Return the decision on one order. Never raises: a rule that fails refuses the order."""
        return evaluate(context, self.rules, on_error=_log_failure)


def _log_failure(code: str, error: Exception) -> None:
    logger.error("risk_check_failed", code=code, error=type(error).__name__, exc_info=error)
