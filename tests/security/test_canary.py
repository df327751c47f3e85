"""Secrets are marked, pushed through the real flows and every failure, and then looked for everywhere.

One long story fills the logs, tables, answers and queue; the tests then search them. The story runs over
real sockets: the broker simulator where things go well, and a broker that quotes back what it was sent
where they do not.
"""

import base64
import dataclasses
import http.client
import io
import json
import logging
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import stripe
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib import admin
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import NoReverseMatch, reverse

from billing.models import StripeEvent
from billing.services import ensure_plans, grant_plan
from billing.services.events import process_event
from brokers.adapters.alpaca import client as alpaca_client
from brokers.adapters.alpaca.client import AlpacaRest
from brokers.credentials import open_credentials
from brokers.models import BrokerAccount, BrokerConnection
from brokers.registry import manager
from brokers.simulators.testing import SimulatorServer
from orders.doorbell import CHANNEL
from orders.models import Order, OutboxMessage
from orders.services.reconcile import reconcile_account
from orders.services.submit import claim_and_send
from portfolios.models import Portfolio
from portfolios.tasks import end_of_day
from tests.orders.conftest import accept_everything
from tests.orders.helpers import draft
from tests.security.echo_broker import EchoBroker
from tests.security.queues import recorded_messages
from tests.security.world import OUR_APPS, code_now, make_person
from tradeplatform.common.envelope import KeyRing
from tradeplatform.models import Role, User
from tradeplatform.services.disclosures import ensure_disclosures
from tradeplatform.services.people import create_user
from tradeplatform.services.roles import ensure_roles

PASSWORD = "canary-password-5b1e77"
KEY_ID = "CANARYKEYID5b1e77"
KEY_SECRET = "canary-broker-secret-5b1e77"
CLIENT_SECRET = "canary-client-secret-5b1e77"
STRIPE_KEY = "sk_test_canary5b1e77canary5b1e77"
WEBHOOK_SECRET = "whsec_canary5b1e77canary5b1e77"
FIELD_KEY = base64.urlsafe_b64encode(b"canary-field-key-5b1e77-32bytes!").decode()
# The session's own table and the list of sessions are keyed by the session id; that is what they are.
SESSION_TABLES = {"django_session", "usersessions_usersession"}


@dataclass
class Story:
    """What was marked, and everything that came out."""

    canaries: dict[str, str] = field(default_factory=dict)
    logs: str = ""
    answers: list[tuple[str, str]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    mails: str = ""
    tables: dict[str, str] = field(default_factory=dict)
    reprs: list[tuple[str, str]] = field(default_factory=list)
    cached: str = ""
    dump: str = ""
    export: str = ""
    heard: str = ""

    def found_in(self, text: str, *, but: tuple[str, ...] = ()) -> list[str]:
        return [name for name, value in self.canaries.items() if name not in but and value in text]


class Recorder(Client):
    """A browser whose answers are all kept."""

    def __init__(self, story: Story, **options: Any) -> None:
        super().__init__(raise_request_exception=False, **options)
        self._story = story

    def request(self, **request: Any) -> Any:
        response = super().request(**request)
        headers = "\n".join(f"{name}: {value}" for name, value in response.headers.items())
        content = b"".join(response.streaming_content) if response.streaming else response.content
        name = f"{request.get('REQUEST_METHOD')} {request.get('PATH_INFO')}"
        self._story.answers.append((name, f"{headers}\n\n{content.decode('utf-8', 'replace')}"))
        response.kept = content
        return response


class Telling:
    """Tells the story, step by step, with a person's browser and program."""

    def __init__(self, story: Story, simulator: SimulatorServer, echo: EchoBroker, settings: Any) -> None:
        self.story, self.simulator, self.echo, self.settings = story, simulator, echo, settings
        self.browser = Recorder(story)
        self.person = create_user(email="canary@example.com", password=PASSWORD)
        accept_everything(self.person)
        grant_plan(user=self.person, plan_key="pro", reason="test", granted_by="system:test")

    def post(self, name: str, form: dict[str, Any], *args: Any) -> Any:
        return self.browser.post(reverse(name, args=args), form)

    def sign_in(self) -> None:
        """Password, authenticator, and the proof that later steps want."""
        self.post("account_login", {"login": self.person.email, "password": PASSWORD + "x"})
        self.post("account_login", {"login": self.person.email, "password": PASSWORD})
        self.post("account_reauthenticate", {"password": PASSWORD})
        page = self.browser.get(reverse("mfa_activate_totp"))
        secret = page.context["form"].secret
        self.story.canaries["totp secret"] = secret
        self.post("mfa_activate_totp", {"code": "000000"})
        self.post("mfa_activate_totp", {"code": code_now(secret)})
        cache.clear()
        self.post("mfa_reauthenticate", {"code": code_now(secret)})
        self.story.canaries["session id"] = self.browser.session.session_key

    def make_key(self) -> None:
        page = self.post(
            "settings:api_keys", {"name": "bot", "scopes": ["read", "trade:paper", "trade:live"]}
        )
        self.story.canaries["api key"] = re.search(
            r"tp_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", page.kept.decode()
        ).group()
        self.program = Recorder(
            self.story, headers={"Authorization": f"Bearer {self.story.canaries['api key']}"}
        )

    def link_with_keys(self) -> BrokerAccount:
        account = self.simulator.create_account(cash="50000", key_id=KEY_ID, secret=KEY_SECRET)
        self.simulator.set_quote("AAPL", "99.98", "100.02")
        form = {"environment": "paper", "key_id": KEY_ID, "label": "By keys"}
        self.post("brokers:link_keys", {**form, "secret": KEY_SECRET + "-wrong"}, "alpaca")
        self.post("brokers:link_keys", {**form, "secret": KEY_SECRET, "environment": "nonsense"}, "alpaca")
        self.post("brokers:link_keys", {**form, "secret": KEY_SECRET}, "alpaca")
        return BrokerAccount.objects.get(broker_account_id=account.account_id)

    def link_another(self) -> BrokerAccount:
        """An account for the failures that leave an order in doubt, which stops further ones."""
        account = self.simulator.create_account(key_id=f"{KEY_ID}B", secret=f"{KEY_SECRET}-b")
        form = {"environment": "paper", "key_id": f"{KEY_ID}B", "secret": f"{KEY_SECRET}-b", "label": "B"}
        self.post("brokers:link_keys", form, "alpaca")
        return BrokerAccount.objects.get(broker_account_id=account.account_id)

    def link_by_sign_in(self) -> BrokerAccount:
        customer = self.simulator.create_account(cash="40000")
        back = f"{self.settings.SITE_URL}{reverse('brokers:oauth_callback', args=['alpaca'])}"
        self.simulator.register_app(self.settings.ALPACA_CLIENT_ID, CLIENT_SECRET, back)
        address = self.post("brokers:oauth_start", {"environment": "paper"}, "alpaca").url
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        self.story.canaries["oauth state"] = asked["state"]
        allowed = {**asked, "customer": customer.customer_id, "paper": "on", "decision": "allow"}
        returned = parse_qs(urlsplit(self._consent(allowed)).query)
        self.story.canaries["oauth code"] = returned["code"][0]
        query = {"code": returned["code"][0], "state": asked["state"]}
        target = reverse("brokers:oauth_callback", args=["alpaca"])
        self.browser.get(target, {**query, "state": "forged"})
        self.browser.get(target, query)
        self.browser.get(target, query)
        account = BrokerAccount.objects.get(broker_account_id=customer.account_id)
        opened = open_credentials(account.connection, purpose="test")
        self.story.canaries["oauth token"] = opened.values["access_token"]
        return account

    def _consent(self, form: dict[str, str]) -> str:
        link = http.client.HTTPConnection("127.0.0.1", self.simulator.port, timeout=10)
        try:
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            link.request("POST", "/alpaca/oauth/authorize", urlencode(form), kind)
            return link.getresponse().getheader("Location") or ""
        finally:
            link.close()

    def place(self, account: BrokerAccount, **values: Any) -> Any:
        """Place an order over the API and hand whatever waits to the broker."""
        body = draft(account=str(account.pk), symbol="AAPL", limit_price="90", **values)
        key = {"Idempotency-Key": f"{account.pk}-{values}"}
        answer = self.program.post(
            reverse("api_order_list"), body, content_type="application/json", headers=key
        )
        for row in OutboxMessage.objects.filter(status="ready").order_by("pk"):
            claim_and_send(row.pk, worker="test")
        return answer

    def fail(self, account: BrokerAccount, *, status: int, code: int | None = None) -> None:
        """The same steps at a broker that refuses and quotes back what it heard."""
        self.echo.status, self.echo.code = status, code
        BrokerConnection.objects.filter(pk=account.connection_id).update(status="active")
        self.place(account, quantity=str(2 + status % 7 + (code or 0) % 3))
        self.settings.ALPACA_PAPER_URL = self.echo.url
        for row in OutboxMessage.objects.exclude(status__in=["done", "dropped"]):
            OutboxMessage.objects.filter(pk=row.pk).update(not_before=row.created_at, status="ready")
        form = {"environment": "paper", "key_id": KEY_ID, "secret": KEY_SECRET, "label": "x"}
        self.post("brokers:link_keys", form, "alpaca")
        self.post("brokers:relink", {"key_id": KEY_ID, "secret": KEY_SECRET}, account.connection_id)
        self.place(account, quantity=str(3 + status % 5))
        BrokerConnection.objects.filter(pk=account.connection_id).update(status="active")
        self.post("brokers:sync", {}, account.pk)
        BrokerConnection.objects.filter(pk=account.connection_id).update(status="active")
        with_reader = BrokerAccount.objects.get(pk=account.pk)
        try:
            manager.get_reader(with_reader, purpose="test").get_positions()
        except Exception:
            logging.getLogger("canary").exception("reading failed")
        self.settings.ALPACA_PAPER_URL = self.simulator.paper_url

    def fail_sign_in(self, status: int) -> None:
        self.echo.status = status
        self.settings.ALPACA_TOKEN_URL = f"{self.echo.url}/oauth/token"
        address = self.post("brokers:oauth_start", {"environment": "paper"}, "alpaca").url
        state = parse_qs(urlsplit(address).query)["state"][0]
        query = {"code": self.story.canaries["oauth code"], "state": state}
        self.browser.get(reverse("brokers:oauth_callback", args=["alpaca"]), query)
        self.settings.ALPACA_TOKEN_URL = self.simulator.token_url

    def break_adapter(self, account: BrokerAccount, monkeypatch: pytest.MonkeyPatch) -> None:
        """A bug inside an adapter whose exception names the headers it wanted to send."""

        def explode(*args: Any, **kwargs: Any) -> Any:
            headers = {"APCA-API-SECRET-KEY": KEY_SECRET, "Authorization": f"Bearer {KEY_SECRET}"}
            raise RuntimeError(f"cannot send {headers} for client_secret={CLIENT_SECRET}")

        BrokerConnection.objects.filter(pk=account.connection_id).update(status="active")
        with monkeypatch.context() as patch:
            self.place(account, quantity="1")
            patch.setattr(AlpacaRest, "post_order", explode)
            self.place(account, quantity="11")
            patch.setattr(AlpacaRest, "get", explode)
            self.post("brokers:sync", {}, account.pk)
            self.program.get(reverse("api_positions", args=[account.pk]))

    def lose_the_key(self, account: BrokerAccount) -> None:
        right = self.settings.FIELD_ENCRYPTION_KEYS
        self.settings.FIELD_ENCRYPTION_KEYS = [
            base64.urlsafe_b64encode(b"another-key-of-32-bytes-exactly!").decode()
        ]
        self.place(account, quantity="12")
        self.post("brokers:sync", {}, account.pk)
        self.browser.get(reverse("brokers:list"))
        self.settings.FIELD_ENCRYPTION_KEYS = right

    def hear_from_stripe(self) -> None:
        """An event is queued; the question that it leads to is refused, and Stripe quotes our key."""
        self.settings.STRIPE_SECRET_KEY = STRIPE_KEY
        self.settings.STRIPE_WEBHOOK_SECRETS = [WEBHOOK_SECRET]
        self.settings.STRIPE_API_URL = self.echo.url
        self.echo.status = 401
        # The object of a dispute does not say whose it is; Stripe has to be asked.
        dispute = {"id": "dp_1", "object": "dispute", "charge": "ch_1"}
        event = {"id": "evt_1", "object": "event", "type": "charge.dispute.created", "created": 1}
        body = json.dumps({**event, "data": {"object": dispute}})
        for secret in (WEBHOOK_SECRET + "x", WEBHOOK_SECRET):
            header = stripe.WebhookSignature.generate_signature_header(body, secret)
            self.browser.post(
                reverse("billing:webhook"),
                body,
                content_type="application/json",
                headers={"Stripe-Signature": header},
            )
        process_event(event_pk=StripeEvent.objects.get().pk)
        self.post("billing:portal", {})

    def look_around(self) -> None:
        """Every page that shows what happened, to the person and to staff."""
        for name in (
            "dashboard",
            "brokers:list",
            "orders:list",
            "portfolios:overview",
            "settings:api_keys",
            "settings:profile",
            "settings:data",
            "mfa_index",
            "usersessions_list",
            "demo_mail",
        ):
            self.browser.get(reverse(name))
        for order in Order.objects.all():
            self.browser.get(reverse("orders:detail", args=[order.pk]))
            self.browser.get(reverse("orders:messages", args=[order.pk]))
            self.program.get(reverse("api_order", args=[order.pk]))
            self.program.get(reverse("api_order_timeline", args=[order.pk]))
        for link in BrokerConnection.objects.all():
            self.browser.get(reverse("brokers:access_log", args=[link.pk]))
        for book in Portfolio.objects.all():
            self.browser.get(reverse("portfolios:activity", args=[book.pk]))
        self.browser.get("/nothing/")
        self.program.get("/api/v1/nothing/")
        self.program.post(reverse("api_order_list"), "{", content_type="application/json")
        exported = self.post("settings:export", {})
        archive = zipfile.ZipFile(io.BytesIO(exported.kept))
        self.story.export = "\n".join(archive.read(name).decode() for name in archive.namelist())

    def look_as_staff(self) -> None:
        staff = Recorder(self.story)
        staff.force_login(make_person("staff", Role.ADMIN))
        for model in admin.site._registry:
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
            staff.get(reverse(f"{name}_changelist"))
            for row in model._default_manager.all()[:5]:
                for page in ("change", "history"):
                    try:
                        staff.get(reverse(f"{name}_{page}", args=[row.pk]))
                    except NoReverseMatch:
                        continue


@pytest.fixture
def log_text() -> Iterator[io.StringIO]:
    """Everything that any logger says at any level, through the site's own formatter."""
    config = django_settings.LOGGING["formatters"]["structured"]
    formatter = config["()"](processors=config["processors"], foreign_pre_chain=config["foreign_pre_chain"])
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def story(
    transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch, log_text: io.StringIO
) -> Story:
    told = Story(
        canaries={
            "password": PASSWORD,
            "key id": KEY_ID,
            "key secret": KEY_SECRET,
            "client secret": CLIENT_SECRET,
            "field key": FIELD_KEY,
            "secret key": "canary-django-secret-5b1e77-0000000000000000000000",
            "stripe key": STRIPE_KEY,
            "webhook secret": WEBHOOK_SECRET,
        }
    )
    settings.FIELD_ENCRYPTION_KEYS = [FIELD_KEY]
    settings.SECRET_KEY = told.canaries["secret key"]
    settings.ALPACA_CLIENT_SECRET = CLIENT_SECRET
    ensure_plans()
    ensure_roles()
    ensure_disclosures()
    echo = EchoBroker()
    with SimulatorServer() as simulator, recorded_messages(told.messages, monkeypatch):
        point_at(settings, simulator)
        tell(Telling(told, simulator, echo, settings), monkeypatch)
    told.heard = "\n".join(echo.heard)
    echo.close()
    alpaca_client.close_clients()
    told.logs = log_text.getvalue()
    told.tables = dict(read_tables())
    told.reprs = list(read_reprs())
    told.cached = repr(getattr(cache, "_cache", {}))
    dumped = io.StringIO()
    call_command("dumpdata", *OUR_APPS, stdout=dumped)
    told.dump = dumped.getvalue()
    return told


def tell(telling: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    telling.sign_in()
    telling.make_key()
    by_keys = telling.link_with_keys()
    by_sign_in = telling.link_by_sign_in()
    fragile = telling.link_another()
    for account in (by_keys, by_sign_in, fragile):
        reconcile_account(account.pk)
        telling.place(account, quantity="10")
    end_of_day()
    for account in (by_keys, by_sign_in):
        for status, code in ((422, 42210000), (401, None), (403, 40310000), (429, None), (500, None)):
            telling.fail(account, status=status, code=code)
    for status in (400, 500):
        telling.fail_sign_in(status)
    telling.lose_the_key(fragile)
    telling.break_adapter(fragile, monkeypatch)
    telling.hear_from_stripe()
    telling.look_around()
    telling.look_as_staff()


def point_at(settings: Any, simulator: SimulatorServer) -> None:
    settings.ALPACA_PAPER_URL = simulator.paper_url
    settings.ALPACA_LIVE_URL = simulator.live_url
    settings.ALPACA_DATA_URL = simulator.data_url
    settings.ALPACA_TOKEN_URL = simulator.token_url
    settings.ALPACA_AUTHORIZE_URL = simulator.authorize_url


def read_tables() -> Iterator[tuple[str, str]]:
    """Yield each table with all its rows as text, as somebody with the database file sees them."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608 - our own tables
            yield table, "\n".join(map(repr, cursor.fetchall()))


def read_reprs() -> Iterator[tuple[str, str]]:
    """Yield what logs and tracebacks would show of rows and of the values made from credentials."""
    for model in apps.get_models():
        for row in model._default_manager.all():
            yield (
                model.__name__,
                f"{row!r} {row} { ({**vars(row), '_state': None})!r}" if model.__name__ != "Session" else "",
            )
    for link in BrokerConnection.objects.exclude(credentials__isnull=True).filter(unlinked_at=None):
        BrokerConnection.objects.filter(pk=link.pk).update(status="active")
        link.refresh_from_db()
        opened = open_credentials(link, purpose="test")
        yield "Credentials", f"{opened!r} {opened} {dataclasses.replace(opened)!r}"
        for account in link.accounts.select_related("connection"):
            for adapter in (
                manager.get_reader(account, purpose="t"),
                manager.get_trader(account, purpose="t"),
            ):
                yield type(adapter).__name__, f"{adapter!r} {adapter}"
            handle = getattr(manager.get_trader(account, purpose="t"), "handle", None)
            yield "AccountHandle", f"{handle!r} {handle}"
    yield "KeyRing", repr(KeyRing([FIELD_KEY]))


# Where a secret is on purpose: shown once to its owner, or handed to the broker by way of the browser.
ON_PURPOSE = {
    ("POST /settings/api-keys/", "api key"),
    ("GET /accounts/2fa/totp/activate/", "totp secret"),
    ("POST /accounts/2fa/totp/activate/", "totp secret"),
    ("POST /brokers/alpaca/link/sign-in/", "oauth state"),
    # The form shows again which key was typed; the secret has to be typed anew.
    ("POST /brokers/alpaca/link/keys/", "key id"),
    ("POST /brokers/links/ID/relink/", "key id"),
}


def test_no_secret_is_found_anywhere(story: Story) -> None:
    assert_the_story_was_told(story)
    problems = [f"logs: {name}" for name in story.found_in(story.logs)]
    problems += [
        f"answer of {where}: {name}"
        for where, text in story.answers
        for name in story.found_in(text)
        if (re.sub(r"links/[0-9a-f-]{36}", "links/ID", where), name) not in ON_PURPOSE
    ]
    problems += [f"{message}: {name}" for message in story.messages for name in story.found_in(message)]
    for table, text in story.tables.items():
        but = ("session id",) if table in SESSION_TABLES else ()
        problems += [f"table {table}: {name}" for name in story.found_in(text, but=but)]
    for kind, text in story.reprs:
        but = ("session id",) if kind == "UserSession" else ()
        problems += [f"repr of {kind}: {name}" for name in story.found_in(text, but=but)]
    problems += [f"cache: {name}" for name in story.found_in(story.cached)]
    problems += [f"dump: {name}" for name in story.found_in(story.dump)]
    problems += [f"export: {name}" for name in story.found_in(story.export)]

    assert sorted(set(problems)) == []


def assert_the_story_was_told(story: Story) -> None:
    """Without this the search could find nothing because nothing had happened."""
    assert len(story.canaries) == 14
    assert all(len(value) >= 16 for value in story.canaries.values())
    statuses = set(Order.objects.values_list("status", flat=True))
    assert {"accepted", "rejected"} <= statuses, statuses
    # The rude broker really heard the secrets, by each way of linking.
    assert {"key id", "key secret", "oauth token", "oauth code", "client secret", "stripe key"} <= set(
        story.found_in(story.heard)
    )
    assert "send_failed" in story.logs
    assert "encryption_key_missing" in story.logs
    assert "[hidden]" in story.tables["orders_order"] + story.tables["brokers_brokerconnection"]
    assert len(story.messages) > 3
    kinds = {message.partition(":")[0] for message in story.messages}
    ring = f"notification {CHANNEL}" if connection.vendor == "postgresql" else "task orders.tasks.ring_outbox"
    assert {"task portfolios.tasks.sync_account_book", "task billing.tasks.process_event", ring} <= kinds
    assert len(story.answers) > 100
    assert User.objects.get(email="canary@example.com").email in story.export
    assert json.loads(story.dump)
