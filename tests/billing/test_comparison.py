"""The nightly comparison, the figures, and the admin of plans and payments."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
import time_machine
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from billing.entitlements import Feature, problems_in
from billing.figures import read_figures
from billing.models import Plan, PlanGrant, StripeDifference, StripeEvent, Subscription
from billing.selectors import count_people_by_plan, plan_for
from billing.services import grant_plan
from billing.services.comparison import compare_with_stripe
from billing.services.customers import sync_customer
from billing.services.plans import end_grant
from tests.pages import text_of
from tradeplatform.common.clock import utc_now
from tradeplatform.models import AuditEntry, Role, User
from tradeplatform.services.people import create_user
from tradeplatform.services.roles import ensure_roles

pytestmark = pytest.mark.django_db


def staff(role: Role) -> Client:
    ensure_roles()
    client = Client()
    client.force_login(
        create_user(email=f"{role}@example.com", password="x", role=role, check_password=False)
    )
    return client


def test_lost_events_are_found_at_night_kept_and_corrected(stripe_server, customer, user):
    subscription = stripe_server.subscribe(customer, "pro")
    assert {one.field for one in compare_with_stripe()} == {"subscription"}
    assert plan_for(user).key == "pro"
    assert compare_with_stripe() == []

    stripe_server.end(subscription)
    found = {(one.field, one.ours, one.theirs) for one in compare_with_stripe() if one.field == "status"}

    assert found == {("status", "active", "canceled")}
    assert plan_for(user).key == "free"
    assert all(one.corrected_at and one.user == user for one in StripeDifference.objects.all())


def test_customers_of_other_sites_are_named_and_left_alone(stripe_server, customer, capsys):
    stripe_server.subscribe("cus_foreign", "pro")

    call_command("compare_with_stripe")

    assert "cus_foreign customer: unknown here" in capsys.readouterr().out
    assert not Subscription.objects.exists()


def test_revenue_and_churn(stripe_server, customer, user):
    with time_machine.travel("2026-10-01T12:00Z", tick=False):
        early = stripe_server.subscribe(customer, "pro", days=90)
        stripe_server.subscribe(customer, "plus", interval="year", days=365)
        sync_customer(stripe_id=customer)
    with time_machine.travel("2026-11-20T12:00Z", tick=False):
        stripe_server.subscribe(customer, "plus", status="trialing", days=14)
        stripe_server.end(early)
        sync_customer(stripe_id=customer)

        figures = read_figures(now=datetime(2026, 11, 20, 12, tzinfo=UTC))

    assert figures.revenue == (("USD", Decimal("24.17")),)
    assert (figures.paying, figures.on_trial, figures.begun, figures.ended) == (1, 1, 1, 1)
    assert figures.churn_percent == Decimal("50.0")
    assert [(month.month, month.begun, month.ended) for month in figures.months[:2]] == [
        ("2026-11", 1, 1),
        ("2026-10", 2, 0),
    ]


def test_figures_of_nobody():
    figures = read_figures(now=utc_now())

    assert (figures.revenue, figures.churn_percent, figures.paying) == ((), None, 0)


def test_people_are_counted_by_the_plan_that_counts(stripe_server, customer, user):
    stripe_server.subscribe(customer, "pro")
    sync_customer(stripe_id=customer)
    User.objects.create_user("another@example.com", "x")

    assert {plan.key: number for plan, number in count_people_by_plan()} == {"free": 1, "plus": 0, "pro": 1}


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.RISK_ADMIN, Role.ADMIN])
def test_staff_read_everything_about_payments(role, stripe_server, customer, user):
    stripe_server.subscribe(customer, "pro")
    sync_customer(stripe_id=customer)
    StripeEvent.objects.create(event_id="evt_1", kind="invoice.paid", created_at=utc_now())
    browser = staff(role)

    for model in ("plan", "plangrant", "customer", "subscription", "stripeevent", "stripedifference"):
        assert browser.get(reverse(f"admin:billing_{model}_changelist")).status_code == 200, model
    shown = text_of(browser.get(reverse("admin:billing_figures")))
    assert "$99.00" in shown
    assert "Revenue a month, USD" in shown


def test_others_do_not_see_the_figures(client, user):
    client.force_login(user)

    assert client.get(reverse("admin:billing_figures")).status_code == 302


def change_plan(browser: Client, plan: Plan, **values):
    form = {
        "name": plan.name,
        "tagline": plan.tagline,
        "lines": "One line\nAnother line",
        "is_public": "on",
        "position": plan.position,
        "monthly_price": plan.monthly_price,
        "yearly_price": plan.yearly_price,
        "trial_days": plan.trial_days,
        "live_trading": "on",
        "linked_brokers": "2",
    } | values
    form = {name: value for name, value in form.items() if value is not None}
    return browser.post(reverse("admin:billing_plan_change", args=[plan.pk]), form)


def test_an_admin_edits_what_a_plan_gives_and_it_is_on_record(user):
    plus = Plan.objects.get(key="plus")

    answer = change_plan(staff(Role.ADMIN), plus, monthly_price="19", yearly_price="190")

    assert answer.status_code == 302, answer.content.decode()[:2000]
    plus.refresh_from_db()
    assert plus.entitlements == {"live_trading": True, "linked_brokers": 2, "api_live_trading": False}
    assert (plus.monthly_price, plus.feature_lines) == (Decimal(19), ["One line", "Another line"])
    entry = AuditEntry.objects.get(action="plan_changed")
    assert entry.data["monthly_price"] == {"before": "29.00", "after": "19"}


@pytest.mark.parametrize(
    ("key", "values", "words"),
    [
        ("plus", {"yearly_price": "0"}, "Give both prices"),
        ("plus", {"trial_days": "999"}, "From 0 to 365 days"),
        ("plus", {"linked_brokers": "1000"}, "less than or equal to 100"),
        ("free", {"monthly_price": "5", "yearly_price": "50"}, "everybody starts on is free"),
    ],
)
def test_nonsense_is_refused_at_its_field(key, values, words, user):
    plan = Plan.objects.get(key=key)

    answer = change_plan(staff(Role.ADMIN), plan, **values)

    assert answer.status_code == 200
    assert words in text_of(answer)
    assert not AuditEntry.objects.filter(action="plan_changed").exists()


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.RISK_ADMIN])
def test_only_admins_change_plans_and_replay_events(role, user):
    plan = Plan.objects.get(key="plus")
    browser = staff(role)
    event = StripeEvent.objects.create(event_id="evt_1", kind="payout.paid", created_at=utc_now())

    assert change_plan(browser, plan).status_code == 403
    replay = {"action": "replay", "_selected_action": [event.pk]}
    browser.post(reverse("admin:billing_stripeevent_changelist"), replay)

    assert StripeEvent.objects.get().state == "waiting"


def test_an_admin_replays_an_event(stripe_server, customer, user):
    stripe_server.subscribe(customer, "pro")
    event = StripeEvent.objects.create(
        event_id="evt_1",
        kind="invoice.paid",
        created_at=utc_now(),
        customer_stripe_id=customer,
        state="given_up",
    )
    replay = {"action": "replay", "_selected_action": [event.pk]}

    staff(Role.ADMIN).post(reverse("admin:billing_stripeevent_changelist"), replay)

    assert StripeEvent.objects.get().state == "done"
    assert plan_for(user).key == "pro"
    assert AuditEntry.objects.filter(action="stripe_event_replayed").exists()


def test_a_grant_is_ended_in_the_admin(user):
    grant = grant_plan(user=user, plan_key="pro", reason="test", granted_by="x")
    end = {"action": "end_now", "_selected_action": [grant.pk]}

    staff(Role.ADMIN).post(reverse("admin:billing_plangrant_changelist"), end)

    assert plan_for(user).key == "free"
    assert PlanGrant.objects.get().ends_at is not None
    end_grant(grant_id=grant.pk, actor="x")
    assert AuditEntry.objects.filter(action="plan_grant_ended").count() == 1


@pytest.mark.parametrize(
    ("entitlements", "problem"),
    [
        ([], "table"),
        ({"gold": True}, "no feature 'gold'"),
        ({}, "missing"),
        ({"live_trading": 1, "linked_brokers": 1, "api_live_trading": True}, "true or false"),
        ({"live_trading": True, "linked_brokers": -1, "api_live_trading": True}, "whole number"),
        ({"live_trading": True, "linked_brokers": True, "api_live_trading": True}, "whole number"),
    ],
)
def test_what_is_no_set_of_entitlements(entitlements, problem):
    assert any(problem in found for found in problems_in(entitlements))


def test_every_seeded_plan_is_valid(user):
    assert [problems_in(plan.entitlements) for plan in Plan.objects.all()] == [[], [], []]
    assert set(Plan.objects.get(key="pro").entitlements) == {feature.value for feature in Feature}
