"""The gate as a whole: worst wins, fails closed, tells everything, and is the same every time."""

import decimal
import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.enums import Session
from risk.codec import encode
from risk.engine import ENGINE_VERSION, evaluate
from risk.exposure import reduces_position
from risk.facts import HaltFacts, Purpose
from risk.limit_catalogue import BY_NAME, CATALOGUE, LimitUnit
from risk.manager import RiskManager
from risk.rules import ALL_RULES
from risk.rules.base import Rule
from risk.types import CheckResult, LimitSet, LimitValue, Outcome, RiskContext, Severity, Verdict
from tests.risk.contexts import NOW, context, held, limit_request, request, sell, with_order, with_session
from tests.risk.contexts import limits as limits_with
from tests.risk.strategies import contexts

D = Decimal
RANK = [Verdict.ALLOW, Verdict.REQUIRE_APPROVAL, Verdict.REQUIRE_CONFIRMATION, Verdict.DENY]


class Broken(Rule):
    code = "T01"
    name = "BROKEN"
    title = "Broken"
    guards = "Nothing."
    message = "-"

    def check(self, context: RiskContext) -> CheckResult:
        raise RuntimeError("password=hunter2")


class Approval(Rule):
    code = "T02"
    name = "APPROVAL"
    title = "Approval"
    guards = "Nothing."
    message = "-"

    def check(self, context: RiskContext) -> CheckResult:
        return self.report([self.finding("A second person decides.", severity=Severity.APPROVAL)])


def test_an_ordinary_order_is_allowed_and_every_check_is_shown() -> None:
    decision = evaluate(context())
    assert decision.verdict is Verdict.ALLOW
    assert decision.findings == ()
    assert [check.code for check in decision.checks] == [rule.code for rule in ALL_RULES]
    assert decision.engine_version == ENGINE_VERSION


def test_codes_are_unique_and_complete() -> None:
    codes = [rule.code for rule in ALL_RULES]
    assert len(codes) == len(set(codes))
    assert set(codes) == {
        "A01",
        "A02",
        "A05",
        "B01",
        "B04",
        "B05",
        "B06",
        "C01",
        "C03",
        "C04",
        "C05",
        "C06",
        "C07",
        "C08",
        "D01",
        "D05",
        "E01",
        "E04",
        "E11",
        "F01",
        "F04",
        "F06",
        "G01",
        "G02",
        "G03",
        "G10",
        "I01",
        "I02",
        "I03",
        "I10",
    }


def test_all_findings_are_reported_and_the_worst_decides() -> None:
    decision = evaluate(context(order=limit_request("100.005", quantity=D("60"))))
    assert decision.verdict is Verdict.DENY
    assert [finding.code for finding in decision.findings] == ["C04", "E01", "E11"]


def test_a_soft_finding_asks_until_exactly_its_code_is_confirmed() -> None:
    ctx = context(order=limit_request("100", quantity=D("35")))
    decision = evaluate(ctx)
    assert decision.verdict is Verdict.REQUIRE_CONFIRMATION
    assert [finding.code for finding in decision.unconfirmed] == ["E01", "E11"]
    half = evaluate(with_order(ctx, confirmed=frozenset({"E01"})))
    assert half.verdict is Verdict.REQUIRE_CONFIRMATION
    assert [finding.code for finding in half.unconfirmed] == ["E11"]
    both = evaluate(with_order(ctx, confirmed=frozenset({"E01", "E11"})))
    assert both.verdict is Verdict.ALLOW
    assert [finding.confirmed for finding in both.findings] == [True, True]


def test_a_hard_finding_cannot_be_confirmed() -> None:
    ctx = context(order=limit_request("100", quantity=D("60")))
    everything = frozenset(rule.code for rule in ALL_RULES)
    assert evaluate(with_order(ctx, confirmed=everything)).verdict is Verdict.DENY


def test_soft_findings_do_not_ask_when_nobody_is_there_but_are_recorded() -> None:
    ctx = with_session(context(order=limit_request()), Session.CLOSED)
    existing = evaluate(replace(ctx, purpose=Purpose.PLACE))
    assert existing.verdict is Verdict.REQUIRE_CONFIRMATION
    rules = [rule for rule in ALL_RULES if rule.code != "G01"]
    sending = evaluate(replace(ctx, purpose=Purpose.SEND), rules)
    assert sending.verdict is Verdict.ALLOW
    assert [finding.code for finding in sending.findings] == ["D01"]


def test_confirmation_comes_before_approval() -> None:
    ctx = context(order=limit_request("100", quantity=D("25")))
    assert evaluate(context(), [Approval()]).verdict is Verdict.REQUIRE_APPROVAL
    assert evaluate(ctx, [*ALL_RULES, Approval()]).verdict is Verdict.REQUIRE_CONFIRMATION


def test_a_rule_that_fails_refuses_and_its_error_is_not_shown() -> None:
    failures: list[tuple[str, Exception]] = []
    decision = evaluate(
        context(), [*ALL_RULES, Broken()], on_error=lambda code, error: failures.append((code, error))
    )
    assert decision.verdict is Verdict.DENY
    (finding,) = decision.findings
    assert (finding.code, finding.severity) == ("T01", Severity.HARD)
    assert "hunter2" not in json.dumps(decision.to_json())
    assert [code for code, _ in failures] == ["T01"]


def test_the_manager_never_raises() -> None:
    assert RiskManager([Broken()]).validate_order(context()).verdict is Verdict.DENY
    assert RiskManager().validate_order(context()).verdict is Verdict.ALLOW


def test_a_missing_limit_refuses() -> None:
    assert evaluate(context(limits=LimitSet(()))).verdict is Verdict.DENY


def test_an_exit_passes_with_everything_against_it() -> None:
    halt = HaltFacts(
        scope="platform", scope_key="", kind="halted", started_by="x", started_at=NOW, reason="stop"
    )
    ctx = context(
        order=sell("10"),
        position=held("10"),
        halts=(halt,),
        quote=None,
        limits=limits_with(max_daily_trades="0", orders_per_minute="0", max_position_size="0"),
    )
    ctx = replace(
        ctx,
        session=None,
        account=replace(ctx.account, synced_at=None, buying_power=D("0"), restriction="closing only"),
    )
    decision = evaluate(ctx)
    assert decision.verdict is Verdict.ALLOW, decision.findings


def test_the_threads_own_decimal_settings_change_nothing() -> None:
    ctx = context(order=limit_request("99.99", quantity=D("33.333333333")))
    expected = evaluate(ctx)
    with decimal.localcontext(prec=3):
        assert evaluate(ctx) == expected


def test_impact_of_a_purchase() -> None:
    rows = {row.key: row for row in evaluate(context()).impact}
    assert (rows["cash"].before, rows["cash"].after) == (D("10000"), D("9000"))
    assert (rows["buying_power"].before, rows["buying_power"].after) == (D("10000"), D("8980"))
    assert (rows["position_share"].before, rows["position_share"].after) == (D("0"), D("0.05"))
    assert (rows["position_share"].soft_limit, rows["position_share"].limit) == (D("0.15"), D("0.20"))
    assert (rows["position_value"].after, rows["position_value"].limit) == (D("1000"), D("4000"))
    assert (rows["gross_exposure"].before, rows["gross_exposure"].after) == (D("10000"), D("11000"))
    assert (rows["open_orders"].before, rows["open_orders"].after) == (D("0"), D("1"))
    daily = rows["daily_trades"]
    assert (daily.before, daily.after, daily.limit) == (D("0"), D("1"), D("10"))


def test_impact_of_an_exit() -> None:
    rows = {row.key: row for row in evaluate(context(order=sell("4"), position=held("10"))).impact}
    assert (rows["cash"].before, rows["cash"].after) == (D("10000"), D("10399.60"))
    assert (rows["position_value"].before, rows["position_value"].after) == (D("999.50"), D("599.70"))
    assert (rows["gross_exposure"].before, rows["gross_exposure"].after) == (D("10000"), D("9600.20"))
    assert (rows["daily_trades"].before, rows["daily_trades"].after) == (D("0"), D("0"))


def test_what_cannot_be_measured_is_left_open() -> None:
    rows = {row.key: row for row in evaluate(replace(context(), quote=None)).impact}
    assert rows["cash"].after is None
    assert rows["buying_power"].after is None
    assert rows["position_share"].after is None


# --- properties ------------------------------------------------------------------------------------------


@settings(max_examples=400)
@given(contexts())
def test_the_verdict_follows_from_the_findings(ctx: RiskContext) -> None:
    failures: list[str] = []
    decision = evaluate(ctx, on_error=lambda code, error: failures.append(f"{code}: {error!r}"))
    assert failures == []
    severities = {finding.severity for finding in decision.findings}
    assert (decision.verdict is Verdict.DENY) == (Severity.HARD in severities)
    if decision.verdict is Verdict.ALLOW:
        waiting = [found for found in decision.findings if found.severity is Severity.APPROVAL]
        assert all(finding.confirmed for finding in waiting)
    if decision.verdict is Verdict.ALLOW and ctx.purpose is not Purpose.SEND:
        assert decision.unconfirmed == ()
    for check in decision.checks:
        assert bool(check.findings) == (check.outcome in (Outcome.SOFT, Outcome.HARD, Outcome.APPROVAL))


@settings(max_examples=200)
@given(contexts())
def test_a_context_survives_json_and_gives_the_same_decision(ctx: RiskContext) -> None:
    text = json.dumps(ctx.to_json())
    again = RiskContext.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    assert encode(evaluate(again)) == encode(evaluate(ctx))


@settings(max_examples=300)
@given(contexts(), st.data())
def test_a_stricter_limit_never_lets_more_through(ctx: RiskContext, data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(CATALOGUE))
    value = _stricter(ctx.limits.get(spec.name).value, spec.name, data)
    entries = tuple(
        LimitValue(name=spec.name, value=value) if entry.name == spec.name else entry
        for entry in ctx.limits.entries
    )
    assert not spec.is_looser(value, ctx.limits.get(spec.name).value)
    tighter = replace(ctx, limits=LimitSet(entries))
    assert RANK.index(evaluate(tighter).verdict) >= RANK.index(evaluate(ctx).verdict)


def _stricter(value: str, name: str, data: st.DataObject) -> str:
    spec = BY_NAME[name]
    if spec.unit is LimitUnit.SWITCH:
        return "off"
    number = int(Decimal(value) * 1000)
    low, high = (0, number) if spec.tighter == "lower" else (number, number * 3)
    drawn = Decimal(data.draw(st.integers(low, high))) / 1000
    return spec.parse(str(int(drawn) if spec.unit in (LimitUnit.COUNT, LimitUnit.SECONDS) else drawn))


@settings(max_examples=200)
@given(contexts())
def test_an_exit_is_never_refused_for_size_rate_price_age_or_a_stop(ctx: RiskContext) -> None:
    if not reduces_position(ctx):
        return
    codes = {finding.code for finding in evaluate(ctx).findings}
    assert not codes & {"A01", "A02", "B05", "D05", "E01", "E04", "E11", "G03", "G10", "I01", "I03", "I10"}


@pytest.mark.parametrize("purpose", list(Purpose))
def test_the_same_input_gives_the_same_answer(purpose: Purpose) -> None:
    ctx = context(order=request(quantity=D("77")), purpose=purpose)
    assert evaluate(ctx) == evaluate(ctx)
