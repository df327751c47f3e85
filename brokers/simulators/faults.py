"""Scripted misbehaviour: a list of rules, each with an endpoint, a probability, a count and its own seed."""

import json
import uuid
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from random import Random
from typing import Any

HTTP_KINDS = frozenset(
    {
        "hang",
        "hang_after",
        "slow",
        "drop_before",
        "drop_after",
        "status_before",
        "status_after",
        "late_accept",
        "garbage",
        "half",
        "html",
        "reject",
    }
)
STREAM_KINDS = frozenset({"duplicate", "reorder", "lost", "late", "disconnect"})
BODY_KINDS = frozenset({"wrong_id", "unknown_enum", "null_fields", "missing_fields"})
WEBHOOK_KINDS = frozenset({"duplicate", "reorder", "lost", "late", "corrupt"})
KINDS = HTTP_KINDS | STREAM_KINDS | BODY_KINDS | WEBHOOK_KINDS


@dataclass(slots=True)
class FaultRule:
    """One rule.

    ``endpoint`` is a glob over names such as ``orders.create``, ``account.get``, ``stream.trade_updates``,
    ``stripe.checkout.sessions.create`` or ``stripe.webhooks.invoice.paid``.
    ``count`` None means for ever; ``skip`` lets that many matches pass first. ``seconds`` is the delay of
    ``hang``, ``slow``, ``late`` and ``late_accept``; ``status`` the HTTP status of ``status_*`` and of the
    answer to a late accept (0: the connection is dropped). ``fields`` names the JSON fields that body kinds
    change.
    """

    id: str
    kind: str
    endpoint: str = "orders.create"
    count: int | None = 1
    probability: float = 1.0
    seed: int = 0
    skip: int = 0
    seconds: float = 0.0
    status: int = 504
    account_id: str = ""
    symbol: str = ""
    fields: list[str] = field(default_factory=list)
    value: str = "value_added_next_year"
    seen: int = 0
    fired: int = 0
    random: Random = field(default_factory=Random, repr=False)

    def describe(self) -> dict[str, Any]:
        """The rule as the control interface shows it."""
        names = ("id", "kind", "endpoint", "count", "probability", "seed", "skip", "seconds", "status")
        more = ("account_id", "symbol", "fields", "value", "seen", "fired")
        return {name: getattr(self, name) for name in (*names, *more)}


class FaultPlan:
    """The active rules and how often each kind fired at each endpoint."""

    def __init__(self) -> None:
        self.rules: list[FaultRule] = []
        self.fired: Counter[str] = Counter()

    def add(self, spec: dict[str, Any]) -> FaultRule:
        """Add a rule. Raises ValueError for an unknown kind or field."""
        known = set(FaultRule.__dataclass_fields__) - {"id", "seen", "fired", "random"}
        unknown = set(spec) - known
        if unknown:
            raise ValueError(f"unknown fault fields: {', '.join(sorted(unknown))}")
        if spec.get("kind") not in KINDS:
            raise ValueError(f"unknown fault kind; choose one of {', '.join(sorted(KINDS))}")
        rule = FaultRule(id=str(uuid.uuid4()), **spec)
        rule.random = Random(rule.seed)
        self.rules.append(rule)
        return rule

    def remove(self, rule_id: str | None = None) -> None:
        """Remove one rule, or all."""
        self.rules = [rule for rule in self.rules if rule_id is not None and rule.id != rule_id]

    def pick(
        self, endpoint: str, *, kinds: frozenset[str], account_id: str = "", symbol: str = ""
    ) -> FaultRule | None:
        """The first rule that strikes now, with its count used up by one."""
        for rule in self.rules:
            if rule.kind not in kinds or not fnmatchcase(endpoint, rule.endpoint):
                continue
            if (rule.account_id and rule.account_id != account_id) or (rule.symbol and rule.symbol != symbol):
                continue
            if rule.count is not None and rule.fired >= rule.count:
                continue
            rule.seen += 1
            if rule.seen <= rule.skip or rule.random.random() >= rule.probability:
                continue
            rule.fired += 1
            self.fired[f"{endpoint}:{rule.kind}"] += 1
            return rule
        return None


def damage(body: Any, rule: FaultRule) -> Any:
    """A copy of a JSON ``body`` (an object, or a list of objects) changed as a body rule says."""
    changed = deepcopy(body)
    for item in changed if isinstance(changed, list) else [changed]:
        if not isinstance(item, dict):
            continue
        if rule.kind == "wrong_id":
            item["id"] = str(uuid.uuid4())
            if "client_order_id" in item:
                item["client_order_id"] = str(uuid.uuid4())
        for name in rule.fields or (["status"] if rule.kind == "unknown_enum" else []):
            if rule.kind == "unknown_enum":
                item[name] = rule.value
            elif rule.kind == "null_fields":
                item[name] = None
            elif rule.kind == "missing_fields":
                item.pop(name, None)
    return changed


def garbage(body: Any) -> bytes:
    """Bytes that begin like the JSON of ``body`` and are not JSON."""
    return json.dumps(body, default=str).encode()[:25] + b"\x00<<not json>>"
