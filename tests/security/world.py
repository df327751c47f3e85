"""One person with at least one row of everything, and clients in every role that could ask for it."""

from dataclasses import dataclass
from decimal import Decimal
from time import time
from typing import Any
from uuid import UUID

from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from django.apps import apps
from django.db.models import Model
from django.test import Client

from billing.services import grant_plan
from brokers.models import BrokerAccount
from orders.services.reconcile import backfill_account
from portfolios.enums import BreakStatus
from portfolios.imports import sample_files
from portfolios.models import Break, Portfolio
from portfolios.services.imports import apply_import, preview_import
from risk.models import TradingHalt
from risk.services.halts import halt_trading, resume_trading
from tests.orders.conftest import accept_everything, make_account
from tests.orders.helpers import fresh, place, send
from tests.orders.scripted_broker import ScriptedBook
from tradeplatform.common.events import publish_event
from tradeplatform.models import Role, User
from tradeplatform.services.api_keys import create_api_key
from tradeplatform.services.people import create_user

PASSWORD = "correct-horse-battery"
TOTP_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
OUR_APPS = ("tradeplatform", "billing", "brokers", "portfolios", "risk", "orders")
FULL_SCOPES = ["read", "trade:paper", "trade:live"]


@dataclass(frozen=True)
class World:
    """A person's rows, under the names that the table of routes uses."""

    user: User
    account_id: UUID
    live_account_id: UUID
    connection_id: UUID
    portfolio_id: UUID
    order_id: UUID
    batch_id: UUID
    break_id: int
    halt_id: UUID
    key_id: int
    secret: str
    symbol: str
    marks: tuple[str, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """Everything that names a row of this person."""
        return tuple(
            str(value)
            for value in (
                self.account_id,
                self.live_account_id,
                self.connection_id,
                self.portfolio_id,
                self.order_id,
                self.batch_id,
            )
        )


def code_now(secret: str = TOTP_SECRET) -> str:
    """Return the code that an authenticator app shows now."""
    counter = int(time()) // 30
    return format_hotp_value(hotp_value(secret, counter))


def make_person(name: str, role: Role = Role.USER) -> User:
    """Create someone who could do everything that a person of this role can: plan, texts, second factor."""
    person = create_user(email=f"{name}@example.com", password=PASSWORD, role=role)
    accept_everything(person)
    grant_plan(user=person, plan_key="pro", reason="test", granted_by="system:test")
    TOTP.activate(person, TOTP_SECRET)
    return person


def make_lifted_halt(person: User, account: BrokerAccount) -> TradingHalt:
    """Stop and resume trading once, so that there is a halt of theirs that stops nothing."""
    halt = halt_trading(scope="account", scope_key=str(account.pk), reason="test", actor=person)
    return resume_trading(halt_id=halt.pk, reason="test", actor=person)


def make_world(name: str, book: ScriptedBook) -> World:
    """Give a person accounts, a filled and an open order, a book, an import, a break and a key."""
    person = make_person(name)
    mark = f"{name}-mark"
    # The scripted broker has one book for everyone; each world uses its own part of it.
    book.orders.clear()
    book.executions.clear()
    account = make_account(person, number=f"{name}-paper")
    live = make_account(person, environment="live", number=f"{name}-live")
    for each, kind in ((account, "paper"), (live, "live")):
        each.label = f"{mark}-{kind}"
        each.save(update_fields=["label"])
    symbol = f"{name[:4].upper()}X"
    bought = place(person, account, symbol=symbol, note=mark).order
    send(bought)
    bought = fresh(bought)
    book.fill(book.orders[bought.broker_order_id], Decimal(10), Decimal("9.99"))
    backfill_account(account.pk)
    waiting = place(person, account, symbol=symbol, note=mark, limit_price="9.00", confirm=("G02",)).order
    send(waiting)
    portfolio = Portfolio.objects.get(account=account)
    Portfolio.objects.filter(pk=portfolio.pk).update(name=mark)
    found = Break.objects.create(
        portfolio=portfolio, kind="cash", ours="1", theirs="2", status=BreakStatus.OPEN, explanation=mark
    )
    batch = preview_import(
        user=person, files=sample_files(), portfolio_name=f"{mark}-import", opening_cash=Decimal(1000)
    )
    apply_import(user=person, batch_id=batch.pk)
    key, made = create_api_key(user=person, name=mark, scopes=FULL_SCOPES)
    publish_event(user_id=person.pk, kind="order", payload={"note": mark})
    return World(
        user=person,
        account_id=account.pk,
        live_account_id=live.pk,
        connection_id=account.connection_id,
        portfolio_id=portfolio.pk,
        order_id=waiting.pk,
        batch_id=batch.pk,
        break_id=found.pk,
        halt_id=make_lifted_halt(person, account).pk,
        key_id=key.pk,
        secret=made.secret,
        symbol=symbol,
        marks=(mark, symbol, person.email),
    )


def sign_in(person: User, *, proof_age: float | None = 0, **options: Any) -> Client:
    """Return a signed-in browser; its password and second factor were given `proof_age` seconds ago."""
    client = Client(**options)
    client.force_login(person)
    if proof_age is not None:
        give_proof(client, age=proof_age)
    return client


def give_proof(client: Client, *, age: float = 0, methods: tuple[str, ...] = ("password", "mfa")) -> None:
    """Note in the session what the sign-in pages note: what was given when, and by whom."""
    session = client.session
    session["account_authentication_methods_user"] = session["_auth_user_id"]
    session["account_authentication_methods"] = [
        {"method": method, "at": time() - age, "reauthenticated": True} for method in methods
    ]
    session.save()


def with_key(secret: str) -> Client:
    """Return a program that sends this API key with everything."""
    return Client(headers={"Authorization": f"Bearer {secret}"})


def our_models() -> list[type[Model]]:
    return [model for model in apps.get_models() if model._meta.app_label in OUR_APPS]


# A key notes when it was used last; that is a change, and harmless.
_UNSTEADY = {"last_used_at", "last_login"}


def photograph() -> dict[str, dict[Any, dict[str, Any]]]:
    """Return every row of every table of ours."""
    return {
        model._meta.label: {
            row.pop("pk"): {name: str(value) for name, value in row.items() if name not in _UNSTEADY}
            for row in model._default_manager.values(
                "pk", *[field.attname for field in model._meta.concrete_fields]
            )
        }
        for model in our_models()
    }


def changes(before: dict[str, dict[Any, Any]], after: dict[str, dict[Any, Any]]) -> list[str]:
    """Return what was added, removed or altered between two photographs, in words."""
    found = []
    for label, rows in before.items():
        now = after[label]
        found += [f"{label} {pk} is gone" for pk in rows.keys() - now.keys()]
        found += [f"{label} {pk} is new" for pk in now.keys() - rows.keys()]
        found += [f"{label} {pk} was altered" for pk in rows.keys() & now.keys() if rows[pk] != now[pk]]
    return found
