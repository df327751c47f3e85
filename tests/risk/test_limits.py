"""Limits: versions, waiting, four eyes, stacking."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from billing.services import ensure_plans, grant_plan
from brokers.models import BrokerAccount
from risk.limit_catalogue import BY_NAME, CATALOGUE, default_limits
from risk.limit_stack import newest_in_force, stack_limits
from risk.models import RiskLimit
from risk.selectors import limit_history, pending_limits
from risk.services.limits import approve_limit, effective_limits, set_limit
from risk.types import LimitValue
from tests.risk.people import make_account, make_user
from tradeplatform.common.exceptions import (
    ConflictError,
    InvalidRequest,
    NotFoundError,
    PermissionRefused,
)
from tradeplatform.models import AuditEntry, Role, User

NOW = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
NAME = "max_position_size"


@pytest.fixture
def admin(db: None) -> User:
    ensure_plans()
    return make_user("risk@example.com", role=Role.RISK_ADMIN)


@pytest.fixture
def second(db: None) -> User:
    return make_user("second@example.com", role=Role.ADMIN)


@pytest.fixture
def account(admin: User) -> BrokerAccount:
    return make_account(make_user("trader@example.com"))


def change(author: User, value: str, **changes: Any) -> RiskLimit:
    fields: dict[str, Any] = {
        "scope": "platform",
        "scope_key": "",
        "name": NAME,
        "reason": "calmer markets",
        "now": NOW,
    }
    return set_limit(**{**fields, **changes}, value=value, author=author)


def effective(account: BrokerAccount, name: str = NAME, symbol: str = "XYZ", now: datetime = NOW) -> str:
    return effective_limits(user=account.user, account=account, symbol=symbol, now=now).get(name).value


def test_without_any_row_the_defaults_hold(account: BrokerAccount) -> None:
    limits = effective_limits(user=account.user, account=account, symbol="XYZ", now=NOW)
    assert limits == default_limits()
    assert limits.get(NAME) == LimitValue(name=NAME, value="0.2", scope="platform", version=0)


def test_tightening_holds_at_once_and_is_on_record(admin: User, account: BrokerAccount) -> None:
    row = change(admin, "0.10")
    assert (row.version, row.value, row.effective_at) == (1, "0.1", NOW)
    limit = effective_limits(user=account.user, account=account, symbol="XYZ", now=NOW).get(NAME)
    assert (limit.value, limit.scope, limit.version) == ("0.1", "platform", 1)
    entry = AuditEntry.objects.get(action="limit_set")
    assert entry.actor == "risk@example.com"
    assert entry.data == {
        "scope": "platform",
        "scope_key": "",
        "name": NAME,
        "from": "0.2",
        "to": "0.1",
        "version": 1,
        "reason": "calmer markets",
        "effective_at": NOW.isoformat(),
    }


def test_loosening_waits_a_day(admin: User, account: BrokerAccount) -> None:
    assert change(admin, "0.30").effective_at == NOW + timedelta(hours=24)
    assert effective(account) == "0.2"
    assert effective(account, now=NOW + timedelta(hours=24) - timedelta(seconds=1)) == "0.2"
    assert effective(account, now=NOW + timedelta(hours=24)) == "0.3"


def test_for_some_limits_higher_is_tighter(admin: User, account: BrokerAccount) -> None:
    assert change(admin, "30", name="duplicate_window").effective_at == NOW
    assert change(admin, "5", name="duplicate_window").effective_at == NOW + timedelta(hours=24)
    assert effective(account, "duplicate_window") == "30"


def test_switching_on_waits_and_switching_off_does_not(admin: User, account: BrokerAccount) -> None:
    assert change(admin, "ON", name="allow_short").effective_at == NOW + timedelta(hours=24)
    assert change(admin, "off", name="allow_short").effective_at == NOW
    assert effective(account, "allow_short", now=NOW + timedelta(days=2)) == "off"


def test_tightening_replaces_a_loosening_that_still_waits(admin: User, account: BrokerAccount) -> None:
    change(admin, "0.30")
    change(admin, "0.10")
    assert effective(account) == "0.1"
    assert effective(account, now=NOW + timedelta(days=2)) == "0.1"


def test_a_second_risk_admin_approves(admin: User, second: User, account: BrokerAccount) -> None:
    row = change(admin, "0.30")
    later = NOW + timedelta(hours=1)
    approved = approve_limit(limit_id=row.pk, approver=second, now=later)
    assert (approved.effective_at, approved.approved_by) == (later, "second@example.com")
    assert effective(account, now=later) == "0.3"
    assert AuditEntry.objects.filter(action="limit_approved", actor="second@example.com").count() == 1


def test_nobody_approves_their_own_change(admin: User, account: BrokerAccount) -> None:
    row = change(admin, "0.30")
    with pytest.raises(PermissionRefused, match="second person"):
        approve_limit(limit_id=row.pk, approver=admin, now=NOW)
    assert effective(account) == "0.2"


def test_only_a_risk_admin_approves(admin: User, account: BrokerAccount) -> None:
    row = change(admin, "0.30")
    for user in (account.user, make_user("support@example.com", role=Role.SUPPORT)):
        with pytest.raises(PermissionRefused):
            approve_limit(limit_id=row.pk, approver=user, now=NOW)


def test_approving_twice_an_old_version_or_nothing_is_refused(admin: User, second: User) -> None:
    row = change(admin, "0.30")
    newer = change(admin, "0.40")
    with pytest.raises(ConflictError, match="newer change"):
        approve_limit(limit_id=row.pk, approver=second, now=NOW)
    approve_limit(limit_id=newer.pk, approver=second, now=NOW)
    with pytest.raises(ConflictError, match="in force already"):
        approve_limit(limit_id=newer.pk, approver=second, now=NOW)
    with pytest.raises(NotFoundError):
        approve_limit(limit_id=10**9, approver=second, now=NOW)


@override_settings(DEMO_MODE=False)
def test_outside_demo_mode_nobody_skips_the_wait(admin: User) -> None:
    with pytest.raises(PermissionRefused, match="24 hours"):
        change(admin, "0.30", immediate=True)
    assert RiskLimit.objects.count() == 0
    assert change(admin, "0.10", immediate=True).effective_at == NOW


@override_settings(DEMO_MODE=True)
def test_demo_mode_may_skip_the_wait(admin: User) -> None:
    assert change(admin, "0.30", immediate=True).effective_at == NOW
    assert change(admin, "0.40").effective_at == NOW + timedelta(hours=24)


def test_each_level_counts_and_the_tightest_wins(admin: User, account: BrokerAccount) -> None:
    grant_plan(user=account.user, plan_key="plus", reason="test", granted_by="x")
    levels = [
        ("broker", account.broker, "0.19"),
        ("plan", "plus", "0.18"),
        ("user", str(account.user_id), "0.17"),
        ("account", str(account.pk), "0.16"),
        ("symbol", "XYZ", "0.15"),
    ]
    for scope, key, value in levels:
        change(admin, value, scope=scope, scope_key=key)
        limit = effective_limits(user=account.user, account=account, symbol="XYZ", now=NOW).get(NAME)
        assert (limit.value, limit.scope, limit.scope_key) == (value, scope, key)
    assert effective(account, symbol="ABC") == "0.16"
    assert effective(make_account(make_user("other@example.com")), symbol="ABC") == "0.19"


def test_a_lower_level_cannot_be_looser_than_the_platform(admin: User, account: BrokerAccount) -> None:
    with pytest.raises(InvalidRequest, match="The platform's own value is 0.2") as error:
        change(admin, "0.21", scope="account", scope_key=str(account.pk))
    assert error.value.code == "limit_looser_than_platform"


def test_a_level_that_is_looser_than_a_later_platform_value_does_not_count(
    admin: User, account: BrokerAccount
) -> None:
    change(admin, "0.18", scope="account", scope_key=str(account.pk))
    change(admin, "0.10")
    assert effective(account) == "0.1"


def test_loosening_a_lower_level_waits_too(admin: User, account: BrokerAccount) -> None:
    place = {"scope": "account", "scope_key": str(account.pk)}
    assert change(admin, "0.10", **place).effective_at == NOW
    assert change(admin, "0.15", **place).effective_at == NOW + timedelta(hours=24)
    assert effective(account) == "0.1"


def test_people_tighten_their_own_limits_and_nobody_elses(admin: User, account: BrokerAccount) -> None:
    owner = account.user
    change(owner, "0.10", scope="user", scope_key=str(owner.pk))
    change(owner, "0.09", scope="account", scope_key=str(account.pk))
    assert effective(account) == "0.09"
    stranger = make_user("stranger@example.com")
    for scope, key in (
        ("platform", ""),
        ("symbol", "XYZ"),
        ("user", str(owner.pk)),
        ("account", str(account.pk)),
        ("account", "not-a-uuid"),
    ):
        with pytest.raises(PermissionRefused):
            change(stranger, "0.05", scope=scope, scope_key=key)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"value": "NaN"}, "value"),
        ({"value": "Infinity"}, "value"),
        ({"value": "-0.1"}, "value"),
        ({"value": "11"}, "value"),
        ({"value": "lots"}, "value"),
        ({"value": ""}, "value"),
        ({"value": "0.1234567"}, "value"),
        ({"value": "1E+999999"}, "value"),
        ({"value": "0.20"}, "value"),
        ({"value": "2.5", "name": "max_daily_trades"}, "value"),
        ({"value": "1", "name": "allow_short"}, "value"),
        ({"value": "5", "name": "nonsense"}, "name"),
        ({"value": "0.1", "reason": "  "}, "reason"),
        ({"value": "0.1", "scope": "galaxy"}, "scope"),
        ({"value": "0.1", "scope_key": "x"}, "scope_key"),
        ({"value": "0.1", "scope": "broker", "scope_key": "nobody"}, "scope_key"),
        ({"value": "0.1", "scope": "plan", "scope_key": "nobody"}, "scope_key"),
        ({"value": "0.1", "scope": "user", "scope_key": "999999"}, "scope_key"),
        ({"value": "0.1", "scope": "user", "scope_key": "²"}, "scope_key"),
        ({"value": "0.1", "scope": "account", "scope_key": "x"}, "scope_key"),
        ({"value": "0.1", "scope": "symbol", "scope_key": "xyz"}, "scope_key"),
    ],
)
def test_wrong_input_is_refused_with_its_field(admin: User, changes: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        change(admin, **{"value": "0.1", **changes})
    assert list(error.value.details["fields"]) == [field]
    assert RiskLimit.objects.count() == 0


def test_history_and_waiting_changes_can_be_read(admin: User) -> None:
    change(admin, "0.10")
    waiting = change(admin, "0.30")
    history = limit_history(scope="platform", scope_key="", name=NAME)
    assert [row.version for row in history] == [2, 1]
    assert [row.pk for row in pending_limits(now=NOW)] == [waiting.pk]


def test_reading_limits_takes_few_queries(
    admin: User, account: BrokerAccount, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(4):  # three of them are for the plan
        effective_limits(user=account.user, account=account, symbol="XYZ")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["platform", "broker", "plan", "user", "account", "symbol"]),
            st.integers(1, 3),
            st.integers(0, 40),
            st.integers(-2, 2),
        ),
        max_size=12,
    )
)
def test_no_level_below_the_platform_ever_loosens(rows: list[tuple[str, int, int, int]]) -> None:
    spec = BY_NAME[NAME]
    versions = [
        RiskLimit(
            scope=scope,
            scope_key="" if scope == "platform" else "k",
            name=NAME,
            value=str(percent / 100),
            version=version,
            effective_at=NOW + timedelta(hours=hours),
        )
        for scope, version, percent, hours in rows
    ]
    in_force = newest_in_force(versions, now=NOW)
    platform_only = {place: limit for place, limit in in_force.items() if place[0] == "platform"}
    everything, platform = stack_limits(in_force).get(NAME), stack_limits(platform_only).get(NAME)
    assert not spec.is_looser(everything.value, platform.value)
    assert all(
        not spec.is_looser(everything.value, limit.value)
        for limit in in_force.values()
        if limit.scope != "platform"
    )


def test_every_default_is_valid_and_not_above_its_own_bounds() -> None:
    for spec in CATALOGUE:
        assert spec.strictness(spec.parse(spec.default)) == spec.strictness(spec.default)
        assert spec.help.endswith(".")
    assert BY_NAME["max_position_size"].default == "0.2"
    assert BY_NAME["max_daily_trades"].default == "10"
