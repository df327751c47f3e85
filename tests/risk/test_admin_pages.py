"""The admin pages of this app, through real requests."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.test import Client
from django.urls import reverse

from billing.services import ensure_plans
from risk.engine import evaluate
from risk.models import RiskLimit, TradingHalt
from risk.services.decisions import record_decision
from risk.services.limits import set_limit
from tests.pages import sign_in
from tests.risk.contexts import context
from tests.risk.people import make_user
from tradeplatform.models import Role, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    ensure_plans()
    client.force_login(
        make_user("risk@example.com", role=Role.RISK_ADMIN, is_staff=True),
        backend="django.contrib.auth.backends.ModelBackend",
    )
    return client


@pytest.mark.parametrize(
    "page", ["risklimit/", "risklimit/add/", "tradinghalt/", "tradinghalt/add/", "riskdecisionrecord/"]
)
def test_lists_and_forms_open(staff: Client, page: str) -> None:
    assert staff.get(f"/admin/risk/{page}").status_code == 200


def test_a_limit_is_set_and_then_read_only(staff: Client) -> None:
    form = {"scope": "platform", "scope_key": "", "name": "max_daily_trades", "value": "5", "reason": "calm"}
    assert staff.post("/admin/risk/risklimit/add/", form).status_code == 302
    row = RiskLimit.objects.get()
    page = staff.get(f"/admin/risk/risklimit/{row.pk}/change/")
    assert page.status_code == 200
    assert b'name="_save"' not in page.content
    assert staff.post(f"/admin/risk/risklimit/{row.pk}/change/", {**form, "value": "9"}).status_code == 403
    assert RiskLimit.objects.get().value == "5"


def test_a_halt_is_started_and_lifted_on_its_page(staff: Client) -> None:
    form = {"scope": "broker", "scope_key": "paper", "kind": "halted", "reason": "odd fills"}
    assert staff.post("/admin/risk/tradinghalt/add/", form).status_code == 302
    halt = TradingHalt.objects.get()
    page = f"/admin/risk/tradinghalt/{halt.pk}/change/"
    assert staff.get(page).status_code == 200
    assert staff.post(page, {"lift_reason": "looked into it"}).status_code == 302
    halt.refresh_from_db()
    assert (halt.lifted_by, halt.lift_reason) == ("risk@example.com", "looked into it")


def test_lifting_without_a_reason_says_so_and_keeps_the_halt(staff: Client) -> None:
    staff.post(
        "/admin/risk/tradinghalt/add/",
        {"scope": "broker", "scope_key": "paper", "kind": "halted", "reason": "odd fills"},
    )
    halt = TradingHalt.objects.get()
    page = staff.post(f"/admin/risk/tradinghalt/{halt.pk}/change/", {"lift_reason": ""}, follow=True)
    assert "Say why trading may go on." in page.content.decode()
    assert TradingHalt.objects.filter(lifted_at=None).count() == 1


def test_a_decision_page_shows_the_replay(staff: Client) -> None:
    ctx = context()
    record = record_decision(
        context=ctx, decision=evaluate(ctx), order_hash="a" * 64, client_order_id="tp-1", purpose="place"
    )
    page = staff.get(f"/admin/risk/riskdecisionrecord/{record.pk}/change/")
    assert page.status_code == 200
    assert "Same result" in page.content.decode()


RAISED = {"scope": "platform", "scope_key": "", "name": "max_daily_trades", "value": "900", "reason": "more"}
ADD = "/admin/risk/risklimit/add/"


def test_raising_a_limit_asks_for_a_fresh_second_factor(staff: Client, settings: Any) -> None:
    settings.DEMO_MODE = False
    assert staff.post(ADD, RAISED).url == reverse("mfa_index")
    admin = User.objects.get(email="risk@example.com")
    TOTP.activate(admin, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    for browser in (staff, sign_in(admin, proof="password"), sign_in(admin, proof="mfa", age=301)):
        assert urlsplit(browser.post(ADD, RAISED).url).path == reverse("mfa_reauthenticate")
    assert not RiskLimit.objects.exists()

    assert staff.post(ADD, {**RAISED, "value": "5"}).status_code == 302
    assert RiskLimit.objects.get().value == "5"
    assert sign_in(admin, proof="mfa").post(ADD, RAISED).status_code == 302
    assert sorted(RiskLimit.objects.values_list("value", flat=True)) == ["5", "900"]


def test_approving_a_raise_asks_for_a_fresh_second_factor(staff: Client, settings: Any) -> None:
    settings.DEMO_MODE = False
    author = make_user("author@example.com", role=Role.RISK_ADMIN, is_staff=True)
    limit = set_limit(**{**RAISED, "author": author})
    chosen = {"action": "approve", "_selected_action": [str(limit.pk)]}
    admin = User.objects.get(email="risk@example.com")
    TOTP.activate(admin, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")

    assert urlsplit(staff.post("/admin/risk/risklimit/", chosen).url).path == reverse("mfa_reauthenticate")
    assert RiskLimit.objects.get().approved_by == ""
    sign_in(admin, proof="mfa").post("/admin/risk/risklimit/", chosen)
    assert RiskLimit.objects.get().approved_by == "risk@example.com"
