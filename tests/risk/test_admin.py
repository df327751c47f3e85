"""The admin shows history, and changes only through the services."""

from typing import Any

import pytest
from django.contrib.admin.sites import AdminSite
from django.contrib.messages.storage.fallback import FallbackStorage
from django.http import HttpRequest
from django.test import RequestFactory

from billing.services import ensure_plans
from risk.admin import LimitForm, RiskDecisionAdmin, RiskLimitAdmin, TradingHaltAdmin
from risk.engine import evaluate
from risk.models import RiskDecisionRecord, RiskLimit, TradingHalt
from risk.services.decisions import record_decision
from risk.services.halts import halt_trading
from risk.services.limits import set_limit
from tests.risk.contexts import context
from tests.risk.people import make_user
from tradeplatform.models import Role, User

pytestmark = pytest.mark.django_db
LIMITS = RiskLimitAdmin(RiskLimit, AdminSite())
HALTS = TradingHaltAdmin(TradingHalt, AdminSite())
DECISIONS = RiskDecisionAdmin(RiskDecisionRecord, AdminSite())


@pytest.fixture
def admin() -> User:
    ensure_plans()
    return make_user("risk@example.com", role=Role.RISK_ADMIN, is_staff=True)


def asked_by(user: User, data: dict[str, str] | None = None) -> HttpRequest:
    factory = RequestFactory()
    request = factory.get("/") if data is None else factory.post("/", data)
    request.user = user
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
    request.session = {}  # type: ignore[assignment]
    request._messages = FallbackStorage(request)  # type: ignore[attr-defined]
    return request


def told(request: Any) -> list[str]:
    return [str(message) for message in request._messages]


def limit_form(**changes: str) -> LimitForm:
    fields = {
        "scope": "platform",
        "scope_key": "",
        "name": "max_daily_trades",
        "value": "5",
        "reason": "calmer markets",
    }
    return LimitForm({**fields, **changes})


def test_a_limit_added_in_the_admin_goes_through_the_service(admin: User) -> None:
    form = limit_form()
    assert form.is_valid(), form.errors
    LIMITS.save_model(asked_by(admin), form.save(commit=False), form, change=False)
    row = RiskLimit.objects.get()
    assert (row.name, row.value, row.version, row.author) == ("max_daily_trades", "5", 1, "risk@example.com")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"value": "many"}, "value"),
        ({"value": "2.5"}, "value"),
        ({"value": "11", "scope": "symbol", "scope_key": "XYZ"}, "value"),
        ({"scope": "broker", "scope_key": "nobody"}, "scope_key"),
        ({"name": "nonsense"}, "name"),
        ({"reason": ""}, "reason"),
    ],
)
def test_wrong_input_is_shown_at_its_field(admin: User, changes: dict[str, str], field: str) -> None:
    assert field in limit_form(**changes).errors


def test_old_versions_can_be_neither_changed_nor_deleted(admin: User) -> None:
    row = set_limit(
        scope="platform", scope_key="", name="max_daily_trades", value="5", author=admin, reason="r"
    )
    request = asked_by(admin)
    assert LIMITS.has_view_permission(request, row)
    assert LIMITS.has_add_permission(request)
    assert not LIMITS.has_change_permission(request, row)
    assert not LIMITS.has_delete_permission(request, row)


def test_the_approve_action_needs_a_second_person(admin: User) -> None:
    row = set_limit(
        scope="platform", scope_key="", name="max_daily_trades", value="50", author=admin, reason="r"
    )
    assert LIMITS.state(row) == "Waiting"
    request = asked_by(admin)
    LIMITS.approve(request, RiskLimit.objects.all())
    assert told(request) == ["max_daily_trades: A second person has to approve this change."]
    second = asked_by(make_user("second@example.com", role=Role.ADMIN, is_staff=True))
    LIMITS.approve(second, RiskLimit.objects.all())
    assert told(second) == ["max_daily_trades is 50 from now on."]
    row.refresh_from_db()
    assert LIMITS.state(row) == "Approved by second@example.com"


def test_support_reads_and_changes_nothing(admin: User) -> None:
    support = asked_by(make_user("support@example.com", role=Role.SUPPORT, is_staff=True))
    for model_admin in (LIMITS, HALTS, DECISIONS):
        assert model_admin.has_module_permission(support)
        assert model_admin.has_view_permission(support)
        assert not model_admin.has_add_permission(support)
        assert not model_admin.has_change_permission(support)
        assert not model_admin.has_delete_permission(support)
    nobody = asked_by(make_user("user@example.com", is_staff=True))
    assert not LIMITS.has_view_permission(nobody)


def test_a_halt_is_started_and_lifted_with_reasons(admin: User) -> None:
    draft = TradingHalt(
        scope="broker", scope_key="paper", kind="halted", reason="odd fills", cancel_open=True
    )
    HALTS.save_model(asked_by(admin), draft, None, change=False)
    halt = TradingHalt.objects.get()
    assert (halt.started_by, halt.reason, halt.cancel_open) == ("risk@example.com", "odd fills", True)
    request = asked_by(admin)
    assert HALTS.has_change_permission(request, halt)
    assert "lift_reason" not in HALTS.get_readonly_fields(request, halt)
    assert set(HALTS.start_fields) < set(HALTS.get_readonly_fields(request, halt))
    halt.lift_reason = "looked into it"
    HALTS.save_model(request, halt, None, change=True)
    halt.refresh_from_db()
    assert (halt.lifted_by, halt.lift_reason) == ("risk@example.com", "looked into it")
    assert not HALTS.has_change_permission(request, halt)


def test_a_refusal_of_the_service_becomes_a_sentence_not_an_error_page(admin: User) -> None:
    request = asked_by(
        admin, {"scope": "broker", "scope_key": "nobody", "kind": "halted", "reason": "odd fills"}
    )
    response = HALTS.changeform_view(request)
    assert response.status_code == 302
    assert told(request) == ["There is no broker 'nobody'."]
    assert TradingHalt.objects.count() == 0


def test_a_decision_shows_that_it_can_be_computed_again(admin: User) -> None:
    ctx = context()
    record = record_decision(
        context=ctx, decision=evaluate(ctx), order_hash="a" * 64, client_order_id="tp-1", purpose=ctx.purpose
    )
    record.refresh_from_db()
    assert DECISIONS.replayed(record) == "Same result"
    assert "&quot;code&quot;: &quot;A01&quot;" in DECISIONS.checks_text(record)
    record.verdict = "deny"
    assert DECISIONS.replayed(record) == "Differs in verdict"
    assert not DECISIONS.has_add_permission(asked_by(admin))


def test_a_halt_already_lifted_is_read_only(admin: User) -> None:
    halt = halt_trading(scope="broker", scope_key="paper", reason="r", actor=admin)
    TradingHalt.objects.filter(pk=halt.pk).update(lifted_at=halt.started_at)
    halt.refresh_from_db()
    assert not HALTS.has_change_permission(asked_by(admin), halt)
