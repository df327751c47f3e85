"""The people of demo mode. Their passwords are public, so they exist nowhere else."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from billing.services import grant_plan
from brokers.adapters.paper.models import PracticeBook
from brokers.services.connections import open_practice_account
from brokers.types import AccountInfo
from portfolios.imports import sample_files
from portfolios.imports.samples import SAMPLE_OPENING_CASH
from portfolios.services.imports import apply_import, preview_import
from portfolios.services.opening import open_book
from tradeplatform.common.clock import utc_now
from tradeplatform.common.disclosures import accept_disclosures, current_disclosures
from tradeplatform.common.exceptions import PermissionRefused
from tradeplatform.models import Role, User
from tradeplatform.services.people import create_user

_ACTOR = "system:demo"
# How far back the practice account of the demo login goes.
DEMO_HISTORY = dt.timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Login:
    email: str
    password: str


DEMO_LOGIN = Login("demo@example.com", "demo-practice-2026")
ADMIN_LOGIN = Login("admin@example.com", "demo-admin-2026")


def ensure_demo_people() -> list[str]:
    """Create the demo logins that do not exist and return their addresses. Refused outside demo mode."""
    if not settings.DEMO_MODE:
        raise PermissionRefused("Demo logins exist only in demo mode.")
    created = []
    if not User.objects.filter(email=ADMIN_LOGIN.email).exists():
        create_user(email=ADMIN_LOGIN.email, password=ADMIN_LOGIN.password, role=Role.ADMIN, actor=_ACTOR)
        created.append(ADMIN_LOGIN.email)
    if not User.objects.filter(email=DEMO_LOGIN.email).exists():
        with transaction.atomic():
            _create_demo_trader()
        created.append(DEMO_LOGIN.email)
    return created


def _create_demo_trader() -> None:
    user = create_user(email=DEMO_LOGIN.email, password=DEMO_LOGIN.password, actor=_ACTOR)
    grant_plan(user=user, plan_key="pro", reason="Demo mode", granted_by=_ACTOR)
    trading = [text.pk for text in current_disclosures() if text.required_for != "none"]
    accept_disclosures(user=user, disclosure_ids=trading, ip_address=None)
    _open_older_account(user)
    _import_sample(user)


def _open_older_account(user: User) -> None:
    """Open a practice account whose book begins in the past, so that there is room for its history."""
    opened_at = utc_now() - DEMO_HISTORY
    account = open_practice_account(user=user)
    PracticeBook.objects.filter(user=user).update(created_at=opened_at)
    cash = account.cash or Decimal(0)
    info = AccountInfo(
        broker_account_id=account.broker_account_id,
        account_number=account.account_number,
        currency=account.currency,
        status="ACTIVE",
        cash=cash,
        equity=cash,
        buying_power=cash,
    )
    open_book(account_id=account.pk, info=info, positions=(), at=opened_at)


def _import_sample(user: User) -> None:
    """Give the demo login a portfolio with a past, from the sample files of the import page."""
    batch = preview_import(
        user=user,
        files=sample_files(),
        portfolio_name="Sample tracker",
        opening_cash=Decimal(SAMPLE_OPENING_CASH),
    )
    apply_import(user=user, batch_id=batch.pk, actor=_ACTOR)
