"""Halts: latched, announced, lifted by the right people."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import override_settings

from risk.models import TradingHalt
from risk.selectors import active_halts, halts_awaiting_cancels, halts_covering
from risk.services.halts import halt_trading, resume_trading
from risk.signals import trading_halted, trading_resumed
from tests.risk.people import make_account, make_user
from tradeplatform.common.exceptions import (
    ConflictError,
    InvalidRequest,
    NotFoundError,
    PermissionRefused,
)
from tradeplatform.models import AuditEntry, Role, User, UserEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> User:
    return make_user("risk@example.com", role=Role.RISK_ADMIN)


@pytest.fixture
def trader() -> User:
    return make_user("trader@example.com")


@pytest.fixture
def heard() -> Any:
    """Collect what the signals say."""
    calls: list[tuple[str, UUID]] = []

    def on_halt(halt_id: UUID, **_: Any) -> None:
        calls.append(("halted", halt_id))

    def on_resume(halt_id: UUID, **_: Any) -> None:
        calls.append(("resumed", halt_id))

    trading_halted.connect(on_halt)
    trading_resumed.connect(on_resume)
    yield calls
    trading_halted.disconnect(on_halt)
    trading_resumed.disconnect(on_resume)


def covering(user: User, account: Any) -> list[str]:
    halts = active_halts(user_id=user.pk, account_id=account.pk, broker=account.broker)
    return [halt.scope for halt in halts]


def test_each_level_covers_its_accounts_and_no_others(admin: User, trader: User) -> None:
    mine, other = make_account(trader), make_account(make_user("o@example.com"), broker="alpaca")
    for scope, key in (
        ("account", str(mine.pk)),
        ("user", str(trader.pk)),
        ("broker", "paper"),
        ("platform", ""),
    ):
        halt_trading(scope=scope, scope_key=key, reason="test", actor=admin)
    assert covering(trader, mine) == ["account", "user", "broker", "platform"]
    assert covering(other.user, other) == ["platform"]
    facts = halts_covering(user_id=trader.pk, account_id=mine.pk, broker="paper")
    assert [fact.scope for fact in facts] == ["account", "user", "broker", "platform"]
    assert facts[0].started_by == "risk@example.com"


def test_a_halt_is_announced_after_the_commit(
    admin: User, trader: User, heard: Any, django_capture_on_commit_callbacks: Any
) -> None:
    account = make_account(trader)
    with django_capture_on_commit_callbacks(execute=True):
        halt = halt_trading(
            scope="account", scope_key=str(account.pk), reason=" odd fills ", actor=admin, cancel_open=True
        )
        assert heard == []
    assert heard == [("halted", halt.pk)]
    assert halt.reason == "odd fills"
    assert list(halts_awaiting_cancels()) == [halt]
    event = UserEvent.objects.get(user=trader)
    assert event.kind == "halt"
    assert event.payload == {
        "id": str(halt.pk),
        "scope": "account",
        "scope_key": str(account.pk),
        "kind": "halted",
        "active": True,
    }
    assert AuditEntry.objects.get(action="trading_halted").actor == "risk@example.com"


def test_a_platform_halt_tells_everybody_with_an_account(admin: User, trader: User) -> None:
    make_account(trader)
    make_account(make_user("o@example.com"))
    halt_trading(scope="platform", reason="test", actor="system:monitor")
    assert sorted(UserEvent.objects.values_list("user__email", flat=True)) == [
        "o@example.com",
        "trader@example.com",
    ]


def test_stopping_twice_is_one_halt_that_may_add_cancelling(
    admin: User, heard: Any, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        first = halt_trading(scope="platform", reason="one", actor=admin)
        same = halt_trading(scope="platform", reason="two", actor=admin)
        added = halt_trading(scope="platform", reason="three", actor=admin, cancel_open=True)
        halt_trading(scope="platform", reason="four", actor=admin, cancel_open=True)
    assert first.pk == same.pk == added.pk
    assert added.cancel_open
    assert TradingHalt.objects.get().reason == "one"
    assert [name for name, _ in heard] == ["halted", "halted"]


def test_reduce_only_and_a_stop_are_two_halts(admin: User) -> None:
    halt_trading(scope="platform", reason="one", actor=admin)
    halt_trading(scope="platform", reason="two", actor=admin, kind="reduce_only")
    assert TradingHalt.objects.filter(lifted_at=None).count() == 2


def test_people_stop_and_resume_their_own_trading(
    trader: User, heard: Any, django_capture_on_commit_callbacks: Any
) -> None:
    account = make_account(trader)
    with django_capture_on_commit_callbacks(execute=True):
        halt = halt_trading(scope="account", scope_key=str(account.pk), reason="holiday", actor=trader)
        lifted = resume_trading(halt_id=halt.pk, reason="back again", actor=trader)
    assert (lifted.lifted_by, lifted.lift_reason) == ("trader@example.com", "back again")
    assert covering(trader, account) == []
    assert heard == [("halted", halt.pk), ("resumed", halt.pk)]
    assert UserEvent.objects.filter(kind="halt").last().payload["active"] is False


def test_what_somebody_else_stopped_takes_a_risk_admin(admin: User, trader: User) -> None:
    account = make_account(trader)
    for actor in (admin, "system:monitor"):
        halt = halt_trading(scope="account", scope_key=str(account.pk), reason="odd", actor=actor)
        with pytest.raises(PermissionRefused, match="somebody else started"):
            resume_trading(halt_id=halt.pk, reason="please", actor=trader)
        resume_trading(halt_id=halt.pk, reason="looked into it", actor=admin)
    assert covering(trader, account) == []


def test_strangers_stop_nobody(trader: User) -> None:
    other = make_account(make_user("o@example.com"))
    for scope, key in (
        ("platform", ""),
        ("broker", "paper"),
        ("user", str(other.user_id)),
        ("account", str(other.pk)),
    ):
        with pytest.raises(PermissionRefused):
            halt_trading(scope=scope, scope_key=key, reason="mischief", actor=trader)
    assert TradingHalt.objects.count() == 0


@override_settings(DEMO_MODE=False)
def test_a_platform_halt_takes_a_second_risk_admin_to_lift(admin: User) -> None:
    halt = halt_trading(scope="platform", reason="test", actor=admin)
    with pytest.raises(PermissionRefused, match="second risk admin"):
        resume_trading(halt_id=halt.pk, reason="done", actor=admin)
    second = make_user("second@example.com", role=Role.ADMIN)
    assert resume_trading(halt_id=halt.pk, reason="done", actor=second).lifted_by == "second@example.com"


@override_settings(DEMO_MODE=True)
def test_in_demo_mode_one_person_may_lift_a_platform_halt(admin: User) -> None:
    halt = halt_trading(scope="platform", reason="test", actor=admin)
    assert resume_trading(halt_id=halt.pk, reason="done", actor=admin).lifted_at is not None


def test_lifting_needs_a_reason_an_active_halt_and_an_existing_one(admin: User) -> None:
    halt = halt_trading(scope="broker", scope_key="paper", reason="test", actor=admin)
    with pytest.raises(InvalidRequest):
        resume_trading(halt_id=halt.pk, reason=" ", actor=admin)
    resume_trading(halt_id=halt.pk, reason="done", actor=admin)
    with pytest.raises(ConflictError, match="lifted already"):
        resume_trading(halt_id=halt.pk, reason="done", actor=admin)
    with pytest.raises(NotFoundError):
        resume_trading(halt_id=uuid4(), reason="done", actor=admin)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scope": "symbol", "scope_key": "XYZ"}, "scope"),
        ({"scope": "galaxy"}, "scope"),
        ({"kind": "nap"}, "kind"),
        ({"reason": ""}, "reason"),
        ({"scope": "account", "scope_key": "x"}, "scope_key"),
        ({"scope": "broker", "scope_key": "nobody"}, "scope_key"),
    ],
)
def test_wrong_input_is_refused_with_its_field(admin: User, changes: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        halt_trading(**{"scope": "platform", "reason": "test", "actor": admin, **changes})
    assert list(error.value.details["fields"]) == [field]
