"""Plans as data: who has which, and what it gives."""

from datetime import timedelta
from decimal import Decimal

import pytest

from billing.entitlements import Feature
from billing.models import Plan, PlanGrant
from billing.selectors import feature_limit, has_feature, plan_for, public_plans
from billing.services import ensure_plans, grant_plan
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import InvalidRequest, NotFoundError
from tradeplatform.models import AuditEntry, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    ensure_plans()
    return User.objects.create_user("owner@example.com", "x")


def grant(user: User, plan: str, **values) -> PlanGrant:
    return grant_plan(user=user, plan_key=plan, reason="test", granted_by="admin@example.com", **values)


def test_the_three_plans_and_their_prices(user):
    assert [(one.key, one.monthly_price, one.yearly_price) for one in public_plans()] == [
        ("free", Decimal("0.00"), Decimal("0.00")),
        ("plus", Decimal("29.00"), Decimal("290.00")),
        ("pro", Decimal("99.00"), Decimal("990.00")),
    ]
    assert ensure_plans() == 0


def test_edited_plans_stay_as_edited(user):
    Plan.objects.filter(key="plus").update(monthly_price=Decimal(19))

    ensure_plans()

    assert Plan.objects.get(key="plus").monthly_price == Decimal("19.00")


@pytest.mark.parametrize(
    ("plan", "live", "brokers", "api"),
    [("free", False, 1, False), ("plus", True, 1, False), ("pro", True, None, True)],
)
def test_what_each_plan_gives(user, plan, live, brokers, api):
    grant(user, plan)

    assert has_feature(user, Feature.LIVE_TRADING) is live
    assert feature_limit(user, Feature.LINKED_BROKERS) == brokers
    assert has_feature(user, Feature.API_LIVE_TRADING) is api


def test_without_a_grant_the_default_plan_counts(user):
    assert plan_for(user).key == "free"


def test_a_feature_a_plan_does_not_name_is_not_included(user):
    Plan.objects.filter(key="free").update(entitlements={})

    assert not has_feature(user, Feature.LIVE_TRADING)
    assert feature_limit(user, Feature.LINKED_BROKERS) == 0


def test_the_newest_running_grant_counts_and_ended_ones_do_not(user):
    grant(user, "pro", ends_at=utc_now() + timedelta(days=1))
    assert plan_for(user).key == "pro"

    PlanGrant.objects.update(ends_at=utc_now() - timedelta(seconds=1))
    assert plan_for(user).key == "free"

    grant(user, "plus")
    assert plan_for(user).key == "plus"


def test_grants_are_on_record(user):
    grant(user, "pro")

    entry = AuditEntry.objects.get(action="plan_granted")
    assert (entry.actor, entry.object_id, entry.data["plan"]) == ("admin@example.com", str(user.pk), "pro")


def test_bad_grants_are_refused(user):
    with pytest.raises(NotFoundError):
        grant(user, "gold")
    with pytest.raises(InvalidRequest):
        grant(user, "pro", ends_at=utc_now() - timedelta(seconds=1))
    with pytest.raises(InvalidRequest):
        grant_plan(user=user, plan_key="pro", reason="  ", granted_by="admin@example.com")
    assert not PlanGrant.objects.exists()
